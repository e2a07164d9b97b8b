# needs: kafka
# IMPORT FOREIGN SCHEMA: topics become tables that can be read; ANALYZE: what it says of a topic is so.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegRun;
use KsegKafka;

my $kafka = kafka_broker();
my $node = new_cluster('import');
my $session = run_session($node);
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "')");
my $prefix = $kafka->topic_unique('i');

# A topic of this run with these messages; returns its name.
sub topic
{
    my ($name, $messages, %options) = @_;
    my $topic = $kafka->create_topic("$prefix.$name", %options);
    $kafka->produce($topic, @$messages) if @$messages;
    return $topic;
}

# Imports into a schema made anew; returns what psql said. which => 'LIMIT TO …', options => '…'
sub import_topics
{
    my ($pattern, %how) = @_;
    my ($which, $options) = map { $how{$_} // '' } qw(which options);
    $options = "OPTIONS ($options)" if $options;
    $session->run('DROP SCHEMA IF EXISTS i CASCADE; CREATE SCHEMA i');
    return $session->run(qq{IMPORT FOREIGN SCHEMA "$pattern" $which FROM SERVER kafka INTO i $options});
}

# The columns of an imported table: "name type {options}", one a line, without the columns of metadata if $short.
sub columns
{
    my ($table, $short) = @_;
    my $result = $session->run(qq{SELECT attname || ' ' || format_type(atttypid, NULL) || coalesce(' ' || array_to_string(attfdwoptions, ' '), '')
        FROM pg_attribute WHERE attrelid = format('i.%I', \$kseg\$$table\$kseg\$)::regclass AND attnum > 0 ORDER BY attnum});
    my @columns = split /\n/, $result->{out};
    @columns = grep { !/ meta=(?:key|partition|offset|timestamp|headers)$/ } @columns if $short;
    return \@columns;
}

sub options
{
    my ($table) = @_;
    return $session->run(qq{SELECT array_to_string(ftoptions, ' ') FROM pg_foreign_table WHERE ftrelid = format('i.%I', \$kseg\$$table\$kseg\$)::regclass})->{out};
}

sub tables { return $session->run(q{SELECT string_agg(relname, ' ' ORDER BY relname COLLATE "C") FROM pg_class WHERE relnamespace = 'i'::regnamespace AND relkind = 'f'})->{out} }

# ---- JSON: names, types

my $number = 0;
my @rows = map { { key => 'k' . ++$number, value => $_ } } (
    '{"id": 1, "big": 9223372036854775807, "price": 1.5, "ok": true, "at": "2026-01-01T00:00:00Z", "clock": "2026-01-01 00:00:00", "day": "2026-02-28", "u": "8f14e45f-ceea-467f-ab5e-5f2b0b6c5b1a",
      "name": "x", "tags": [1], "obj": {"a": 1}, "mixed": 1, "none": null, "huge": 1, "date_or_not": "2026-01-01"}',
    '{"id": -5, "big": -9223372036854775808, "price": 2, "ok": null, "at": "2026-01-01T00:00:00.123456+05:30", "clock": "2026-01-01T10:00", "day": "2024-02-29", "u": "8F14E45F-CEEA-467F-AB5E-5F2B0B6C5B1A",
      "name": "2026-01-01", "tags": [], "obj": null, "mixed": "x", "none": null, "huge": 9223372036854775808, "date_or_not": "2026-02-30", "late": "1"}');
my $json = topic('json', \@rows);
is(import_topics("$prefix.json")->{err}, '', 'an import of JSON says nothing');
is_deeply(columns($json), [ 'id bigint', 'big bigint', 'price numeric', 'ok boolean', 'at timestamp with time zone', 'clock timestamp without time zone', 'day date', 'u uuid', 'name text', 'tags jsonb',
    'obj jsonb', 'mixed jsonb', 'none text', 'huge numeric', 'date_or_not text', 'late text', '_key text meta=key', '_partition integer meta=partition', '_offset bigint meta=offset',
    '_timestamp timestamp with time zone meta=timestamp', '_headers jsonb meta=headers' ], 'each field has the type that fits all it was');
is(options($json), "topic=$json format=json", 'the table knows its topic');
is($session->run(qq{SELECT id, big, price, ok, at = '2026-01-01', day, mixed, huge, _key, _offset FROM i."$json" ORDER BY _offset})->{out},
    qq{1|9223372036854775807|1.5|t|t|2026-02-28|1|1|k1|0\n-5|-9223372036854775808|2||f|2024-02-29|"x"|9223372036854775808|k2|1}, 'and can be read');

# ---- hostile names

