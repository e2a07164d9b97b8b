# needs: kafka
# What a SELECT shows of a message: every format, PostgreSQL's own reading of every type, and what becomes of what a column cannot
# take, under each on_error.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegRun;
use KsegKafka;

my $kafka = kafka_broker();
my $node = new_cluster('values');
my $connect = "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "', for_role => 'public')";
$node->safe_psql('postgres', $connect);
$node->safe_psql('postgres', "ALTER DATABASE postgres SET TimeZone = 'UTC'");
my $session = run_session($node);

# A foreign table over a new topic with these messages; returns the topic.
sub topic_table
{
    my ($table, $columns, $options, @messages) = @_;
    # Messages of long ago stay.
    my $topic = $kafka->create_topic($kafka->topic_unique($table), config => { 'retention.ms' => -1 });
    $kafka->produce($topic, @messages) if @messages;
    $options = join ', ', "topic '$topic'", $options || ();
    $node->safe_psql('postgres', "CREATE FOREIGN TABLE $table ($columns) SERVER kafka OPTIONS ($options)");
    return $topic;
}

sub rows
{
    my ($sql) = @_;
    my $result = $session->run($sql);
    return $result->{err} ne '' ? $result->{err} : $result->{out};
}

sub refused { return failure($session->run($_[0])) // { code => 'none', message => '', detail => '', hint => '', context => '' } }

# ---- json: paths, nulls, nesting

$node->safe_psql('postgres', q{
    CREATE TYPE colour AS ENUM ('red', 'green');
    CREATE TYPE place AS (street text, zip int);
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE DOMAIN places AS place[] CHECK (array_length(VALUE, 1) < 3);
    CREATE DOMAIN flag AS jsonb});
my $all = topic_table('basic', q{id bigint, "Name" text, street text OPTIONS (path 'address.street'), first int OPTIONS (path 'items[0].n, "it.ems"[1]'),
    price numeric(8,2), code varchar(3), fixed char(4), ok boolean, tags text[], grid int[], home place, homes places, doc jsonb, raw json,
    tint colour, age positive, whole flag OPTIONS (path 'doc'), value text OPTIONS (meta 'value')}, '',
    '{"id":1,"Name":"A\u00e9\n\"","address":{"street":"S 1"},"items":[{"n":7}],"it.ems":[1,2],"price":12.345,"code":"abc ","fixed":"x","ok":true,'
    . '"tags":["a",null,"c,d"],"grid":[[1,2],[3,4]],"home":{"zip":1010,"street":"Ring"},"homes":[{"zip":1},null],"doc":{"b":[1,2.50],"a":null},'
    . '"raw":{"b": 1,"b": 2},"tint":"red","age":5}',
    '{"id":2,"Name":null,"address":{},"items":[],"it.ems":[1,22],"tags":null,"home":null,"doc":null,"raw":null,"tint":null}',
    '{}',
    '{"id":4,"Name":{"x":1},"price":"3.1","code":12,"ok":"yes","tags":"{p,q}","home":"(\"a b\",3)","doc":"text","raw":"t","age":"6","tint":"green"}');
is(rows('SELECT id, "Name", street, first, price, code, fixed, ok FROM basic ORDER BY 1'),
    qq{1|Aé\n"|S 1|7|12.35|abc|x   |t\n2|||22||||\n4|{"x":1}|||3.10|12||t\n|||||||}, 'scalars by their paths');
is(rows('SELECT id, tags, grid, home, homes FROM basic ORDER BY 1'),
    qq{1|{a,NULL,"c,d"}|{{1,2},{3,4}}|(Ring,1010)|{"(,1)",NULL}\n2||||\n4|{p,q}||("a b",3)|\n||||}, 'arrays, composites, and domains over them');
is(rows('SELECT id, doc, raw, tint, age, whole FROM basic ORDER BY 1'),
    qq{1|{"a": null, "b": [1, 2.50]}|{"b": 1,"b": 2}|red|5|{"a": null, "b": [1, 2.50]}\n2|||||\n4|"text"|"t"|green|6|"text"\n|||||},
    'json, enums, domains; a JSON null is NULL');
is(rows('SELECT value FROM basic WHERE id IS NULL'), '{}', 'the whole value is there as it is');
is(rows('SELECT b FROM basic b WHERE id = 2'), '(2,,,22,,,,,,,,,,,,,,"{""id"":2,""Name"":null,""address"":{},""items"":[],""it.ems"":[1,22],""tags"":null,""home"":null,""doc"":null,""raw"":null,""tint"":null}")',
    'a whole row');
is(rows('SELECT count(*), count(id), count(1) FROM basic'), '4|3|4', 'without a column, with one');

# ---- what a message has besides its value

my $head = topic_table('head', q{key text OPTIONS (meta 'key'), raw_key bytea OPTIONS (meta 'key'), value bytea OPTIONS (meta 'value'), topic text OPTIONS (meta 'topic'),
    part int OPTIONS (meta 'partition'), off bigint OPTIONS (meta 'offset'), at timestamptz OPTIONS (meta 'timestamp'), utc timestamp OPTIONS (meta 'timestamp'),
    second timestamptz(0) OPTIONS (meta 'timestamp'), headers jsonb OPTIONS (meta 'headers'), n int}, '',
    { key => 'k', value => '{"n":1}', timestamp => 1772600767089, headers => [ [ 'h', 'v' ], [ 'h', undef ], [ 'b', "\xff\x00" ], [ '', '' ] ] },
    { key => '', value => undef, timestamp => 1 });
is(rows('SELECT key, raw_key, value, topic, part, off, at, utc, second, headers, n FROM head'),
    qq{k|\\x6b|\\x7b226e223a317d|$head|0|0|2026-03-04 05:06:07.089+00|2026-03-04 05:06:07.089|2026-03-04 05:06:07+00|[["h", "v"], ["h", null], ["b", {"base64": "/wA="}], ["", ""]]|1\n}
    . qq{|\\x||$head|0|1|1970-01-01 00:00:00.001+00|1970-01-01 00:00:00.001|1970-01-01 00:00:00+00|[]|}, 'key, value, place, time and headers; a tombstone is a row of NULLs');
is(rows("SET TimeZone = 'America/New_York'; SELECT at, utc FROM head WHERE off = 0; RESET TimeZone"),
    '2026-03-04 00:06:07.089-05|2026-03-04 05:06:07.089', 'a timestamp without zone is UTC, whatever the session is in');

# ---- formats

topic_table('plain', q{line text, k int OPTIONS (meta 'key')}, q{format 'text'}, { key => '5', value => 'one, {"two"' }, { value => '' }, { value => undef },
    'zwölf €');
is(rows('SELECT line IS NULL, line, k FROM plain'), qq~f|one, {"two"|5\nf||\nt||\nf|zwölf €|~, 'text');
topic_table('number', 'n numeric', q{format 'text'}, '1.50', '-3e2');
is(rows('SELECT n, n + 1 FROM number'), "1.50|2.50\n-300|-299", 'text of another type');
topic_table('bytes', 'b bytea', q{format 'bytea'}, "\x00\xff\xc3", '\x41', { value => undef }, '');
is(rows('SELECT b IS NULL, b FROM bytes'), "f|\\x00ffc3\nf|\\x5c783431\nt|\nf|\\x", 'bytea: the bytes as they are');
topic_table('sheet', q{id int, name text, k text OPTIONS (meta 'key'), third numeric(5,1) OPTIONS (path '3'), again text OPTIONS (path '2')}, q{format 'csv', delimiter ';', null 'NULL'},
    { key => 'K', value => '1;"a ""b"";c";2.55' }, '2;NULL;NULL', '3;"NULL";NULL;more', { value => undef });
is(rows('SELECT * FROM sheet'), qq{1|a "b";c|K|2.6|a "b";c\n2||||\n3|NULL|||NULL\n||||}, 'csv: fields by number, quotes, NULL, and a tombstone');
topic_table('short', 'a int, b int', q{format 'csv'}, '1');
like(refused('SELECT * FROM short')->{message}, qr/offset 0: malformed CSV at byte 2: missing field 2$/, 'csv: a field that is missing is an error, as it is for COPY');
topic_table('debezium', q{id int, name text, city text OPTIONS (path 'address.city'), op text OPTIONS (meta 'op'), before jsonb OPTIONS (meta 'before'),
    after json OPTIONS (meta 'after'), source jsonb OPTIONS (meta 'source'), k int OPTIONS (path 'id')}, q{format 'debezium'},
    '{"before":null,"after":{"id":1,"name":"a","address":{"city":"Wien"}},"source":{"lsn":5},"op":"c","ts_ms":1}',
    '{"schema":{"type":"struct"},"payload":{"before":{"id":1,"name":"a"},"after":{"id":1,"name":null},"source":{"lsn":6},"op":"u"}}',
    '{"before":{"id":1,"name":"b"},"after":null,"source":{"lsn":7},"op":"d"}',
    { value => undef });
is(rows('SELECT * FROM debezium'),
    qq{1|a|Wien|c||{"id":1,"name":"a","address":{"city":"Wien"}}|{"lsn": 5}|1\n1|||u|{"id": 1, "name": "a"}|{"id":1,"name":null}|{"lsn": 6}|1\n1|b||d|{"id": 1, "name": "b"}||{"lsn": 7}|1\n|||||||},
    'debezium: the row after, of a deletion before; updated to NULL is NULL; with and without schema');

# ---- what a column cannot take

my @bad = (
    '{"id":1,"n":5,"name":"good"}',                       # 0
    '{"id":2,"n":"x","name":"wrong type"}',               # 1
    '{"id":3,"n":99999999999,"name":"too large"}',        # 2
    '{"id":4,"n":1',                                      # 3 malformed
    '{"id":5,"n":2,"name":"a name that is too long"}',    # 4 of varchar(20)
    '{"id":6,"when":"2026-02-30","list":[1,"x"]}',        # 5
    '{"id":7,"n":-1,"id":"seven"}',                       # 6 twice: the last one counts
    '',                                                   # 7 malformed
    { value => undef },                                   # 8
    '{"id":8,"age":0,"home":{"zip":"z"}}',                # 9
    { key => "\xff", value => '{"id":10,"n":7,"name":"key is no text"}' }, # 10
    "{\"id\":11,\"name\":\"\xff\"}",                      # 11 no UTF-8
    '{"id":12,"n":3,"name":"last"}');                     # 12
my $columns = q{id int, n int, name varchar(20), "when" date, list int[], age positive, home place, k text OPTIONS (meta 'key'), off bigint OPTIONS (meta 'offset')};
my $topic = topic_table('strict', $columns, '', @bad);
my $problem = refused('SELECT n FROM strict');
is($problem->{code}, '22P02', 'error: the code of what was wrong');
is($problem->{message}, qq{topic "$topic", partition 0, offset 1, column "n": invalid input syntax for type integer: "x"}, '… where, which column and why');
is($problem->{detail}, 'The field is "x".', '… the field');
like($problem->{hint}, qr/on_error of foreign table "strict" to 'null' or 'skip'/, '… and what to do');
$problem = refused('SELECT name FROM strict WHERE off >= 3');
like("$problem->{code} $problem->{message}", qr/^22P02 topic "$topic", partition 0, offset 3: malformed JSON/, 'a value that is none: no column');
$problem = refused('SELECT n FROM strict WHERE off = 2');
is($problem->{code}, '22003', 'out of range');
like(refused('SELECT k FROM strict')->{message}, qr/offset 10, column "k": the bytes are no text in UTF-8$/, 'bytes that are no text');
is(rows('SELECT count(*) FROM strict'), '13', 'what is not asked for is not looked at');
is(rows('SELECT n, name FROM strict WHERE off = 0'), '5|good', 'nor what is not read');
my $long = topic_table('long', 'n int', '', '{"n":"' . 'x' x 3000 . '"}');
$problem = refused('SELECT n FROM long');
cmp_ok(length "$problem->{message}$problem->{detail}", '<', 1000, 'a long value is shown in part');
like($problem->{detail}, qr/^The field is "x{100}\.\.\."\.$/, '… and that it is a part');

$node->safe_psql('postgres', "CREATE FOREIGN TABLE lenient ($columns, problem text OPTIONS (meta 'error')) SERVER kafka OPTIONS (topic '$topic', on_error 'null')");
is(rows('SELECT off, id, n, name, "when", list, age, home, k IS NULL FROM lenient'), join("\n",
    '0|1|5|good|||||t', '1|2||wrong type|||||t', '2|3||too large|||||t', '3||||||||t', '4|5|2||||||t', '5|6|||||||t', '6||-1||||||t', '7||||||||t', '8||||||||t',
    '9|8|||||||t', '10|10|7|key is no text|||||t', '11||||||||t', '12|12|3|last|||||t'), 'null: what is wrong is NULL, column by column');
my @problems = split /\n/, rows('SELECT off, problem FROM lenient WHERE problem IS NOT NULL');
is(scalar @problems, 10, 'a column shows what was wrong where something was');
is($problems[0], '1|column "n": invalid input syntax for type integer: "x"', '… in PostgreSQL\'s words');
like($problems[2], qr/^3\|malformed JSON/, '… or the reader\'s');
like($problems[4], qr/^5\|column "when": date\/time field value out of range: "2026-02-30"; column "list": invalid input syntax for type integer: "x"$/, '… of all columns, though none of them was asked for');
like($problems[8], qr/^10\|column "k": the bytes/, '… of the key too');
is(rows('SELECT count(*) FROM lenient'), '13', 'null: all rows');

$node->safe_psql('postgres', "CREATE FOREIGN TABLE without ($columns) SERVER kafka OPTIONS (topic '$topic', on_error 'skip')");
is(rows('SELECT off FROM without'), "0\n8\n12", 'skip: rows that are wrong anywhere are not there');
is(rows('SELECT count(*) FROM without'), '3', '… whatever is asked for');
like(rows('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT count(*) FROM without'), qr/Kafka Messages Read: 13\n\s*Kafka Rows Skipped: 10\n/, '… and EXPLAIN ANALYZE counts them');
is($session->run('SELECT 1')->{out}, '1', 'the session is as it was');

# Types that raise what they have to say need a subtransaction, which a parallel query has only from 17 on.
$node->safe_psql('postgres', 'CREATE TABLE big AS SELECT g AS id FROM generate_series(1, 20000) g; ANALYZE big');
my $parallel = q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET enable_hashjoin = off; SET enable_mergejoin = off;};
my $join = q{SELECT count(l.home) FROM lenient l JOIN (SELECT count(*) AS id FROM big) b ON b.id > l.off};
like(rows("$parallel EXPLAIN (COSTS OFF) $join"), qr/Gather/, 'a query that is parallel elsewhere');
my $said = $session->run($join);
if ($node->pg_version >= 17) { is($said->{out}, '0', '… reads such columns') }
else { like(failure($said)->{hint}, qr/max_parallel_workers_per_gather = 0/, '… cannot read such columns, and says what to do') }
$node->safe_psql('postgres', "CREATE FOREIGN TABLE plainly (n int, name text, off bigint OPTIONS (meta 'offset')) SERVER kafka OPTIONS (topic '$topic', on_error 'skip')");
is(rows('SELECT n, name, b.id FROM plainly l JOIN (SELECT count(*) AS id FROM big) b ON b.id > l.off WHERE off = 12'), '3|last|20000', 'what is plainly spelled is read');
rows('RESET ALL');

# ---- every type means what PostgreSQL says: plain spellings, odd ones, and random ones

my @spellings = split ' ', <<'END';
    0 -0 1 -1 +1 007 12 1.5 -1.50 .5 5. 1e3 1E-3 1e+22 1e23 1e400 -1e-400 NaN Infinity -inf 0x10 1_000 32767 32768 -32768 -32769 2147483647 2147483648 -2147483648
    9223372036854775807 9223372036854775808 -9223372036854775808 999999999999999999 9999999999999999999 123456789012345 1234567890123456 0.1 0.30000000000000004 16777217 3.4e38 3.5e38
    2.2250738585072014e-308 5e-324 1e-45 9007199254740993 0.000001 1e-7 t f true false TRUE yes no on off tru y n 2026-01-02 2026-1-2 0999-01-01 1000-01-01 9999-12-31 10000-01-01 2024-02-29 2023-02-29
    2026-13-01 2026-00-10 2026-04-31 20260102 2026-01-02T03:04:05Z 2026-01-02T03:04:05.1Z 2026-01-02T03:04:05.123456Z 2026-01-02T03:04:05.1234567Z 2026-01-02T03:04:05.Z 2026-01-02T03:04:05+00:00
    2026-01-02T03:04:05+00 2026-01-02T03:04:05+02:00 2026-01-02T03:04:05 2026-01-02T24:00:00Z 2026-01-02T24:00:01Z 2026-01-02T23:59:60Z 2026-01-02T23:60:00Z 2026-01-02t03:04:05z 2026-01-02T3:04:05Z
    infinity -infinity epoch now-ish a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11 {a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11} a0eebc999c0b4ef8bb6d6bb9bd380a11
    a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g a0eebc99-9c0b4-ef8-bb6d-6bb9bd380a11 [1,2) {1,2} abc abcd 12:30 1day 10.0.0.1 \x00ff
END
push @spellings, '', ' 1 ', '1 2', '2026-01-02 03:04:05', '2026-01-02 03:04:05.5Z', '2026-01-02 03:04:05+00', '2026-01-02 BC', '2026-01-02T03:04:05 Z', "a\nb", "\t5", 'null', '"', '\\';
srand 4711;
for (1 .. 1500)
{
    my $digits = join '', map { int rand 10 } 1 .. 1 + rand 19;
    push @spellings, (rand() < .3 ? '-' : '') . $digits . (rand() < .6 ? '.' . join('', map { int rand 10 } 1 .. 1 + rand 10) : '') . (rand() < .3 ? 'e' . int(rand 60) - 30 : '');
    push @spellings, sprintf '%04d-%02d-%02d%s%02d:%02d:%02d%s%s', 990 + rand 1100, 1 + rand 12.5, 1 + rand 31, (qw(T T T), ' ')[ rand 4 ], rand 24.5, rand 60.5, rand 60.5,
      rand() < .5 ? '.' . join('', map { int rand 10 } 1 .. 1 + rand 7) : '', (qw(Z Z +00:00 +00), '', '+01')[ rand 6 ];
}
my %types = (i2 => 'smallint', i4 => 'integer', i8 => 'bigint', f4 => 'real', f8 => 'double precision', b => 'boolean', t => 'text', v => 'varchar(3)', d => 'date', ts => 'timestamp', tz => 'timestamptz',
    tz0 => 'timestamptz(1)', u => 'uuid', nu => 'numeric', n2 => 'numeric(6,2)', by => 'bytea', iv => 'interval', ip => 'inet', r => 'int4range', o => 'oid', c => 'char(3)');
my $json = JSON::PP->new->utf8;
my $typed = topic_table('typed', join(', ', q{text text OPTIONS (path 'v')}, map { "$_ $types{$_} OPTIONS (path 'v')" } sort keys %types), q{on_error 'null'},
    map { $json->encode({ v => $_ }) } @spellings);
# What the type itself says of the text; undef where it refuses.
$node->safe_psql('postgres', q{
    CREATE FUNCTION reading(text, type text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE result text;
    BEGIN
        EXECUTE format('SELECT (%L::%s)::text', $1, type) INTO result;
        RETURN result;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN RETURN NULL;
    END $$;
    CREATE TABLE texts AS SELECT DISTINCT text FROM typed});
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM texts'), '>', 2500, 'thousands of spellings');
for my $column (sort keys %types)
{
    # A cast of a text to a length cuts, an assignment does not: both are refused or cut only blanks here.
    my $type = $types{$column};
    my $reading = $type =~ /char/ ? "CASE WHEN length(rtrim(text, ' ')) <= 3 THEN reading(text, '$type') END" : "reading(text, '$type')";
    my $different = $node->safe_psql('postgres', qq{WITH read AS MATERIALIZED (SELECT DISTINCT text, $column\::text AS got FROM typed), said AS MATERIALIZED (SELECT text, $reading AS want FROM texts)
        SELECT string_agg(format('%s: %s instead of %s', text, got, want), '; ') FROM read JOIN said USING (text) WHERE got IS DISTINCT FROM want});
    is($different, '', "$type is read as PostgreSQL reads it");
}

# ---- a database of another encoding

$node->safe_psql('postgres', "CREATE DATABASE latin ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
$node->safe_psql('latin', 'CREATE EXTENSION kseg');
$node->safe_psql('latin', $connect);
my $letters = $kafka->create_topic($kafka->topic_unique('letters'));
$kafka->produce($letters, map { { key => $_, value => qq({"t":"$_","ü":"$_"}) } } 'aé', '€', 'b');
$node->safe_psql('latin', "SET client_encoding = 'UTF8'; CREATE FOREIGN TABLE letters (t text, \"ü\" text, k text OPTIONS (meta 'key'), off bigint OPTIONS (meta 'offset'), e text OPTIONS (meta 'error')) SERVER kafka OPTIONS (topic '$letters', on_error 'null')");
is($node->safe_psql('latin', q{SET client_encoding = 'UTF8'; SELECT off, length(t), t = 'a' || chr(233), "ü" = t, k = t, e IS NULL FROM letters}), "0|2|t|t|t|t\n1|||||f\n2|1|f|t|t|t", 'text arrives in the database\'s encoding');
like($node->safe_psql('latin', 'SELECT e FROM letters WHERE off = 1'), qr/column "t": it has a character that the database's encoding LATIN1 has not; /, '… what it has not is that row\'s problem');
$node->safe_psql('postgres', "CREATE DATABASE ascii ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
$node->safe_psql('ascii', 'CREATE EXTENSION kseg');
$node->safe_psql('ascii', $connect);
$node->safe_psql('ascii', "CREATE FOREIGN TABLE letters (t text, k text OPTIONS (meta 'key')) SERVER kafka OPTIONS (topic '$letters')");
is($node->safe_psql('ascii', 'SELECT octet_length(t), k = t FROM letters'), "3|t\n3|t\n1|t", 'SQL_ASCII takes the bytes');

# ---- as many columns as a table can have

my $wide = $kafka->create_topic($kafka->topic_unique('wide'));
$kafka->produce($wide, map { my $row = $_; '{' . join(',', map { qq("c$_":) . $row * $_ } 1 .. 1600) . '}' } 1 .. 3);
$node->safe_psql('postgres', 'CREATE FOREIGN TABLE wide (' . join(', ', map { "c$_ int" } 1 .. 1600) . ") SERVER kafka OPTIONS (topic '$wide')");
is(rows('SELECT c1, c2, c1600 FROM wide'), "1|2|1600\n2|4|3200\n3|6|4800", 'three of 1600 columns');
is(rows('SET jit = off; SELECT ' . join(' + ', map { "sum(c$_)" } 1 .. 1600) . ' FROM wide'), 6 * 1600 * 1601 / 2, 'all of them');

done_testing();
