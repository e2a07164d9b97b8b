# needs: kafka
# One stream from one topic into one table: what has arrived is what was produced, once each, whatever the table does with it on the
# way; and what a batch's transaction holds together.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegKafka;
use KsegRun qw(quickest);
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('stream');
my $json  = JSON::PP->new->canonical;
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "', for_role => 'public')");

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A topic, and the foreign table NAME_topic over it with these columns.
sub source
{
    my ($name, $columns, %options) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name), partitions => $options{partitions} // 1);
    sql("CREATE FOREIGN TABLE ${name}_topic ($columns) SERVER kafka OPTIONS (topic '$topic')");
    return $topic;
}

# Messages whose values are these hashes.
sub values_of { return map { $json->encode($_) } @_ }

# Waits until the stream has nothing left of what is in its topic, and returns its row.
sub wait_until_settled
{
    my ($name, $topic) = @_;
    my $offsets = $kafka->offsets($topic);
    my $end = join ' ', map { "$_:$offsets->{$_}{high}" } sort keys %$offsets;
    wait_for_answer($node, "SELECT string_agg(partition || ':' || next_offset, ' ' ORDER BY partition) FROM kseg.position_entry " .
        "WHERE stream = (SELECT id FROM kseg.stream_entry WHERE name = '$name')", $end);
    return stream_of($node, $name);
}

subtest 'every message is a row, once' => sub {
    my $topic = source('plain', q{part int OPTIONS (meta 'partition'), at bigint OPTIONS (meta 'offset'), number bigint, words text}, partitions => 3);
    my @messages = map { { value => $json->encode({ number => $_, words => 'w' x ($_ % 100) }), partition => $_ % 3 } } 1 .. 20_000;
    $kafka->produce($topic, @messages[ 0 .. 9_999 ]);
    sql('CREATE TABLE plain (part int, at bigint, number bigint, words text, twice bigint GENERATED ALWAYS AS (number * 2) STORED,
        here timestamptz DEFAULT now())');
    sql(q{SELECT kseg.stream_to_table('plain', 'SELECT part, at, number, words FROM plain_topic', 'public.plain', batch_rows => 700)});
    $kafka->produce($topic, @messages[ 10_000 .. 19_999 ]);
    wait_until_settled('plain', $topic);
    is(sql('SELECT count(*), count(DISTINCT (part, at)), sum(number), sum(twice), count(here), sum(length(words)) FROM plain'),
        '20000|20000|200010000|400020000|20000|990000', 'rows are the distinct offsets, and sums are equal');
    is(sql('SELECT max(c) <= 700 FROM (SELECT count(*) c FROM plain GROUP BY xmin) x'), 't', 'no transaction is larger than batch_rows');
    my ($slot) = sql(q{SELECT messages || ' ' || rows || ' ' || dead_letters || ' ' || lag_messages FROM kseg.stream_slots() s
        JOIN kseg.stream_entry e ON e.id = s.stream WHERE e.name = 'plain'});
    is($slot, '20000 20000 0 0', 'its figures say so');
    is(sql(q{SELECT backend_type || ' ' || query FROM pg_stat_activity WHERE backend_type = 'kseg stream'}),
        'kseg stream stream plain: waiting for messages', 'and pg_stat_activity what it does');
};

subtest 'it says nothing and holds nothing while it waits' => sub {
    is(sql(q{SELECT state, backend_xmin IS NULL, backend_xid IS NULL FROM pg_stat_activity WHERE backend_type = 'kseg stream'}), 'idle|t|t',
        'no transaction is open');
};

