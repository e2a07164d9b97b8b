# needs: kafka
# needs: faults
# A stream whose worker is killed, stopped, made to fail and ended at each named point of its life (src/stream/stream_fault.h), a worker
# that is stopped while somebody else moves its position, commits that a crash takes away, and a standby that takes over: each message is in
# the target once, or is a dead letter once. $KSEG_SEED is as in 090_stream_crash. What a worker depends on is killed at the same points in
# 091_stream_fault_others.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;
use KsegFlow;
use KsegFault;

my $seed = $ENV{KSEG_SEED} // int rand 1_000_000;
srand $seed;
note "KSEG_SEED=$seed";

my $kafka = kafka_broker();
my $path  = fault_installation();
# Of the WAL writer's settings: what a worker commits is not on the disk before something else has it written.
my $node = stream_cluster('faults', new => { install_path => $path }, init => { allows_streaming => 1 },
    settings => { log_statement => 'none', wal_writer_delay => '10s', wal_buffers => '16MB' });
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "')");

sub sql { return $node->safe_psql('postgres', $_[0]) }

# ---- points

# What an action does to the process, and to nobody else. $other is a session that was there before.
my %consequence = (
    kill => sub { my ($pid, $from) = @_; restarted($node, $from) },
    stop => sub {
        my ($pid, $from, $other) = @_;
        wait_for("$pid to have stopped", sub { return is_stopped($pid) });
        die 'another session does not answer' unless $other->run('SELECT count(*) FROM kseg.stream_status')->{out} ne '';
        kill 'CONT', $pid;
    },
    # It lives on, or ends as one ends whose stream has halted.
    error => sub { my ($pid, $from) = @_; die "$pid has failed" if log_has($node, qr/\(PID $pid\) (?:exited with exit code 1|was terminated)/, $from) },
    exit  => sub { my ($pid) = @_; wait_until_gone($pid, [$pid]) });

# One of these at this point, while $during runs; other sessions are as they were, unless the server has to begin anew.
sub strike
{
    my ($point, $action, $count, $during) = @_;
    my $from  = -s $node->logfile;
    my $other = session($node);
    plant_fault($node, $point, $action, $count);
    $during->();
    my $pid = fault_acted($node, $point, $action, $from);
    $consequence{$action}->($pid, $from, $other);
    if ($action ne 'kill')
    {
        is($other->run('SELECT pg_backend_pid()')->{out}, $other->pid, "$action at \"$point\": another session has not noticed");
        is(log_has($node, qr/terminating any other active server processes/, $from), 0, "$action at \"$point\": nor has the server");
    }
    $other->quit;
    return;
}

my @actions = qw(kill stop error exit);
my %struck;

subtest 'points of a batch' => sub {
    my $topic = fault_table($node, $kafka, 'flow', 2);
    my $sent = 0;
    fault_stream($node, 'flow', workers => 2);
    for my $point ('after read', 'before apply', 'after apply', 'before commit', 'after commit')
    {
        for my $action (@actions)
        {
            # Some time or other in the life of a batch, and of its parts: there are bad messages in most.
            strike($point, $action, 1 + int rand 4, sub { $kafka->produce($topic, numbered_messages($sent + 1, $sent + 500)); $sent += 500 });
            all_settled($node, 'flow', $sent, "$action at \"$point\": each message once, of $sent");
        }
        $struck{$point} = 1;
    }
};

subtest 'points of the beginning' => sub {
    my $topic = fault_table($node, $kafka, 'begins', 2);
    $kafka->produce($topic, numbered_messages(1, 500));
    for my $point ('after open', 'before begin', 'after begin')
    {
        for my $action (@actions)
        {
            strike($point, $action, 1, sub { fault_stream($node, 'begins', workers => 2) });
            all_settled($node, 'begins', 500, "$action at \"$point\": each message once");
            sql(q{SELECT kseg.drop_stream('begins'); TRUNCATE begins; DELETE FROM kseg.dead_letter_entry WHERE call = 'begins' OR stream = 'begins'});
            wait_for_answer($node, q{SELECT count(*) FROM kseg.stream_slots() s WHERE stream NOT IN (SELECT id FROM kseg.stream_entry)}, 0);
        }
        $struck{$point} = 1;
    }
};

