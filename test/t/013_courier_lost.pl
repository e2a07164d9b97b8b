# A courier that dies, stands still, is missing or is somebody else fails its own run, in clear words, and nothing more.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my ($installation, $courier) = private_installation();

# Puts the courier that was installed in its place, or a program of these lines, or (undef) nothing.
sub install
{
    my ($lines, $mode) = @_;
    unlink $courier;
    return unless defined $lines;
    return link "$courier.own", $courier || die "could not link: $!" if $lines eq 'own';
    open my $file, '>', $courier or die "could not write $courier: $!";
    print $file $lines;
    close $file;
    chmod $mode // 0755, $courier;
    return;
}

install('own');
my $node = new_cluster('lost', new => { install_path => $installation });
my $sandbox = start_sandbox();
my $silent = silent_server();
connect_segment($node, $sandbox);
connect_segment($node, $sandbox, server => 'small', upload_size => 100, max_queue_size => 500);
connect_segment($node, $silent, server => 'silent');

my $session = run_session($node);
my $holder = run_session($node);
my $few = 'SELECT g AS user_id FROM generate_series(1, 3) g';
is(figures($session->run(track($few)))->{sent}, 3, 'a run before everything');
my $before = connections_of($session->pid);
my $pid = $session->pid;

sub courier { return wait_for('a courier', sub { my @pids = couriers_of($pid); return (@pids == 1, @pids) }) }

# After whatever it was: nothing is left, and the session sends.
sub session_ok
{
    my ($name) = @_;
    install('own');
    is_deeply([ couriers_of($pid) ], [], "$name: no courier is left");
    is_deeply(connections_of($pid), $before, "$name: no descriptor is left");
    is(figures($session->run(track($few)))->{sent}, 3, "$name: the next run works");
    return;
}

# ---- killed

my $lost = qr/^kseg's courier was lost$/;
my $sleepy = q{SELECT g AS user_id FROM generate_series(1, 3) g, (SELECT pg_advisory_xact_lock_shared(13)) held};
$holder->run('SELECT pg_advisory_lock(13)');
# name, server, query, its phase, rows it has read when it hears of the death (undef: how many depends)
for my $moment (
    [ 'at its start', 'segment', $sleepy, sub { wait_for_phase($node, $pid, 'sending') }, undef ],
    [ 'with the query waiting for credit', 'silent', 'SELECT g AS user_id FROM generate_series(1, 200000) g', sub { wait_until_held($node, $pid) }, undef ],
    [ 'with everything fed', 'silent', $few, sub { wait_for_phase($node, $pid, 'finishing', sub { $_[0]{in_flight} == 3 }); wait_until_held($node, $pid) }, 3 ])
{
    my ($name, $server, $query, $wait, $rows) = @$moment;
    for my $on_failure ('error', 'report')
    {
        my $case = "killed $name, on_failure $on_failure";
        $session->start(track($query, server => $server, on_failure => $on_failure));
        my $process = courier();
        $wait->();
        kill 'KILL', $process;
        # The query alone decides when a run hears of it: it has to come back with a row.
        $holder->run('SELECT pg_advisory_unlock(13); SELECT pg_advisory_lock_shared(13); SELECT pg_advisory_unlock_shared(13)')
          if $server eq 'segment';
        my $result = $session->finish;
        if ($on_failure eq 'error')
        {
            my $failure = failure($result);
            is($failure->{code}, '08006', "$case: SQLSTATE");
            like($failure->{message}, $lost, "$case: message");
            my $read = $rows // '[1-9]\d*';
            like($failure->{detail}, qr/^The process ended by signal 9\. Run [0-9a-f-]{36}: ($read) rows, 0 sent, 0 repeated, 0 invalid, 0 rejected, \1 open, 0 retries\.$/, "$case: detail");
            like($failure->{hint}, qr/^Repeat the run/, "$case: hint");
            is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.run WHERE failure IS NOT NULL'), '0', "$case: rolled back, so not recorded");
        }
        else
        {
            my $figures = figures($result);
            is($figures->{sent}, 0, "$case: figures");
            is($figures->{rows}, $rows, "$case: rows") if $rows;
            like($figures->{first_problem}, $lost, "$case: first_problem");
            my $record = $node->safe_psql('postgres', "SELECT rows - open, sent, failure FROM kseg.run WHERE run = '$figures->{run}'");
            is($record, "0|0|kseg's courier was lost", "$case: recorded, with every row open");
            $node->safe_psql('postgres', 'DELETE FROM kseg.run_entry WHERE failure IS NOT NULL');
        }
        session_ok($case);
        $holder->run('SELECT pg_advisory_lock(13)') if $server eq 'segment';
    }
}
$holder->run('SELECT pg_advisory_unlock(13)');