subtest 'a stream stops where it is, and goes on there' => sub {
    my $topic = source('stops', 'number int');
    sql('CREATE TABLE stops (number int)');
    sql(q{SELECT kseg.stream_to_table('stops', 'SELECT number FROM stops_topic', 'public.stops')});
    $kafka->produce($topic, numbers(1 .. 100));
    wait_until_settled('stops', $topic);
    sql(q{SELECT kseg.stop_stream('stops')});
    wait_for_answer($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kseg stream' AND query LIKE '%stops%'}, 0);
    $kafka->produce($topic, numbers(101 .. 200));
    sql(q{SELECT kseg.start_stream('stops')});
    wait_until_settled('stops', $topic);
    is(sql('SELECT count(*), count(DISTINCT number), sum(number) FROM stops'), '200|200|20100', 'each message once');
};

subtest 'keys: the last one wins, whichever batch it is in' => sub {
    my $topic = source('keyed', 'id int, version int, op text', partitions => 2);
    sql('CREATE TABLE keyed (id int PRIMARY KEY, version int, op text)');
    # Every key is in one partition; its versions rise; every seventh key ends with a delete, of these every second comes again.
    my @messages;
    for my $version (1 .. 20)
    {
        push @messages, map { { value => $json->encode({ id => $_, version => $version, op => 'u' }), partition => $_ % 2 } } 1 .. 400;
    }
    push @messages, map { { value => $json->encode({ id => 7 * $_, version => 21, op => 'd' }), partition => 7 * $_ % 2 } } 1 .. 57;
    push @messages, map { { value => $json->encode({ id => 14 * $_, version => 22, op => 'u' }), partition => 0 } } 1 .. 28;
    sql('CREATE TABLE kept (id int PRIMARY KEY, version int)');
    sql(q{SELECT kseg.stream_to_table('kept', 'SELECT id, version FROM keyed_topic', 'public.kept', key => '{id}', on_conflict => 'update', batch_rows => 1000)});
    sql(q{SELECT kseg.stream_to_table('keyed', 'SELECT id, version, op FROM keyed_topic', 'public.keyed', key => '{id}', on_conflict => 'update',
        delete_when => 'op = ''d''', batch_rows => 1000)});
    $kafka->produce($topic, @messages);
    wait_until_settled($_, $topic) for qw(kept keyed);
    is(sql('SELECT version, count(*) FROM kept GROUP BY 1 ORDER BY 1'), "20|343\n21|29\n22|28", 'without delete_when: the last version of each key');
    is(sql('SELECT version, count(*) FROM keyed GROUP BY 1 ORDER BY 1'), "20|343\n22|28", 'with it: what was deleted last is not there, what came again is');
    is(sql('SELECT count(*) FROM kseg.dead_letter'), 0, 'and no message was to blame for a key that came twice');
};

subtest 'keys that the table rounds, and keys with a NULL' => sub {
    my $topic = source('rounded', 'price numeric, at timestamp, name text, version int, op text');
    sql('CREATE TABLE rounded (price numeric(6, 2), at timestamp(0), name char(3), version int, UNIQUE NULLS NOT DISTINCT (price, at, name))');
    sql(q{SELECT kseg.stream_to_table('rounded', 'SELECT price, at, name, version, op FROM rounded_topic', 'public.rounded', key => '{price,at,name}',
        on_conflict => 'update', delete_when => 'op = ''d''')});
    my @keys = ([ 1.004, '2026-01-01T00:00:00.2', 'a' ], [ 1.001, '2026-01-01T00:00:00.1', 'a ' ], [ 2, undef, 'b' ], [ 3, undef, 'c' ]);
    my $of = sub { my ($key, $version, $op) = @_; return { price => $keys[$key][0], at => $keys[$key][1], name => $keys[$key][2], version => $version, op => $op } };
    $kafka->produce($topic, values_of(map { $of->(@$_) } [ 0, 1, 'c' ], [ 1, 2, 'u' ], [ 2, 3, 'c' ], [ 3, 4, 'c' ]));
    wait_until_settled('rounded', $topic);
    is(sql('SELECT version FROM rounded ORDER BY 1'), "2\n3\n4", 'two messages of one row in a batch: the last one');
    $kafka->produce($topic, values_of(map { $of->(@$_) } [ 0, 5, 'd' ], [ 2, 6, 'd' ]));
    wait_until_settled('rounded', $topic);
    is(sql('SELECT version FROM rounded'), 4, 'a delete finds its row by the key as the table has it');
    is(sql(q{SELECT count(*) FROM kseg.dead_letter WHERE stream = 'rounded'}), 0, 'and no message was to blame');
};

subtest 'on_conflict ignore: the first one stays' => sub {
    my $topic = source('first', 'id int, version int');
    sql('CREATE TABLE first (id int PRIMARY KEY, version int)');
    sql(q{SELECT kseg.stream_to_table('first', 'SELECT id, version FROM first_topic', 'public.first', key => '{id}', on_conflict => 'ignore', batch_rows => 50)});
    $kafka->produce($topic, values_of(map { { id => $_ % 30, version => $_ } } 0 .. 299));
    wait_until_settled('first', $topic);
    is(sql('SELECT count(*), max(version) FROM first'), '30|29', 'of each key');
};

subtest 'the query filters and joins' => sub {
    my $topic = source('joined', 'customer int, total numeric');
    sql('CREATE TABLE customers (id int PRIMARY KEY, name text); INSERT INTO customers SELECT g, \'c\' || g FROM generate_series(1, 50) g');
    sql('CREATE TABLE joined (name text, total numeric)');
    sql(q{SELECT kseg.stream_to_table('joined', 'SELECT c.name, t.total FROM joined_topic t JOIN customers c ON c.id = t.customer WHERE t.total > 10', 'public.joined')});
    $kafka->produce($topic, values_of(map { { customer => $_ % 100, total => $_ % 20 } } 1 .. 1000));
    wait_until_settled('joined', $topic);
    is(sql('SELECT count(*), count(DISTINCT name), sum(total) FROM joined'),
        sql('SELECT count(*), count(DISTINCT g % 100), sum(g % 20) FROM generate_series(1, 1000) g WHERE g % 100 BETWEEN 1 AND 50 AND g % 20 > 10'),
        'as the same query over the messages does');
};

subtest 'partitioned targets, triggers, foreign keys, defaults' => sub {
    my $topic = source('parts', 'id int, region text');
    sql(q{
        CREATE TABLE regions (name text PRIMARY KEY); INSERT INTO regions VALUES ('a'), ('b');
        CREATE TABLE parts (id int, region text REFERENCES regions, note text DEFAULT 'none', stamp int) PARTITION BY LIST (region);
        CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
        CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
        CREATE TABLE heard (id int);
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.stamp := NEW.id * 3; RETURN NEW; END $$;
        CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO heard VALUES (NEW.id); RETURN NULL; END $$;
        CREATE TRIGGER stamp BEFORE INSERT ON parts_a FOR EACH ROW EXECUTE FUNCTION stamp();
        CREATE CONSTRAINT TRIGGER hear AFTER INSERT ON parts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hear();
        SELECT kseg.stream_to_table('parts', 'SELECT id, region FROM parts_topic', 'public.parts')});
    $kafka->produce($topic, values_of(map { { id => $_, region => $_ % 2 ? 'a' : 'b' } } 1 .. 500));
    wait_until_settled('parts', $topic);
    is(sql('SELECT tableoid::regclass, count(*), sum(id), sum(stamp), min(note) FROM parts GROUP BY 1 ORDER BY 1'),
        "parts_a|250|62500|187500|none\nparts_b|250|62750||none", 'each row is where it belongs and what its triggers made of it');
    is(sql('SELECT count(*), sum(id) FROM heard'), '500|125250', 'deferred triggers have fired');
};

subtest 'row security and the owner' => sub {
    my $topic = source('secured', 'id int, tenant text');
    sql(q{
        CREATE ROLE keeper LOGIN; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA kseg TO keeper;
        GRANT USAGE ON FOREIGN SERVER kafka TO keeper; GRANT SELECT ON secured_topic TO keeper;
        CREATE TABLE secured (id int, tenant text, who text DEFAULT current_user); GRANT SELECT, INSERT ON secured TO keeper;
        ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
        CREATE POLICY ours ON secured TO keeper USING (tenant = 'ours') WITH CHECK (tenant = 'ours');
        -- what is meant for his sessions is not for his streams
        GRANT pg_monitor TO keeper; ALTER ROLE keeper SET role = pg_monitor; ALTER ROLE keeper SET exit_on_error = on});
    sql(q{SET ROLE keeper; SELECT kseg.stream_to_table('secured', 'SELECT id, tenant FROM public.secured_topic', 'public.secured')});
    $kafka->produce($topic, values_of(map { { id => $_, tenant => $_ == 50 ? 'theirs' : 'ours' } } 1 .. 100));
    wait_until_settled('secured', $topic);
    is(sql('SELECT count(*), count(*) FILTER (WHERE tenant = \'ours\'), min(who), max(who) FROM secured'), '99|99|keeper|keeper', 'rows are the owner\'s');
    is(sql(q{SELECT "offset" || ' ' || sqlstate FROM kseg.dead_letter WHERE stream = 'secured'}), '49 42501', 'what a policy refuses is a dead letter');
};

subtest 'a partition that is added is found' => sub {
    my $topic = source('grows', q{part int OPTIONS (meta 'partition'), number int});
    sql('CREATE TABLE grows (part int, number int)');
    sql(q{SELECT kseg.stream_to_table('grows', 'SELECT part, number FROM grows_topic', 'public.grows', start => 'latest')});
    wait_for_answer($node, q{SELECT begun FROM kseg.stream_entry WHERE name = 'grows'}, 't');
    $kafka->grow_topic($topic, 3);
    $kafka->produce($topic, map { { value => "{\"number\": $_}", partition => $_ % 3 } } 1 .. 30);
    wait_for_answer($node, 'SELECT count(*), sum(number), count(DISTINCT part) FROM grows', '30|465|3');
    pass('from its first message');
};

subtest 'transactions of producers: what is aborted never comes, and markers are passed' => sub {
    my $topic = source('exact', 'number int');
    sql('CREATE TABLE exact (number int)');
    sql(q{SELECT kseg.stream_to_table('exact', 'SELECT number FROM exact_topic', 'public.exact')});
    my $producer = $kafka->producer($topic, transactional_id => "exact-$$");
    for my $round (1 .. 6)
    {
        $producer->begin;
        $producer->send(numbers(10 * $round .. 10 * $round + 9));
        $producer->flush;
        $round % 2 ? $producer->abort : $producer->commit;
    }
    wait_for_answer($node, 'SELECT count(*), sum(number) FROM exact', '30|1335');
    # The last marker is the end of the log: the position comes to it although no message does.
    wait_until_settled('exact', $topic);
    pass('and the position comes to the end of the log');
};

subtest 'somebody else has moved a position: rows of the batch go with its transaction' => sub {
    my $topic = source('moved', q{at bigint OPTIONS (meta 'offset'), number int});
    sql('CREATE TABLE moved (at bigint, number int)');
    sql(q{SELECT kseg.stream_to_table('moved', 'SELECT at, number FROM moved_topic', 'public.moved')});
    $kafka->produce($topic, numbers(1 .. 100));
    wait_until_settled('moved', $topic);
    # As another worker would: rows and position together, while this one has the next messages in hand and waits for the row.
    my $other = session($node);
    $other->run(q{BEGIN; UPDATE kseg.position_entry SET next_offset = 150, seen_offset = -1, seen_time = -1
        WHERE stream = (SELECT id FROM kseg.stream_entry WHERE name = 'moved'); INSERT INTO moved SELECT g, g + 1 FROM generate_series(100, 149) g});
    my $from = -s $node->logfile;
    $kafka->produce($topic, numbers(101 .. 200));
    wait_for('the worker to wait for the other one', sub {
        my $said = sql(q{SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'kseg stream' AND query LIKE 'stream moved: applying%'});
        return ($said eq 'Lock', $said);
    });
    $other->run('COMMIT');
    wait_until_settled('moved', $topic);
    is(sql('SELECT count(*), count(DISTINCT at), sum(number) FROM moved'), '200|200|20100', 'no message is applied twice, none is lost');
    is(log_has($node, qr/position of a stream is not where its batch began/, $from), 1, 'and the log says what happened');
};

subtest 'a stream that is reset while its first positions are looked for' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('late'));
    $kafka->produce($topic, numbers(1 .. 100));
    sql(q{SELECT kseg.connect_kafka(bootstrap_servers => '127.0.0.1:1', security_protocol => 'plaintext', server => 'late', for_role => 'public')});
    sql("CREATE FOREIGN TABLE late_topic (number int) SERVER late OPTIONS (topic '$topic'); CREATE TABLE late (number int)");
    sql(q{SELECT kseg.stream_to_table('late', 'SELECT number FROM late_topic', 'public.late')});
    my $worker = q{FROM pg_stat_activity WHERE backend_type = 'kseg stream' AND query LIKE 'stream late:%'};
    wait_for_answer($node, "SELECT count(*) $worker AND wait_event_type IS DISTINCT FROM 'Lock'", 1);
    my $other = session($node);
    $other->run(q{BEGIN; SELECT kseg.reset_stream('late', 'latest')});
    sql("ALTER SERVER late OPTIONS (SET bootstrap_servers '" . $kafka->bootstrap . "')");
    sql("SELECT pg_terminate_backend(pid) $worker");
    wait_for_answer($node, "SELECT count(*) $worker AND wait_event_type = 'Lock'", 1);
    $other->run('COMMIT');
    wait_until_settled('late', $topic);
    $kafka->produce($topic, numbers(101 .. 110));
    wait_until_settled('late', $topic);
    is(sql('SELECT count(*), min(number) FROM late'), '10|101', 'it begins where the reset says');
};

subtest 'the worker of an idle stream wakes up at most twice a second' => sub {
    my ($pid) = split /\n/, sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'kseg stream' AND query LIKE 'stream plain:%'});
    my $switches = sub { my ($n) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m; return $n };
    # What else the machine does can wake it, too: what it does by itself is the least of three looks.
    my $woken = quickest(9, sub {
        my $before = $switches->();
        sql('SELECT pg_sleep(4)');
        return $switches->() - $before;
    });
    cmp_ok($woken, '<=', 8, "woken $woken times in 4 s");
};

done_testing();