subtest 'points of a halt' => sub {
    my $topic = fault_table($node, $kafka, 'halts', 1);
    my $sent = 0;
    fault_stream($node, 'halts', on_error => q{'stop'});
    for my $point ('before halt', 'after halt')
    {
        for my $action (@actions)
        {
            strike($point, $action, 1, sub { $kafka->produce($topic, numbers(1 .. 10), '{"number": "bad"}', numbers(11 .. 12)); $sent += 13 });
            like(wait_for_state($node, 'halts', 'failed')->{last_error}, qr/bad/, "$action at \"$point\": the stream halts, and says why");
            is(settled_of($node, 'halts'), $sent - 3, 'behind what was good');
            sql("SELECT kseg.reset_stream('halts', '{\"0\": @{[ $sent - 2 ]}}'); SELECT kseg.start_stream('halts')");
            wait_for("the rest", sub { my $settled = settled_of($node, 'halts'); return ($settled == $sent, $settled) });
        }
        $struck{$point} = 1;
    }
    is(fault_figures($node, 'halts'), 8 * 12 . '|' . 8 * 12 . '|' . 8 * 78 . ' 0|0', 'each good message once');
};

subtest 'there are no other points' => sub {
    my %named;
    for my $file (glob source_file('src/stream/*.c'))
    {
        $named{$_} = 1 for slurp_file($file) =~ /KSEG_FAULT_POINT\("([^"]+)"\)/g;
    }
    is_deeply([ sort keys %named ], [ sort keys %struck ], 'than those that were struck here');
};

# ---- zombies

# A worker of the stream stops where it has a batch in hand; returns its process.
sub stopped_with_batch
{
    my ($point, $topic, @messages) = @_;
    my $from = -s $node->logfile;
    plant_fault($node, $point, 'stop');
    $kafka->produce($topic, @messages);
    return stopped_at($node, $point, $from);
}

subtest 'a worker that slept while another one took over' => sub {
    my $topic = fault_table($node, $kafka, 'taken', 1);
    fault_stream($node, 'taken');
    $kafka->produce($topic, numbers(14 .. 23));
    wait_for('the first ones', sub { my $settled = settled_of($node, 'taken'); return ($settled == 10, $settled) });
    my $pid = stopped_with_batch('after read', $topic, numbers(24 .. 63));
    # Another worker would do just this: rows and position, in one transaction.
    sql(q{BEGIN; UPDATE kseg.position_entry SET next_offset = 50, seen_offset = -1, seen_time = -1
            WHERE stream = (SELECT id FROM kseg.stream_entry WHERE name = 'taken');
        INSERT INTO taken SELECT 0, at, at + 14 FROM generate_series(10, 49) at; COMMIT});
    $kafka->produce($topic, numbers(64 .. 113));
    my $from = -s $node->logfile;
    kill 'CONT', $pid;
    wait_for('the rest', sub { my $settled = settled_of($node, 'taken'); return ($settled == 100, $settled) });
    wait_for('it to run', sub { my $said = state_and_lag($node, 'taken'); return ($said eq 'running 0', $said) });
    is(fault_figures($node, 'taken'), '100|100|' . (14 + 113) * 50 . ' 0|0', 'its batch is not applied, and what came later is, once');
    is(log_has($node, qr/position of a stream is not where its batch began/, $from), 1, 'the log says so');
};

subtest 'a worker that slept while its stream was reset' => sub {
    my $topic = fault_table($node, $kafka, 'reset', 1);
    fault_stream($node, 'reset');
    $kafka->produce($topic, numbers(14 .. 23));
    wait_for('the first ones', sub { my $settled = settled_of($node, 'reset'); return ($settled == 10, $settled) });
    my $pid = stopped_with_batch('after read', $topic, numbers(24 .. 63));
    sql(q{BEGIN; TRUNCATE reset; SELECT kseg.reset_stream('reset', '{"0": 5}'); COMMIT});
    kill 'CONT', $pid;
    wait_for('the rest', sub { my $settled = settled_of($node, 'reset'); return ($settled == 50, $settled) });
    wait_until_gone('the worker of before', [$pid]);
    wait_for('it to run', sub { my $said = state_and_lag($node, 'reset'); return ($said eq 'running 0', $said) });
    is(fault_figures($node, 'reset'), '45|45|' . (19 + 63) * 45 / 2 . ' 0|0', 'from where it was told to begin, each message once');
};

