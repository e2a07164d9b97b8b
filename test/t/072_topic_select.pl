# needs: kafka
# How a SELECT reads a topic: up to its end at the start, what is pushed down and that no row is lost by it, joins and reads that are
# done again, early ends, rights, and a courier that goes with its scan.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use KsegKafka;

my $kafka = kafka_broker();
my $node = new_cluster('select');
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "')");
$node->safe_psql('postgres', "ALTER DATABASE postgres SET TimeZone = 'UTC'");
my $session = run_session($node);

my $meta = q{partition int OPTIONS (meta 'partition'), "offset" bigint OPTIONS (meta 'offset'), at timestamptz OPTIONS (meta 'timestamp'), utc timestamp OPTIONS (meta 'timestamp')};

sub topic_table
{
    my ($table, $columns, %topic) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($table), partitions => $topic{partitions} // 1, config => { 'retention.ms' => -1, %{ $topic{config} // {} } });
    $node->safe_psql('postgres', "CREATE FOREIGN TABLE $table ($columns) SERVER kafka OPTIONS (topic '$topic')");
    return $topic;
}

sub rows
{
    my ($sql) = @_;
    my $result = $session->run($sql);
    return $result->{err} ne '' ? $result->{err} : $result->{out};
}

# Messages that a query has read.
sub messages_read
{
    my ($sql) = @_;
    my ($count) = rows("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $sql") =~ /Kafka Messages Read: (\d+)/;
    return $count;
}

# ---- what narrows a read

my $steps = topic_table('steps', "n int, $meta", partitions => 3);
# 100 messages a partition, ten seconds between two, and not in the order of their times.
$kafka->produce($steps, map { { partition => $_ % 3, value => qq({"n":$_}), timestamp => 1_790_000_000_000 + 10_000 * ($_ % 2 ? $_ : 299 - $_) + $_ % 3 } } 0 .. 299);
# condition, messages that are to be read for it
my @conditions = (
    [ 'partition = 1', 100 ],
    [ 'partition IN (0, 2, 7)', 200 ],
    [ 'partition >= 1', 300 ],
    [ 'partition >= 1 AND partition <= 100', 200 ],
    [ 'partition < 2 AND partition <> 0', 200 ],
    [ '"offset" = 5', 3 ],
    [ '"offset" BETWEEN 10 AND 19', 30 ],
    [ '"offset" > 97', 6 ],
    [ '"offset" > 1000', 0 ],
    [ 'partition = 2 AND 3 > "offset"', 3 ],
    [ 'partition = (SELECT 1) AND "offset" < (SELECT 4)', 4 ],
    [ '("offset" < 5 OR partition = 1)', 300 ],
    [ 'partition = 99', 0 ],
    [ q{at >= to_timestamp(1790002900)}, undef ],
    [ q{at > to_timestamp(1790002900.001)}, undef ],
    [ q{at >= to_timestamp(1790002900.0005)}, undef ],
    [ q{at = to_timestamp(1790000010.001)}, undef ],
    [ q{at = to_timestamp(1790000010.0015)}, 0 ],
    [ q{at < to_timestamp(1790000050)}, 300 ],
    [ q{at >= to_timestamp(1890000000)}, 0 ],
    [ q{at >= date '2020-01-01' AND at < 'infinity' AND utc <= '2030-01-01'}, 300 ],
    [ q{utc >= timestamp '2026-09-21 14:20:50'}, undef ],
    [ q{at >= timestamp '2026-09-21 15:01:40.5'}, undef ]);
