# Bad input: rows and columns that cannot be sent are told in words that lead to them, one bad row costs no good one, and
# whatever text there is arrives as it is.
use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8 decode_utf8);
use JSON::PP;
use KsegTest;
use KsegRun;

my $node    = new_cluster('bad_rows');
my $sandbox = start_sandbox();
my $session = run_session($node);
connect_segment($node, $sandbox);

# A run's SQL; the query may hold anything but $kseg$.
sub run_sql
{
    my ($query, $more) = @_;
    $more = $more ? ", $more" : '';
    return encode_utf8("SELECT row_to_json(r) FROM kseg.segment_track_from_query(\$kseg\$$query\$kseg\$, event => 'E'$more) r");
}

# Runs it anew against an empty sandbox; returns its figures, what it warned of, and the events' properties by user.
sub deliver
{
    my ($query, $more) = @_;
    $sandbox->reset;
    my $result  = $session->run(run_sql($query, $more));
    my $failure = failure($result);
    die "$failure->{code} $failure->{message}" if $failure;
    my %properties = map { my $event = JSON::PP->new->decode($_->{text}); $event->{userId} => $event->{properties} }
      $sandbox->events(limit => 1000);
    return (figures($result), scalar warning_of($result), \%properties);
}

# The failure of a run that must not send anything.
sub refused
{
    my ($query, $more) = @_;
    $sandbox->reset;
    my $failure = failure($session->run(run_sql($query, $more))) // { code => 'none', message => '', hint => '', detail => '' };
    is($sandbox->stats->{requests}, 0, 'nothing was sent');
    return $failure;
}

sub letters_of { return $session->rows("SELECT row, user_id, reason, status, event FROM kseg.dead_letter WHERE run = '$_[0]{run}' ORDER BY row") }

subtest 'a row of 40 KB' => sub {
    my ($run, $warning, $properties) = deliver(q{SELECT 'u' || g AS user_id, repeat('x', CASE g WHEN 2 THEN 40000 ELSE 10 END) AS note
        FROM generate_series(1, 3) g});
    is("$run->{rows} $run->{sent} $run->{invalid}", '3 2 1', 'rows, sent, invalid');
    is_deeply([ sort keys %$properties ], [ 'u1', 'u3' ], 'the others arrived');
    my ($letter) = letters_of($run);
    is("$letter->{row} $letter->{user_id}", '2 u2', 'the dead letter names row and user');
    like($letter->{reason}, qr/row 2, user "u2".*32,?768/, 'its reason names row, user and limit');
    is(length $letter->{event}{properties}{note}, 40000, 'the event is kept whole');
    is($warning->{message}, '1 of 3 rows were not delivered: 1 invalid, 0 rejected', 'the WARNING');
    is($warning->{code}, '01000', 'its code');
    is($warning->{detail}, "First problem: $run->{first_problem}.", 'its detail');
    is($warning->{hint}, "They are kept: SELECT * FROM kseg.dead_letter WHERE run = '$run->{run}'.", 'its hint');
};

subtest 'the limit is Segment\'s, to the byte' => sub {
    # What a property of n letters x makes of the event, measured, not computed.
    my $bytes = sub { $session->row("SELECT bytes FROM kseg.segment_preview(\$\$SELECT 'u' AS user_id, repeat('x', $_[0]) AS note\$\$, event => 'E')")->{bytes} };
    my $fits = 32768 - $bytes->(0);
    is($bytes->($fits), 32768, 'an event of 32,768 bytes');
    my ($run) = deliver("SELECT 'u' AS user_id, repeat('x', $fits) AS note");
    is("$run->{sent} $run->{invalid}", '1 0', 'is sent');
    is($sandbox->stats->{max_event_bytes}, 32768, 'as long as that');
    ($run) = deliver("SELECT 'u' AS user_id, repeat('x', $fits + 1) AS note");
    is("$run->{sent} $run->{invalid}", '0 1', 'one byte more is not');
};

