# needs: kafka
# Debezium's spellings of values, each with its edges: numbers that are times in every unit, bytes that are decimals, JSON that is text; what
# a schema says, what an option says, and what is none of them.
use strict;
use warnings;
use Encode qw(encode_utf8);
use KsegTest;
use KsegRun;
use KsegKafka;
use Math::BigInt;
use MIME::Base64 qw(encode_base64);

my $kafka = kafka_broker();
my $node = new_cluster('debezium');
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "'); ALTER DATABASE postgres SET TimeZone = 'America/New_York'");
my $session = run_session($node);
$session->run("SET extra_float_digits = 1; SET DateStyle = 'ISO, MDY'");

my $tables = 0;

# The rows (or the error) of a new foreign table with these columns over these messages.
sub shown
{
    my ($columns, @messages) = @_;
    my $name = 't' . ++$tables;
    my $topic = $kafka->create_topic($kafka->topic_unique($name));
    $kafka->produce($topic, map { encode_utf8($_) } @messages);
    my $said = $session->run("CREATE FOREIGN TABLE $name ($columns) SERVER kafka OPTIONS (topic '$topic', format 'debezium'); SELECT * FROM $name");
    return $said->{out} if $said->{err} eq '';
    my $failure = failure($said);
    return "$failure->{code} " . $failure->{message} =~ s/^topic ".*?", partition 0, offset //r;
}

# A value of the member v, with a schema of it (what stands in the schema beside the member's name) or without.
sub plain { return qq({"before":null,"after":{"v":$_[0]},"op":"c"}) }
sub with_schema
{
    my ($value, $schema) = @_;
    my $row = qq({"type":"struct","fields":[{"field":"other","type":"int32","name":"io.debezium.time.Date"},{$schema,"optional":true,"field":"v"}]);
    return qq({"schema":{"type":"struct","fields":[$row,"field":"before"},$row,"field":"after"},{"type":"string","field":"op"}]},)
      . qq("payload":{"before":null,"after":{"v":$value},"op":"c"}});
}
sub named { my ($value, $name) = @_; return with_schema($value, qq("type":"int64","name":"$name","version":1)) }

# ---- times without a schema

is(shown('v date', map { plain($_) } 0, -1, 19782, 2932896, -719528, 'null', '"2024-02-29"', -2440588, 2145042905, -622191234, -2147472691), join("\n",
    qw(1970-01-01 1969-12-31 2024-02-29 9999-12-31), '0001-01-01 BC', '', '2024-02-29', '4714-11-24 BC', '5874897-12-31', 'infinity', '-infinity'), 'date: days, infinity, and text');
is(shown("v date", plain(-2440589)), q{22008 0, column "v": date out of range}, "date: before its first");
is(shown('v date', plain(2145042906)), '22008 0, column "v": date out of range', '... and after its last');
is(shown('v time', map { plain($_) } 0, 86399999999, 86400000000, 1, '"12:00:01Z"'), join("\n", qw(00:00:00 23:59:59.999999 24:00:00 00:00:00.000001 12:00:01)), 'time: microseconds, and text');
is(shown('v time', plain(86400000001)), '22008 0, column "v": a time of day beyond 24 hours: is the column option unit right?', '... of one day');
is(shown('v time(3)', plain(43200123)), '12:00:00.123', 'time(3): milliseconds');
is(shown(q{v time(3) OPTIONS (unit 'us')}, plain(43200123456)), '12:00:00.123', '... unless an option says microseconds');
is(shown(q{v time OPTIONS (unit 'ns')}, plain(1999)), '00:00:00.000001', '... or nanoseconds');
my @instants = ('0', '-1', '1795323600123456', '-62135596800000000', '253402300799999999', '-210866803200000000', '9223372036854775807', '-9223372036854775808');
my @as_utc = ('1970-01-01 00:00:00', '1969-12-31 23:59:59.999999', '2026-11-22 05:00:00.123456', '0001-01-01 00:00:00', '9999-12-31 23:59:59.999999', '4714-11-24 00:00:00 BC', qw(infinity -infinity));
is(shown('v timestamp', map { plain($_) } @instants), join("\n", @as_utc), 'timestamp: microseconds of UTC, whatever the session is in');
is(shown('v timestamptz', map { plain($_) } 0, 1795323600123456), "1969-12-31 19:00:00-05\n2026-11-22 00:00:00.123456-05", 'timestamptz: an instant');
is(shown('v timestamptz', map { plain(qq("$_")) } '2026-11-22T05:00:00.123456Z', '+10000-01-01T00:00:00.000000Z', 'infinity'),
    "2026-11-22 00:00:00.123456-05\n9999-12-31 19:00:00-05\ninfinity", '... and text, also beyond the year 9999');