# The same rows as a table has them, where every condition is a filter.
$node->safe_psql('postgres', 'CREATE TABLE kept AS SELECT * FROM steps');
is($node->safe_psql('postgres', 'SELECT count(*), sum(n) FROM kept'), '300|44850', 'all messages, once');
for my $zone ('UTC', 'Asia/Kolkata')
{
    rows("SET TimeZone = '$zone'");
    for (@conditions)
    {
        my ($condition, $messages) = @$_;
        is(rows("SELECT n FROM steps WHERE $condition ORDER BY 1"), rows("SELECT n FROM kept WHERE $condition ORDER BY 1"), "no row is lost or won by $condition, $zone");
        is(messages_read("SELECT * FROM steps WHERE $condition"), $messages, "… of which $messages messages are read") if defined $messages;
    }
}
rows('RESET TimeZone');
cmp_ok(messages_read(q{SELECT * FROM steps WHERE at >= to_timestamp(1790002900)}), '<', 300, 'a lower bound of time skips what is before the first that reaches it');
is(rows('PREPARE p(int, bigint) AS SELECT n FROM steps WHERE partition = $1 AND "offset" >= $2; SET plan_cache_mode = force_generic_plan; EXECUTE p(1, 98); EXECUTE p(2, 99); EXECUTE p(NULL, 1); RESET plan_cache_mode'),
    "295\n298\n299", 'parameters');

# The broker's own times never go back: an upper bound ends the read.
my $appended = topic_table('appended', "n int, $meta", config => { 'message.timestamp.type' => 'LogAppendTime' });
$kafka->produce($appended, map { qq({"n":$_}) } 1 .. 50);
my $between = $node->safe_psql('postgres', 'SELECT max(at) FROM appended');
wait_for('a later millisecond', sub { $node->safe_psql('postgres', "SELECT clock_timestamp() > '$between'::timestamptz + interval '50 ms'") eq 't' });
$kafka->produce($appended, map { qq({"n":$_}) } 51 .. 1000);
is(rows("SELECT count(*) FROM appended WHERE at <= '$between'"), '50', 'with the broker\'s times');
cmp_ok(messages_read("SELECT * FROM appended WHERE at <= '$between'"), '<', 1000, '… an upper bound ends the read');

# ---- the end at the start

my $growing = topic_table('growing', "n int, $meta", partitions => 2);
$kafka->produce($growing, map { { partition => $_ % 2, value => qq({"n":$_}) } } 1 .. 20);
rows('BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT n FROM growing; FETCH 1 FROM c');
$kafka->produce($growing, map { { partition => $_ % 2, value => qq({"n":$_}) } } 21 .. 30);
is(scalar(split /\n/, rows('FETCH ALL FROM c')), 19, 'what comes after the start is not seen');
is(rows('COMMIT; SELECT count(*) FROM growing'), '30', '… and is in the next statement');
# A nested loop that reads it again for each row; while it does, more comes: each round must see the same.
rows('SET enable_material = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off');
like(rows('EXPLAIN (COSTS OFF) SELECT * FROM generate_series(1, 5) g LEFT JOIN growing ON g > 0'), qr/Nested Loop.*Function Scan.*Foreign Scan/s, 'a plan that reads again and again');
rows('BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT g, n FROM generate_series(1, 5) g LEFT JOIN growing ON g > 0; FETCH 31 FROM c');
$kafka->produce($growing, map { { partition => $_ % 2, value => qq({"n":$_}) } } 31 .. 40);
is(scalar(split /\n/, rows('FETCH ALL FROM c')), 5 * 30 - 31, 'each round has the rows of the first');
is(rows('COMMIT; SELECT count(*) FROM growing a JOIN growing b ON a.n < b.n'), 40 * 39 / 2, 'a topic with itself');
rows('RESET ALL');
is(rows('SELECT count(*) FROM growing a JOIN steps b USING (n)'), '40', 'two topics');
is(rows('SELECT g, count(*) FROM generate_series(0, 2) g, LATERAL (SELECT * FROM steps WHERE partition = g AND "offset" >= 90 + g) s GROUP BY 1 ORDER BY 1'),
    "0|10\n1|9\n2|8", 'a lateral read narrows anew for each row');
is(rows('SELECT g, s.n FROM generate_series(1, 3) g, LATERAL (SELECT n FROM steps WHERE "offset" < g ORDER BY n DESC LIMIT 1) s ORDER BY 1'),
    "1|2\n2|5\n3|8", '… also to more than before');