subtest 'text arrives as it is' => sub {
    my %texts = (
        quotes    => q{"double" 'single' \\ / `back`},
        controls  => join('', map { chr } 1 .. 31, 127),
        separator => "\x{2028}\x{2029}\x{feff}\x{85}",
        four      => "\x{1F600}\x{10FFFF}",
        markup    => '</script><!-- &amp; ${x} %s',
        json      => '{"a": [1, null]}',
        wide      => "Größe 数 \x{5E9}",
    );
    my $rows = join ' UNION ALL ', map {
        my $text = $texts{$_};
        my $escaped = join '', map { sprintf '\\+%06X', ord } split //, $text;
        "SELECT '$_' AS user_id, U&'$escaped' AS note"
    } sort keys %texts;
    my ($run, $warning, $properties) = deliver($rows);
    is($run->{sent}, keys %texts, 'all were sent');
    # In bytes, so that a failure can be printed.
    is(encode_utf8($properties->{$_}{note} // ''), encode_utf8($texts{$_}), $_) for sort keys %texts;
    ($run, $warning, $properties) = deliver(q{SELECT U&'\0022\+01F600\000A' AS user_id, 1 AS "a""b", 2 AS "c\d", 3 AS "größe"});
    is_deeply($properties, { "\"\x{1F600}\n" => { 'a"b' => 1, 'c\\d' => 2, 'größe' => 3 } }, 'in ids and names too');
};

subtest 'numbers that JSON has not' => sub {
    my ($run, undef, $properties) = deliver(q{
        SELECT 'good' AS user_id, 1.5::float8 AS f8, 1.5::float4 AS f4, 1.50::numeric AS n, NULL::timestamptz AS t
        UNION ALL SELECT 'f8', 'NaN', 1, 1, NULL UNION ALL SELECT 'f8i', '-infinity', 1, 1, NULL
        UNION ALL SELECT 'f4', 1, 'Infinity', 1, NULL UNION ALL SELECT 'n', 1, 1, 'NaN', NULL
        UNION ALL SELECT 'ni', 1, 1, 'Infinity', NULL UNION ALL SELECT 't', 1, 1, 1, 'infinity'});
    is("$run->{rows} $run->{sent} $run->{invalid}", '7 1 6', 'rows, sent, invalid');
    is_deeply([ keys %$properties ], ['good'], 'the good row arrived');
    my @letters = letters_of($run);
    my %column = (f8 => 'f8', f8i => 'f8', f4 => 'f4', n => 'n', ni => 'n', t => 't');
    for my $letter (@letters)
    {
        like($letter->{reason}, qr/^row $letter->{row}, user "$letter->{user_id}": column "$column{$letter->{user_id}}": /,
            "$letter->{user_id}: row, user and column");
    }
    is(@letters, 6, 'each is kept');
};

subtest 'several problems in a row' => sub {
    my ($row) = $session->rows(q{SELECT problems, event FROM kseg.segment_preview(
        $$SELECT NULL::text AS user_id, 'NaN'::float8 AS a, 'NaN'::float8 AS b, 1 AS c$$, event => 'E')});
    is(@{ $row->{problems} }, 3, 'a preview tells all of them');
    like($row->{event}, qr/^\Q{"type":"track","event":"E","properties":{"a":null,"b":null,"c":1},"messageId":"\Ekseg-/,
        'and shows an event all the same, with null for what has no JSON');
};

my $mixed = q{SELECT CASE WHEN g = 3 THEN '' ELSE 'u' || g END AS user_id, g AS n FROM generate_series(1, 5) g};

subtest 'on_invalid: skip' => sub {
    my ($run, $warning) = deliver($mixed, q{on_invalid => 'skip'});
    is("$run->{rows} $run->{sent} $run->{invalid}", '5 4 1', 'rows, sent, invalid');
    is(scalar(letters_of($run)), 0, 'nothing is kept');
    like($warning->{message}, qr/^1 of 5 rows were not delivered/, 'it is told all the same');
    is($warning->{hint}, '', 'without a way to see it');
};

subtest 'on_invalid: error' => sub {
    $sandbox->reset;
    my $failure = failure($session->run(run_sql($mixed, q{on_invalid => 'error'})));
    is($failure->{code}, '22000', 'a data exception');
    like($failure->{message}, qr/^row 3: .*user id/, 'that names the row') or diag($failure->{message});
    like($failure->{hint}, qr/on_invalid/, 'and the setting to change');
    like($failure->{context}, qr/kseg run [0-9a-f-]{36}: 3 rows read, \d events sent before/, 'and says how far the run was');
    is($session->row('SELECT count(*) AS n FROM kseg.dead_letter WHERE row = 3 AND created = now()')->{n}, 0, 'nothing is kept');
    my ($good) = deliver(q{SELECT 'u' AS user_id, 1 AS n}, q{on_invalid => 'error'});
    is($good->{sent}, 1, 'good rows pass');
};

subtest 'no rows' => sub {
    my ($run, $warning) = deliver(q{SELECT 'u' AS user_id WHERE false});
    is(join(' ', @$run{qw(rows sent repeated invalid rejected batches)}), '0 0 0 0 0 0', 'all figures are 0');
    is($warning, undef, 'no warning');
    is($sandbox->stats->{requests}, 0, 'no request');
};

# Query, further arguments, SQLSTATE, what message and hint say.
my @columns = (
    [ 'no columns', q{SELECT FROM generate_series(1, 3)}, '', '22023', qr/no columns/, undef ],
    [ 'two columns of a name', q{SELECT 'u' AS user_id, 1 AS a, 2 AS a}, '', '42701', qr/two columns "a"/, qr/AS/ ],
    [ 'two spellings of an id', q{SELECT 'u' AS user_id, 'v' AS "userId"}, '', '42702', qr/user_?id/i, undef ],
    [ 'a column without a name', q{SELECT 'u' AS user_id, 1}, '', '42P10', qr/column 2 .* no name/, qr/AS/ ],
    [ 'no user column', q{SELECT 1 AS a}, '', '42703', qr/user/, qr/user_id/ ],
    [ 'a user column that is not there', q{SELECT 'u' AS customer_id}, q{user_id => 'custmer_id'}, '42703', qr/no column "custmer_id"/, qr/"customer_id"/ ],
    [ 'event and event_column', q{SELECT 'u' AS user_id, 'X' AS name}, q{event_column => 'name'}, '22023', qr/exclude each other/, qr/event_column/ ],
    [ '"a" and "a.b"', q{SELECT 'u' AS user_id, 1 AS a, 2 AS "a.b"}, '', undef, qr/"a\.b"/, undef ],
    [ 'an id that is JSON', q{SELECT '{}'::json AS user_id}, '', '42804', qr/user_id/, qr/text/ ],
    [ 'a time that is text', q{SELECT 'u' AS user_id, 'yesterday' AS "timestamp"}, '', '42804', qr/timestamp/, qr/timestamptz/ ],
    [ 'properties that are not there', q{SELECT 'u' AS user_id, 1 AS a}, q{properties => '{b}'}, '42703', qr/no column "b"/, undef ],
    [ 'exclude what is not there', q{SELECT 'u' AS user_id, 1 AS color}, q{exclude => '{colour}'}, '42703', qr/no column "colour"/, qr/"color"/ ],
);
for my $case (@columns)
{
    my ($name, $query, $more, $code, $message, $hint) = @$case;
    subtest "columns: $name" => sub {
        my $failure = refused($query, $more);
        is($failure->{code}, $code, 'code') if defined $code;
        like("$failure->{message} $failure->{detail}", $message, 'message') or diag(explain($failure));
        like($failure->{hint}, $hint, 'hint') if defined $hint;
        unlike($failure->{code}, qr/^(?:XX|none)/, 'an error with a code of its own');
    };
}

subtest 'a constant event, and a column of that name' => sub {
    my ($run, undef, $properties) = deliver(q{SELECT 'u' AS user_id, 'X' AS event});
    is_deeply($properties, { u => { event => 'X' } }, 'the constant is the event, the column a property like others');
};

subtest 'no event at all' => sub {
    $sandbox->reset;
    my $failure = failure($session->run(q{SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id')}));
    like($failure->{message}, qr/event/, 'message') or diag(explain($failure));
    like($failure->{hint}, qr/event =>/, 'hint');
};

# ---- other encodings. What the sandbox gets is UTF-8 whatever the database has.

sub other_database
{
    my ($name, $encoding) = @_;
    $session->run("CREATE DATABASE $name ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    my $other = run_session($node, dbname => $name);
    $other->run('SET client_encoding = UTF8') unless $encoding eq 'SQL_ASCII';
    $other->run("CREATE EXTENSION kseg; SELECT kseg.connect_segment(write_key => '" . $sandbox->key . "', endpoint => '" . $sandbox->url . "')");
    $sandbox->reset;
    return $other;
}

subtest 'a LATIN1 database' => sub {
    my $other = other_database('latin1', 'LATIN1');
    my $result = $other->run(run_sql(q{SELECT 'Jürgen' AS user_id, 'Größe ÿ' AS "größe" UNION ALL SELECT NULL, 'Ärger'}));
    my $run = figures($result);
    is("$run->{sent} $run->{invalid}", '1 1', 'sent, invalid');
    my ($event) = map { JSON::PP->new->decode($_->{text}) } $sandbox->events;
    is($event->{userId}, 'Jürgen', 'the id');
    is_deeply($event->{properties}, { 'größe' => 'Größe ÿ' }, 'the property and its name');
    my ($letter) = $other->rows('SELECT event FROM kseg.dead_letter');
    is($letter->{event}{properties}{'größe'}, 'Ärger', 'the dead letter has the database\'s letters');
    is($other->row(q{SELECT problems IS NULL AS good FROM kseg.segment_preview($$SELECT chr(228) AS user_id$$, event => 'E')})->{good},
        JSON::PP::true, 'a preview too');

    # Segment answers in UTF-8, with a character that LATIN1 has not.
    my $words = '{"message": "größer ☹ klein"}';
    my $answer = sub {
        $sandbox->faults({ match => { path => '/v1/' }, action => { status => $_[0], body => $words } });
        my $result = $other->run($_[1] // run_sql(q{SELECT 'ü' AS user_id, 1 AS n}));
        $sandbox->faults;
        return $result;
    };
    $result = $answer->(400);
    is(failure($result), undef, 'words that the database has no letters for do not fail a run') or diag($result->{err});
    ($letter) = $other->rows('SELECT reason FROM kseg.dead_letter WHERE status = 400');
    like($letter->{reason}, qr/^row 1, user "ü": .*größer \? klein$/, 'they are kept as far as it has');
    my $failure = failure($answer->(401));
    like(decode_utf8($failure->{detail}), qr/größer \? klein/, 'in an error too');
    my ($check) = map { decode_utf8($_->{out}) } $answer->(403, "SELECT string_agg(detail, ' ') FROM kseg.test_server('segment')");
    like($check, qr/größer \? klein/, 'and in test_server\'s rows');
};

subtest 'a SQL_ASCII database' => sub {
    my $other = other_database('ascii', 'SQL_ASCII');
    my $result = $other->run(run_sql(q{SELECT 'utf-ü' AS user_id, 'Größe' AS note UNION ALL SELECT 'bytes', E'\\377\\376' UNION ALL SELECT E'\\377', 'id'}));
    my $failure = failure($result);
    is($failure, undef, 'no error') or diag(explain($failure)), return;
    my $run = figures($result);
    is("$run->{rows} $run->{sent} $run->{invalid}", '3 1 2', 'what is UTF-8 is sent, what is not is invalid');
    my ($event) = map { JSON::PP->new->decode($_->{text}) } $sandbox->events;
    is("$event->{userId} $event->{properties}{note}", 'utf-ü Größe', 'as it is');
    is($sandbox->stats->{broken_requests} + $sandbox->stats->{refused}, 0, 'no request was broken');
    like(warning_of($result)->{detail}, qr/row 2, user "bytes": column "note": .*UTF-8/, 'the row is told');
    my ($kept) = $other->rows('SELECT count(*) AS n, count(event) AS events FROM kseg.dead_letter');
    is($kept->{n}, 2, 'and kept');
};

done_testing();
