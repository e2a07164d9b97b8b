# A cancel, a statement_timeout or a termination ends a run within a second, whatever the run and the other side are doing,
# and leaves nothing: no courier, no descriptor, no memory; the session goes on.
use strict;
use warnings;
use IO::Socket::INET;
use KsegTest;
use KsegRun;
use Time::HiRes qw(time);

my $node = new_cluster('cancel');
my $control = session($node);
my $sandbox = start_sandbox();
my $refusing = start_sandbox();
my $limiting = start_sandbox();
my $silent = silent_server();
$refusing->faults({ action => { status => 500 } });
$limiting->faults({ action => { status => 429, retry_after => 60 } });

# Connections to it hang: its queue of connections that nobody accepts is full, so the kernel answers no further one.
my $deaf = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "could not listen: $!";
my @queue = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $deaf->sockport, Proto => 'tcp', Blocking => 0) } 1 .. 8;

connect_segment($node, $sandbox);
connect_segment($node, $refusing, server => 'refusing', max_retries => 1000);
connect_segment($node, $limiting, server => 'limiting');
connect_segment($node, $silent, server => 'silent');
connect_segment($node, 'http://127.0.0.1:' . $deaf->sockport, server => 'deaf');
connect_segment($node, 'https://nowhere.invalid', server => 'nameless', max_retries => 1000);

