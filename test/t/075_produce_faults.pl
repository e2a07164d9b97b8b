# needs: kafka
# long: brokers that go and come back
# Brokers that are absent, go, come back, stand still or refuse while a run produces: it waits and finishes, or fails in clear
# words; nothing is lost, nothing comes twice, and each partition has its order. Counted by a reader that is none of ours.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use KsegKafka;
use KsegKafkaRun;

our $kafka  = kafka_broker(nodes => 1);
my $node    = new_cluster('produce_faults');
my $gate    = gate($node);
my $session = run_session($node);
my $other   = run_session($node);
my $pid     = $session->pid;
my ($port)  = $kafka->bootstrap =~ /:(\d+)$/;
my $figures_text = qr/Run [0-9a-f-]{36}: (\d+) rows, (\d+) sent, 0 repeated, (\d+) invalid, (\d+) rejected, (\d+) open, \d+ retries\./;

connect_kafka($node, kafka_broker(), server => 'shared');

sub new_topic { my ($what, %options) = @_; return $kafka->create_topic($kafka->topic_unique($what), partitions => 3, %options) }

# Starts a run of so many messages, of which the last cannot leave before the gate is opened, and waits until some are there.
sub start_held
{
    my ($count, %arguments) = @_;
    $gate->close;
    $session->start(produce(numbered($count, $count), %arguments));
    wait_for_phase($node, $pid, 'sending', sub { $_[0]{sent} >= 3000 });
    return;
}

# The same in a transaction: that something has arrived only others can tell.
sub start_transaction
{
    my ($topic) = @_;
    $gate->close;
    $session->start(produce(numbered(60000, 60000), topic => $topic, transactional => 'true'));
    wait_for('messages of a transaction', sub { my $count = arrived($kafka, $topic, 'read_uncommitted')->{count}; return ($count > 0, $count) });
    return;
}

# Another session's work goes on, whatever a run is waiting for.
sub bystander_ok
{
    my ($name) = @_;
    is($other->run('CREATE TEMP TABLE t AS SELECT 1 AS a; UPDATE t SET a = a + 1; SELECT a FROM t; DROP TABLE t')->{out}, '2', "$name: another session works");
    my $shared = kafka_broker();
    my $topic  = $shared->create_topic($shared->topic_unique('bystander'));
    is(figures($other->run(produce(numbered(1000), topic => $topic, server => 'shared')))->{sent}, 1000, "$name: and sends elsewhere");
    return;
}

sub finished_ok
{
    my ($name, $topic, $count) = @_;
    my $result  = $session->finish;
    my $figures = failure($result) ? { %{ failure($result) } } : figures($result);
    is_deeply([ @$figures{qw(rows sent invalid rejected)} ], [ $count, $count, 0, 0 ], "$name: the run sends everything") or diag(explain($figures));
    is_deeply(arrived($kafka, $topic), all_arrived($count), "$name: everything has arrived, once and in order");
    is_deeply([ couriers_of($pid) ], [], "$name: no courier is left");
    return $figures;
}

subtest 'gone midway, and back' => sub {
    my $topic = new_topic('back');
    connect_kafka($node, $kafka, max_queue_messages => 1000);
    start_held(60000, topic => $topic);
    $kafka->kill_node(1);
    $gate->open;
    my $stuck = wait_until_stuck();
    cmp_ok($stuck->{rows} - $stuck->{sent}, '<=', 2000, 'the query waits with no more than the queue and a frame');
    bystander_ok('a broker is gone');
    $kafka->restart_node(1);
    finished_ok('back', $topic, 60000);
};

