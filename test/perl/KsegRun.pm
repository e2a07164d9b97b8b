# What the system tests of runs (test/t/01x) share: a server to send to, a run's SQL, what it returned, how it failed, and
# how fast something ended.
#
# Owns the words for that and nothing else; refuses to know what a run must do: that stands in the tests.
package KsegRun;

use strict;
use warnings;
use Exporter 'import';
use Carp qw(croak);
use JSON::PP;
use Time::HiRes qw(time);
use KsegTest ();
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(connect_segment run_session track figures failure warning_of progress_of wait_for_phase wait_until_held
  wait_until_idle  wait_until_ended anonymous_memory_of connections_of quickest);

# Makes the server "segment" of database postgres anew, for every role: to $to, a sandbox or a server of KsegTest's. The
# pairs are options of the server, and for connect_segment itself: server => name, key => write key.
sub connect_segment
{
    my ($node, $to, %options) = @_;
    my $server = delete $options{server} // 'segment';
    my $key = delete $options{key} // (ref $to && $to->can('key') ? $to->key : 'some-key');
    my $url = ref $to ? $to->url : $to;
    my $set = join ', ', map { "ADD $_ '$options{$_}'" } sort keys %options;
    $node->safe_psql('postgres', join(";\n",
        "DROP SERVER IF EXISTS $server CASCADE",
        "SELECT kseg.connect_segment(write_key => '$key', endpoint => '$url', server => '$server', for_role => 'public')",
        ($set ? "ALTER SERVER $server OPTIONS ($set)" : ())));
    return;
}

# A session whose errors name their SQLSTATE; see KsegTest::Session.
sub run_session
{
    my ($node, %options) = @_;
    my $session = KsegTest::session($node, %options);
    $session->run("\\set VERBOSITY verbose\n\\set SHOW_CONTEXT always");
    return $session;
}

# The SQL of a run; it returns the row of figures as JSON. The pairs are further arguments, quoted here.
sub track
{
    my ($query, %arguments) = @_;
    %arguments = (event => 'Test Event', %arguments);
    my $named = join ', ', map { "$_ => '$arguments{$_}'" } sort keys %arguments;
    return "SELECT row_to_json(r) FROM kseg.segment_track_from_query(\$kseg\$$query\$kseg\$, $named) r";
}

# What a run (or several: the last) returned, from what a session's finish or run gave.
sub figures
{
    my ($result) = @_;
    my ($row) = reverse grep { /^\{/ } split /\n/, $result->{out};
    croak "no figures; out: $result->{out} err: $result->{err}" unless defined $row;
    return JSON::PP->new->utf8->decode($row);
}

# The ERROR or FATAL that a session's result tells of, or undef: { code, message, detail, hint, context }.
sub failure { return _report($_[0], 'ERROR|FATAL') }

# The same of its WARNING.
sub warning_of { return _report($_[0], 'WARNING') }

sub _report
{
    my ($result, $severity) = @_;
    my $label = 'DETAIL|HINT|CONTEXT|LOCATION|QUERY|LINE \d+|ERROR|FATAL|WARNING|NOTICE';
    my ($code, $message, $rest) = $result->{err} =~ /^(?:psql:[^\n]*?: )?(?:$severity):  (\w{5}): (.*?)(?=^(?:$label):|\z)(.*)/ms
      or return;
    my %report = (code => $code, message => $message, detail => '', hint => '', context => '');
    while ($rest =~ /\G^(\S[^:\n]*):  ?(.*?)(?=^(?:$label):|\z)/msg)
    {
        my ($name, $text) = (lc $1, $2);
        last if $name =~ /error|fatal|warning|notice/;
        $report{$name} = $text;
    }
    s/\s+\z// for values %report;
    return \%report;
}

# The row of kseg.progress of a backend as a hash, or undef.
sub progress_of
{
    my ($node, $pid) = @_;
    my $row = $node->safe_psql('postgres', "SELECT row_to_json(p) FROM kseg.progress p WHERE pid = $pid");
    return length $row ? JSON::PP->new->utf8->decode($row) : undef;
}

# Waits until the backend's run is in this phase and $holds->(progress) is true; returns the progress.
sub wait_for_phase
{
    my ($node, $pid, $phase, $holds) = @_;
    return KsegTest::wait_for("phase $phase of a run", sub {
        my $progress = progress_of($node, $pid);
        return ($progress && $progress->{phase} eq $phase && (!$holds || $holds->($progress)), $progress);
    });
}

# Waits until the backend waits for its courier: the run can go no further by itself.
sub wait_until_held
{
    my ($node, $pid) = @_;
    # Extensions name their wait events from PostgreSQL 17 on.
    return KsegTest::wait_for('backend waiting for its courier', sub {
        my $event = $node->safe_psql('postgres',
            "SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity WHERE pid = $pid");
        return ($event =~ /^Extension (?:Extension|KsegCourier)$/, $event);
    });
}

# Waits until the sandbox has no more connections: what a run that ended early had on its way has come, or never will. Returns
# the sandbox's stats.
sub wait_until_idle
{
    my ($sandbox) = @_;
    return KsegTest::wait_for('sandbox without connections', sub {
        my $stats = $sandbox->stats;
        return ($stats->{connections_open} == 0, $stats);
    });
}

# Waits until these processes have ended. An orphan's remains count as ended: they are left to the machine's first process, and
# how soon that one clears away is none of kseg's business.
sub wait_until_ended
{
    my ($name, $pids, $timeout) = @_;
    return KsegTest::wait_for("end of $name", sub {
        my @left = grep { _is_alive($_) } @$pids;
        return (!@left, "still there: @left");
    }, $timeout);
}

sub _is_alive
{
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 0;
    my $stat = <$file>;
    return 0 unless defined $stat;
    # When the first thread is dead the others may still have the process's sockets.
    my @threads = glob "/proc/$pid/task/*";
    return $stat !~ /^\d+ \(.*\) [ZX]/ || @threads > 1;
}

# Memory of a process that is its own (RssAnon), in kB; 0 when it is gone. A courier's too: status is everybody's to read.
sub anonymous_memory_of
{
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/status" or return 0;
    local $/;
    my ($anonymous) = (<$file> // '') =~ /^RssAnon:\s+(\d+)/m;
    return $anonymous // 0;
}

# The descriptors of a process that are no files of its cluster: sockets, epoll and the like, by number. PostgreSQL opens and
# closes files as it likes; these must be the same before a run and after it.
sub connections_of
{
    my ($pid) = @_;
    my $open = KsegTest::descriptors_of($pid);
    return { map { $_ => $open->{$_} } grep { $open->{$_} !~ m{^/} } keys %$open };
}

# Calls $once, which returns seconds, or whatever else there is more of on a busy machine, until that is less than $bound, at most three
# times: a loaded machine may spoil one measurement, and does not spoil three. Returns the least.
sub quickest
{
    my ($bound, $once) = @_;
    my $best;
    for (1 .. 3)
    {
        my $seconds = $once->();
        $best = $seconds if !defined $best || $seconds < $best;
        last if $best < $bound;
    }
    return $best;
}

1;
