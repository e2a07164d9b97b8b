# needs: kafka
# What the functions that control streams promise while a worker is in the middle of something: nothing of what was before a reset outlives it,
# topics come and go, a stream's name is changed with its dead letters, and whoever listens hears of each change once.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('control');

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A topic with the messages 1 … $count, and a stream of the same name that has them in its table. arguments: of the stream
sub flowing
{
    my ($name, $count, %arguments) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name));
    $kafka->produce($topic, numbers(1 .. $count));
    topic_table($node, $kafka, $topic, $name);
    make_stream($node, $name, %arguments);
    wait_for_end($node, $kafka, $name, $topic);
    return $topic;
}

sub id_of { return sql("SELECT id FROM kseg.stream_entry WHERE name = '$_[0]'") }

# Waits until a process of this description waits for a lock.
sub wait_for_lock
{
    my ($where) = @_;
    return wait_for_answer($node, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND $where", 1);
}

# The worker has stored the first position of a new partition and has not committed; then the stream is changed by this statement. Returns what
# positions of it are there afterwards, and a session that keeps the worker from doing anything to the table.
sub change_while_position_is_stored
{
    my ($name, $topic, $statement) = @_;
    my $id = id_of($name);
    my $table = session($node);
    $table->run("BEGIN; LOCK TABLE $name IN ACCESS EXCLUSIVE MODE");
    # Whoever stores the same position waits for the end of this one.
    my $same = session($node);
    $same->run("BEGIN; INSERT INTO kseg.position_entry (stream, topic, partition, next_offset, seen_offset, seen_time) VALUES ($id, '$topic', 1, 0, -1, -1)");
    $kafka->grow_topic($topic, 2);
    $kafka->produce($topic, map { { value => "{\"number\": $_}", partition => 1 } } 11 .. 20);
    wait_for_lock(q{backend_type = 'kseg stream'});
    my $change = session($node);
    $change->start($statement);
    wait_for_lock('pid = ' . $change->pid);
    $same->run('ROLLBACK');
    is($change->finish->{err}, '', 'it waits for the worker');
    $_->quit for $same, $change;
    return (sql("SELECT count(*) FROM kseg.position_entry WHERE stream = $id"), $table);
}

subtest 'a reset while a position is being stored' => sub {
    my $topic = flowing('reset', 10);
    my ($left, $table) = change_while_position_is_stored('reset', $topic, q{SELECT kseg.reset_stream('reset', 'latest')});
    is($left, 0, 'no position outlives it');
    # What the worker has in hand is of before: its position is not there any more.
    $table->run('ROLLBACK');
    $table->quit;
    wait_for_answer($node, q{SELECT begun FROM kseg.stream_entry WHERE name = 'reset'}, 't');
    $kafka->produce($topic, map { { value => "{\"number\": $_}", partition => $_ % 2 } } 21 .. 30);
    wait_for_end($node, $kafka, 'reset', $topic);
    is(rows_of($node, 'reset'), rows_are(1 .. 10, 21 .. 30), 'no message of before the reset comes after it');
    sql(q{SELECT kseg.drop_stream('reset')});
};

subtest 'a drop while a position is being stored' => sub {
    my $topic = flowing('dropped', 10);
    my ($left, $table) = change_while_position_is_stored('dropped', $topic, q{SELECT kseg.drop_stream('dropped')});
    is($left, 0, 'none is left');
    $table->run('ROLLBACK');
    $table->quit;
    wait_for_workers($node, undef, 0);
    is(sql(q{SELECT count(*) FROM kseg.position_entry}), 0, 'nor comes later');
    is(rows_of($node, 'dropped'), rows_are(1 .. 10), 'nor a message');
};

subtest 'a reset by a transaction that cannot see a position' => sub {
    my $topic = flowing('repeatable', 10);
    my $old = session($node);
    $old->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM kseg.stream_entry');
    $kafka->grow_topic($topic, 2);
    wait_for_answer($node, q{SELECT count(*) FROM kseg.position WHERE stream = 'repeatable'}, 2);
    like($old->run(q{SELECT kseg.reset_stream('repeatable', 'latest')})->{err}, qr/ERROR:  could not serialize access/, 'fails, rather than leave it');
    $old->quit;
    sql(q{SELECT kseg.drop_stream('repeatable')});
};

subtest 'TRUNCATE and reset in one transaction' => sub {
    my $topic = flowing('again', 500, batch_rows => 10);
    for my $round (1 .. 5)
    {
        $kafka->produce($topic, numbers(500 + 100 * ($round - 1) + 1 .. 500 + 100 * $round));
        # In the middle of batches of ten.
        my ($code, $out, $err) = $node->psql('postgres', q{BEGIN; TRUNCATE again; SELECT kseg.reset_stream('again', 'earliest'); COMMIT});
        is($err, '', "round $round: no deadlock");
    }
    wait_for_answer($node, q{SELECT begun FROM kseg.stream_entry WHERE name = 'again'}, 't');
    wait_for_end($node, $kafka, 'again', $topic);
    is(rows_of($node, 'again'), rows_are(1 .. 1000), 'each message once');
    is(log_has($node, qr/deadlock/), 0, 'nor has anybody else met one');
    sql(q{SELECT kseg.drop_stream('again')});
};

subtest 'topics that are not read any more, and are again' => sub {
    my $one = flowing('topics', 10);
    my $two = $kafka->create_topic($kafka->topic_unique('two'));
    $kafka->produce($two, numbers(101 .. 110));
    sql("SELECT kseg.alter_stream('topics', topics => '{$one,$two}')");
    wait_for_end($node, $kafka, 'topics', [ $one, $two ]);
    sql("SELECT kseg.alter_stream('topics', topics => '{$one}')");
    wait_for_answer($node, qq{SELECT followed FROM kseg.position_entry WHERE topic = '$two'}, 'f');
    $kafka->produce($two, numbers(111 .. 120));
    $kafka->produce($one, numbers(11 .. 20));
    wait_for_answer($node, q{SELECT messages || ' ' || lag_messages || ' ' || topic_end FROM kseg.stream_status WHERE stream = 'topics'}, '10 0 20');
    my $stream = stream_of($node, 'topics');
    is_deeply([ @{$stream}{qw(state position)} ], [ 'running', { $one => { 0 => 20 } } ], 'the other one counts for nothing');
    is(sql(qq{SELECT "offset" FROM kseg.position WHERE topic = '$two'}), 10, 'but is not forgotten');

    sql("SELECT kseg.alter_stream('topics', topics => '{$one,$two}')");
    wait_for_end($node, $kafka, 'topics', [ $one, $two ]);
    is(sql('SELECT count(*), sum(number) FROM topics'), '40|' . (210 + 2210), 'it goes on from where it was');
    is_deeply(stream_of($node, 'topics')->{position}, { $one => { 0 => 20 }, $two => { 0 => 20 } }, 'and counts again');

    sql("SELECT kseg.alter_stream('topics', topics => '{$one}')");
    wait_for_answer($node, qq{SELECT followed FROM kseg.position_entry WHERE topic = '$two'}, 'f');
    $kafka->produce($two, numbers(121 .. 130));
    $kafka->delete_records($two, 0, 25);
    $kafka->produce($one, numbers(21 .. 30));
    wait_for_end($node, $kafka, 'topics', $one);
    is(state_of($node, 'topics'), 'running', 'what is lost of a topic that nobody reads is no gap');
    sql("SELECT kseg.alter_stream('topics', topics => '{$one,$two}')");
    wait_for_state($node, 'topics', 'gap');
    like(halt_of($node, 'topics'), qr/Partition 0 was to be read at offset 20\b/, 'but it is when it is read again');
    sql(q{SELECT kseg.drop_stream('topics')});
};

subtest 'messages that say they are old' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('old'), config => { 'retention.ms' => -1 });
    my $then = 1_672_531_200_000;    # 2023
    $kafka->produce($topic, map { { value => "{\"number\": $_}", timestamp => $then + $_ } } 1 .. 100);
    topic_table($node, $kafka, $topic, 'old');
    make_stream($node, 'old');
    $kafka->produce($topic, map { { value => "{\"number\": $_}", timestamp => $then - $_ } } 101 .. 200);
    wait_for_end($node, $kafka, 'old', $topic);
    is(rows_of($node, 'old'), rows_are(1 .. 200), 'all come while they are there');
    # The first ones are gone before anything was read: a stream that is new begins behind them.
    $kafka->delete_records($topic, 0, 50);
    topic_table($node, $kafka, $topic, 'older');
    make_stream($node, 'older');
    wait_for_end($node, $kafka, 'older', $topic);
    is(rows_of($node, 'older'), rows_are(51 .. 200), 'and a stream that is new begins with what is there');
    sql(q{SELECT kseg.drop_stream(s) FROM unnest(ARRAY['old', 'older']) s});
};

