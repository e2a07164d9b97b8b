# needs: kafka
# long: brokers that go and come back
# needs: faults
# What a worker depends on is killed (kill -9) while it is at each named point of a batch: its courier, the postmaster, the broker. Each message
# is in the target once, or is a dead letter once. What is done to the worker itself there is in 091_stream_fault_points; $KSEG_SEED is as in
# 090_stream_crash.
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

my $kafka = kafka_broker(nodes => 1, heap => 384);    # to be killed
my $node = stream_cluster('others', new => { install_path => fault_installation() }, settings => { log_statement => 'none' });
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "')");

# The points of a batch are those of its source: one that is added is struck as well.
my @points = slurp_file(source_file('src/stream/stream_apply.c')) =~ /KSEG_FAULT_POINT\("([^"]+)"\)/g;
is_deeply([ sort @points ], [ 'after apply', 'after commit', 'after read', 'before apply', 'before commit' ], 'points of a batch');

# Some five hundred messages more, of some of which each batch has bad ones.
my %topic;
my %sent;

sub send_more
{
    my ($name) = @_;
    $kafka->produce($topic{$name}, numbered_messages($sent{$name} + 1, $sent{$name} + 500));
    $sent{$name} += 500;
    return;
}

sub made
{
    my ($name, %arguments) = @_;
    $topic{$name} = fault_table($node, $kafka, $name, 2);
    $sent{$name} = 0;
    fault_stream($node, $name, %arguments);
    return;
}

# Some time or other in the life of a batch, and of its parts.
sub some_time { return 1 + int rand 4 }

subtest 'the courier is killed' => sub {
    made('reads', workers => 2);
    for my $point (@points)
    {
        wait_for_workers($node, 'postgres', 2);
        my @workers = workers_of($node);
        my $from  = -s $node->logfile;
        my $other = session($node);
        plant_fault($node, $point, 'courier', some_time());
        send_more('reads');
        my $pid = fault_acted($node, $point, 'courier', $from);
        all_settled($node, 'reads', $sent{reads}, "at \"$point\": each message once, of $sent{reads}");
        is(log_has($node, qr/stream "reads" waits and tries again: kseg's courier/, $from), 1, "at \"$point\": one worker has missed it");
        is(join(' ', workers_of($node)), "@workers", "at \"$point\": workers are the same");
        is($other->run('SELECT pg_backend_pid()')->{out}, $other->pid, "at \"$point\": another session has not noticed");
        $other->quit;
    }
};

subtest 'the postmaster is killed' => sub {
    for my $point (@points)
    {
        my $postmaster = $node->{_pid};
        my @children = processes_of($postmaster);
        my @couriers = map { couriers_of($_) } @children;
        my $from = -s $node->logfile;
        plant_fault($node, $point, 'postmaster', some_time());
        send_more('reads');
        my $pid = fault_acted($node, $point, 'postmaster', $from);
        wait_until_gone('the server', [ $postmaster, $pid, @children, @couriers ]);
        $node->kill9;    # so that $node knows, too
        $node->start;
        all_settled($node, 'reads', $sent{reads}, "at \"$point\": each message once, of $sent{reads}");
    }
};

subtest 'the broker is killed' => sub {
    $node->safe_psql('postgres', q{SELECT kseg.drop_stream('reads')});
    made('waits');
    all_settled($node, 'waits', 0, 'it runs');
    for my $point (@points)
    {
        my $from = -s $node->logfile;
        plant_fault($node, $point, 'stop', some_time());
        send_more('waits');
        my $pid = stopped_at($node, $point, $from);
        my $settled = settled_of($node, 'waits');
        $kafka->kill_node(1);
        kill 'CONT', $pid;
        # What has been read needs no broker. (Behind the commit it may be all that was read.)
        wait_for("what $pid has in hand", sub { my $now = settled_of($node, 'waits'); return ($now > $settled || $point eq 'after commit', $now) });
        wait_for('its trouble', sub { my $said = stream_of($node, 'waits')->{trouble} // ''; return (scalar($said =~ /no Kafka broker can be reached/), $said) });
        is(stream_of($node, 'waits')->{state}, 'running', "at \"$point\": the stream goes on with what it has, and waits");
        $kafka->restart_node(1);
        all_settled($node, 'waits', $sent{waits}, "at \"$point\": each message once, of $sent{waits}");
        is(join(' ', workers_of($node)), $pid, "at \"$point\": in the same process");
    }
};

done_testing();