# Waits until the query waits for the broker: nothing moves any more. Returns the progress.
sub wait_until_stuck
{
    my $before;
    return wait_for('run without progress', sub {
        my $event = $node->safe_psql('postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid");
        my $now   = progress_of($node, $pid);
        my $same  = $event eq 'Extension' && $before && $before->{rows} == $now->{rows} && $before->{sent} == $now->{sent};
        $before = $now;
        return ($same, $now);
    });
}

subtest 'gone with the last messages on their way, and back' => sub {
    my $topic = new_topic('last');
    # All of them fit into the queue: the query can end while the broker stands still.
    connect_kafka($node, $kafka, max_queue_messages => 20000);
    $gate->close;
    $session->start(produce(numbered(10000, 10000), topic => $topic));
    wait_for('messages of a run', sub { my $there = arrived($kafka, $topic)->{count}; return ($there > 0, $there) });
    $kafka->pause_node(1);
    $gate->open;
    wait_for_phase($node, $pid, 'finishing', sub { $_[0]{in_flight} > 0 });
    $kafka->kill_node(1);
    $kafka->restart_node(1);
    finished_ok('last messages', $topic, 10000);
};

subtest 'paused for longer than requests may take' => sub {
    my $topic = new_topic('paused');
    connect_kafka($node, $kafka, max_queue_messages => 1000, request_timeout => '1s');
    start_held(60000, topic => $topic);
    $kafka->pause_node(1);
    $gate->open;
    wait_until_stuck();
    # What was sent before is in the broker's socket, and will be sent once more: on another connection, when requests have timed out.
    my %before = map { $_ => 1 } connections_to($port);
    wait_for('another connection to the broker', sub {
        my @now = grep { !$before{$_} } connections_to($port);
        return (scalar @now, "@now");
    });
    $kafka->resume_node(1);
    my $figures = finished_ok('paused', $topic, 60000);
    cmp_ok($figures->{retries}, '>', 0, 'and tells that requests were repeated');
};

subtest 'paused for longer than message_timeout' => sub {
    for my $on_failure ('error', 'report')
    {
        my $topic = new_topic('expired');
        connect_kafka($node, $kafka, max_queue_messages => 1000, message_timeout => '2s', request_timeout => '1s');
        start_held(60000, topic => $topic, on_failure => $on_failure);
        $kafka->pause_node(1);
        $gate->open;
        my $result = $session->finish;
        $kafka->resume_node(1);
        my ($rows, $sent);
        if ($on_failure eq 'error')
        {
            my $failure = failure($result) // {};
            is($failure->{code}, '08006', 'SQLSTATE');
            is($failure->{message}, 'could not send messages to Kafka within 2000 ms', 'message');
            like($failure->{detail}, qr/^The first message that was not acknowledged is of row \d+\. librdkafka says: .+ $figures_text$/, 'detail');
            like($failure->{hint}, qr/"message_timeout"/, 'hint');
            my ($invalid, $rejected, $open);
            ($rows, $sent, $invalid, $rejected, $open) = $failure->{detail} =~ $figures_text;
            is("$invalid $rejected $open", '0 0 ' . ($rows - $sent), 'rows that are not settled are open');
        }
        else
        {
            my $figures = figures($result);
            ($rows, $sent) = @$figures{qw(rows sent)};
            is("$figures->{invalid} $figures->{rejected} $figures->{first_problem}", '0 0 could not send messages to Kafka within 2000 ms', 'reported');
            my ($entry) = $other->rows("SELECT sent, open, rejected, failure FROM kseg.run WHERE run = '$figures->{run}'");
            is_deeply($entry, { sent => $sent, open => $rows - $sent, rejected => 0, failure => 'could not send messages to Kafka within 2000 ms' }, 'and recorded');
            is(warning_of($result), undef, 'no row is said to be undeliverable');
        }
        is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.dead_letter'), '0', 'there are no dead letters');
        # What the broker had in its socket may arrive without an acknowledgement. It has all that was acknowledged.
        my $arrived = arrived($kafka, $topic);
        cmp_ok($arrived->{count}, '>=', $sent, 'what was told as sent is there');
        cmp_ok($arrived->{count}, '<=', $rows, 'and no more than was read');
        is("$arrived->{twice} $arrived->{late}", '0 0', 'once and in order');
    }
};

subtest 'absent, and coming' => sub {
    my $topic = new_topic('coming');
    $kafka->kill_node(1);
    for my $on_failure ('error', 'report')
    {
        connect_kafka($node, $kafka, connect_timeout => '1s', max_queue_messages => 1000);
        my $result = $session->run(produce(numbered(20000), topic => $topic, on_failure => $on_failure));
        cmp_ok($result->{seconds}, '>=', 1, "$on_failure: connect_timeout is waited for");
        if ($on_failure eq 'error')
        {
            my $failure = failure($result) // {};
            is("$failure->{code} $failure->{message}", '08006 could not reach a Kafka broker within 1000 ms', 'error');
            like($failure->{detail}, qr/127\.0\.0\.1:$port\b.*Connection refused.* $figures_text/s, 'which address, and what is wrong with it');
            my ($rows, $sent, $invalid, $rejected, $open) = $failure->{detail} =~ $figures_text;
            is("$sent $invalid $rejected $open", "0 0 0 $rows", 'nothing was sent, everything is open');
            cmp_ok($rows, '<=', 2000, 'of what the queue takes');
            like($failure->{hint}, qr/"bootstrap_servers".*"connect_timeout"/, 'hint');
        }
        else
        {
            my $figures = figures($result);
            is("$figures->{sent} $figures->{rejected} $figures->{first_problem}", '0 0 could not reach a Kafka broker within 1000 ms', 'reported');
        }
        is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.dead_letter'), '0', 'no dead letters');
    }
    connect_kafka($node, $kafka, connect_timeout => '5min', max_queue_messages => 1000);
    $session->start(produce(numbered(20000), topic => $topic));
    wait_until_held($node, $pid);
    bystander_ok('a broker is awaited');
    $kafka->restart_node(1);
    finished_ok('one that comes in time', $topic, 20000);
};

subtest 'no such topic' => sub {
    connect_kafka($node, $kafka);
    my $failure = failure($session->run(produce(numbered(1000), topic => 'nothing-here'))) // {};
    is("$failure->{code} $failure->{message}", 'HV000 could not use topic "nothing-here"', 'error');
    like($failure->{detail}, qr/^There is no such topic, or the Kafka user may not see it\. $figures_text$/, 'detail');
    like($failure->{hint}, qr/^Create the topic first/, 'hint');
    unlike($kafka->kcat(['-L'])->{out}, qr/nothing-here/, 'and none was made');
};

subtest 'a topic that is deleted midway' => sub {
    my $topic = new_topic('deleted');
    connect_kafka($node, $kafka, max_queue_messages => 1000, message_timeout => '20s');
    start_held(60000, topic => $topic);
    $kafka->delete_topic($topic);
    $gate->open;
    my $failure = failure($session->finish) // {};
    # librdkafka 2.14 waits for the topic to come back, for as long as a message may wait; those before it do not.
    my $words = KsegKafka::client_version() ge '02.10.00' ? '08006 could not send messages to Kafka within 20000 ms' : "HV000 could not use topic \"$topic\"";
    is("$failure->{code} $failure->{message}", $words, 'the run fails');
    my ($rows, $sent, $invalid, $rejected, $open) = ($failure->{detail} // '') =~ $figures_text;
    is("$rejected $open", '0 ' . ($rows - $sent), 'what was not acknowledged is open');
    is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.dead_letter'), '0', 'no dead letters');
    is_deeply([ couriers_of($pid) ], [], 'no courier is left');
};

subtest 'messages that are too large' => sub {
    my $topic = new_topic('large', config => { 'max.message.bytes' => 5000 });
    connect_kafka($node, $kafka, max_message_bytes => 20000, compression => 'none');
    # Every 100th is larger than the broker takes, every 1000th larger than ours.
    my $result = $session->run(produce(q{SELECT g % 50 AS key, g || repeat(' .', CASE WHEN g % 1000 = 0 THEN 15000 WHEN g % 100 = 0 THEN 4000 ELSE 10 END) AS value
        FROM generate_series(1, 10000) g}, topic => $topic));
    my $figures = figures($result);
    is_deeply([ @$figures{qw(rows sent invalid rejected)} ], [ 10000, 9900, 10, 90 ], 'figures') or diag(explain($result));
    like(warning_of($result)->{message}, qr/^100 of 10000 rows were not delivered: 10 invalid, 90 rejected$/, 'warning');
    my $arrived = arrived($kafka, $topic);
    is_deeply($arrived, { count => 9900, last => 9999, twice => 0, late => 0 }, 'the others arrive, in order');
    my @letters = $other->rows("SELECT row, status, reason, topic, partition, convert_from(key, 'UTF8') AS key, length(value) AS bytes FROM kseg.dead_letter WHERE run = '$figures->{run}' ORDER BY row");
    is_deeply([ map { $_->{row} } @letters ], [ map { 100 * $_ } 1 .. 100 ], 'a dead letter for each');
    my ($refused, $invalid) = @letters[ 0, 9 ];
    is_deeply([ @$refused{qw(row status topic key bytes)} ], [ 100, 10, $topic, '0', 8003 ], 'refused by the broker: whole, with its code');
    like($refused->{reason}, qr/^row 100, key "0": refused with Kafka error 10: .*too large/, 'and reason');
    is_deeply([ @$invalid{qw(row status topic)} ], [ 1000, undef, $topic ], 'too large for kseg: never sent');
    like($invalid->{reason}, qr/20000/, 'and why');
};

$kafka->stop;

subtest 'three brokers, one killed' => sub {
    local $kafka = kafka_broker(nodes => 3);
    my $topic  = new_topic('three');
    my $strict = new_topic('strict', config => { 'min.insync.replicas' => 3 });
    my $whole  = new_topic('whole');
    connect_kafka($node, $kafka, max_queue_messages => 1000);
    start_held(60000, topic => $topic);
    my $leader = leader_of($kafka, $topic, 0);
    $kafka->kill_node($leader);
    $gate->open;
    finished_ok('without the leader of a partition', $topic, 60000);

    # Nobody else may take what all three must have.
    $session->start(produce(numbered(20000), topic => $strict));
    wait_until_stuck();
    is(progress_of($node, $pid)->{sent}, 0, 'too few replicas: the run waits');
    $kafka->restart_node($leader);
    finished_ok('with all of them again', $strict, 20000);

    # All or nothing, also when the transaction loses brokers on its way.
    start_transaction($whole);
    $kafka->kill_node(leader_of($kafka, '__transaction_state', 0));
    is_deeply(arrived($kafka, $whole), all_arrived(0), 'a transaction: nothing is to be seen of it before');
    $gate->open;
    finished_ok('a transaction without its coordinator', $whole, 60000);
    $kafka->stop;
};

done_testing();
