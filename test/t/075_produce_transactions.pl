# needs: kafka
# long: brokers that go and come back
# Transactions of Kafka's whose broker goes, comes back or stands still, or whose courier is killed: readers see all of a run or
# nothing, are told the truth about it, and are not held up for longer than transaction_timeout.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use KsegKafka;
use KsegKafkaRun;
use Time::HiRes qw(time);

my $kafka   = kafka_broker(nodes => 1);
my $node    = new_cluster('produce_transactions');
my $gate    = gate($node);
our $session = run_session($node);
my $control = session($node);
our $pid    = $session->pid;
my $count   = 20000;

sub new_topic { my ($what, %options) = @_; return $kafka->create_topic($kafka->topic_unique($what), partitions => 3, %options) }

# Starts a run whose last message cannot leave before the gate is opened, and waits until some of the others are there.
sub start_held
{
    my ($topic, %arguments) = @_;
    my $query = delete $arguments{query} // numbered($count, $count);
    $gate->close;
    $session->start(produce($query, topic => $topic, transactional => 'true', %arguments));
    wait_for('messages of a transaction', sub { my $there = arrived($kafka, $topic, 'read_uncommitted')->{count}; return ($there > 0, $there) });
    return wait_for('a courier', sub { my @couriers = couriers_of($pid); return (@couriers == 1, @couriers) });
}

sub nothing_ok
{
    my ($name, $topic) = @_;
    is(arrived($kafka, $topic)->{count}, 0, "$name: nothing is to be seen");
    is_deeply([ couriers_of($pid) ], [], "$name: no courier is left");
    is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.dead_letter'), '0', "$name: no dead letters");
    return;
}

# What is produced behind a transaction can be read when it has ended; waits for that at most so long. Nothing of the run is with it.
sub unblocked_ok
{
    my ($name, $topic, $seconds) = @_;
    my $began = time;
    $kafka->produce($topic, map { { value => '0 behind', partition => $_ } } 0 .. 2);
    my $seen = eval { wait_for("messages behind a transaction", sub { my $there = arrived($kafka, $topic); return ($there->{count} >= 3, $there) }, $seconds) };
    is_deeply($seen, { count => 3, last => 0, twice => 2, late => 0 }, "$name: what comes behind it is seen, and nothing else") or diag($@);
    return;
}

