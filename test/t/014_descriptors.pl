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
    my $host = $node->host;
    my $port = $node->port;
    my $count = 0;
    for (;;)
    {
        my $result = $session->run("SELECT dblink_connect('c$count', 'host=$host port=$port dbname=postgres')");
        last if failure($result);
        $count++;
        die 'dblink takes no end of descriptors' if $count > 64;
    }
    my %codes;
    # The last of them left none free; a run takes one for its socket and one to wait with.
    while ($count > 0 && !$codes{'00000'})
    {
        my $before = connections_of($session->pid);
        $codes{ try($session, "$count connections of others", $before) }++;
        $count--;
        $session->run("SELECT dblink_disconnect('c$count')");
    }
    is_deeply(\%codes, { 53000 => 2, '00000' => 1 }, 'without two descriptors there is no run, with two there is');
}
done_testing();
