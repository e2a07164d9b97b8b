# A receiver that is slow or never answers makes the query wait: what is in flight is bounded, in events and in bytes, memory
# is too, nothing is dropped, and a lane that is trying again leaves the others their room.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use Time::HiRes qw(time);

my $node = new_cluster('credit');
my $sandbox = start_sandbox();
my $session = run_session($node);
my $pid = $session->pid;
my $megabytes = 1024;

sub courier { return wait_for('a courier', sub { my @pids = couriers_of($pid); return (@pids == 1, @pids) }) }

# Waits until the run can go no further: it is held, and its progress does not change between two looks.
sub wait_until_stuck
{
    my ($last) = ('');
    # Before its courier has begun to read, a backend waits for room in the socket: a request tells that it has.
    $sandbox->wait('requests', 1);
    wait_until_held($node, $pid);
    return wait_for('a run that is stuck', sub {
        my $progress = progress_of($node, $pid);
        my $now = "$progress->{rows} $progress->{in_flight} $progress->{sent}";
        my $same = $now eq $last && $progress->{in_flight} > 0;
        $last = $now;
        return ($same, $progress);
    });
}

# ---- bounds, with a receiver that reads and never answers

for my $bound ([ 1, 1 ], [ 1, 4 ], [ 10, 3 ], [ 999, 4 ], [ 10000, 4 ], [ 10000, 1 ])
{
    my ($queue, $lanes) = @$bound;
    my $case = "max_queue_size $queue, connections $lanes";
    my $rows = 2 * $queue + 200;
    connect_segment($node, $sandbox, max_queue_size => $queue, connections => $lanes, upload_interval => '0.001');
    $sandbox->reset;
    $sandbox->faults({ action => { how => 'hang' } });
    $session->start(track("SELECT g AS user_id FROM generate_series(1, $rows) g"));
    my $progress = wait_until_stuck();
    is($progress->{sent}, 0, "$case: nothing is settled");
    cmp_ok($progress->{in_flight}, '<=', $queue, "$case: in flight");
    # Frames are whole, so up to one of half a lane's share may be missing.
    cmp_ok($progress->{in_flight}, '>', $queue / 2 - 1, "$case: and the bound is used");
    cmp_ok($sandbox->stats->{received}, '<=', $progress->{in_flight}, "$case: the receiver has seen no more");
    cmp_ok($progress->{rows}, '<', $rows, "$case: the query waits");
    $sandbox->reset;                # lets go
    my $result = $session->finish;
    is(figures($result)->{sent}, $rows, "$case: and then everything is sent") or diag $result->{err};
    is($sandbox->stats->{accepted}, $rows, "$case: nothing was dropped");
}

# ---- memory

sub memory_ok
{
    my ($name) = @_;
    my ($backend, $courier) = (anonymous_memory_of($pid), anonymous_memory_of(courier()));
    cmp_ok($backend, '<', 64 * $megabytes, "$name: memory of the backend (kB)");
    cmp_ok($courier, '<', 64 * $megabytes, "$name: memory of the courier (kB)");
    cmp_ok($courier, '>', 0, "$name: which lives");
    return;
}

for my $case (
    [ '10 million rows', 'SELECT generate_series(1, 10000000) AS user_id', 10000 ],
    # 10,000 of them would be 300 MB: bytes are bounded, too.
    [ 'events of 30 kB', q{SELECT g AS user_id, repeat(chr(97 + g % 26), 30000) AS note FROM generate_series(1, 100000) g}, 700 ],
    [ 'events of 30 kB, 32 lanes', q{SELECT g AS user_id, repeat(chr(97 + g % 26), 30000) AS note FROM generate_series(1, 100000) g}, 1100, 32 ])
{
    my ($name, $query, $most, $lanes) = @$case;
    connect_segment($node, $sandbox, connections => $lanes // 4, compression => 'none');
    $sandbox->reset;
    $sandbox->faults({ match => { at => 'headers' }, action => { how => 'hang' } });
    $session->start(track($query));
    my $progress = wait_until_stuck();
    cmp_ok($progress->{in_flight}, '<=', $most, "$name: in flight");
    memory_ok($name);
    my $began = time;
    kill 'INT', $pid;
    is(failure($session->finish)->{code}, '57014', "$name: canceled");
    cmp_ok(time - $began, '<', 5, "$name: at once");      # 011 measures it closely
    is_deeply([ couriers_of($pid) ], [], "$name: no courier is left");
    cmp_ok(anonymous_memory_of($pid), '<', 64 * $megabytes, "$name: memory after it (kB)");
}

# A query of 10 million rows that is sent for a while, and then canceled.
connect_segment($node, $sandbox);
$sandbox->reset;
$session->start(track('SELECT generate_series(1, 10000000) AS user_id'));
$sandbox->wait('accepted', 200_000);
memory_ok('10 million rows on their way');
kill 'INT', $pid;
is(failure($session->finish)->{code}, '57014', '10 million rows on their way: canceled');
is_deeply([ couriers_of($pid) ], [], '10 million rows on their way: no courier is left');

# ---- a lane that is trying again

# The second user's lane is refused again and again; then the query goes on with users of every lane.
$session->run(q{CREATE FUNCTION row_of(g int) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        IF g = 2 THEN PERFORM pg_sleep(0.2); END IF;       -- the rows so far leave the backend
        IF g = 3 THEN PERFORM pg_advisory_xact_lock_shared(18); END IF;
        RETURN CASE WHEN g = 2 THEN 'refused' ELSE 'u' || g END;
    END $$});
my $holder = run_session($node);
$holder->run('SELECT pg_advisory_lock(18)');
$sandbox = start_sandbox();      # one that the canceled run has left nothing on its way to
connect_segment($node, $sandbox, max_queue_size => 400, connections => 4, upload_size => 10, upload_interval => '0.001', max_retries => 1000);
$sandbox->faults({ name => 'refuse', match => { event_contains => '"refused"' }, action => { status => 500 } });
$session->start(track('SELECT row_of(g) AS user_id FROM generate_series(1, 5000) g'));
# The second time: the courier has said of the first that it tries again.
$sandbox->wait('by_status.500', 2);
$holder->run('SELECT pg_advisory_unlock(18)');
# The other lanes are through when nothing has moved between two looks, here and at the receiver.
my $last = '';
my $progress = wait_for('the other lanes to be through', sub {
    my $now = progress_of($node, $pid) or return (0, 'no run');
    my $accepted = $sandbox->stats->{accepted};
    my $look = "$now->{rows} rows, $now->{sent} sent, $now->{in_flight} in flight, $accepted accepted";
    my $through = $look eq $last && $now->{sent} >= 200 && $now->{in_flight} <= 100 && $accepted == $now->{sent};
    $last = $look;
    return ($through, $through ? $now : $look);
});
wait_until_held($node, $pid);
cmp_ok($progress->{retries}, '>=', 1, 'a lane is trying again');
cmp_ok($progress->{in_flight}, '>', 50, 'and holds what it may');
$progress = progress_of($node, $pid);
cmp_ok($progress->{in_flight}, '<=', 100, 'which is its share, and no more');
is($sandbox->stats->{accepted}, $progress->{sent}, 'what the others had is delivered');
$sandbox->faults;
is(figures($session->finish)->{sent}, 5000, 'when it succeeds, everything is sent');
is($sandbox->stats->{accepted}, 5000, 'and nothing was dropped');
done_testing();