is(shown('v timestamp', plain('-210866803200000001')), '22008 0, column "v": timestamp out of range', 'timestamp: before its first');
is(shown(q{v timestamp OPTIONS (unit 'ms')}, plain('9223372036854775807')), '22008 0, column "v": time out of range', '... more milliseconds than there are microseconds');
is(shown(q{v timestamp OPTIONS (unit 'ms')}, map { plain($_) } '1795323600123', '-1', '9223372036825200000', '-9223372036832400000'),
    "2026-11-22 05:00:00.123\n1969-12-31 23:59:59.999\ninfinity\n-infinity", '... milliseconds');
is(shown(q{v timestamp OPTIONS (unit 'ns')}, map { plain($_) } '1795323600123456789', '-1', '-1000'), "2026-11-22 05:00:00.123456\n1969-12-31 23:59:59.999999\n1969-12-31 23:59:59.999999",
    '... nanoseconds, to the past');
is(shown('v timestamp(3), w timestamp(0) OPTIONS (path \'v\'), x timestamp OPTIONS (path \'v\', unit \'ms\')', plain('1795323600987')), '2026-11-22 05:00:00.987|2026-11-22 05:00:01|2026-11-22 05:00:00.987',
    'timestamp(0) to (3): milliseconds, rounded as PostgreSQL does');
is(shown('v interval', map { plain($_) } 0, -1, '360000000000', '-90061000001', '"P1Y2M3DT4H5M6.789S"', '9223372036854775807'), join("\n",
    '00:00:00', '-00:00:00.000001', '100:00:00', '-25:01:01.000001', '1 year 2 mons 3 days 04:05:06.789', '2562047788:00:54.775807'), 'interval: microseconds, and ISO 8601');
is(shown('v timestamp', plain('12.5')), '22007 0, column "v": invalid input syntax for type timestamp: "12.5"', 'no whole number: PostgreSQL\'s word');

# ---- what a schema says counts, and is looked at in every message

is(shown(q{v timestamp}, named('1795323600123', 'io.debezium.time.Timestamp'), named('1795323600123456', 'io.debezium.time.MicroTimestamp'), named('1795323600123456789', 'io.debezium.time.NanoTimestamp'),
        named('1795323600123', 'org.apache.kafka.connect.data.Timestamp'), plain('1795323600123456'), named('null', 'io.debezium.time.Timestamp')),
    join("\n", '2026-11-22 05:00:00.123', ('2026-11-22 05:00:00.123456') x 2, '2026-11-22 05:00:00.123', '2026-11-22 05:00:00.123456', ''), 'each message by its own schema, one without by the type');
is(shown(q{v time OPTIONS (unit 'ns')}, named(1000, 'io.debezium.time.Time'), named(1000, 'org.apache.kafka.connect.data.Time'), named(1000, 'io.debezium.time.MicroTime'), named(1000, 'io.debezium.time.NanoTime'), plain(1000)),
    "00:00:01\n00:00:01\n00:00:00.001\n00:00:00.000001\n00:00:00.000001", 'an option is for messages without');
