# A name server that never answers: a run that waits for it ends within a second, however it is ended.
#
# The courier alone is put into a network of its own, where what is sent to the name server goes nowhere.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use Time::HiRes qw(time);

my $base = PostgreSQL::Test::Utils::tempdir('dns');
append_to_file("$base/resolv.conf", "nameserver 10.9.9.9\noptions timeout:30 attempts:1\n");
append_to_file("$base/hanging", <<"SH");
#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH
exec unshare --map-current-user --mount --net --keep-caps /bin/sh -c '
  mount --bind $base/resolv.conf /etc/resolv.conf && ip link set lo up && ip link add kseg0 type veth peer name kseg1 &&
  ip addr add 10.9.9.8/24 dev kseg0 && ip link set kseg0 up && ip link set kseg1 up &&
  ip neigh add 10.9.9.9 lladdr 02:00:00:00:00:01 dev kseg0 && exec "\$\@"' sh "\$\@"
SH
chmod 0755, "$base/hanging";
if (system("$base/hanging true >/dev/null 2>&1") != 0)
{
    # A container may forbid namespaces, and iproute2 may be missing.
    plan(skip_all => 'this machine gives no network of its own to an ordinary user');
}

my ($installation, $courier) = private_installation();
append_to_file($courier, "#!/bin/sh\nexec $base/hanging $courier.own\n");
chmod 0755, $courier;

my $node = new_cluster('dns', new => { install_path => $installation });
connect_segment($node, 'https://hanging.example', request_timeout => 600);

# Starts $statement, waits until it waits for the name, ends it by $end, and returns what its client was told.
sub held
{
    my ($statement, $name, $end) = @_;
    my $result;
    my $best = quickest(1, sub {
        my $session = run_session($node);
        my $pid = $session->pid;
        $session->start($statement);
        wait_for("$name: a courier that asks the name server", sub {
            my ($child) = processes_of($pid) or return (0, 'no courier');
            # Its resolver's thread has a socket to port 53 (0035) of 10.9.9.9.
            my $sockets = eval { slurp_file("/proc/$child/net/udp") } // '';
            return (scalar($sockets =~ /0909090A:0035/), $sockets);
        });
        my $began = time;
        $end->($pid);
        $result = $session->finish;
        my $seconds = time - $began;
        is_deeply([ processes_of($pid) ], [], "$name: no courier is left");
        return $seconds;
    });
    cmp_ok($best, '<', 1, "$name: within a second");
    return failure($result) // { code => 'connection lost' };
}

my $run = track("SELECT 'u' AS user_id");
my $tell = sub { my ($function) = @_; return sub { $node->safe_psql('postgres', "SELECT $function($_[0])") } };
is(held($run, 'cancel', $tell->('pg_cancel_backend'))->{code}, '57014', 'cancel: is told');
is(held($run, 'termination', $tell->('pg_terminate_backend'))->{code}, '57P01', 'termination: is told');
is(held(q{SELECT * FROM kseg.test_server('segment')}, 'test_server', $tell->('pg_cancel_backend'))->{code}, '57014', 'test_server: is told');

done_testing();
