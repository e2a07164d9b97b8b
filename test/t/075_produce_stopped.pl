# needs: kafka
# long: brokers that go and come back
# A run to Kafka ends within a second, whatever it waits for: by a cancel, a statement_timeout, a termination, its own timeout; and
# at once when its courier is killed. It leaves no courier and no descriptor, and its session goes on.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use KsegKafka;
use KsegKafkaRun;
use Time::HiRes qw(time);

my $kafka   = kafka_broker();
my $own     = kafka_broker(nodes => 1);
my $node    = new_cluster('produce_stopped');
my $gate    = gate($node);
my $control = session($node);
my $silent  = silent_server();
my $few     = numbered(100);

connect_kafka($node, $kafka, server => 'shared');
connect_kafka($node, '127.0.0.1:' . $silent->port, server => 'silent', connect_timeout => '5min');
connect_kafka($node, $own, server => 'own', max_queue_messages => 1000);
connect_kafka($node, $own, server => 'wide', max_queue_messages => 20000);

my $shared_topic = $kafka->create_topic($kafka->topic_unique('after'), partitions => 3);
my $topic        = $own->create_topic($own->topic_unique('stopped'), partitions => 3);
my $session      = run_session($node);
my $send_few     = produce($few, topic => $shared_topic, server => 'shared');
is(figures($session->run($send_few))->{sent}, 100, 'a run before everything');
my $before = connections_of($session->pid);

# How many messages the topic has: those of other runs too.
sub topic_size { my $offsets = $own->offsets($topic); my $size = 0; $size += $_->{high} for values %$offsets; return $size }

my $size_before;

# Pauses the broker while a run is under way, and lets the run go on until it waits for it.
sub pause_midway
{
    my ($pid, $phase) = @_;
    wait_for('messages of a run', sub { my $size = topic_size() - $size_before; return ($size > 0, $size) });
    $own->pause_node(1);
    $gate->open;
    wait_for_phase($node, $pid, $phase, sub { $_[0]{in_flight} > 0 });
    wait_until_held($node, $pid);
    return;
}

# name, server, query, further arguments, what to wait for before the run is ended, how long it may take to end (s)
my @phases = (
    [ 'no broker has answered yet', 'silent', numbered(200000), {}, sub { wait_for_phase($node, $_[0], 'sending', sub { $_[0]{rows} > 0 }); wait_until_held($node, $_[0]) }, 1 ],
    [ 'the queue is full', 'own', numbered(200000, 100000), {}, sub { pause_midway($_[0], 'sending') }, 1 ],
    [ 'the last acknowledgements are awaited', 'wide', numbered(5000, 5000), {}, sub { pause_midway($_[0], 'finishing') }, 1 ]);

sub begin_run
{
    my ($session, $phase, %more) = @_;
    my ($name, $server, $query, $arguments, $wait) = @$phase;
    $size_before = topic_size();
    $gate->close;
    $session->start(produce($query, topic => $topic, server => $server, %$arguments, %more));
    $wait->($session->pid);
    return wait_for('a courier', sub { my @couriers = couriers_of($session->pid); return (@couriers == 1, @couriers) });
}

# Puts things back, after a run of $session has been ended; and nothing is left.
sub resume
{
    my ($name, @couriers) = @_;
    $gate->open;
    $own->resume_node(1);
    is_deeply([ grep { -d "/proc/$_" } @couriers, couriers_of($session->pid) ], [], "$name: no courier is left");
    is_deeply(connections_of($session->pid), $before, "$name: no descriptor is left");
    return;
}

