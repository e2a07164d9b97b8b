# needs: kafka
# Something stands still, or is away for a while: the broker, the courier, the worker. The stream says what it waits for, everything else goes
# on, and afterwards all messages are there, once.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $shared = kafka_broker();
my $kafka  = kafka_broker(nodes => 1, heap => 384);
my $node   = stream_cluster('stalls');
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

sub wait_for_trouble
{
    my ($name, $pattern) = @_;
    return wait_for("trouble of stream $name", sub {
        my $stream = stream_of($node, $name);
        return (scalar(($stream->{trouble} // '') =~ $pattern), $stream);
    });
}

made('other', $shared);
made('mine',  $kafka);
send_more('mine', $kafka, 500);
all_there('mine', 'both run');
other_goes_on();

subtest 'the broker stands still beyond every timeout' => sub {
    my $pid = stream_of($node, 'mine')->{pid};
    $kafka->pause_node(1);
    wait_for_trouble('mine', qr/^no Kafka broker can be reached\. .*Check that the Kafka brokers are up/);
    my $stream = stream_of($node, 'mine');
    is("$stream->{state} $stream->{workers_running} $stream->{pid}", "running 1 $pid", 'the stream says so, in the same process');
    other_goes_on();
    $kafka->resume_node(1);
    send_more('mine', $kafka, 500);
    all_there('mine', 'afterwards all is there');
    wait_for_trouble('mine', qr/^$/);
    is(stream_of($node, 'mine')->{pid}, $pid, 'in the same process');
};

subtest 'in the middle of messages' => sub {
    send_more('mine', $kafka, 30_000);
    wait_for_answer($node, 'SELECT count(*) > 1000 FROM mine', 't');
    $kafka->pause_node(1);
    wait_for_trouble('mine', qr/^no Kafka broker can be reached/);
    $kafka->resume_node(1);
    all_there('mine', 'all is there');
};

subtest 'the broker is down, and streams are told things meanwhile' => sub {
    $kafka->kill_node(1);
    wait_for_trouble('mine', qr/^no Kafka broker can be reached/);
    sql(q{SELECT kseg.stop_stream('mine')});
    my $began = time;
    wait_for_state($node, 'mine', 'stopped');
    cmp_ok(time - $began, '<=', 5, 'a stream that waits for its broker can be stopped');
    sql(q{SELECT kseg.start_stream('mine')});
    my $stream = wait_for_trouble('mine', qr/^no Kafka broker can be reached/);
    is(state_of($node, 'mine'), 'starting', 'and started: then it is starting');
    # One that is new, and one that is reset.
    topic_table($node, $kafka, $topic{mine}, 'late');
    sql(q{ALTER SERVER kafka_late OPTIONS (ADD connect_timeout '1', ADD request_timeout '1')});
    make_stream($node, 'late');
    wait_for_trouble('late', qr/^no Kafka broker can be reached/);
    sql(q{SELECT kseg.reset_stream('late', 'earliest')});
    other_goes_on();
    $kafka->restart_node(1);
    send_more('mine', $kafka, 500);
    all_there('mine', 'it goes on with the broker');
    $sent{late} = $sent{mine};
    all_there('late', 'the new one too');
    wait_for_state($node, 'mine', 'running');
    wait_for_trouble($_, qr/^$/) for qw(mine late);
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
    is(state_of($node, 'mine'), 'running', 'nobody can tell it from one that has nothing to say');
    kill 'CONT', $courier;
    all_there('mine', 'it goes on');
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

subtest 'a worker stands still, while another session moves its position' => sub {
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

subtest 'a worker stands still in the middle of a batch' => sub {
    # Its transaction holds the positions: whoever resets the stream waits for it.
    my $gate = session($node);
    $gate->run('BEGIN; LOCK TABLE mine IN SHARE MODE');
    send_more('mine', $kafka, 1000);
    my $pid = stream_of($node, 'mine')->{pid};
    wait_for_answer($node, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid", 'Lock');
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
    send_more('mine', $kafka, 100);
    wait_for_end($node, $kafka, 'mine', $topic{mine});
    is(sql("SELECT count(*) FROM mine WHERE number > $sent{mine} - 100"), 100, 'and the stream goes on');
    is(sql('SELECT count(*) = count(DISTINCT (part, at)) FROM mine'), 't', 'nothing is there twice');
};

done_testing();