is(rows('SELECT g, (SELECT n FROM growing WHERE n >= g * 10 LIMIT 1) >= g * 10 FROM generate_series(3, 5) g'), "3|t\n4|t\n5|", 'a subquery that stops early, again and again');
is(rows('SELECT count(*) FROM steps WHERE n IN (SELECT n FROM growing) AND n NOT IN (SELECT n FROM growing WHERE n < 20)'), '21', 'subqueries');
is(rows('WITH s AS MATERIALIZED (SELECT n FROM steps) SELECT (SELECT count(*) FROM s), (SELECT sum(n) FROM s)'), '300|44850', 'a CTE');
is(rows('SELECT partition, count(*), min(n), row_number() OVER (ORDER BY partition) FROM steps GROUP BY 1 ORDER BY 1'), "0|100|0|1\n1|100|1|2\n2|100|2|3", 'groups and windows');
is(rows('BEGIN; DECLARE s SCROLL CURSOR FOR SELECT "offset" FROM steps WHERE partition = 0; FETCH 3 FROM s; FETCH BACKWARD 1 FROM s; FETCH ABSOLUTE 100 FROM s; FETCH FIRST FROM s; COMMIT'),
    "0\n1\n2\n1\n99\n0", 'a cursor in both directions');
is(rows('SELECT n FROM steps WHERE partition = 0 ORDER BY n LIMIT 1 FOR UPDATE'), '0', 'FOR UPDATE locks nothing and does no harm');
is(rows('BEGIN; SELECT n FROM steps s JOIN kept k USING (n) WHERE n = 5 FOR UPDATE OF k; COMMIT'), '5', '… beside a table');

# ---- inheritance, views, functions, write-ups elsewhere

$node->safe_psql('postgres', q{CREATE TABLE parts (n int, partition int) PARTITION BY LIST (partition); CREATE TABLE parts_local PARTITION OF parts FOR VALUES IN (9); INSERT INTO parts VALUES (1000, 9)});
my $stepped = $node->safe_psql('postgres', qq{CREATE FOREIGN TABLE parts_topic (n int, partition int OPTIONS (meta 'partition')) SERVER kafka OPTIONS (topic '$steps');
    ALTER TABLE parts ATTACH PARTITION parts_topic FOR VALUES IN (0, 1, 2);
    SELECT count(*), max(n), count(*) FILTER (WHERE tableoid = 'parts_topic'::regclass) FROM parts});
is($stepped, '301|1000|300', 'a partition of a table');
is($node->safe_psql('postgres', 'CREATE TABLE filled (n int PRIMARY KEY, "offset" bigint); INSERT INTO filled SELECT n, "offset" FROM steps ON CONFLICT DO NOTHING; SELECT count(*) FROM filled'), '300', 'INSERT … SELECT');
is($node->safe_psql('postgres', q{CREATE FUNCTION total() RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE r record; t bigint := 0; BEGIN FOR r IN SELECT n FROM steps LOOP t := t + r.n; EXIT WHEN t > 100; END LOOP; RETURN t; END $$; SELECT total()}) > 100, 1, 'a loop that is left');
like(rows('UPDATE kept SET n = s.n FROM steps s WHERE s.n = kept.n AND s.n < 0; MERGE INTO filled f USING steps s ON s.n = f.n WHEN MATCHED AND s.n < 10 THEN DELETE; SELECT count(*) FROM filled'), qr/^290$/, 'UPDATE … FROM, MERGE');
is(rows('COPY (SELECT n FROM steps WHERE "offset" = 0 ORDER BY 1) TO STDOUT'), "0\n1\n2", 'COPY');

# ---- early ends, and couriers

