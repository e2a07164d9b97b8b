# needs: kafka
# INSERT and COPY into a foreign table over a topic: what arrives is what was said, byte for byte; what cannot become a message or
# is refused is an error that names the row; what was sent stays sent.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegRun;
use KsegKafka;

my $kafka = kafka_broker();
my $node = new_cluster('insert');
my $session = run_session($node);
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "', for_role => 'public')");

# Makes a topic and a foreign table over it, with these columns and options; returns the topic.
sub topic_table
{
    my ($table, $columns, $options, %topic) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($table), %topic);
    $options = join ', ', "topic '$topic'", $options || ();
    $node->safe_psql('postgres', "CREATE FOREIGN TABLE $table ($columns) SERVER kafka OPTIONS ($options)");
    return $topic;
}

sub values_of { return [ map { $_->{value} } $kafka->consume($_[0]) ] }

# Runs a statement that must fail, and returns its report.
sub refused
{
    my ($sql) = @_;
    my $report = failure($session->run($sql));
    $session->run('ROLLBACK') if $sql =~ /BEGIN/;
    return $report // { code => 'no error', message => '', detail => '', hint => '' };
}

sub done
{
    my ($sql) = @_;
    my $result = $session->run($sql);
    is($result->{err}, q{}, "done: " . substr($sql =~ s{\n.*}{}sr, 0, 60));
    return $result->{out};
}

# ---- json

my $orders = topic_table('orders', q{
    key text OPTIONS (meta 'key'), id bigint, "Name" text, street text OPTIONS (path 'address.street'), zip text OPTIONS (path 'items[0].zip, address.zip'),
    price numeric, paid boolean, at timestamptz, day date, tags text[], doc jsonb,
    part int OPTIONS (meta 'partition'), ts timestamptz OPTIONS (meta 'timestamp'), headers jsonb OPTIONS (meta 'headers'),
    off bigint OPTIONS (meta 'offset'), topic text OPTIONS (meta 'topic'), error text OPTIONS (meta 'error')},
    '', partitions => 3, config => { 'retention.ms' => -1 });     # a message of last year would not stay for long

done(q{INSERT INTO orders (key, id, "Name", street, zip, price, paid, at, day, tags, doc, part, ts, headers) VALUES
    ('k1', 9007199254740993, 'Zoë "Q"', 'Hauptstr. 1', '01234', 1.50, true, '2026-01-02 03:04:05.123456+01', '2026-02-03', '{a,NULL}', '{"x": [1, {"y": null}]}',
     2, '2026-03-04 05:06:07.089+00', '[["h","v"],["h",null],["b",{"base64":"/wA="}]]')});
my ($message) = $kafka->consume($orders);
is($message->{value}, '{"id":9007199254740993,"Name":"Zo' . "\xc3\xab" . ' \\"Q\\"","address":{"street":"Hauptstr. 1","zip":"01234"},"price":1.50,"paid":true,'
    . '"at":"2026-01-02T02:04:05.123456Z","day":"2026-02-03","tags":["a",null],"doc":{"x":[1,{"y":null}]}}', 'columns lie at their paths');
is("$message->{key} $message->{partition} $message->{timestamp}", 'k1 2 1772600767089', 'key, partition and time are those of the columns');
is_deeply($message->{headers}, [ [ 'h', 'v' ], [ 'h', undef ], [ 'b', "\xff\x00" ] ], 'headers too');
is(done(q{SELECT key, id, "Name", street, zip, price, paid, at = '2026-01-02 03:04:05.123456+01', day, tags, doc, part, ts = '2026-03-04 05:06:07.089+00', headers, off, topic, error FROM orders}),
    qq{k1|9007199254740993|Zoë "Q"|Hauptstr. 1|01234|1.50|t|t|2026-02-03|{a,NULL}|{"x": [1, {"y": null}]}|2|t|[["h", "v"], ["h", null], ["b", {"base64": "/wA="}]]|0|$orders|},
    'and a SELECT shows the row that was inserted');