subtest 'a worker that sleeps in its transaction has its positions for itself' => sub {
    my $topic = fault_table($node, $kafka, 'held', 1);
    fault_stream($node, 'held');
    wait_for_state($node, 'held', 'running');
    my $pid = stopped_with_batch('before commit', $topic, numbers(14 .. 63));
    my ($code, $out, $err) = $node->psql('postgres', q{SET lock_timeout = '100ms'; UPDATE kseg.position_entry SET next_offset = 50
        WHERE stream = (SELECT id FROM kseg.stream_entry WHERE name = 'held')});
    like($err, qr/lock timeout/, 'nobody else can move them');
    is(sql('SELECT count(*) FROM held'), 0, 'nothing of it is to be seen');
    kill 'CONT', $pid;
    wait_for('its batch', sub { my $settled = settled_of($node, 'held'); return ($settled == 50, $settled) });
    is(fault_figures($node, 'held'), '50|50|' . (14 + 63) * 25 . ' 0|0', 'awake, it commits');
};

# ---- crashes that take commits away

subtest 'what a crash takes of the last commits is rows and positions alike' => sub {
    my $topic = fault_table($node, $kafka, 'lost', 2);
    fault_stream($node, 'lost');
    $kafka->produce($topic, map { { value => $_, partition => 0 } } numbers(14 .. 113));
    wait_for('the first ones', sub { my $settled = settled_of($node, 'lost'); return ($settled == 100, $settled) });
    sql('CHECKPOINT');
    # Nobody writes the WAL now, and the workers do not wait for it.
    my ($writer) = split /\n/, sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'});
    kill 'STOP', $writer;
    $kafka->produce($topic, map { { value => $_, partition => 1 } } numbers(114 .. 213));
    wait_for('the others', sub { my $settled = settled_of($node, 'lost'); return ($settled == 200, $settled) });
    my @children = processes_of($node->{_pid});
    $node->kill9;
    kill 'KILL', $writer;
    wait_until_gone('the server', \@children);
    # What is there before a worker can read anything again.
    $node->append_conf('postgresql.conf', "kseg.max_stream_workers = 0\n");
    $node->start;
    my $settled = settled_of($node, 'lost');
    cmp_ok($settled, '<', 200, "the crash has taken some: $settled of 200 are left");
    snapshot_agrees($node, 'lost', 'as many rows as the positions say');
    $node->append_conf('postgresql.conf', "kseg.max_stream_workers = 32\n");
    $node->restart;
    wait_for('them to come again', sub { my $now = settled_of($node, 'lost'); return ($now == 200, $now) });
    is(fault_figures($node, 'lost'), '200|200|' . (14 + 213) * 100 . ' 0|0', 'each message once');
};

# ---- a standby takes over

subtest 'a standby takes over from a primary that is killed while messages flow' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('promoted'), partitions => 4);
    sql('DROP TABLE IF EXISTS one, two, kept');
    flow_table($node, $kafka, $topic, 'promoted');
    $node->backup('base');
    my $standby = PostgreSQL::Test::Cluster->new('standby', install_path => $path);
    $standby->init_from_backup($node, 'base', has_streaming => 1);
    $standby->start;
    flow_streams($node, 'promoted', 300);
    my $flow = start_flow($kafka, $topic, rate => 4000, seed => 7);
    wait_for('the standby to follow', sub {
        my $settled = eval { settled_of($standby, 'two') } // 0;
        return ($settled > 5000, $settled);
    });
    my @children = processes_of($node->{_pid});
    $node->kill9;
    wait_until_gone('the primary', \@children);
    $standby->promote;
    wait_for_launcher($standby);
    my $taken = settled_of($standby, 'two');
    wait_for('it to go on', sub { my $now = settled_of($standby, 'two'); return ($now > $taken + 2000, $now) });
    snapshot_agrees($standby, $_) for qw(one two);
    truth_of($standby, $kafka, $topic, 'promoted', $flow->end);
    all_once($standby, $_, 'promoted') for qw(one two);
    upserted_as($standby, 'kept', 'promoted');
};

done_testing();
