# Message ids by recipe 1 (src/event/event_id.c), made a second time here from its description alone, and compared with
# kseg's. A recipe that changes makes Segment take old events for new ones: when this fails, do not mend the test.
use strict;
use warnings;
use utf8;
use Digest::SHA qw(hmac_sha256);
use Encode qw(encode_utf8);
use KsegTest;

my $node = new_cluster('recipe');
my $psql = session($node);
my $key  = 'recipe-key';
$psql->run("SELECT kseg.connect_segment(write_key => '$key', endpoint => 'http://127.0.0.1:1')");

# XXH3 is in no Perl core module, but its header is there wherever kseg is built.
my $xxh3 = do
{
    my $program = PostgreSQL::Test::Utils::tempdir() . '/xxh3';
    open(my $cc, '|-', ($ENV{CC} // 'cc'), qw(-O1 -x c -o), $program, '-') or die "cannot run cc: $!";
    print $cc <<'C';
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
    static unsigned char bytes[1 << 16];
    size_t length = 0;
    XXH128_hash_t hash;
    for (const char *hex = argv[1]; *hex && length < sizeof(bytes); hex += 2, length++)
    {
        const char pair[3] = {hex[0], hex[1], 0};
        bytes[length] = (unsigned char) strtoul(pair, NULL, 16);
    }
    hash = XXH3_128bits(bytes, length);
    printf("%016llx%016llx", (unsigned long long) hash.high64, (unsigned long long) hash.low64);
    return 0;
}
C
    close($cc) or die "cc failed: $?";
    $program;
};

sub hash { my ($bytes) = @_; open(my $out, '-|', $xxh3, unpack('H*', $bytes)) or die $!; my $hex = <$out>; close($out); return $hex }
sub text { my ($text)  = @_; my $bytes = encode_utf8($text); return pack('V', length $bytes) . $bytes }

my $place = $psql->row('SELECT system_identifier AS id, (SELECT oid FROM pg_database WHERE datname = current_database()) AS oid
                        FROM pg_control_system()');
my $namespace = substr(hmac_sha256(pack('q<V', $place->{id}, $place->{oid}), $key), 0, 16);

# Microseconds since 2000-01-01 UTC.
sub microseconds { my ($epoch, $rest) = @_; return ($epoch - 946684800) * 1_000_000 + $rest }

my %pack = (
    s => \&text, n => \&text, j => \&text,
    i => sub { pack('q<', $_[0]) }, b => sub { pack('q<', $_[0]) }, t => sub { pack('q<', $_[0]) },
    f => sub { pack('d<', $_[0]) }, e => sub { pack('f<', $_[0]) . "\0" x 4 }, z => sub { '' },
    v => sub { my ($text, @times) = @{ $_[0] }; return text($text) . pack('V', 8 * @times) . pack('q<*', @times) });

# The id of a call with these parts: path => [class, value].
sub recipe
{
    my ($call, %parts) = @_;
    my $bytes = pack('C', 1) . $namespace . text($call);
    for my $path (sort { encode_utf8($a) cmp encode_utf8($b) } keys %parts)
    {
        my ($class, $value) = @{ $parts{$path} };
        $bytes .= text($path) . $class . $pack{$class}->($value);
    }
    return 'kseg-' . hash($bytes);
}

sub previewed
{
    my ($query, $arguments) = @_;
    return $psql->row("SELECT message_id FROM kseg.segment_preview(\$\$$query\$\$, $arguments)")->{message_id};
}

is(previewed(q{SELECT 'u1' AS user_id}, q{event => 'E'}), recipe('track', userId => [ s => 'u1' ], event => [ s => 'E' ]), 'the least');

is(previewed(q{SELECT '162514333' AS customer_id, 0.734::float8 AS iphone, 0.812::float8 AS apple_watch, 12.50 AS revenue, 'a' AS segment,
               timestamptz '2024-02-29 12:34:56.789012+00' AS predicted_at},
        q{event => 'Sales Prediction', user_id => 'customer_id', event_time => 'predicted_at'}),
    recipe('track', userId => [ s => '162514333' ], event => [ s => 'Sales Prediction' ], timestamp => [ t => microseconds(1709210096, 789012) ],
        'properties.iphone' => [ f => 0.734 ], 'properties.apple_watch' => [ f => 0.812 ], 'properties.revenue' => [ n => '12.50' ],
        'properties.segment' => [ s => 'a' ]),
    'a prediction');

is(previewed(q{SELECT 7 AS user_id, 9007199254740993 AS a, true AS b, 0.1::float4 AS c, ARRAY[timestamp '2024-01-01 00:00:00.0001', NULL] AS d,
               date '1999-12-31' AS e, '{"b": [1, 2.0], "a": null}'::jsonb AS f, '\x00ff'::bytea AS g, 'x' AS "y.z", NULL::int AS n,
               '127.0.0.1' AS context_ip, interval '1 day' AS i}, q{call => 'identify', nulls => 'send'}),
    recipe('identify', userId => [ s => '7' ], 'traits.a' => [ i => 9007199254740993 ], 'traits.b' => [ b => 1 ], 'traits.c' => [ e => 0.1 ],
        'traits.d' => [ v => [ '["2024-01-01T00:00:00.000Z",null]', microseconds(1704067200, 100) ] ],
        'traits.e' => [ t => microseconds(946598400, 0) ], 'traits.f' => [ j => '{"a":null,"b":[1,2.0]}' ], 'traits.g' => [ s => '\x00ff' ],
        'traits.y.z' => [ s => 'x' ], 'traits.n' => [ z => undef ], 'context.ip' => [ s => '127.0.0.1' ], 'traits.i' => [ s => 'P1D' ]),
    'every class of value');

is(previewed(q{SELECT 'u' AS user_id, 'g' AS group_id, '{"a":1,"b":{"x":1,"y":2},"c":3}'::jsonb AS traits, 5 AS "b.x", 6 AS c},
        q{call => 'group', context => '{"k":1}'}),
    recipe('group', userId => [ s => 'u' ], groupId => [ s => 'g' ], traits => [ j => '"a":1' ], 'traits.b' => [ j => '"y":2' ],
        'traits.b.x' => [ i => 5 ], 'traits.c' => [ i => 6 ], context => [ j => '"k":1' ]),
    'a base under columns');

done_testing();