done(q{INSERT INTO orders (id) VALUES (NULL)});
my ($nothing) = grep { !defined $_->{key} } $kafka->consume($orders);
is($nothing->{value}, '{"id":null,"Name":null,"address":{"street":null,"zip":null},"price":null,"paid":null,"at":null,"day":null,"tags":null,"doc":null}', 'NULL is null');

my $many = topic_table('many', q{k text OPTIONS (meta 'key'), n int, note text}, '', partitions => 5);
done(q{INSERT INTO many SELECT g % 100, g, repeat('x', g % 50) FROM generate_series(1, 100000) g});
is(done('SELECT count(*), count(DISTINCT n), min(n), max(n), sum(length(note)) FROM many'), '100000|100000|1|100000|2450000', '100,000 rows arrive, once');
my %last;
my @unordered;
for my $record ($kafka->consume($many))
{
    my $n = decode_json($record->{value})->{n};
    push @unordered, $n if ($last{ $record->{key} } // 0) >= $n;
    $last{ $record->{key} } = $n;
}
is_deeply(\@unordered, [], "a key's messages come in the order of the rows");

# ---- what nobody may write

for my $column ([ off => '1' ], [ topic => "'x'" ], [ error => "'x'" ])
{
    my $report = refused("INSERT INTO orders (id, $column->[0]) VALUES (1, $column->[1])");
    is("$report->{code} $report->{message}", qq{428C9 cannot insert a value into column "$column->[0]" of foreign table "orders"}, "$column->[0] is the broker's");
}
is(scalar @{ values_of($orders) }, 2, 'and nothing was sent');

# ---- value, tombstone

my $whole = topic_table('whole', q{k text OPTIONS (meta 'key'), a int, v text OPTIONS (meta 'value')}, '');
done(q{INSERT INTO whole VALUES ('1', 5, NULL), ('2', NULL, 'as it is'), ('3', NULL, NULL)});
is_deeply(values_of($whole), [ '{"a":5}', 'as it is', undef ], 'a value as a whole, and NULL everywhere is a tombstone');
is(refused(q{INSERT INTO whole VALUES ('4', 1, 'x')})->{message},
    qq{row 1 cannot become a message of topic "$whole": the value is given twice, as a whole (column "v") and by column "a"}, 'not both');

my $wholes = topic_table('wholes', q{k bytea OPTIONS (meta 'key'), v jsonb OPTIONS (meta 'value')}, '');
done(q{INSERT INTO wholes VALUES ('\x00ff', '{"a": 1}'), (NULL, NULL)});
is_deeply([ map { [ @$_{qw(key value)} ] } $kafka->consume($wholes) ], [ [ "\x00\xff", '{"a":1}' ], [ undef, undef ] ], 'only a value column');

# ---- text, bytea, csv

my $text = topic_table('texts', q{v text, k int OPTIONS (meta 'key'), o bigint OPTIONS (meta 'offset')}, "format 'text'");
done(q{INSERT INTO texts (v, k) VALUES ('Zoë', 1), ('', 2), (NULL, 3)});
is_deeply([ map { [ @$_{qw(key value)} ] } $kafka->consume($text) ], [ [ '1', "Zo\xc3\xab" ], [ '2', '' ], [ '3', undef ] ], 'format text: the column is the value');
my $number = topic_table('numbers', q{v numeric}, "format 'text'");
done(q{INSERT INTO numbers VALUES (1.50), ('NaN')});
is_deeply(values_of($number), [ '1.50', 'NaN' ], 'of any type');
my $day = topic_table('days', q{v timestamptz}, "format 'text'");
done(q{SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; INSERT INTO days VALUES ('2026-01-01 00:00:00+00'); RESET timezone; RESET datestyle});
is_deeply(values_of($day), ['2026-01-01 00:00:00+00'], "whatever the session's settings are");
my $bytes = topic_table('bytes', q{v bytea}, "format 'bytea'");
done(q{INSERT INTO bytes VALUES ('\x00ff0a'), ('')});
is_deeply(values_of($bytes), [ "\x00\xff\n", '' ], 'format bytea: bytes are bytes');

my $csv = topic_table('lines', q{a text, b numeric OPTIONS (path '4'), c date, d text OPTIONS (path '2'), k text OPTIONS (meta 'key')}, "format 'csv', delimiter ';', null 'N'");
done(q{INSERT INTO lines VALUES ('x;"y"', 1.5, '2026-01-01', E'two\nlines'), (NULL, NULL, NULL, NULL), ('N', 2, NULL, ''), ('plain', 3, NULL, ' b ')});
is_deeply(values_of($csv), [ qq{"x;""y""";"two\nlines";2026-01-01;1.5}, 'N;N;N;N', '"N";;N;2', 'plain; b ;N;3' ], 'format csv: a line, fields in their order');
is(done(q{SELECT count(*) FROM (SELECT a, b, c, d FROM lines EXCEPT ALL VALUES ('x;"y"', 1.5, '2026-01-01'::date, E'two\nlines'), (NULL, NULL, NULL, NULL), ('N', 2, NULL, ''), ('plain', 3, NULL, ' b ')) q}),
    0, 'and it reads back as it was');
like(refused(q{CREATE FOREIGN TABLE twice (a text OPTIONS (path '1'), b text OPTIONS (path '1')) SERVER kafka OPTIONS (topic 'x', format 'csv'); INSERT INTO twice VALUES ('a', 'b')})->{message},
    qr/columns "a" and "b" are both field 1/, 'a field of two columns');

# ---- tables that cannot be written, statements that are not INSERT

done(q{CREATE FOREIGN TABLE changes (id int, op text OPTIONS (meta 'op')) SERVER kafka OPTIONS (topic 'x', format 'debezium');
    CREATE FOREIGN TABLE in_array (id int OPTIONS (path 'a[0]')) SERVER kafka OPTIONS (topic 'x');
    CREATE FOREIGN TABLE two_keys (id int, a text OPTIONS (meta 'key'), b text OPTIONS (meta 'key')) SERVER kafka OPTIONS (topic 'x')});
is(refused('INSERT INTO changes VALUES (1)')->{message}, 'cannot insert into foreign table "changes" of format debezium', 'format debezium');
my (undef, undef, $copy) = $node->psql('postgres', 'COPY changes FROM STDIN');
like($copy, qr/foreign table "changes" does not allow inserts/, 'nor by COPY');
is(refused('INSERT INTO in_array VALUES (1)')->{message}, 'cannot insert into foreign table "in_array": column "id" lies in an array', 'a path with an index');
like(refused('INSERT INTO two_keys VALUES (1)')->{message}, qr/two columns for the message's key/, 'two keys');
like(refused('CREATE FOREIGN TABLE json_headers (id int, h json OPTIONS (meta \'headers\')) SERVER kafka OPTIONS (topic \'x\'); INSERT INTO json_headers VALUES (1, NULL)')->{hint},
    qr/ALTER FOREIGN TABLE json_headers ALTER COLUMN h TYPE jsonb/, 'headers as json');
is(refused('UPDATE orders SET id = 1')->{message}, 'cannot update foreign table "orders"', 'no UPDATE');
is(refused('DELETE FROM orders')->{message}, 'cannot delete from foreign table "orders"', 'no DELETE');
like(refused('INSERT INTO orders (id) VALUES (1) ON CONFLICT DO NOTHING')->{message}, qr/ON CONFLICT is not possible/, 'no ON CONFLICT');
is(done(q{SELECT string_agg(table_name || ' ' || is_insertable_into, ', ' ORDER BY table_name) FROM information_schema.tables WHERE table_name IN ('changes', 'orders')}),
    'changes NO, orders YES', 'information_schema knows');

# ---- transactions, COPY, RETURNING, triggers, routing

my $events = topic_table('events', q{id int, note text, o bigint OPTIONS (meta 'offset')}, '');
done(q{BEGIN; INSERT INTO events VALUES (1, 'rolled back'); ROLLBACK});
is_deeply(values_of($events), ['{"id":1,"note":"rolled back"}'], 'what was sent survives a ROLLBACK');
is(done(q{INSERT INTO events (id, note) VALUES (2, 'r'), (3, 's') RETURNING id, note, o}), "2|r|\n3|s|", 'RETURNING gives the rows back, without offsets');
is(done("COPY events (id, note) FROM STDIN;\n4\tcopied\n5\t\\N\n\\."), '', 'COPY');
is(done(q{WITH new AS (INSERT INTO events VALUES (6, 'cte') RETURNING id) SELECT id FROM new}), '6', 'in a WITH');
is_deeply([ @{ values_of($events) }[ 3 .. 5 ] ], [ '{"id":4,"note":"copied"}', '{"id":5,"note":null}', '{"id":6,"note":"cte"}' ], 'all of it arrives');
done(q{CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF new.id = 8 THEN RETURN NULL; END IF; new.note = upper(new.note); RETURN new; END$$;
    CREATE TRIGGER shout BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION shout();
    CREATE TABLE seen (id int);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO seen VALUES (new.id); RETURN NULL; END$$;
    CREATE TRIGGER see AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION see();
    INSERT INTO events VALUES (7, 'loud'), (8, 'left out')});
is(values_of($events)->[-1] . done('SELECT * FROM seen'), '{"id":7,"note":"LOUD"}7', 'triggers fire');

my ($low, $high) = map { $kafka->create_topic($kafka->topic_unique($_)) } qw(low high);
done(qq{CREATE TABLE parted (id int, note text) PARTITION BY RANGE (id);
    CREATE FOREIGN TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10) SERVER kafka OPTIONS (topic '$low');
    CREATE FOREIGN TABLE high PARTITION OF parted FOR VALUES FROM (10) TO (20) SERVER kafka OPTIONS (topic '$high');
    INSERT INTO parted SELECT g, 'p' FROM generate_series(8, 11) g});
is_deeply([ values_of($low), values_of($high) ], [ [ '{"id":8,"note":"p"}', '{"id":9,"note":"p"}' ], [ '{"id":10,"note":"p"}', '{"id":11,"note":"p"}' ] ], 'rows are routed to their partitions');
done("COPY parted FROM STDIN;\n1\tc\n\\.");
is(values_of($low)->[-1], '{"id":1,"note":"c"}', 'by COPY too');
like(refused(q{INSERT INTO parted VALUES (1, 'x') ON CONFLICT DO NOTHING})->{message}, qr/ON CONFLICT is not possible/, 'but not ON CONFLICT');

# ---- rows that cannot become messages, messages that are refused

my $floats = topic_table('floats', q{id int, x float8}, '');
my $report = refused(q{INSERT INTO floats VALUES (1, 1.5), (2, 'NaN'), (3, 2)});
is("$report->{code} $report->{message}", qq{22000 row 2 cannot become a message of topic "$floats": column "x": NaN has no JSON form}, 'NaN has no JSON form');
my $small = topic_table('small', q{v text}, "format 'text'", config => { 'max.message.bytes' => 2000 });
$report = refused(q{INSERT INTO small SELECT (SELECT string_agg(md5(i::text), '') FROM generate_series(1, CASE g WHEN 3 THEN 200 ELSE 1 END) i) FROM generate_series(1, 4) g});
like("$report->{code} $report->{message}", qr/^HV000 row 3 was refused by topic "\Q$small\E": ./, 'a message that the broker refuses');
is($report->{detail}, qq{Of 4 rows, 3 were acknowledged and 1 refused; what was acknowledged stays in topic "$small".}, 'with the counts');
is(scalar @{ values_of($small) }, 3, 'and these are in the topic');
$report = refused(q{INSERT INTO texts (v) VALUES ('a'), (repeat('x', 1100000))});
like("$report->{code} $report->{message}", qr/^22\d\d\d row 2 cannot become a message/, 'a row beyond max_message_bytes');
my $no_partition = refused(q{INSERT INTO orders (id, part) VALUES (1, 77)});
like($no_partition->{message}, qr/^row 1 was refused by topic "\Q$orders\E": /, 'a partition that there is not');
done(q{CREATE FOREIGN TABLE nowhere (v text) SERVER kafka OPTIONS (topic 'no-such-topic', format 'text')});
$report = refused(q{INSERT INTO nowhere VALUES ('x')});
like("$report->{message} $report->{detail}", qr/no-such-topic/, 'a topic that there is not');
isnt($report->{hint}, '', 'with a hint');

# ---- nothing is contacted for nothing

done(q{CREATE SERVER away FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '127.0.0.1:1', connect_timeout '1s');
    CREATE USER MAPPING FOR public SERVER away;
    CREATE FOREIGN TABLE away (v text) SERVER away OPTIONS (topic 'x', format 'text')});
