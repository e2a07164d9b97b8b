# needs: kafka connect
# The real messages of Debezium's connector for PostgreSQL, applied by streams, give the source table's rows: inserts, updates, deletes with
# their tombstones, changed keys, the snapshot; with schemas and without, decimals as bytes and as text, times in every unit.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use KsegKafka;
use KsegConnect;

my $kafka = kafka_broker();
my $node = new_cluster('source', config => debezium_conf() . "shared_preload_libraries = 'kseg'\nmax_worker_processes = 20\n");
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "')");
my $session = run_session($node);

sub done
{
    my ($sql) = @_;
    my $said = $session->run($sql);
    die "$sql: $said->{err}" if $said->{err} =~ /^(?:ERROR|FATAL)/m;
    return $said->{out};
}

# ---- a table of everything, and what is done to it

# Columns as they are in the source, in the foreign table and in the target.
my @kinds = (
    'id bigint', 'small int2', 'middle int4', 'large int8', 'price numeric(10,2)', 'huge numeric(38,0)', 'any_number numeric', 'single real', 'double double precision',
    'name text', 'code varchar(10)', 'fixed char(5)', 'raw bytea', 'ok boolean', 'day date', 'clock time', 'clock_ms time(3)', 'stamp timestamp', 'stamp_ms timestamp(3)',
    'zone timestamptz', 'span interval', 'age interval', 'uid uuid', 'js json', 'jb jsonb', 'numbers int[]', 'texts text[]', 'feeling mood', 'ip inet', 'cash money');
my $names = join ', ', map { (split ' ')[0] } @kinds;