sub couriers { my @couriers = couriers_of($session->pid); return scalar @couriers }
my $lots = topic_table('lots', "n int, filler text, $meta", partitions => 4);
$kafka->kcat([ '-P', '-t', $lots, '-p', '-1', '-z', 'lz4' ], join('', map { sprintf qq({"n":%d,"filler":"%s"}\n), $_, 'x' x 200 } 1 .. 300_000));
is(rows('SELECT count(*), sum(n) FROM lots'), '300000|45000150000', 'many');
is(couriers(), 0, 'no courier is left after a read');
cmp_ok(messages_read('SELECT * FROM lots LIMIT 10'), '<=', 10, 'LIMIT ends a read early');
is(couriers(), 0, '… and its courier');
rows('BEGIN; DECLARE c CURSOR FOR SELECT n FROM lots; DECLARE d CURSOR FOR SELECT n FROM lots; FETCH 10 FROM c; FETCH 10 FROM d');
is(couriers(), 2, 'each open cursor has a courier');
rows('CLOSE c');
is(couriers(), 1, '… until it is closed');
rows('ROLLBACK');
is(couriers(), 0, '… or the transaction ends');
rows('BEGIN; SAVEPOINT s; DECLARE c CURSOR FOR SELECT n FROM lots; FETCH 10 FROM c; ROLLBACK TO s');
is(couriers(), 0, '… or the subtransaction');
rows('COMMIT');
like(rows('SELECT 1 / (n - n) FROM lots'), qr/division by zero/, 'an error in the query');
is(couriers(), 0, '… leaves none');
my $other = run_session($node);
$session->start('SELECT count(*) FROM lots a, lots b WHERE a.n + b.n < 0');
wait_for('a scan that reads', sub { couriers() > 0 });
$other->run('SELECT pg_cancel_backend(' . $session->pid . ')');
my $cancelled = $session->finish;
is(failure($cancelled)->{code}, '57014', 'a cancelled query ends');
is(couriers(), 0, '… and its couriers');
rows('BEGIN; DECLARE c CURSOR FOR SELECT n FROM lots; FETCH 10 FROM c');
kill 'KILL', couriers_of($session->pid);
is(failure($session->run('FETCH ALL FROM c'))->{code}, '08006', 'a courier that is killed is an error of the query');
rows('ROLLBACK');
is(rows('SELECT count(*) FROM lots'), '300000', '… and of no other');

# Memory: of a read of 300,000 messages the backend keeps none. The courier's is bounded by its queues.
rows('BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT filler, n, at FROM lots; MOVE 20000 FROM c');
my $before = anonymous_memory_of($session->pid);
rows('MOVE 270000 FROM c');
cmp_ok(anonymous_memory_of($session->pid) - $before, '<', 1024, 'memory (kB) does not grow with the messages');
is(scalar(split /\n/, rows('FETCH ALL FROM c; COMMIT')), 10_000, '… which were all there');

# ---- what is gone

my $gone = topic_table('gone', "n int, $meta");
$kafka->produce($gone, map { qq({"n":$_}) } 1 .. 100);
$kafka->delete_records($gone, 0, 40);
is(rows('SELECT count(*), min("offset") FROM gone'), '60|40', 'what retention took is not there');
is(rows('SELECT count(*) FROM gone WHERE "offset" >= 10 AND "offset" < 50'), '10', '… nor asked for');
$kafka->delete_topic($gone);
my $missing = failure($session->run('SELECT * FROM gone'));
is($missing->{code}, 'HV000', 'a topic that is not there');
like("$missing->{message}", qr/\Q$gone\E/, '… is named');

# ---- rights

$node->safe_psql('postgres', q{CREATE ROLE reader LOGIN; CREATE ROLE owner; GRANT SELECT ON steps TO reader, owner; CREATE VIEW seen AS SELECT n FROM steps WHERE n < 3; ALTER VIEW seen OWNER TO owner; GRANT SELECT ON seen TO reader;
    GRANT USAGE ON SCHEMA kseg TO reader});
my $reader = run_session($node, user => 'reader');
is(failure($reader->run('SELECT count(*) FROM steps'))->{code}, '42704', 'without a user mapping nothing is read');
is(failure($reader->run('SELECT count(*) FROM growing'))->{code}, '42501', 'nor without a right to the table');
is(failure($reader->run('SELECT count(*) FROM seen'))->{code}, '42704', 'a view reads with its owner\'s mapping');
$node->safe_psql('postgres', 'CREATE USER MAPPING FOR owner SERVER kafka');
is($reader->run('SELECT count(*) FROM seen')->{out}, '3', '… when he has one');
is(failure($reader->run('SELECT count(*) FROM steps'))->{code}, '42704', '… which is nobody else\'s');
$node->safe_psql('postgres', 'CREATE USER MAPPING FOR reader SERVER kafka');
is($reader->run('SELECT count(*) FROM steps')->{out}, '300', 'his own mapping is enough');

done_testing();
