# needs: kafka
# needs: faults
# Something stands still, or is away for a while: the broker, the courier, the worker. The stream says what it waits for, everything else goes
# on, and afterwards all messages are there, once.
use strict;
use warnings;
use POSIX ();
use KsegTest;
use KsegKafka;
use KsegStream;
use KsegFault;

my $shared = kafka_broker();
my $kafka  = kafka_broker(nodes => 1, heap => 384);
my $node   = stream_cluster('stalls', new => { install_path => fault_installation() });
my %sent;
my %topic;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A topic of two partitions, whose client gives up on a broker soon.
sub made
{
    my ($name, $broker, %arguments) = @_;
    $topic{$name} = $broker->create_topic($broker->topic_unique($name), partitions => 2);
    topic_table($node, $broker, $topic{$name}, $name);
    sql("ALTER SERVER kafka_$name OPTIONS (ADD connect_timeout '1', ADD request_timeout '1')");
    make_stream($node, $name, %arguments);
    $sent{$name} = 0;
    return;
}

sub send_more
{
    my ($name, $broker, $count) = @_;
    $broker->produce($topic{$name}, map { { value => "{\"number\": $_}", partition => $_ % 2 } } $sent{$name} + 1 .. $sent{$name} + $count);
    $sent{$name} += $count;
    return;
}

sub all_there
{
    my ($name, $words) = @_;
    wait_for_answer($node, "SELECT count(*) >= $sent{$name} FROM $name", 't');
    is(rows_of($node, $name), rows_are(1 .. $sent{$name}), $words);
    return is(letters_of($node, $name), 0, 'and no message was to blame');
}

# The rest of the world goes on: another stream, of another broker.
sub other_goes_on
{
    send_more('other', $shared, 100);
    return all_there('other', 'another stream goes on');
}

made('other', $shared);
made('mine',  $kafka);
send_more('mine', $kafka, 500);
all_there('mine', 'both run');
other_goes_on();

subtest 'the broker stands still beyond every timeout' => sub {
    my $pid = stream_of($node, 'mine')->{pid};
    $kafka->pause_node(1);
    wait_for_trouble($node, 'mine', qr/^no Kafka broker can be reached\. .*Check that the Kafka brokers are up/);
    my $stream = stream_of($node, 'mine');
    is("$stream->{state} $stream->{workers_running} $stream->{pid}", "running 1 $pid", 'the stream says so, in the same process');
    other_goes_on();
    $kafka->resume_node(1);
    send_more('mine', $kafka, 500);
    all_there('mine', 'afterwards all is there');
    wait_for_trouble($node, 'mine', qr/^$/);
    is(stream_of($node, 'mine')->{pid}, $pid, 'in the same process');
};

subtest 'in the middle of messages' => sub {
    send_more('mine', $kafka, 30_000);
    wait_for_answer($node, 'SELECT count(*) > 1000 FROM mine', 't');
    $kafka->pause_node(1);
    wait_for_trouble($node, 'mine', qr/^no Kafka broker can be reached/);
    $kafka->resume_node(1);
    all_there('mine', 'all is there');
};

subtest 'the broker is down, and streams are told things meanwhile' => sub {
    $kafka->kill_node(1);
    wait_for_trouble($node, 'mine', qr/^no Kafka broker can be reached/);
    sql(q{SELECT kseg.stop_stream('mine')});
    my $began = time;
    wait_for_state($node, 'mine', 'stopped');
    cmp_ok(time - $began, '<=', 5, 'a stream that waits for its broker can be stopped');
    sql(q{SELECT kseg.start_stream('mine')});
    my $stream = wait_for_trouble($node, 'mine', qr/^no Kafka broker can be reached/);
    is(state_of($node, 'mine'), 'starting', 'and started: then it is starting');
    # One that is new, and one that is reset.
    topic_table($node, $kafka, $topic{mine}, 'late');
    sql(q{ALTER SERVER kafka_late OPTIONS (ADD connect_timeout '1', ADD request_timeout '1')});
    make_stream($node, 'late');
    wait_for_trouble($node, 'late', qr/^no Kafka broker can be reached/);
    sql(q{SELECT kseg.reset_stream('late', 'earliest')});
    other_goes_on();
    $kafka->restart_node(1);
    send_more('mine', $kafka, 500);
    all_there('mine', 'it goes on with the broker');
    $sent{late} = $sent{mine};
    all_there('late', 'the new one too');
    wait_for_state($node, 'mine', 'running');
    wait_for_trouble($node, $_, qr/^$/) for qw(mine late);
    sql(q{SELECT kseg.drop_stream('late')});
};