done(q{CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy')});
done('CREATE TABLE kinds (' . join(', ', @kinds) . ', PRIMARY KEY (id))');
# Values of every type from a number: edges first, then anything. Each is NULL now and then.
done(<<'END');
CREATE FUNCTION pick(edges text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT edges[1 + floor(random() * array_length(edges, 1))::int] $$;
CREATE FUNCTION digits(n int) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT CASE WHEN random() < 0.5 THEN '-' ELSE '' END || string_agg(floor(random() * 10)::text, '') FROM generate_series(1, n) $$;
CREATE FUNCTION kind(key bigint) RETURNS kinds LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    k kinds;
BEGIN
    k.id := key;
    k.small := pick('{-32768,32767,0}');
    k.middle := pick('{-2147483648,2147483647,0,NULL}');
    k.large := CASE WHEN random() < 0.5 THEN pick('{9007199254740993,-9007199254740993,9223372036854775807,-9223372036854775808,NULL}') ELSE digits(18) END;
    k.price := CASE WHEN random() < 0.5 THEN pick('{0,0.01,-0.01,99999999.99,-99999999.99,1.28,-1.28,NULL}') ELSE digits(1 + (random() * 7)::int) || '.' || abs(digits(2)::int) END;
    k.huge := CASE WHEN random() < 0.5 THEN pick('{-99999999999999999999999999999999999999,127,128,-128,-129,0,18446744073709551616,-18446744073709551616,4294967296,NULL}') ELSE digits(1 + (random() * 37)::int) END;
    k.any_number := CASE WHEN random() < 0.3 THEN pick('{0,-0.5,0.0000000000000000000000001,1e100,-1e-100,NULL}') ELSE digits(1 + (random() * 60)::int) || '.' || abs(digits(9)::bigint) END;
    k.single := pick('{1.1,-3.4028235e38,1e-45,NaN,Infinity,0,NULL}');
    k.double := CASE WHEN random() < 0.5 THEN pick('{0.1,-1.7976931348623157e308,5e-324,NaN,-Infinity,NULL}') ELSE (random() * 1e10)::text END;
    k.name := pick(ARRAY['', 'plain', 'Zoë "quoted" \ back', E'two\nlines\tand a tab', 'null', '€ 🜚', '__debezium', NULL]);
    k.code := pick('{abc,"",NULL}');
    k.fixed := pick('{x,12345,NULL}');
    k.raw := CASE WHEN random() < 0.5 THEN decode(md5(random()::text), 'hex') ELSE pick(ARRAY['\x', '\x00', '\xff00', NULL])::bytea END;
    k.ok := pick('{true,false,NULL}');
    k.day := CASE WHEN random() < 0.3 THEN pick('{1969-12-31,1970-01-01,2024-02-29,9999-12-31,10000-01-01,0001-01-01,NULL}') ELSE (date '1900-01-01' + (random() * 70000)::int)::text END;
    k.clock := pick('{00:00,23:59:59.999999,12:34:56.000001,NULL}');
    k.clock_ms := pick('{00:00,23:59:59.999,12:34:56.001,NULL}');
    k.stamp := CASE WHEN random() < 0.3 THEN pick('{1969-12-31 23:59:59.999999,infinity,-infinity,9999-12-31 23:59:59.999999,1600-01-01 00:00:00.000001,NULL}') ELSE (timestamp '1900-01-01' + random() * interval '200 years')::text END;
    k.stamp_ms := pick('{1969-12-31 23:59:59.999,2026-11-22 01:02:03.004,NULL}');
    k.zone := CASE WHEN random() < 0.3 THEN pick('{1969-12-31 23:59:59.999999Z,infinity,-infinity,NULL}') ELSE (timestamptz '1900-01-01 00:00Z' + random() * interval '200 years')::text END;
    k.span := pick('{1 day 02:03:04.000005,-00:00:00.000001,0,99 hours,NULL}');
    k.age := pick('{1 year 2 mons 3 days 04:05:06.7,-1 mons,NULL}');
    k.uid := CASE WHEN random() < 0.8 THEN md5(random()::text) END;
    k.js := pick(ARRAY['{"a":  1}', 'null', '"text"', '17', '[1, {"b": "\u00e9 \"q\""}]', NULL]);
    k.jb := pick(ARRAY['{"a": 9007199254740993, "n": 1.50}', 'null', '"text"', 'true', '[]', NULL]);
    k.numbers := pick(ARRAY['{}', '{1,NULL,-2147483648}', NULL]);
    k.texts := pick(ARRAY['{}', '{a,NULL,"c,\"d","null",é}', NULL]);
    k.feeling := pick('{sad,so so,happy,NULL}');
    k.ip := pick('{10.0.0.1/24,192.168.0.1,::1,NULL}');
    k.cash := pick('{12.34,-0.01,92233720368547758.07,0,NULL}');
    RETURN k;
END $$;
-- Changes of every sort, in transactions of one to a few, keys of 1 to 60, which come again and again.
CREATE PROCEDURE churn(changes int) LANGUAGE plpgsql AS $$
DECLARE
    key bigint;
    other bigint;
    dice float;
BEGIN
    FOR i IN 1 .. changes LOOP
        key := 1 + floor(random() * 60);
        dice := random();
        IF dice < 0.15 THEN
            DELETE FROM kinds WHERE id = key;
        ELSIF dice < 0.25 THEN
            other := 1 + floor(random() * 60);
            UPDATE kinds SET id = other WHERE id = key AND NOT EXISTS (SELECT FROM kinds WHERE id = other);
        ELSIF dice < 0.6 THEN
            DELETE FROM kinds WHERE id = key;
            INSERT INTO kinds SELECT * FROM kind(key);
        ELSE
            INSERT INTO kinds SELECT * FROM kind(key) ON CONFLICT (id) DO UPDATE SET price = EXCLUDED.price, stamp = EXCLUDED.stamp, name = EXCLUDED.name;
        END IF;
        IF random() < 0.7 THEN COMMIT; END IF;
    END LOOP;
END $$;
END

# Stored apart from its row, with a replica identity that has not the old row.
done('CREATE TABLE apart (id int PRIMARY KEY, n int, big text, raw bytea, doc jsonb, texts text[], numbers int[])');
done("ALTER TABLE apart ALTER $_ SET STORAGE EXTERNAL") for qw(big raw doc texts numbers);
my $apart = q{repeat('x', 10000), convert_to(repeat('y', 10000), 'UTF8'), to_jsonb(repeat('z', 10000)), ARRAY[repeat('a', 10000)], (SELECT array_agg(g) FROM generate_series(1, 3000) g)};

# ---- three connectors over it, each with a snapshot of what is there

done('SELECT setseed(0.4711)');
done('INSERT INTO kinds SELECT k.* FROM generate_series(1, 30) g, kind(g) k');
my $connect = kafka_connect($kafka);
my %plain = ('value.converter' => 'org.apache.kafka.connect.json.JsonConverter', 'value.converter.schemas.enable' => 'false');
my %prefix = (
    schema => $connect->source($node, 'schema', 'public.kinds,public.apart', 'time.precision.mode' => 'adaptive_time_microseconds',
        'decimal.handling.mode' => 'precise', 'interval.handling.mode' => 'string'),
    text => $connect->source($node, 'text', 'public.kinds', %plain, 'time.precision.mode' => 'connect', 'decimal.handling.mode' => 'string',
        'interval.handling.mode' => 'string'),
    bytes => $connect->source($node, 'bytes', 'public.kinds', %plain, 'time.precision.mode' => 'adaptive', 'decimal.handling.mode' => 'precise'));
my @ways = sort keys %prefix;

# Without schemas the foreign table says what the messages do not: the unit of times, the scale of decimals.
my %options = (
    schema => {},
    text   => { clock => q{unit 'ms'}, stamp => q{unit 'ms'} },
    bytes  => { price => q{scale '2'}, huge => q{scale '0'}, cash => q{scale '2'} });
# What a mode of Debezium's loses: milliseconds have no microseconds, and an interval in microseconds has no months.
my %lost = (
    text  => { clock => q{date_trunc('milliseconds', clock)}, stamp => q{date_trunc('milliseconds', stamp)} },
    bytes => { age => 'NULL' });

for my $way (@ways)
{
    my $columns = join ', ', map { my ($name) = split ' '; $options{$way}{$name} ? "$_ OPTIONS ($options{$way}{$name})" : $_ } @kinds;
    done(qq{CREATE FOREIGN TABLE ${way}_topic ($columns, op text OPTIONS (meta 'op'), part int OPTIONS (meta 'partition'), off bigint OPTIONS (meta 'offset'))
        SERVER kafka OPTIONS (topic '$prefix{$way}.public.kinds', format 'debezium')});
    done("CREATE TABLE ${way}_rows (LIKE kinds INCLUDING ALL)");
    # A tombstone has no op: the deletion before it has said all.
    done(qq{SELECT kseg.stream_to_table('$way', 'SELECT $names, op FROM ${way}_topic WHERE op IS NOT NULL', '${way}_rows', key => '{id}',
        on_conflict => 'update', delete_when => \$\$op = 'd'\$\$)});
}

# Rows that are in one of both and not in the other; '' when they are the same. json has no equality.
sub difference
{
    my ($way, $rows) = @_;
    my $list = join ', ', map { my ($name) = split ' '; $lost{$way}{$name} // ($name eq 'js' ? 'js::text' : $name) } @kinds;
    return done(qq{(SELECT 'source', $list FROM kinds EXCEPT ALL SELECT 'source', $list FROM $rows)
        UNION ALL (SELECT 'target', $list FROM $rows EXCEPT ALL SELECT 'target', $list FROM kinds) ORDER BY 2, 1 LIMIT 6});
}

sub same_rows
{
    my ($way, $what) = @_;
    my $said = eval { wait_for("$way, $what", sub { my $now = difference($way, "${way}_rows"); return ($now eq '', $now) }); 'the same' } // $@;
    is($said, 'the same', "$way: $what");
    return;
}

same_rows($_, 'the rows of the snapshot') for @ways;

# ---- changes

done('CALL churn(600)');
cmp_ok(done('SELECT count(*) FROM kinds'), '>', 10, 'there are rows');
same_rows($_, 'the rows after 600 changes') for @ways;
is(done(q{SELECT string_agg(DISTINCT op, '' ORDER BY op) FROM schema_topic}), 'cdru', 'changes of every sort');
cmp_ok(done('SELECT count(*) FROM schema_topic WHERE op IS NULL'), '>', 50, '... with their tombstones');
is(done('SELECT sum(dead_letters) FROM kseg.stream_status'), '0', 'no message became a dead letter');

# The same by a query of one's own: of each key the last message counts.
my $last = "SELECT * FROM (SELECT DISTINCT ON (part, id) * FROM bytes_topic WHERE op IS NOT NULL ORDER BY part, id, off DESC) q WHERE op <> 'd'";
is(difference('bytes', "($last) q"), '', 'SELECT: the last message of each key has the row');

# ---- values that Debezium does not get

done("INSERT INTO apart SELECT g, 0, $apart FROM generate_series(1, 2) g");
done('UPDATE apart SET n = 1 WHERE id = 1');
done('ALTER TABLE apart REPLICA IDENTITY FULL');
done('UPDATE apart SET n = 2 WHERE id = 2');
done(qq{CREATE FOREIGN TABLE apart_topic (id int, n int, big text, raw bytea, doc jsonb, texts text[], numbers int[])
    SERVER kafka OPTIONS (topic '$prefix{schema}.public.apart', format 'debezium')});
wait_for('messages of the other table', sub { my $count = $session->run('SELECT count(*) FROM apart_topic')->{out}; return ($count eq '4', $count) });
for my $column (qw(big raw doc texts numbers))
{
    my $problem = failure($session->run("SELECT $column FROM apart_topic")) // { code => 'none', message => '' };
    is($problem->{code}, '22000', "$column: a value that was not sent is an error");
    like($problem->{message}, qr/column "$column": .*REPLICA IDENTITY to FULL/, '... that says what to do');
}
done(q{ALTER FOREIGN TABLE apart_topic OPTIONS (ADD on_error 'skip')});
is(done('SELECT count(*) FROM (SELECT * FROM apart WHERE id = 2 INTERSECT SELECT * FROM apart_topic WHERE n = 2) q'), '1', 'with REPLICA IDENTITY FULL it is there');

$connect->stop;
done_testing();