for my $phase (@phases)
{
    my ($name, $bound) = @$phase[ 0, 5 ];
    my (@couriers, $result);
    my $best = quickest($bound, sub {
        push @couriers, begin_run($session, $phase);
        my $began = time;
        $control->run('SELECT pg_cancel_backend(' . $session->pid . ')');
        $result = $session->finish;
        my $seconds = time - $began;
        $gate->open;
        $own->resume_node(1);
        return $seconds;
    });
    cmp_ok($best, '<', $bound, "cancel, $name: ends at once");
    my $failure = failure($result) // {};
    is("$failure->{code} $failure->{message}", '57014 canceling statement due to user request', "cancel, $name: error");
    like($failure->{context}, qr/^kseg run [0-9a-f-]{36}: \d+ rows read, \d+ events sent before$/m, "cancel, $name: context");
    resume("cancel, $name", @couriers);
    is(figures($session->run($send_few))->{sent}, 100, "cancel, $name: the next run works");

    for my $clock ('statement_timeout', 'timeout')
    {
        $best = quickest($bound, sub {
            $session->run("SET statement_timeout = '3s'") if $clock eq 'statement_timeout';
            $size_before = topic_size();
            $gate->close;
            $session->start(produce($phase->[2], topic => $topic, server => $phase->[1], $clock eq 'timeout' ? (timeout => '3s') : ()));
            # A run that was too slow to come so far has been ended in time all the same.
            eval { $phase->[4]->($session->pid) };
            $result = $session->finish;
            $session->run('RESET statement_timeout');
            $gate->open;
            $own->resume_node(1);
            return $result->{seconds} - 3;
        });
        cmp_ok($best, '<', $bound, "$clock, $name: ends in time");
        $failure = failure($result) // {};
        like("$failure->{code} $failure->{message}", $clock eq 'timeout' ? qr/^57014 the run was stopped by its timeout/ : qr/^57014 .*statement timeout/, "$clock, $name: error");
        resume("$clock, $name");
    }

    @couriers = ();
    $best = quickest($bound, sub {
        my $victim = run_session($node);
        push @couriers, begin_run($victim, $phase), $victim->pid;
        my $began = time;
        $control->run('SELECT pg_terminate_backend(' . $victim->pid . ')');
        $result = $victim->finish;
        wait_until_gone('backend', [ $victim->pid ]);
        my $seconds = time - $began;
        $gate->open;
        $own->resume_node(1);
        return $seconds;
    });
    cmp_ok($best, '<', $bound, "termination, $name: ends at once");
    is(failure($result)->{code}, '57P01', "termination, $name: SQLSTATE");
    wait_until_gone("termination, $name: courier", \@couriers, 5);
}

# ---- the courier is killed

for my $phase (@phases)
{
    my $name = $phase->[0];
    for my $on_failure ('error', 'report')
    {
        my ($courier) = begin_run($session, $phase, on_failure => $on_failure);
        kill 'KILL', $courier;
        my $result = $session->finish;
        resume("courier killed, $name, $on_failure", $courier);
        if ($on_failure eq 'error')
        {
            my $failure = failure($result) // {};
            is("$failure->{code} $failure->{message}", '08006 kseg\'s courier was lost', "courier killed, $name: error");
            like($failure->{detail}, qr/^The process ended by signal 9\. Run [0-9a-f-]{36}: (\d+) rows, \d+ sent, 0 repeated, 0 invalid, 0 rejected, \d+ open, \d+ retries\.$/, "courier killed, $name: detail");
            is($failure->{hint}, 'Repeat the run: messages that had arrived are produced once more.', "courier killed, $name: hint");
        }
        else
        {
            my $figures = figures($result);
            is($figures->{first_problem}, 'kseg\'s courier was lost', "courier killed, $name: reported");
            my $record = $node->safe_psql('postgres', "SELECT rows - sent - open, rejected, failure FROM kseg.run WHERE run = '$figures->{run}'");
            is($record, "0|0|kseg's courier was lost", "courier killed, $name: recorded, with what was not acknowledged open");
        }
        is(figures($session->run($send_few))->{sent}, 100, "courier killed, $name: the next run works");
    }
}

# In the middle of its work, again and again: what was told as sent has arrived, and what arrived has its order.
for my $sent (1, 3000, 20000)
{
    my $new = $own->create_topic($own->topic_unique('killed'), partitions => 3);
    $gate->close;
    $session->start(produce(numbered(60000, 60000), topic => $new, server => 'own'));
    wait_for_phase($node, $session->pid, 'sending', sub { $_[0]{sent} >= $sent });
    kill 'KILL', couriers_of($session->pid);
    $gate->open;
    my $failure = failure($session->finish) // {};
    my ($rows, $told) = ($failure->{detail} // '') =~ / (\d+) rows, (\d+) sent,/;
    is($failure->{code}, '08006', "killed after $sent messages: SQLSTATE");
    cmp_ok($told // -1, '>=', $sent, "killed after $sent messages: what was sent is told");
    my $arrived = arrived($own, $new);
    cmp_ok($arrived->{count}, '>=', $told, "killed after $sent messages: and has arrived");
    cmp_ok($arrived->{count}, '<=', $rows, "killed after $sent messages: with nothing that was not read");
    is("$arrived->{twice} $arrived->{late}", '0 0', "killed after $sent messages: once and in order");
}

is($session->run('SELECT 1')->{out}, '1', 'the session lives');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.progress'), '0', 'nobody is said to be sending');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.dead_letter'), '0', 'and nothing of all this is a dead letter');

done_testing();