# What was heard since the last call, as "stream state" or "stream state message".
sub heard
{
    my ($listener) = @_;
    my @payloads = map { KsegTest::_json()->decode($_) } $listener->run('SELECT 1')->{out} =~ /"kseg_stream" with payload "(\{.*\})" received/g;
    return map { join ' ', grep { defined } @{$_}{qw(stream state message)} } @payloads;
}

# Waits until exactly these were heard, since the last call.
sub hears
{
    my ($listener, $name, @expected) = @_;
    my @all;
    wait_for($name, sub { push @all, heard($listener); return (@all >= @expected, \@all) });
    return is_deeply(\@all, \@expected, $name);
}

subtest 'whoever listens hears of it' => sub {
    my $listener = session($node);
    $listener->run('LISTEN kseg_stream');
    my $topic = $kafka->create_topic($kafka->topic_unique('heard'));
    topic_table($node, $kafka, $topic, 'heard');
    sql(q{CREATE TABLE broken (yes bool); INSERT INTO broken VALUES (false);
        CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT yes FROM public.broken) THEN RAISE 'no room for %', NEW.number USING ERRCODE = 'disk_full'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER break BEFORE INSERT ON heard FOR EACH ROW EXECUTE FUNCTION break()});
    make_stream($node, 'heard');
    hears($listener, 'made', 'heard starting', 'heard running');
    sql('UPDATE broken SET yes = true');
    $kafka->produce($topic, numbers(1 .. 10));
    wait_for_answer($node, q{SELECT sum(failures) >= 3 FROM kseg.stream_slots()}, 't');
    sql('UPDATE broken SET yes = false');
    wait_for_end($node, $kafka, 'heard', $topic);
    # Without the trigger's words, which may tell what is in a message.
    hears($listener, 'failing, once, and not any more', 'heard retrying a batch could not be applied (SQLSTATE 53100); kseg.stream_status says why', 'heard running');
    sql(q{SELECT kseg.stop_stream('heard')});
    hears($listener, 'stopped', 'heard stopped');
    sql(q{SELECT kseg.start_stream('heard')});
    hears($listener, 'started', 'heard starting', 'heard running');
    $kafka->produce($topic, '{"number": "none"}');
    wait_for_end($node, $kafka, 'heard', $topic);
    sql(q{SELECT kseg.alter_stream('heard', new_name => 'listened')});
    hears($listener, 'renamed', 'heard renamed listened', 'listened running');
    $kafka->produce($topic, '{"number": "none, too"}');
    wait_for_end($node, $kafka, 'listened', $topic);
    is(sql(q{SELECT stream, count(*) FROM kseg.dead_letter GROUP BY 1}), 'listened|2', 'its dead letters have the new name, those that were there too');
    sql('ALTER TABLE heard DROP COLUMN number');
    $kafka->produce($topic, numbers(11));
    wait_for_state($node, 'listened', 'failed');
    my @heard;
    wait_for('the halt to be heard', sub { push @heard, heard($listener); return (scalar @heard, "@heard") });
    my ($failed, @more) = @heard;
    like($failed, qr/^listened failed .*number/, 'halted');
    is("@more", '', 'once');
    sql(q{SELECT kseg.drop_stream('listened')});
    hears($listener, 'dropped', 'listened dropped');
};

subtest 'dead letters that are too old go without new ones' => sub {
    sql(q{INSERT INTO kseg.dead_letter_entry (stream, run_by, server, call, reason, created) VALUES
        ('gone', 'nobody', 'kafka', 'stream', 'old', now() - interval '1000 days'), ('gone', 'nobody', 'kafka', 'stream', 'new', now())});
    my $topic = flowing('quiet', 1);
    wait_for_answer($node, q{SELECT string_agg(reason, ' ') FROM kseg.dead_letter_entry WHERE stream = 'gone'}, 'new');
    is(sql(q{SELECT dead_letters FROM kseg.stream_status}), 0, 'with a stream that has none');
};

done_testing();