subtest 'a courier stands still beyond every timeout' => sub {
    my $stream = stream_of($node, 'mine');
    my ($courier) = couriers_of($stream->{pid});
    # While it reads: the second half of what is sent comes when it goes on.
    send_more('mine', $kafka, 10_000);
    kill 'STOP', $courier;
    send_more('mine', $kafka, 10_000);
    other_goes_on();
    # A second each for connection and request.
    my $stopped = time;
    wait_for('the timeouts of its client to be over', sub { return time - $stopped > 3 });
    is(state_of($node, 'mine'), 'running', 'for so long it may be one that has nothing to say');
    kill 'CONT', $courier;
    all_there('mine', 'it goes on');

    # Beyond our own limit: half a minute, here six times half a second.
    plant_faults($node, 'courier limit is 500');
    sql(q{SELECT kseg.stop_stream('mine')});
    wait_for_state($node, 'mine', 'stopped');
    sql(q{SELECT kseg.start_stream('mine')});
    $stream = wait_for_state($node, 'mine', 'running');
    ($courier) = couriers_of($stream->{pid});
    my $from = -s $node->logfile;
    kill 'STOP', $courier;
    send_more('mine', $kafka, 1000);
    wait_for_log($node, qr/stream "mine" waits and tries again: kseg's courier has said nothing for \d+ ms/, $from);
    wait_until_gone('the courier', [$courier]);
    all_there('mine', 'another one goes on');
    is(stream_of($node, 'mine')->{pid}, $stream->{pid}, 'of the same worker');
    plant_faults($node);

    ($courier) = couriers_of($stream->{pid});
    kill 'STOP', $courier;
    sql(q{SELECT kseg.stop_stream('mine')});
    wait_for_state($node, 'mine', 'stopped');
    wait_until_gone('the courier', [$courier]);
    pass('and such a stream can be stopped; the courier goes with it');
    sql(q{SELECT kseg.start_stream('mine')});
    send_more('mine', $kafka, 100);
    all_there('mine', 'and started');
};

subtest 'a worker stands still, and is told to stop and to start again' => sub {
    my $stream = wait_for_state($node, 'mine', 'running');
    kill 'STOP', $stream->{pid};
    send_more('mine', $kafka, 20_000);
    other_goes_on();
    # Told to stop it does so when it goes on, after its batch; until then nobody else reads for it.
    sql(q{SELECT kseg.stop_stream('mine')});
    wait_for_state($node, 'mine', 'stopping');
    sql(q{SELECT kseg.start_stream('mine')});
    is(scalar(grep { $_ == $stream->{pid} } workers_of($node)), 1, 'the process is still there');
    kill 'CONT', $stream->{pid};
    all_there('mine', 'all is there once');
    wait_for_state($node, 'mine', 'running');
};

subtest 'a worker stands still with a batch in hand, while another session moves its position' => sub {
    my $from = -s $node->logfile;
    plant_fault($node, 'after read', 'stop');
    send_more('mine', $kafka, 1000);
    my $pid = stopped_at($node, 'after read', $from);
    # Forward, behind what the worker has in hand, and what it would have read next.
    sql(q{SELECT kseg.reset_stream('mine', 'latest')});
    other_goes_on();
    is(wait_for_state($node, 'mine', 'stopping')->{pid}, $pid, 'its process is told to end');
    kill 'CONT', $pid;
    wait_until_gone('the worker of before', [$pid]);
    wait_for_log($node, qr/stream "mine" waits and tries again: the position of a stream is not where its batch began/, $from);
    wait_for_state($node, 'mine', 'running');
    is(rows_of($node, 'mine'), rows_are(1 .. $sent{mine} - 1000), 'its batch is not applied');
    # To have them after all, and nothing twice, it is reset to where it was.
    sql(qq{SELECT kseg.reset_stream('mine', '{"0": @{[ ($sent{mine} - 1000) / 2 ]}, "1": @{[ ($sent{mine} - 1000) / 2 ]}}')});
    all_there('mine', 'read again from where it was, all is there once');
};

# Is a signal on its way to a process that takes none now?
sub is_pending
{
    my ($pid, $signal) = @_;
    my ($pending) = slurp_file("/proc/$pid/status") =~ /^ShdPnd:\s+([0-9a-f]+)/m;
    return hex(substr $pending, -8) >> ($signal - 1) & 1;
}

# A worker that was told to end, and stands still, comes to the end of our own limit (60 s; here a second).
sub pressed
{
    my ($pid) = @_;
    is(wait_for_state($node, 'mine', 'stopping')->{pid}, $pid, 'the stream is stopping, in that process');
    wait_for("SIGTERM to $pid", sub { return is_pending($pid, POSIX::SIGTERM()) });
    is(stream_of($node, 'mine')->{state}, 'stopping', 'told with more force it is stopping still');
    return other_goes_on();
}

subtest 'a worker that was told to end stands still beyond the limit' => sub {
    my $pid = wait_for_state($node, 'mine', 'running')->{pid};
    plant_faults($node, 'stop limit is 1000');
    kill 'STOP', $pid;
    send_more('mine', $kafka, 1000);
    sql(q{SELECT kseg.stop_stream('mine')});
    pressed($pid);
    kill 'CONT', $pid;
    wait_until_gone('the worker', [$pid]);
    wait_for_state($node, 'mine', 'stopped');
    is(rows_of($node, 'mine'), rows_are(1 .. $sent{mine} - 1000), 'stopped as asked, behind its last batch');
    sql(q{SELECT kseg.start_stream('mine')});
    all_there('mine', 'started it goes on there');
};

subtest 'the same in its transaction, and the stream is wanted again' => sub {
    my $from = -s $node->logfile;
    plant_faults($node, 'before commit stop', 'stop limit is 1000');
    send_more('mine', $kafka, 1000);
    my $pid = stopped_at($node, 'before commit', $from);
    sql(q{SELECT kseg.stop_stream('mine')});
    wait_for_state($node, 'mine', 'stopping');
    sql(q{SELECT kseg.start_stream('mine')});
    pressed($pid);
    kill 'CONT', $pid;
    wait_until_gone('the worker', [$pid]);
    all_there('mine', 'another one goes on, and all is there once');
    isnt(wait_for_state($node, 'mine', 'running')->{pid}, $pid, 'in another process');
    plant_faults($node);
};

subtest 'a worker stands still in the middle of a batch' => sub {
    # Its transaction holds the positions: whoever resets the stream waits for it. In one batch, which is applied when it is full.
    sql(q{SELECT kseg.stop_stream('mine')});
    wait_for_state($node, 'mine', 'stopped');
    sql(q{SELECT kseg.alter_stream('mine', batch_interval => '1 hour', batch_rows => 1000); SELECT kseg.start_stream('mine')});
    wait_for_state($node, 'mine', 'running');
    my $gate = session($node);
    $gate->run('BEGIN; LOCK TABLE mine IN SHARE MODE');
    send_more('mine', $kafka, 1000);
    my $pid = stream_of($node, 'mine')->{pid};
    wait_for_answer($node, "SELECT wait_event_type || ' ' || query FROM pg_stat_activity WHERE pid = $pid", 'Lock stream mine: applying 1000 messages');
    kill 'STOP', $pid;
    $gate->run('COMMIT');
    my $resetter = session($node);
    $resetter->start(q{SELECT kseg.reset_stream('mine', 'latest')});
    other_goes_on();
    kill 'CONT', $pid;
    is($resetter->finish->{err}, '', 'reset_stream comes through');
    wait_for_state($node, 'mine', 'running');
    wait_for_end($node, $kafka, 'mine', $topic{mine});
    # Either the batch was first, or the reset, which passes it over.
    my $rows = rows_of($node, 'mine');
    my ($before, $after) = (rows_are(1 .. $sent{mine} - 1000), rows_are(1 .. $sent{mine}));
    ok($rows eq $before || $rows eq $after, "the batch is there whole or not at all: $rows");
    sql(q{SELECT kseg.alter_stream('mine', batch_interval => '0')});
    send_more('mine', $kafka, 100);
    wait_for_end($node, $kafka, 'mine', $topic{mine});
    is(sql("SELECT count(*) FROM mine WHERE number > $sent{mine} - 100"), 100, 'and the stream goes on');
    is(sql('SELECT count(*) = count(DISTINCT (part, at)) FROM mine'), 't', 'nothing is there twice');
};

done_testing();
