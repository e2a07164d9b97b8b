# needs: kafka
# Streams while their worker, courier, launcher, server and broker are killed and stopped at random moments, and while messages flow: each
# message is in the target once, whatever was killed; what is upserted is what the last messages say. The numbers behind the moments come
# from $KSEG_SEED, or are new each time; the first line of the test's output says which.
use strict;
use warnings;
use Time::HiRes qw(time);
use KsegTest;
use KsegKafka;
use KsegStream;
use KsegFlow;

my $seed = $ENV{KSEG_SEED} // int rand 1_000_000;
srand $seed;
note "KSEG_SEED=$seed";

my $kafka = kafka_broker(nodes => 1);       # to be killed
my $topic = $kafka->create_topic('flow', partitions => 4);
my $node  = stream_cluster('crash', settings => { log_statement => 'none' });
flow_table($node, $kafka, $topic, 'flow');
my @streams = flow_streams($node, 'flow', 500);
my $flow = start_flow($kafka, $topic, rate => 4000, seed => $seed);

# Waits until one of the streams, whichever, has settled some more: the moment is another one each time.
sub any_moment
{
    my $stream = $streams[ rand @streams ];
    my $until = settled_of($node, $stream) + 1 + int rand 4000;
    return wait_for("stream $stream to have settled $until messages", sub {
        my $settled = settled_of($node, $stream);
        return ($settled >= $until, $settled);
    });
}

sub any_worker { my @workers = wait_for('a worker', sub { my @found = workers_of($node); return (scalar @found, \@found) })->@*; return $workers[ rand @workers ] }

# Runs one of the following at some moment; then rows and positions still say the same.
sub strike
{
    my ($name, $what) = @_;
    return subtest $name => sub {
        any_moment();
        $what->();
        snapshot_agrees($node, $_) for qw(one two);
    };
}

# Whoever shares memory with the server and is killed takes it down with it: the server begins anew by itself.
sub killed_process
{
    my ($pid) = @_;
    my $from = -s $node->logfile;
    kill 'KILL', $pid or die "could not kill $pid: $!";
    restarted($node, $from);
    ok(1, 'the server has begun anew');
    return;
}

sub kill_worker { return killed_process(any_worker()) }

sub kill_launcher { return killed_process(wait_for_launcher($node)) }

# The end of a courier is one restart of one stream's reading, and nothing else.
sub kill_courier
{
    my $from = -s $node->logfile;
    my $other = session($node);
    my $worker = any_worker();
    my ($courier) = wait_for('a courier', sub { my @found = couriers_of($worker); return (scalar @found, \@found) })->@*;
    my @workers = wait_for_workers($node, undef, 5);
    kill 'KILL', $courier or die "could not kill $courier: $!";
    wait_for('another courier', sub { my @found = couriers_of($worker); return (scalar(@found && $found[0] != $courier), \@found) });
    is(join(' ', workers_of($node)), "@workers", 'workers are the same');
    is($other->run('SELECT pg_backend_pid()')->{out}, $other->pid, 'another session has not noticed');
    is(log_has($node, qr/terminating any other active server processes/, $from), 0, 'nor has the server');
    $other->quit;
    return;
}

sub kill_postmaster
{
    my @children = processes_of($node->{_pid});
    my @couriers = map { couriers_of($_) } @children;
    $node->kill9;
    wait_until_gone('the server', [ @children, @couriers ]);
    $node->start;
    ok(1, 'the server is there again, and nothing of the old one was left');
    return;
}

sub kill_broker
{
    my $other = session($node);
    my @workers = wait_for_workers($node, undef, 5);
    $kafka->kill_node(1);
    $kafka->restart_node(1);
    is(join(' ', workers_of($node)), "@workers", 'workers are the same');
    is($other->run('SELECT pg_backend_pid()')->{out}, $other->pid, 'another session has not noticed');
    $other->quit;
    return;
}

# Workers do not make a stop wait: neither for a batch nor for messages.
sub stop_server
{
    my ($mode) = @_;
    my @couriers = map { couriers_of($_) } workers_of($node);
    my $begun = time;
    $node->stop($mode);
    cmp_ok(time - $begun, '<', 20, "the server has stopped ($mode)");
    wait_until_gone('couriers', \@couriers);
    $node->start;
    return;
}

my %strikes = (
    'a worker is killed'         => [ 3, \&kill_worker ],
    'a courier is killed'        => [ 4, \&kill_courier ],
    'the launcher is killed'     => [ 1, \&kill_launcher ],
    'the postmaster is killed'   => [ 2, \&kill_postmaster ],
    'the broker is killed'       => [ 1, \&kill_broker ],
    'the server stops at once'   => [ 2, sub { stop_server('immediate') } ],
    'the server stops fast'      => [ 1, sub { stop_server('fast') } ],
    'the server stops smartly'   => [ 1, sub { stop_server('smart') } ]);
my @order = map { $_->[0] } sort { $a->[1] <=> $b->[1] } map { my $name = $_; map { [ $name, rand ] } 1 .. $strikes{$name}[0] } sort keys %strikes;
strike($_, $strikes{$_}[1]) for @order;

subtest 'after all that' => sub {
    wait_for('a hundred thousand messages', sub { my $settled = settled_of($node, 'one'); return ($settled >= 100_000, $settled) });
    my $sent = $flow->end;
    note "$sent messages";
    truth_of($node, $kafka, $topic, 'flow', $sent);
    all_once($node, $_, 'flow') for qw(one two);
    upserted_as($node, 'kept', 'flow');
    is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.dead_letter'), 0, 'no message was to blame for any of it');
};

done_testing();