done(q{INSERT INTO away SELECT 'x' WHERE false});
like(done(q{EXPLAIN (COSTS OFF) INSERT INTO away VALUES ('x')}), qr/Insert on away\n +Kafka Topic: x\n/, 'EXPLAIN names the topic');
$report = refused(q{INSERT INTO away VALUES ('x')});
is($report->{code}, '08006', 'no broker');
like($report->{detail}, qr/Of 1 rows, 0 were acknowledged and 0 refused/, 'and nothing acknowledged');

# ---- whose mapping

$node->safe_psql('postgres', qq{CREATE ROLE owner; CREATE ROLE user_of_view;
    CREATE SERVER mine FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '@{[ $kafka->bootstrap ]}');
    GRANT USAGE ON FOREIGN SERVER mine TO owner; GRANT CREATE ON SCHEMA public TO owner;
    CREATE USER MAPPING FOR owner SERVER mine;
    SET ROLE owner;
    CREATE FOREIGN TABLE mine (id int, note text) SERVER mine OPTIONS (topic '$events');
    CREATE VIEW mine_view AS SELECT * FROM mine;
    GRANT INSERT ON mine, mine_view TO user_of_view});
done(q{SET ROLE user_of_view; INSERT INTO mine_view VALUES (20, 'by view')});
is(values_of($events)->[-1], '{"id":20,"note":"by view"}', "a view's owner sends");
$report = refused(q{INSERT INTO mine VALUES (21, 'x')});
like("$report->{code} $report->{message}", qr/^42\w{3} .*(?:mapping|permission)/, 'who has no mapping does not');
done('RESET ROLE');
is(refused(q{CREATE FUNCTION sly_insert(int) RETURNS int LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.events VALUES ($1, 'sly'); RETURN $1; END$$;
    CREATE FUNCTION sly(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN public.sly_insert($1); END$$;
    CREATE TABLE t (id int); INSERT INTO t VALUES (99); CREATE INDEX ON t (sly(id))})->{code}, '42501', 'an index expression sends nothing');

# ---- cancel, a courier that is lost

my $own = kafka_broker(nodes => 1, heap => 256);
my $held = $own->create_topic('held');
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $own->bootstrap . "', server => 'own');
    CREATE FOREIGN TABLE held (v text) SERVER own OPTIONS (topic 'held', format 'text')");
$own->pause_node(1);
$session->start(q{INSERT INTO held VALUES ('x')});
wait_until_held($node, $session->pid);
my ($courier) = wait_for('a courier', sub { my @couriers = couriers_of($session->pid); return (@couriers == 1, $couriers[0]) });
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $session->pid . ')');
my $canceled = $session->finish(10);
is(failure($canceled)->{code}, '57014', 'a statement that waits is canceled');
wait_until_gone('courier', [$courier]);
$session->start(q{INSERT INTO held VALUES ('y')});
($courier) = wait_for('a courier', sub { my @couriers = couriers_of($session->pid); return (@couriers == 1, $couriers[0]) });
wait_until_held($node, $session->pid);
kill 'KILL', $courier;
$report = failure($session->finish(10));
is("$report->{code} $report->{message}", "08006 kseg's courier was lost", 'a courier that is killed is an error of the statement');
$own->resume_node(1);
$session->run(q{INSERT INTO held VALUES ('z')});
is((map { $_->{value} } $own->consume($held))[-1], 'z', 'and the next statement works');

$session->quit;
$node->stop;
done_testing();
