# Memory does not grow with the result, nor with the number of runs in a session; nor do descriptors.
use strict;
use warnings;
use List::Util qw(max);
use KsegTest;
use KsegRun;

my $node = new_cluster('memory');
my $sandbox = start_sandbox();
my $megabyte = 1024;
connect_segment($node, $sandbox);

# ---- one run

# Most memory that a session's backend and its courier have while a run of so many rows goes on, and when its last row waits.
sub run_peaks
{
    my ($rows, $prepare) = @_;
    my $holder = run_session($node);
    my $session = run_session($node);
    my ($backend, $courier) = (0, 0);
    $session->run($prepare) if $prepare;
    $holder->run('SELECT pg_advisory_lock(19)');
    $session->start(track("SELECT g AS user_id, g * 7 AS number, g / 7.0::float8 AS chance, md5(g::text) AS note FROM generate_series(1, $rows) g
        UNION ALL SELECT 0, 0, 0, (SELECT 'end' FROM pg_advisory_xact_lock_shared(19))"));
    wait_for("last of $rows rows", sub {
        $backend = max($backend, anonymous_memory_of($session->pid));
        $courier = max($courier, map { anonymous_memory_of($_) } couriers_of($session->pid));
        my $event = $node->safe_psql('postgres', 'SELECT wait_event FROM pg_stat_activity WHERE pid = ' . $session->pid);
        return ($event eq 'advisory', $event);
    });
    $holder->run('SELECT pg_advisory_unlock(19)');
    is(figures($session->finish)->{sent}, $rows + 1, "$rows rows are sent");
    return ($backend, $courier);
}

my ($backend, $courier) = run_peaks(100_000);
my ($backend_more, $courier_more) = run_peaks(400_000);
cmp_ok($backend_more, '<', 64 * $megabyte, 'backend: less than 64 MB (kB)');
cmp_ok($courier_more, '<', 64 * $megabyte, 'courier: less than 64 MB (kB)');
cmp_ok($courier_more, '>', 0, 'courier: was seen');
cmp_ok($backend_more, '<', $backend + 4 * $megabyte, 'backend: no more for 400,000 rows than for 100,000 (kB)');
cmp_ok($courier_more, '<', $courier + 8 * $megabyte, 'courier: no more for 400,000 rows than for 100,000 (kB)');

# ---- many runs

my $session = run_session($node);

sub memory
{
    my ($total) = $session->run('SELECT sum(total_bytes) FROM pg_backend_memory_contexts')->{out} =~ /^(\d+)$/m;
    return ($total / 1024, anonymous_memory_of($session->pid));
}

# Runs of each kind of end: all is sent, some is invalid, some is refused, the query fails, the endpoint does not know the key.
sub run_all
{
    my ($times) = @_;
    my @statements = (
        track('SELECT g AS user_id FROM generate_series(1, 3) g'),
        track(q{SELECT '' AS user_id}),
        track(q{SELECT 'bad' AS user_id}),
        track('SELECT 1 / (2 - g) AS user_id FROM generate_series(1, 3) g'),
        track(q{SELECT 'nobody' AS user_id}, on_failure => 'report'));
    my $result = $session->run("SET client_min_messages = error;\n" . join(";\n", (@statements) x $times) . ";\nRESET client_min_messages");
    my $rows = () = $result->{out} =~ /^\{/mg;
    my $errors = () = $result->{err} =~ /^(?:psql:\S+ )?ERROR:  22012:/mg;
    is("$rows $errors", 4 * $times . " $times", 5 * $times . ' runs end as they are meant to');
    return;
}

$sandbox->faults({ culprit => '"bad"' }, { match => { event_contains => '"nobody"' }, action => { status => 401 } });
run_all(8);
memory();
my ($contexts, $anonymous) = memory();
my $before = connections_of($session->pid);
run_all(40);
my ($contexts_after, $anonymous_after) = memory();
cmp_ok($contexts_after, '<=', $contexts + 16, '200 runs: memory contexts have not grown (kB)');
# 200 runs' buffers would be 80 MB.
cmp_ok($anonymous_after, '<=', $anonymous + 6 * $megabyte, '200 runs: nor has the backend (kB)');
is_deeply(connections_of($session->pid), $before, '200 runs: nor its descriptors');
is_deeply([ processes_of($session->pid) ], [], '200 runs: and no child is left, dead or alive');
done_testing();