is(shown(q{v interval}, named(1000000, 'io.debezium.time.MicroDuration'), named(1000000, 'io.debezium.time.NanoDuration')), "00:00:01\n00:00:00.001", 'durations');
is(shown(q{t timestamp OPTIONS (path 'v'), op text OPTIONS (meta 'op'), after jsonb OPTIONS (meta 'after')}, named('1', 'io.debezium.time.Timestamp')), '1970-01-01 00:00:00.001|c|{"v": 1}', 'by the member\'s name, not the column\'s');
my $decimal = sub { my ($value, $scale) = @_; return with_schema(qq("$value"), qq("type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"$scale","connect.decimal.precision":"10"})) };
is(shown(q{v numeric}, $decimal->('+KQy6w==', 2), $decimal->('+KQy6w==', 0), $decimal->('AQ==', 5), with_schema('"1234"', '"type":"string"'), plain('"1234"')), "-1234567.89\n-123456789\n0.00001\n1234\n1234", 'decimals by their scale; text is text');

# ---- decimals

# The number that is so many times 10 ** -scale, as Kafka Connect writes it: the least bytes of its two's complement.
sub decimal_bytes
{
    my ($number) = @_;
    my $bytes = 1;
    $bytes++ until $number >= -(Math::BigInt->new(2)**(8 * $bytes - 1)) && $number < Math::BigInt->new(2)**(8 * $bytes - 1);
    my $hex = ($number < 0 ? $number + Math::BigInt->new(2)**(8 * $bytes) : $number->copy)->as_hex =~ s/^0x//r;
    return encode_base64(pack('H*', ('0' x (2 * $bytes - length $hex)) . $hex), '');
}
srand 815;
my @numbers = map { Math::BigInt->new($_) } qw(0 1 -1 127 128 -128 -129 255 256 999999999 1000000000 -1000000000 4294967295 4294967296 -4294967296 9223372036854775807 9223372036854775808 -9223372036854775808
    -9223372036854775809 18446744073709551616);
push @numbers, map { Math::BigInt->new((rand() < .5 ? '-' : '') . (1 + int rand 9) . join '', map { int rand 10 } 1 .. rand 100) } 1 .. 300;
push @numbers, Math::BigInt->new(10)**2000 - 1, -(Math::BigInt->new(2)**4095);
my @messages = map { plain('"' . decimal_bytes($_) . '"') } @numbers;
is(shown(q{v numeric OPTIONS (scale '0')}, @messages), join("\n", map { $_->bstr } @numbers), 'whole numbers of every length');
is(shown(q{v numeric OPTIONS (scale '7')}, @messages), join("\n", map { my ($sign, $digits) = $_->bstr =~ /(-?)(.*)/; $digits = ('0' x (8 - length $digits)) . $digits; $sign . $digits =~ s/(.{7})$/.$1/r } @numbers),
    '... with seven digits behind the point');
is(shown('v numeric', map { plain($_) } '{"scale":3,"value":"BNI="}', '{ "value" : "BNI=" , "scale" : 0 }', '{"scale":-2,"value":"/w=="}', '12.50', '"12.50"', '"NAN"', 'null'), join("\n", '1.234', '1234', '-100', '12.50', '12.50', 'NaN', ''),
    'each with its own scale, numbers and text');
is(shown(q{v numeric(6,1) OPTIONS (scale '3')}, plain('"BNI="')), '1.2', 'rounded to the column\'s own scale');
is(shown(q{v money OPTIONS (scale '2')}, plain('"BNI="')), '$12.34', 'money');
$session->run('CREATE DOMAIN cents AS numeric CHECK (VALUE > 0)');
is(shown(q{v cents OPTIONS (scale '2')}, plain('"BNI="')), '12.34', 'a domain over numeric');
like(shown(q{v cents OPTIONS (scale '2')}, plain('"/w=="')), qr/^23514 /, '... whose check is made');
is(shown(q{v numeric OPTIONS (scale '2')}, plain('"12.34"')), '22P02 0, column "v": the decimal is not in base64: is decimal.handling.mode precise?', 'text where a scale is said');
like(shown(q{v numeric}, plain('"+KQy6w=="')), qr/^22P02 .*invalid input syntax for type numeric: "\+KQy6w=="/, 'bytes where none is');
like(shown(q{v numeric}, plain('{"scale":99999,"value":"AQ=="}')), qr/^22P02 /, 'a scale that is none');
is(shown(q{v numeric OPTIONS (scale '0')}, plain('"' . 'A' x 81924 . '"')), '22003 0, column "v": value overflows numeric format', 'more digits than numeric has');

# ---- bytes, JSON, arrays

is(shown('v bytea', map { plain($_) } '""', '"AP8Q"', 'null', '"Zg=="'), "\\x\n\\x00ff10\n\n\\x66", 'bytea: base64');
like(shown('v bytea', plain('"*"')), qr/^22P02 .*not in base64/, '... or an error');
is(shown('v jsonb, w json OPTIONS (path \'v\')', map { plain($_) } '"{\"a\": [1, \"\u00e9\"]}"', '"null"', '"\"text\""', '"17"', 'null', '{"a":1}'), join("\n", '{"a": [1, "é"]}|{"a": [1, "é"]}', 'null|null', '"text"|"text"', '17|17', '|', '{"a": 1}|{"a":1}'),
    'json and jsonb: a string has the text, also of null; an object is one');
is(shown('v text[], w int[] OPTIONS (path \'x\')', '{"after":{"v":["a",null,"b\"c"],"x":[1,null]},"op":"c"}'), '{a,NULL,"b\\"c"}|{1,NULL}', 'arrays of texts and integers');
is(shown('v text', plain('"__debezium_unavailable_value_"')), '__debezium_unavailable_value_', 'a text like the one for a value that was not sent');
like(shown('v text', plain('"__debezium_unavailable_value"')), qr/^22000 .*REPLICA IDENTITY/, '... and that one');

# ---- options at the wrong place

for my $wrong ([ q{v text OPTIONS (scale '2')}, 'numeric' ], [ q{v date OPTIONS (unit 'ms')}, 'time' ], [ q{v text OPTIONS (meta 'key', unit 'ms')}, 'members' ])
{
    my ($columns, $word) = @$wrong;
    my $problem = failure($session->run("CREATE FOREIGN TABLE wrong ($columns) SERVER kafka OPTIONS (topic 'x', format 'debezium'); SELECT * FROM wrong"));
    is($problem->{code}, '42P16', "refused: $columns");
    like($problem->{hint}, qr/$word/, '... with what it is for');
    $session->run('DROP FOREIGN TABLE wrong');
}
is(failure($session->run(q{CREATE FOREIGN TABLE wrong (v time OPTIONS (unit 's')) SERVER kafka OPTIONS (topic 'x', format 'debezium')}))->{code}, '22023', 'refused: a unit that is none');
done_testing();