# As early as a child can be seen at all, be it the courier's program yet or not.
for my $turn (1 .. 10)
{
    $holder->run('SELECT pg_advisory_lock(13)');
    $session->start(track($sleepy));
    kill 'KILL', wait_for('a child', sub { my @pids = processes_of($pid); return (scalar @pids, @pids) });
    $holder->run('SELECT pg_advisory_unlock(13)');
    is(failure($session->finish)->{code}, '08006', "killed as early as can be, turn $turn");
}
session_ok('killed as early as can be');

# In the middle of it, again and again: what had arrived stays, and the last run, which nobody disturbs, brings the others.
$sandbox->reset;
$node->safe_psql('postgres', q{CREATE FUNCTION gate(g int) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN IF g = 20000 THEN PERFORM pg_advisory_xact_lock_shared(13); END IF; RETURN g; END $$});
my $many = q{SELECT gate(g) AS user_id, 'the same in every run' AS note FROM generate_series(1, 30000) g};
for my $sent (1, 400, 3000, 9000)
{
    $holder->run('SELECT pg_advisory_lock(13)');       # it must not be over before it is killed
    $session->start(track($many, server => 'small'));
    my $process = courier();
    wait_for_phase($node, $pid, 'sending', sub { $_[0]{sent} >= $sent });
    kill 'KILL', $process;
    $holder->run('SELECT pg_advisory_unlock(13)');
    my $failure = failure($session->finish);
    my ($told) = ($failure->{detail} // '') =~ / (\d+) sent,/;
    is($failure->{code}, '08006', "killed after $sent events: SQLSTATE");
    cmp_ok($told // -1, '>=', $sent, "killed after $sent events: what was sent is told");
    cmp_ok($told, '<=', $sandbox->stats->{accepted}, "killed after $sent events: and no more than had arrived");
    session_ok("killed after $sent events");
}
my $stats = wait_until_idle($sandbox);
my $figures = figures($session->run(track($many, server => 'small')));
my $after = $sandbox->stats;
# Users 1, 2 and 3 of session_ok are other events.
is($figures->{sent}, 30000, 'an undisturbed run sends everything');
is($after->{accepted}, 30003, 'and now everything has arrived');
is($after->{repeated} - $stats->{repeated}, $stats->{accepted} - 3, 'what had arrived before was repeated, to no harm');

# ---- stopped

for my $stopped (
    [ 'with everything fed', 'segment', $sleepy, 3 ],
    [ 'with its socket full', 'segment', q{SELECT g AS user_id, repeat('x', 1000) AS note FROM generate_series(1, 9000) g, (SELECT pg_advisory_xact_lock_shared(13)) held}, 9000 ])
{
    my ($name, $server, $query, $rows) = @$stopped;
    for my $end ('cancel', 'continue')
    {
        my $case = "stopped $name, then $end";
        my $run = sub {
            $holder->run('SELECT pg_advisory_lock(13)');
            $session->start(track($query, server => $server));
            my $process = courier();
            wait_for_phase($node, $pid, 'sending');
            kill 'STOP', $process;
            $holder->run('SELECT pg_advisory_unlock(13)');
            wait_until_held($node, $pid);
            return $process;
        };
        if ($end eq 'cancel')
        {
            my $result;
            cmp_ok(quickest(1, sub {
                $run->();
                my $began = Time::HiRes::time();
                kill 'INT', $pid;
                $result = $session->finish;
                return Time::HiRes::time() - $began;
            }), '<', 1, "$case: a cancel ends the run within a second");
            is(failure($result)->{code}, '57014', "$case: SQLSTATE");
        }
        else
        {
            kill 'CONT', $run->();
            is(figures($session->finish)->{sent}, $rows, "$case: the run goes on to its end");
        }
        session_ok($case);
    }
}

# ---- missing, or not to be executed

for my $missing (
    [ 'missing', undef, undef, 'No such file or directory' ],
    [ 'not executable', "#!/bin/sh\nexit 0\n", 0644, 'Permission denied' ],
    [ 'no program', "these are words\n", 0755, 'Exec format error' ])
{
    my ($name, $lines, $mode, $words) = @$missing;
    for my $on_failure ('error', 'report')
    {
        my $case = "$name, on_failure $on_failure";
        install($lines, $mode);
        # Nothing was sent, and no repeat would help: that is always an error.
        my $failure = failure($session->run(track($few, on_failure => $on_failure)));
        is($failure->{code}, '58P01', "$case: SQLSTATE");
        is($failure->{message}, "could not start kseg's courier \"$courier\": $words", "$case: message");
        like($failure->{hint}, qr/^Install kseg again: /, "$case: hint");
        session_ok($case);
    }
}
install(undef);
is($session->run("SELECT count(*) FROM kseg.segment_preview('$few', event => 'Test Event')")->{out}, '3', 'a preview needs no courier');

# ---- somebody else

# A program that says $bytes on the wire (a Perl expression) and reads until it is told no more.
sub impostor
{
    my ($bytes) = @_;
    return <<"END";
#!/usr/bin/perl
open my \$wire, '+<&=', 3 or exit 9;
sub text { pack 'L a*', length \$_[0], \$_[0] }
sub frame { pack 'L S C x a*', length \$_[1], 0, ord \$_[0], \$_[1] }
syswrite \$wire, $bytes;
1 while sysread \$wire, my \$read, 65536;
END
}

# Runs with this program in the courier's place and returns its failure.
sub failure_with
{
    my ($name, $program, %arguments) = @_;
    install($program);
    my $failure = failure($session->run(track($few, %arguments)));
    session_ok($name);
    return $failure;
}

my ($version) = slurp_file(source_file('src/wire/wire.h')) =~ /^#define KSEG_WIRE_VERSION (\d+)$/m or die 'the wire has no version';
my $failure = failure_with('another build', impostor("frame('H', pack('L', $version) . text('0.0.0-7') . text('no libraries'))"));
is($failure->{code}, '55000', 'another build: SQLSTATE');
is($failure->{message}, "kseg's courier is of another build than the loaded kseg.so", 'another build: message');
like($failure->{detail}, qr/^Loaded is build (\S+), the courier beside it is 0\.0\.0-7\. Run .* 3 rows, 0 sent, .* 3 open/, 'another build: detail');
like($failure->{hint}, qr/start new sessions/, 'another build: hint');
my ($build) = $failure->{detail} =~ /build ([^,]+),/;
my $hello = "frame('H', pack('L', $version) . text('$build') . text(''))";

$failure = failure_with('another wire', impostor("frame('H', pack('L', $version + 1) . text('$build') . text(''))"));
is($failure->{code}, '55000', 'another version of the wire: SQLSTATE');

for my $wrong (
    [ 'words', q{"kseg-courier: error while loading shared libraries: libcurl.so.4\n" x 10}, 'frame that is too long' ],
    [ 'no greeting', q{frame('S', 'x' x 80)}, 'did not greet' ],
    [ 'half a greeting', q{frame('H', 'x')}, 'of another build' ],
    [ 'an unknown frame', "$hello . frame('?', '')", 'sent an unknown frame' ],
    [ 'a status that is none', "$hello . frame('S', 'xyz')", 'sent a status that is none' ],
    [ 'a frame that is too long', qq{$hello . pack('L S C x', 50_000_000, 0, ord 'S')}, 'frame that is too long' ],
    [ 'a failure that is none', "$hello . frame('F', '')", 'sent a failure that is none' ])
{
    my ($name, $bytes, $words) = @$wrong;
    $failure = failure_with($name, impostor($bytes));
    like($failure->{code}, qr/^(?:XX000|55000)$/, "a courier that says $name: SQLSTATE");
    like($failure->{message}, qr/\Q$words\E/, "a courier that says $name: message");
}

for my $gone (
    [ 'exits at once', "#!/bin/sh\nexit 127\n", 'The process ended with exit code 127.' ],
    [ 'exits when it is greeted', "#!/usr/bin/perl\nuse POSIX; POSIX::read(3, my \$read, 9); POSIX::_exit(3);\n", 'The process ended with exit code 3.' ],
    [ 'greets and exits', impostor($hello) =~ s/^1 while.*/use POSIX; POSIX::_exit(4);/mr, 'The process ended with exit code 4.' ],
    [ 'kills itself', "#!/bin/sh\nkill -SEGV \$\$\n", 'The process ended by signal 11.' ])
{
    my ($name, $program, $words) = @$gone;
    $failure = failure_with($name, $program);
    is($failure->{code}, '08006', "a courier that $name: SQLSTATE");
    like($failure->{message}, $lost, "a courier that $name: message");
    like($failure->{detail}, qr/^\Q$words\E Run /, "a courier that $name: detail");
}

# One that never says a word: the run's timeout ends it, or a cancel.
$failure = failure_with('silent', impostor(q{''}), timeout => '0.3 s');
is($failure->{code}, '57014', 'a courier without a word: timeout ends the run');
install(impostor(q{''}));
$session->start(track($few));
courier();
wait_until_held($node, $pid);
kill 'INT', $pid;
is(failure($session->finish)->{code}, '57014', 'a courier without a word: cancel ends the run');
session_ok('without a word');
done_testing();
