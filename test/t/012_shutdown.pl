# A server that stops, or dies, takes its couriers along within a second, and is not held up by runs that wait for somebody
# who never answers.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use Time::HiRes qw(time);

my $node = new_cluster('shutdown', config => "restart_after_crash = on\n");
my $silent = silent_server();
connect_segment($node, $silent);

# Three runs that would never end: one waits for the last answer, one for credit, one for its query.
sub begin_runs
{
    my @runs = (
        [ 'SELECT g AS user_id FROM generate_series(1, 3) g', 'finishing', sub { $_[0]{in_flight} == 3 } ],
        [ 'SELECT g AS user_id FROM generate_series(1, 200000) g', 'sending', sub { $_[0]{in_flight} > 5000 } ],
        [ q{SELECT 'x' AS user_id FROM pg_sleep(600)}, 'sending' ]);
    my (@sessions, @couriers);
    for my $run (@runs)
    {
        my $session = run_session($node);
        $session->start(track($run->[0]));
        wait_for_phase($node, $session->pid, $run->[1], $run->[2]);
        push @sessions, $session;
        push @couriers, wait_for('a courier', sub { my @pids = couriers_of($session->pid); return (@pids == 1, @pids) });
    }
    return (\@sessions, \@couriers);
}

# Runs are begun, $end->(sessions) ends them and returns when it was told to; backends and couriers are gone a second later.
sub ends_quickly
{
    my ($name, $end, $check) = @_;
    my $best = quickest(1, sub {
        my ($sessions, $couriers) = begin_runs();
        my $seconds = $end->($sessions, [ (map { $_->pid } @$sessions), @$couriers ]);
        $check->($sessions) if $check;
        return $seconds;
    });
    cmp_ok($best, '<', 1, "$name: everything has ended within a second");
    is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.run_entry'), '0', "$name: the server starts again, nothing is recorded");
    return;
}

for my $mode ('fast', 'immediate')
{
    ends_quickly("$mode shutdown", sub {
        my ($sessions, $processes) = @_;
        my $began = time;
        $node->stop($mode);
        wait_until_ended("$mode shutdown: backends and couriers", $processes, 5);
        my $seconds = time - $began;
        my @failures = map { failure($_->finish) } @$sessions;
        # An immediate shutdown may kill before it tells.
        is(join(' ', map { $_->{code} } @failures), '57P01 57P01 57P01', "$mode shutdown: clients are told") if $mode eq 'fast';
        $node->start;
        return $seconds;
    });
}

ends_quickly('death of the postmaster', sub {
    my ($sessions, $processes) = @_;
    my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
    my $began = time;
    $node->kill9;
    wait_until_ended('backends and couriers', $processes, 5);
    my $seconds = time - $began;
    wait_until_gone('postmaster', [ $postmaster ]);     # its remains keep the next one from starting
    $node->start;
    return $seconds;
});

ends_quickly('death of the backends', sub {
    my ($sessions, $processes) = @_;
    my $began = time;
    kill 'KILL', map { $_->pid } @$sessions;
    wait_until_ended('backends and couriers', $processes, 5);
    my $seconds = time - $began;
    # The server restarts by itself; that takes as long as it takes.
    wait_for('server after its restart', sub {
        # A psql that is turned away may be gone before it has read its statement, which IPC::Run dies of.
        my ($out, $err) = ('', '');
        my $code = eval { $node->psql('postgres', 'SELECT 1', stdout => \$out, stderr => \$err) };
        return (defined $code && $code == 0, "$err$@");
    });
    return $seconds;
});

$node->stop('fast');
done_testing();