sub told { my ($failure) = @_; return ($failure->{detail} // '') =~ / 0 sent, 0 repeated, 0 invalid, 0 rejected, \d+ open/ ? 'nothing sent' : $failure->{detail} }

subtest 'the broker is killed midway, and comes back' => sub {
    my $topic = new_topic('back');
    connect_kafka($node, $kafka, max_queue_messages => 1000, transaction_timeout => '2min');
    start_held($topic);
    $kafka->kill_node(1);
    $gate->open;
    wait_until_held($node, $pid);
    $kafka->restart_node(1);
    my $result = $session->finish;
    is(eval { figures($result)->{sent} }, $count, 'the run commits') or diag($result->{err});
    is_deeply(arrived($kafka, $topic), all_arrived($count), 'and all of it is there, once and in order');
};

subtest 'the broker stands still, and the run is ended' => sub {
    for my $end ('pg_cancel_backend', 'timeout', 'pg_terminate_backend')
    {
        my $topic = new_topic('still');
        connect_kafka($node, $kafka, max_queue_messages => 1000, transaction_timeout => '10s');
        my $victim = $session;
        local $session = $end eq 'pg_terminate_backend' ? run_session($node) : $victim;
        local $pid = $session->pid;
        my $courier = start_held($topic, $end eq 'timeout' ? (timeout => '6s') : ());
        $kafka->pause_node(1);
        $gate->open;
        my $began = time;
        if ($end ne 'timeout')
        {
            wait_until_held($node, $pid);
            $began = time;
            $control->run("SELECT $end($pid)");
        }
        my $result  = $session->finish;
        wait_until_gone('backend', [$pid]) if $end eq 'pg_terminate_backend';
        # It waits for the courier, which tries for two seconds to have the transaction aborted.
        cmp_ok($end eq 'timeout' ? $result->{seconds} - 6 : time - $began, '<', 5, "$end: ends within some seconds");
        wait_until_gone('courier', [$courier], 5);
        my $failure = failure($result) // {};
        is($failure->{code}, $end eq 'pg_terminate_backend' ? '57P01' : '57014', "$end: SQLSTATE");
        $kafka->resume_node(1);
        unblocked_ok("$end", $topic, 60);
    }
};

subtest 'a cancel aborts the transaction: readers wait for nobody' => sub {
    my $topic = new_topic('canceled');
    connect_kafka($node, $kafka, max_queue_messages => 1000, transaction_timeout => '15min');
    start_held($topic);
    $control->run("SELECT pg_cancel_backend($pid)");
    is((failure($session->finish) // {})->{code}, '57014', 'SQLSTATE');
    $gate->open;
    nothing_ok('canceled', $topic);
    unblocked_ok('canceled', $topic, 60);
};

subtest 'the courier is killed' => sub {
    for my $on_failure ('error', 'report')
    {
        my $topic = new_topic('killed');
        connect_kafka($node, $kafka, max_queue_messages => 1000, transaction_timeout => '5s');
        my $courier = start_held($topic, on_failure => $on_failure);
        kill 'KILL', $courier;
        wait_until_ended('courier', [$courier]);
        $gate->open;
        my $result = $session->finish;
        if ($on_failure eq 'error')
        {
            my $failure = failure($result) // {};
            is("$failure->{code} $failure->{message}", '08006 kseg\'s courier was lost', 'error');
            is(told($failure), 'nothing sent', 'what has no commit was not sent');
            is($failure->{hint}, 'Repeat the run: nothing of it becomes visible, Kafka aborts its transaction within transaction_timeout.', 'hint');
        }
        else
        {
            my $figures = figures($result);
            is("$figures->{sent} $figures->{first_problem}", '0 kseg\'s courier was lost', 'reported');
        }
        nothing_ok("killed, $on_failure", $topic);
        unblocked_ok("killed, $on_failure", $topic, 60);
    }
};

# Starts a run and waits until all its messages are there, pauses the broker and lets the run ask for the commit. Returns its courier.
sub start_commit
{
    my ($topic, %arguments) = @_;
    my $courier = start_held($topic, %arguments, query => join ' UNION ALL ',
        numbered($count - 1),
        # So late that those before it leave with it; behind it nothing comes but the end.
        "SELECT 0, '$count' FROM pg_sleep(0.2)",
        "SELECT 0, '' FROM (SELECT gate(1, 1) AS g OFFSET 0) h WHERE g = 0");
    wait_for('all messages of a transaction', sub { my $there = arrived($kafka, $topic, 'read_uncommitted')->{count}; return ($there == $count, $there) });
    $kafka->pause_node(1);
    $gate->open;
    wait_for_phase($node, $pid, 'finishing');
    wait_until_held($node, $pid);
    return $courier;
}

subtest 'the courier is killed while it commits' => sub {
    my $topic = new_topic('committing');
    connect_kafka($node, $kafka, max_queue_messages => 1000, transaction_timeout => '30s');
    kill 'KILL', start_commit($topic);
    my $failure = failure($session->finish) // {};
    $kafka->resume_node(1);
    is("$failure->{code} $failure->{message}", '08006 kseg\'s courier was lost', 'error');
    like($failure->{hint}, qr/^Its transaction may have been committed or not: look at the topic/, 'nobody can tell: so the hint does not');
    is(told($failure), 'nothing sent', 'nor do the figures');
    # The broker had the request in its socket or not; with transaction_timeout at the latest it is decided.
    $kafka->produce($topic, map { { value => '0 behind', partition => $_ } } 0 .. 2);
    my $seen = wait_for('messages behind a transaction', sub { my $there = arrived($kafka, $topic); return ($there->{count} >= 3 && $there->{twice} == 2, $there->{count} - 3) }, 90);
    ok($seen == 0 || $seen == $count, "all of it or nothing is to be seen: $seen");
};

subtest 'the broker stands still while it commits, for longer than transaction_timeout' => sub {
    my $topic = new_topic('undecided');
    connect_kafka($node, $kafka, max_queue_messages => 1000, transaction_timeout => '10s');
    start_commit($topic);
    my $failure = failure($session->finish) // {};
    $kafka->resume_node(1);
    is("$failure->{code} $failure->{message}", '08006 could not commit the transaction in Kafka', 'error');
    like($failure->{hint}, qr/^Its transaction may have been committed or not: look at the topic/, 'hint');
    is(told($failure), 'nothing sent', 'figures');
    $kafka->produce($topic, map { { value => '0 behind', partition => $_ } } 0 .. 2);
    my $seen = wait_for('messages behind a transaction', sub { my $there = arrived($kafka, $topic); return ($there->{count} >= 3 && $there->{twice} == 2, $there->{count} - 3) }, 90);
    ok($seen == 0 || $seen == $count, "all of it or nothing is to be seen: $seen");
};

subtest 'the broker stands still for longer than transaction_timeout' => sub {
    my $topic = new_topic('expired');
    connect_kafka($node, $kafka, max_queue_messages => 1000, transaction_timeout => '3s');
    start_held($topic, on_failure => 'report');
    $kafka->pause_node(1);
    $gate->open;
    my $result = $session->finish;
    $kafka->resume_node(1);
    my $figures = figures($result);
    is($figures->{sent}, 0, 'the run fails');
    is($figures->{first_problem}, 'could not send messages to Kafka within 3000 ms', 'and says why');
    nothing_ok('expired', $topic);
    unblocked_ok('expired', $topic, 60);
};

subtest 'the query takes longer than transaction_timeout' => sub {
    my $topic = new_topic('slow');
    connect_kafka($node, $kafka, max_queue_messages => 1000, transaction_timeout => '2s');
    start_held($topic);
    # The broker aborts it by itself: then what comes behind is seen.
    unblocked_ok('slow', $topic, 60);
    $gate->open;
    my $failure = failure($session->finish) // {};
    is($failure->{code}, 'HV000', 'the run fails');
    like($failure->{hint}, qr/"transaction_timeout"/, 'and says which option to change');
    is(told($failure), 'nothing sent', 'and tells nothing as sent');
    is(arrived($kafka, $topic)->{count}, 3, 'nothing of it is to be seen');
};

done_testing();
