# A backend that is out of file descriptors says so, with class 53, and loses none over it: as soon as it has some again,
# the session sends.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node = new_cluster('descriptors', config => "max_files_per_process = 64\n");
my $sandbox = start_sandbox();
connect_segment($node, $sandbox);
my $few = 'SELECT g AS user_id FROM generate_series(1, 3) g';

# Runs; returns the SQLSTATE, 00000 when everything was sent. A failure has to be the one that this file is about.
sub try
{
    my ($session, $name, $before) = @_;
    my $result = $session->run(track($few));
    my $failure = failure($result);
    if ($failure)
    {
        is($failure->{code}, '53000', "$name: SQLSTATE");
        like($failure->{message}, qr/descriptor|too many open files|courier.*: Too many open files/i, "$name: message");
    }
    else
    {
        is(figures($result)->{sent}, 3, "$name: everything is sent");
    }
    is_deeply([ couriers_of($session->pid) ], [], "$name: no courier is left");
    is_deeply(connections_of($session->pid), $before, "$name: no descriptor is left");
    return $failure ? $failure->{code} : '00000';
}

# ---- the kernel has none for this process: a limit that leaves 0, 1, 2, … free

# The limit that leaves $free descriptors: numbers below it that are not in use.
sub limit_leaving
{
    my ($pid, $free) = @_;
    my $open = descriptors_of($pid);
    my $limit = 0;
    while (1)
    {
        return $limit if !$open->{$limit} && $free-- == 0;
        $limit++;
    }
}

SKIP:
{
    skip 'there is no prlimit here', 1 if system('prlimit --version >/dev/null 2>&1') != 0;
    my $session = run_session($node);
    my $pid = $session->pid;
    $session->run(track($few)) for 1 .. 2;
    my $before = connections_of($pid);
    my (%codes, $free);
    for $free (0 .. 12)
    {
        my $limit = limit_leaving($pid, $free);
        system("prlimit --pid $pid --nofile=$limit:") == 0 or die 'prlimit failed';
        my $code = try($session, "$free descriptors are left", $before);
        $codes{$code}++;
    }
    ok($codes{53000}, 'too few were too few');
    ok($codes{'00000'}, 'and enough are enough');
    system("prlimit --pid $pid --nofile=1024:") == 0 or die 'prlimit failed';
    is(try($session, 'with the old limit', $before), '00000', 'the session goes on');
}

# ---- PostgreSQL has none for an extension: others (dblink's connections) have taken a third of max_files_per_process

SKIP:
{
    my $session = run_session($node);
    skip 'there is no dblink here', 1 if $node->psql('postgres', 'CREATE EXTENSION dblink') != 0;
    $session->run(track($few)) for 1 .. 2;
    my $conninfo = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres';
    # A run takes one for its socket and one to wait with. Each connection of others takes one, until one is left, then none.
    my ($count, @codes) = (0);
    while (!@codes || $codes[-1] eq '00000')
    {
        die 'others may take as many as they like' if $count > 64;
        is(failure($session->run("SELECT dblink_connect('c$count', '$conninfo')")), undef, 'others connect');
        $count++;
        push @codes, try($session, "$count connections of others", connections_of($session->pid));
    }
    cmp_ok($count, '>', 1, 'with two descriptors left there is a run, with one there is none');
    # (From PostgreSQL 17 on dblink itself needs two.)
    my $last = $node->pg_version < 17 && !failure($session->run("SELECT dblink_connect('last', '$conninfo')"));
    is(try($session, 'one more connection of others', connections_of($session->pid)), '53000', 'nor with none') if $last;
    $session->run("SELECT dblink_disconnect('last')") if $last;
    $session->run('SELECT dblink_disconnect($$c' . --$count . '$$)');
    is(try($session, "$count connections of others again", connections_of($session->pid)), '00000', 'and with two there is one again');
}
done_testing();