my @names = ('a"b', 'a.b', "it's", 'Case', 'case', 'xmin', '', 'dollar$1', "new\nline", 'select', '_key', "\xc3\xa4", 'x' x 100, 'x' x 101, 'a; DROP TABLE t', '[0]', '\\');
my %object = map { $names[$_] => $_ } 0 .. $#names;
my $hostile = topic('hostile', [ '{' . join(',', map { my $name = $names[$_]; $name =~ s/(["\\])/\\$1/g; $name =~ s/\n/\\n/g; qq{"$name":$_} } 0 .. $#names) . '}' ]);
is(import_topics("$prefix.hostile")->{err}, '', 'hostile names are imported');
my $row = $session->row(qq{SELECT * FROM i."$hostile"});
delete @$row{ grep { /^_(?:key_2|partition|offset|timestamp|headers)$/ } keys %$row };
is_deeply([ sort { $a <=> $b } values %$row ], [ 0 .. $#names ], 'and each column reads its own field');
is(join(' ', map { $row->{$_} // '?' } 'a"b', 'a.b', "it's", 'Case', 'case_2', 'xmin_2', 'column', 'x' x 63, 'x' x 61 . '_2'), '0 1 2 3 4 5 6 12 13', 'under its own name, or one that differs');

# ---- not objects, not JSON, nothing

my %plain = (words => [ 'one', 'two', '3' ], numbers => [ '1', '2' ], bytes => [ "\xff\x00", 'x' ], arrays => [ '[1]', '[2]' ], empty => [], tombs => [ { key => 'a', value => undef } ]);
topic($_, $plain{$_}) for sort keys %plain;
topic('bytekey', [ { key => "\xff", value => '{"a":1}' } ]);
my $said = import_topics("$prefix.%", which => qq{LIMIT TO ("$prefix.words", "$prefix.numbers", "$prefix.bytes", "$prefix.arrays", "$prefix.empty", "$prefix.tombs", "$prefix.bytekey")});
is_deeply({ map { my $name = $_; $name => columns("$prefix.$name", 1) } qw(words numbers bytes arrays empty tombs) },
    { words => ['value text'], numbers => ['value text'], bytes => ['value bytea'], arrays => ['value jsonb meta=value'], empty => ['value text'], tombs => ['value text'] }, 'values that are no objects');
is(columns("$prefix.bytekey")->[1], '_key bytea meta=key', 'a key that is no text');
is($session->run(qq{SELECT value FROM i."$prefix.arrays" ORDER BY _offset})->{out}, "[1]\n[2]", 'arrays can be read');
is($session->run(qq{SELECT value FROM i."$prefix.bytes" ORDER BY _offset})->{out}, "\\xff00\n\\x78", 'bytes too');
like($said->{err}, qr/NOTICE:.*topic "\Q$prefix\E\.empty" has no messages to infer columns from/, 'an empty topic is told of');
my $broken = topic('broken', [ '{"a":1}', '{"a":', '{"a":2}', "{\"a\":\"\xff\"}" ]);
$said = import_topics("$prefix.broken", options => q{on_error 'skip'});
like($said->{err}, qr/NOTICE:.*2 of 4 sampled messages of topic "\Q$broken\E" are not JSON/, 'broken JSON is counted');
is_deeply([ columns($broken, 1), options($broken) ], [ ['a bigint'], "topic=$broken format=json on_error=skip" ], 'and says nothing of types');
is($session->run(qq{SELECT a FROM i."$broken" ORDER BY _offset})->{out}, "1\n2", 'on_error is passed on');

# ---- Debezium, csv, wide

my $change = sub { my ($op, $before, $after) = @_; return qq{{"before":$before,"after":$after,"source":{"table":"t"},"op":"$op","ts_ms":1}} };
my $debezium = topic('debezium', [ $change->('c', 'null', '{"id":1,"name":"a"}'), $change->('u', '{"id":1,"name":"a"}', '{"id":1,"name":null}'), $change->('d', '{"id":1,"name":"b"}', 'null'), { key => '1', value => undef } ]);
import_topics("$prefix.debezium");
is_deeply([ columns($debezium, 1), options($debezium) ], [ [ 'id bigint', 'name text', '_op text meta=op' ], "topic=$debezium format=debezium" ], "Debezium's envelope is known");
is($session->run(qq{SELECT id, name, _op FROM i."$debezium" WHERE _op IS NOT NULL ORDER BY _offset})->{out}, "1|a|c\n1||u\n1|b|d", 'and read');
my $schemas = topic('schemas', [ '{"schema":{"type":"struct"},"payload":' . $change->('c', 'null', '{"id":1}') . '}' ]);
import_topics("$prefix.schemas");
is_deeply([ columns($schemas, 1), options($schemas) ], [ [ 'id bigint', '_op text meta=op' ], "topic=$schemas format=debezium" ], 'with its schemas too');
my $csv = topic('csv', [ '1;x;2026-01-01;007', '2;"y;z";2026-01-02;8' ]);
import_topics("$prefix.csv", options => q{format 'csv', delimiter ';'});
is_deeply(columns($csv, 1), [ 'column1 bigint', 'column2 text', 'column3 date', 'column4 text' ], 'CSV when it is said');
is($session->run(qq{SELECT column1, column2, column3, column4 FROM i."$csv" ORDER BY _offset})->{out}, "1|x|2026-01-01|007\n2|y;z|2026-01-02|8", 'and read');
my $wide = topic('wide', [ '{' . join(',', map { qq{"f$_":$_} } 1 .. 400) . '}' ]);
like(import_topics("$prefix.wide")->{err}, qr/NOTICE:.*more than 300 fields/, 'a value with 400 fields');
is(scalar @{ columns($wide, 1) }, 300, 'gives 300 columns');
my $sampled = topic('sampled', [ map { $_ < 90 ? qq{{"old":$_}} : qq{{"new":$_}} } 1 .. 100 ], partitions => 1);
import_topics("$prefix.sampled", options => q{sample '5'});
is_deeply(columns($sampled, 1), ['new bigint'], 'the sample is the newest messages');

# ---- which topics

import_topics("$prefix.%", which => qq{EXCEPT ("$prefix.hostile", "$prefix.wide")});
unlike(tables(), qr/hostile|wide/, 'EXCEPT');
like(tables(), qr/\Q$prefix\E\.json/, 'leaves the others');
import_topics("$prefix.%", which => qq{LIMIT TO ("$prefix.json")});
is(tables(), "$prefix.json", 'LIMIT TO');
my $report = failure(import_topics('no such topic%'));
is("$report->{code} $report->{message}", 'HV00Q server "kafka" has no topic like "no such topic%"', 'a pattern that nothing is like');
my $internal = $kafka->create_topic("__$prefix");
import_topics('%', which => qq{LIMIT TO ("$prefix.json", "$internal")});
is(tables(), "$prefix.json", "Kafka's own topics are left alone");
import_topics($internal);
is(tables(), $internal, 'unless they are asked for');
like(failure(import_topics("$prefix.json", options => q{sampel '5'}))->{message} . failure(import_topics("$prefix.json", options => q{sample '0'}))->{code}, qr/sampel.*22023/, 'options are checked');
$session->run('CREATE ROLE nobody; GRANT ALL ON SCHEMA i TO nobody; SET ROLE nobody');
is(failure($session->run(qq{IMPORT FOREIGN SCHEMA "$prefix.json" FROM SERVER kafka INTO i}))->{code}, '42501', 'without USAGE nothing is imported');
$session->run('RESET ROLE');
is_deeply([ couriers_of($session->pid) ], [], 'no courier is left');

# ---- ANALYZE

my $figures = topic('figures', [ map { qq{{"id":$_,"group":@{[ $_ % 4 ]},"half":@{[ $_ % 2 ? $_ : 'null' ]}}} } 1 .. 5000 ], partitions => 3);
import_topics("$prefix.figures");
$kafka->produce($figures, 'not JSON', '{"id":"x"}');
$session->run(qq{ALTER FOREIGN TABLE i."$figures" RENAME TO figures});
is($session->run('ANALYZE i.figures')->{err}, '', 'ANALYZE passes over messages that are none');
is($session->run(q{SELECT reltuples, relpages > 0 FROM pg_class WHERE oid = 'i.figures'::regclass})->{out}, '5000|t', 'and counts rows');
is($session->run(q{SELECT n_distinct FROM pg_stats WHERE tablename = 'figures' AND attname IN ('id', 'group') ORDER BY attname})->{out}, "4\n-1", 'statistics');
is($session->run(q{SELECT abs(null_frac - 0.5) < 0.05 FROM pg_stats WHERE tablename = 'figures' AND attname = 'half'})->{out}, 't', 'of the sample');
like($session->run('EXPLAIN SELECT * FROM i.figures')->{out}, qr/rows=5000 /, 'are what the planner goes by');

my $large = $kafka->create_topic("$prefix.large", partitions => 4);
$session->run(qq{CREATE FOREIGN TABLE large (id bigint, part int) SERVER kafka OPTIONS (topic '$large')});
is($session->run('INSERT INTO large SELECT g, g % 7 FROM generate_series(1, 400000) g')->{err}, '', '400,000 messages');
my $analyzed = $session->run('ANALYZE VERBOSE large');
my ($read, $of) = $analyzed->{err} =~ /read (\d+) of (\d+) offsets/;
cmp_ok($read, '>=', 300_000, 'a large topic is read in part');
cmp_ok($read, '<', 310_000, 'and only in part');
is($of, 400_000, 'of what there is');
is($session->run(q{SELECT reltuples FROM pg_class WHERE relname = 'large'})->{out}, '400000', 'its rows are told all the same');
is($session->run(q{SELECT n_distinct FROM pg_stats WHERE tablename = 'large' ORDER BY attname})->{out}, "-1\n7", 'and no message is in the sample twice');
$session->run(q{SET maintenance_work_mem = '1MB'});
my ($kept) = $session->run('ANALYZE VERBOSE large')->{err} =~ /(\d+) rows in sample/;
cmp_ok($kept // 0, '>', 1000, 'with little memory there still is a sample');
cmp_ok($kept, '<', 25000, 'that keeps to it');
$session->run(q{CREATE ROLE analyst; GRANT USAGE ON FOREIGN SERVER kafka TO analyst; ALTER FOREIGN TABLE large OWNER TO analyst});
like(failure($session->run('ANALYZE large'))->{message}, qr/mapping/, 'ANALYZE goes by the mapping of the owner');

$session->quit;
$node->stop;
done_testing();