my $few = 'SELECT g AS user_id FROM generate_series(1, 3) g';
my $held = sub { my ($pid) = @_; wait_until_held($node, $pid) };
# name, server, query, and what to wait for before the run is ended
my @phases = (
    [ 'before the first row, asleep', 'segment', q{SELECT 'x' AS user_id FROM pg_sleep(600)},
        sub { wait_for_phase($node, $_[0], 'sending', sub { $_[0]{rows} == 0 }) } ],
    [ 'before the first row, at work', 'segment', 'SELECT g AS user_id FROM generate_series(1, 500000000) g ORDER BY 1 DESC',
        sub { wait_for_phase($node, $_[0], 'sending', sub { $_[0]{rows} == 0 }) } ],
    [ 'waiting for credit', 'silent', 'SELECT g AS user_id FROM generate_series(1, 200000) g',
        sub { wait_for_phase($node, $_[0], 'sending', sub { $_[0]{in_flight} > 5000 }); $held->($_[0]) } ],
    [ 'finishing', 'silent', $few,
        sub { wait_for_phase($node, $_[0], 'finishing', sub { $_[0]{in_flight} == 3 }); $held->($_[0]) } ],
    [ 'connecting', 'deaf', $few,
        sub { wait_for_phase($node, $_[0], 'finishing'); $held->($_[0]) } ],
    [ 'looking for a name', 'nameless', $few,
        sub { wait_for_phase($node, $_[0], 'finishing'); $held->($_[0]) } ],
    [ 'trying again', 'refusing', $few,
        sub { wait_for_phase($node, $_[0], 'finishing', sub { $_[0]{retries} >= 2 }); $held->($_[0]) } ],
    [ 'pausing after 429', 'limiting', $few,
        sub { wait_for_phase($node, $_[0], 'finishing', sub { ($_[0]{last_error} // '') eq 'HTTP status 429' }); $held->($_[0]) } ]);

# Starts a run and waits until it is in its phase; returns the pid of its courier.
sub begin_run
{
    my ($session, $phase) = @_;
    my ($name, $server, $query, $wait) = @$phase;
    $session->start(track($query, server => $server));
    $wait->($session->pid);
    return wait_for('a courier', sub { my @couriers = couriers_of($session->pid); return (@couriers == 1, @couriers) });
}

# Ends a run by an SQL function of another session; returns (seconds from there to the end, the result).
sub end_run
{
    my ($session, $function) = @_;
    my $began = time;
    $control->run("SELECT $function(" . $session->pid . ')');
    my $result = $session->finish;
    return (time - $began, $result);
}

my $session = run_session($node);
is(figures($session->run(track($few)))->{sent}, 3, 'a run before everything');
my $before = connections_of($session->pid);

for my $phase (@phases)
{
    my $name = $phase->[0];

    my (@couriers, $result, $seconds);
    my $best = quickest(1, sub {
        push @couriers, begin_run($session, $phase);
        ($seconds, $result) = end_run($session, 'pg_cancel_backend');
        return $seconds;
    });
    cmp_ok($best, '<', 1, "cancel, $name: ends within a second");
    my $failure = failure($result);
    is($failure->{code}, '57014', "cancel, $name: SQLSTATE");
    like($failure->{message}, qr/^canceling statement due to user request$/, "cancel, $name: message");
    like($failure->{context}, qr/^kseg run [0-9a-f-]{36}: \d+ rows read, 0 events sent before$/m, "cancel, $name: context");
    is_deeply([ grep { -d "/proc/$_" } @couriers, couriers_of($session->pid) ], [], "cancel, $name: no courier is left");
    is_deeply(connections_of($session->pid), $before, "cancel, $name: no descriptor is left");
    is(figures($session->run(track($few)))->{sent}, 3, "cancel, $name: the next run works");

    $best = quickest(1, sub {
        $session->run("SET statement_timeout = '700ms'");
        $session->start(track($phase->[2], server => $phase->[1]));
        my $ended = $session->finish;
        $session->run('RESET statement_timeout');
        $result = $ended;
        return $ended->{seconds} - 0.7;
    });
    cmp_ok($best, '<', 1, "statement_timeout, $name: ends within a second");
    like(failure($result)->{message}, qr/statement timeout/, "statement_timeout, $name: message");
    is_deeply([ couriers_of($session->pid) ], [], "statement_timeout, $name: no courier is left");
    is_deeply(connections_of($session->pid), $before, "statement_timeout, $name: no descriptor is left");

    @couriers = ();
    $best = quickest(1, sub {
        my $victim = run_session($node);
        push @couriers, begin_run($victim, $phase), $victim->pid;
        ($seconds, $result) = end_run($victim, 'pg_terminate_backend');
        # The client hears of the end before the backend is gone.
        my $began = time;
        wait_until_gone('backend', [ $victim->pid ]);
        return $seconds + time - $began;
    });
    cmp_ok($best, '<', 1, "termination, $name: ends within a second");
    is(failure($result)->{code}, '57P01', "termination, $name: SQLSTATE");
    wait_until_gone("termination, $name: courier", \@couriers, 5);
}

# ---- memory

# What the session holds after some cancelled runs is what it holds after many: in its memory contexts, and in the kernel.
sub memory
{
    my ($total) = $session->run('SELECT sum(total_bytes) FROM pg_backend_memory_contexts')->{out} =~ /^(\d+)$/m;
    return ($total / 1024, anonymous_memory_of($session->pid));
}

sub cancel_runs
{
    my ($count, $after_ms) = @_;
    $session->run("SET statement_timeout = '${after_ms}ms'");
    my $canceled = grep { failure($session->run(track('SELECT g AS user_id FROM generate_series(1, 200000) g', server => 'silent')))->{code}
          eq '57014' } 1 .. $count;
    $session->run('RESET statement_timeout');
    return $canceled;
}

# The first ones go as far as any can: what the allocator keeps from then on is the measure.
cancel_runs(5, 300);
memory();
my ($contexts, $anonymous) = memory();
is(cancel_runs(50, 15), 50, '50 runs are canceled');
my ($contexts_after, $anonymous_after) = memory();
cmp_ok($contexts_after, '<=', $contexts + 16, "memory contexts have not grown over 50 canceled runs (kB)");
# A run's buffers are some 400 kB: 50 of them would be 20 MB. What the allocator has not given back yet goes up and down by 2 MB.
cmp_ok($anonymous_after, '<=', $anonymous + 6144, "nor has the process (kB)");
is_deeply(connections_of($session->pid), $before, 'nor its descriptors');
is($session->run('SELECT 1')->{out}, '1', 'and the session lives');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.progress'), '0', 'nobody is said to be sending');
done_testing();
