# What kseg's system tests (test/t) share: clusters, sessions that run beside the test, the Segment sandbox, servers that
# misbehave, a look at processes. Exports everything below, and Test::More.
#
# Nothing here sleeps for a fixed time: a test waits for a condition that has a name (wait_for), and when that does not
# come true in time it dies with the name and the last value seen.
# Refuses to know kseg's rules: what must hold stands in the tests.
package KsegTest;

use strict;
use warnings;
use Exporter 'import';
use Carp qw(croak);
use PostgreSQL::Test::Cluster;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

our @EXPORT = (
    qw(new_cluster private_installation fault_installation session start_sandbox raw_server silent_server wait_for wait_until_gone
      processes_of couriers_of descriptors_of memory_of source_file),
    @Test::More::EXPORT,
    qw(slurp_file append_to_file));

# Told to end (by the runner's time limit, by Ctrl-C), a test ends in order: END blocks stop what it started.
$SIG{TERM} = sub { exit 143 };
$SIG{INT}  = sub { exit 130 };

# Seconds that a condition may take on a slow, busy machine before something is wrong.
our $PATIENCE = 60;

# ---- waiting

# Calls $look again and again until it is true, and returns what it said; dies after $timeout seconds ($PATIENCE).
# $look returns (true?, value to show), or one value that is both.
sub wait_for
{
    my ($name, $look, $timeout) = @_;
    $timeout //= $PATIENCE;
    my $end = time() + $timeout;
    my @seen;
    for (;;)
    {
        @seen = $look->();
        return $seen[-1] if $seen[0];
        last if time() > $end;
        sleep(0.01);
    }
    my $last = defined $seen[-1] ? ref $seen[-1] ? _json()->encode($seen[-1]) : $seen[-1] : 'undefined';
    my $words = "waited $timeout s in vain for: $name; last value: $last";
    # What a test dies of is said in its log alone.
    diag($words);
    croak $words;
}

# Waits until the processes $pids are gone, reaped too.
sub wait_until_gone
{
    my ($name, $pids, $timeout) = @_;
    return wait_for("$name gone",
        sub { my @left = grep { -d "/proc/$_" } @$pids; return (!@left, "still there: @left") }, $timeout);
}

# ---- clusters and sessions

# Makes and starts a cluster with kseg in database postgres.
#   config => 'lines for postgresql.conf'; extension => 0 to do without; start => 0; new => { install_path => … }
sub new_cluster
{
    my ($name, %options) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name, %{ $options{new} // {} });
    # The same on every machine, whatever its locale.
    $node->init(extra => [ "--encoding=UTF8", "--no-locale" ], %{ $options{init} // {} });
    # Small, for several of them run at once; and nothing in the log that a test would have to look past.
    $node->append_conf('postgresql.conf', "shared_buffers = 16MB\nmax_connections = 30\nautovacuum = off\n");
    $node->append_conf('postgresql.conf', $options{config}) if defined $options{config};
    return $node if defined $options{start} && !$options{start};
    $node->start;
    $node->safe_psql('postgres', 'CREATE EXTENSION kseg')
      unless defined $options{extension} && !$options{extension};
    return $node;
}

# A copy of the installation that is the test's alone, so that what is in it can be replaced (by another file: the copy's are links):
# returns what new_cluster takes as new => { install_path => … }, and the folder of its libraries.
sub _copied_installation
{
    my $copy = PostgreSQL::Test::Utils::tempdir('pg');
    system('cp', '-al', "$ENV{SCRATCH}/pg/.", $copy) == 0 or die "could not copy the installation";
    my ($bin) = $ENV{KSEG_BIN} =~ m{^\Q$ENV{SCRATCH}\E/pg/(.*)/bin/?$} or die "KSEG_BIN is elsewhere: $ENV{KSEG_BIN}";
    chomp(my $libraries = `'$copy/$bin/bin/pg_config' --pkglibdir`);
    return ("$copy/$bin", $libraries);
}

# One whose courier can be replaced: its path comes second. The courier that was there is beside it, as PATH.own.
sub private_installation
{
    my ($path, $libraries) = _copied_installation();
    my $courier = "$libraries/kseg-courier";
    rename $courier, "$courier.own" or die "could not rename $courier: $!";
    return ($path, $courier);
}

# One whose kseg.so has the fault points of src/stream/stream_fault.h: a test that uses it says "needs: faults" in its first lines.
sub fault_installation
{
    my ($path, $libraries) = _copied_installation();
    unlink "$libraries/kseg.so" or die "could not remove kseg.so: $!";
    system('cp', source_file('build/faults/kseg.so'), "$libraries/kseg.so") == 0 or die "there is no build/faults/kseg.so";
    return $path;
}

# A psql that goes on beside the test. dbname, user (default: the cluster's); see KsegTest::Session.
sub session { return KsegTest::Session->new(@_) }

# ---- processes

# The children of process $pid, dead ones that nobody reaped too; with $name only the programs of that name.
sub processes_of
{
    my ($pid, $name) = @_;
    my @children;
    for my $file (glob '/proc/[0-9]*/stat')
    {
        open my $handle, '<', $file or next;
        my $stat = <$handle>;
        next unless defined $stat;
        # pid (name) state ppid …; a name may contain blanks and brackets.
        my ($child, $comm, $parent) = $stat =~ /^(\d+) \((.*)\) \S (\d+) / or next;
        push @children, $child if $parent == $pid && (!defined $name || $comm eq substr($name, 0, 15));
    }
    return sort { $a <=> $b } @children;
}

# The couriers of a backend.
sub couriers_of { return processes_of($_[0], 'kseg-courier') }

# The open descriptors of process $pid: { number => what it is }.
sub descriptors_of
{
    my ($pid) = @_;
    my %open;
    for my $path (glob "/proc/$pid/fd/*")
    {
        my $target = readlink $path;
        $open{$1} = $target if defined $target && $path =~ /(\d+)$/;
    }
    return \%open;
}

# What process $pid holds, in kB: now (rss) and at most (peak).
sub memory_of
{
    my ($pid) = @_;
    my $status = slurp_file("/proc/$pid/status");
    my ($rss)  = $status =~ /^VmRSS:\s+(\d+)/m;
    my ($peak) = $status =~ /^VmHWM:\s+(\d+)/m;
    return { rss => $rss, peak => $peak };
}

# The path of a file of kseg's source, given from its top folder.
sub source_file { return "$ENV{SCRATCH}/src/$_[0]" }

# ---- servers

# Starts Segment's sandbox; see KsegTest::Sandbox. key => write key, args => [further options],
# tls => 1: it speaks TLS for 127.0.0.1 and localhost, with a certificate of its own (->ca_file)
sub start_sandbox { return KsegTest::Sandbox->new(@_) }

# A TCP server on a free port of the loopback that does what $serve->($socket) does with each connection, each in a
# process of its own. Without $serve it only listens: connections succeed and nobody takes them. Returns an object with
# port, url, connections (how many were taken so far) and stop.
sub raw_server { return KsegTest::RawServer->new(@_) }

# One that takes connections, reads whatever comes, and never answers.
sub silent_server
{
    return raw_server(sub { my ($socket) = @_; my $bytes; 1 while sysread $socket, $bytes, 65536; });
}

sub _json { require JSON::PP; return JSON::PP->new->canonical->allow_nonref->allow_blessed }

# Processes that this test started by fork, to be ended with it however it ends.
my %started;

# Runs $run in a process of its own that has the open handles @keep, and writes to $log. Of the test's other descriptors it
# has none: whoever reads the test's output waits until the last one that could write has closed it.
sub _start
{
    my ($log, $run, @keep) = @_;
    my $pid = fork // croak "could not fork: $!";
    if ($pid)
    {
        $started{$pid} = $$;
        return $pid;
    }
    # Neither the parent's END blocks nor its destructors: they stop its clusters. So the end is POSIX::_exit.
    $SIG{TERM} = $SIG{INT} = 'DEFAULT';
    my %keep = map { fileno $_ => 1 } @keep;
    POSIX::close($_) for grep { !$keep{$_} } keys %{ descriptors_of($$) };
    POSIX::open($_->[0], $_->[1], 0644) // POSIX::_exit(1)
      for [ '/dev/null', &POSIX::O_RDONLY ], ([ $log, &POSIX::O_WRONLY | &POSIX::O_CREAT | &POSIX::O_APPEND ]) x 2;
    eval { $run->(); 1 } or print STDERR $@;
    POSIX::_exit(1);
}

sub _stop
{
    my ($pid) = @_;
    return unless defined $pid && ($started{$pid} // 0) == $$;
    delete $started{$pid};
    kill 'TERM', $pid;
    local $?;
    waitpid $pid, 0;
    return;
}

END { _stop($_) for keys %started }

# ---------------------------------------------------------------------------------------------------------------------
# A psql that goes on beside the test: start a statement, look at the world, finish.
package KsegTest::Session;

use strict;
use warnings;
use Carp qw(croak);
use IPC::Run;
use Time::HiRes;

sub new
{
    my ($class, $node, %options) = @_;
    my $connection = $node->connstr($options{dbname} // 'postgres');
    $connection .= " user=$options{user}" if defined $options{user};
    my $self = bless { in => '', out => '', err => '', number => 0, running => 0 }, $class;
    $self->{psql} = IPC::Run::start(
        [ $node->installed_command('psql'), '-XAtq', '-d', $connection ],
        '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err});
    my $pid = $self->run('SELECT pg_backend_pid()');
    $self->{pid} = $pid->{out} =~ /^(\d+)$/ ? $1 : croak "no session: $pid->{err}";
    return $self;
}

# The process id of its backend.
sub pid { return $_[0]{pid} }

# Sends statements and returns at once.
sub start
{
    my ($self, $sql) = @_;
    croak 'a statement is running' if $self->{running};
    my $end = $self->_end(++$self->{number});
    # After the data of a COPY an empty statement would make psql begin the COPY anew.
    my $close = $sql =~ /^\\\.\s*\z/m ? '' : ';';
    $self->{in} .= "$sql\n$close\n\\echo $end\n\\warn $end\n";
    $self->{running} = 1;
    $self->{began}   = Time::HiRes::time();
    $self->{psql}->pump_nb;
    return;
}

# Waits for what start sent and returns { out, err, seconds (since start), gone (the connection was lost) }.
sub finish
{
    my ($self, $timeout) = @_;
    croak 'no statement is running' unless $self->{running};
    my $end  = $self->_end($self->{number});
    my $gone = KsegTest::wait_for(
        'end of a statement',
        sub {
            # pump_nb dies when psql has closed what it reads; its output is still to be had then.
            my $alive = eval { $self->{psql}->pump_nb; 1 } && $self->{psql}->pumpable;
            return (1, 0) if $self->{out} =~ /^$end$/m && $self->{err} =~ /^$end$/m;
            return (!$alive, $alive ? "out: $self->{out} err: $self->{err}" : 1);
        },
        $timeout);
    my ($out, $err) = ($self->{out}, $self->{err});
    s/^$end\n//m for $out, $err;
    $out =~ s/\n\z//;
    $self->{out} = $self->{err} = '';
    $self->{running} = 0;
    return { out => $out, err => $err, gone => $gone, seconds => Time::HiRes::time() - $self->{began} };
}

# Both: runs statements to their end.
sub run
{
    my ($self, $sql, $timeout) = @_;
    $self->start($sql);
    return $self->finish($timeout);
}

# Runs one SELECT to its end and returns its rows as hashes; dies when it fails.
sub rows
{
    my ($self, $sql, $timeout) = @_;
    my $said = $self->run("SELECT pg_catalog.row_to_json(q) FROM ($sql) q", $timeout);
    croak "$sql: $said->{err}" if $said->{gone} || $said->{err} =~ /^(?:ERROR|FATAL|psql):/m;
    return map { KsegTest::_json()->utf8->decode($_) } split /\n/, $said->{out};
}

# The same for a SELECT of exactly one row.
sub row
{
    my ($self, $sql, $timeout) = @_;
    my @rows = $self->rows($sql, $timeout);
    croak "$sql: " . @rows . ' rows' unless @rows == 1;
    return $rows[0];
}

sub quit
{
    my ($self) = @_;
    my $psql = delete $self->{psql} or return;
    $self->{in} .= "\\q\n";
    eval { $psql->finish; 1 } or $psql->kill_kill;
    return;
}

sub _end { return "kseg-test-end-$_[1]" }

# In Perl's global destruction IPC::Run is half gone; psql ends by itself then, as its input does.
sub DESTROY
{
    my ($self) = @_;
    local ($@, $?);
    $self->{psql}->kill_kill if $self->{psql} && ${^GLOBAL_PHASE} ne 'DESTRUCT';
    return;
}

# ---------------------------------------------------------------------------------------------------------------------
# Segment's sandbox (test/sandbox), with the questions that tests ask of it.
package KsegTest::Sandbox;

use strict;
use warnings;
use Carp qw(croak);
use HTTP::Tiny;
use IPC::Run;

my $number = 0;

sub new
{
    my ($class, %options) = @_;
    my $self = bless { key => $options{key} // 'sandbox-key' }, $class;
    my $base = PostgreSQL::Test::Utils::tempdir('sandbox' . ++$number);
    my $log  = "$PostgreSQL::Test::Utils::log_path/sandbox$number.log";
    my $scheme = 'http';
    my @tls;
    if ($options{tls})
    {
        $self->{ca_file} = "$base/certificate.pem";
        PostgreSQL::Test::Utils::system_or_bail(
            qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sandbox),
            '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-keyout', "$base/key.pem", '-out', $self->{ca_file});
        @tls = ('--tls-cert', $self->{ca_file}, '--tls-key', "$base/key.pem");
        $scheme = 'https';
    }
    my @command = ('python3', '-B', KsegTest::source_file('test/sandbox/segment_sandbox.py'),
        '--port', 0, '--port-file', "$base/port", '--write-key', $self->{key}, @tls, @{ $options{args} // [] });
    $self->{pid} = KsegTest::_start($log, sub { exec { $command[0] } @command or die "could not run @command: $!" });
    my $port = KsegTest::wait_for('port of the sandbox', sub {
        croak 'the sandbox ended: ' . PostgreSQL::Test::Utils::slurp_file($log) if waitpid($self->{pid}, 1) > 0;   # WNOHANG
        return unless -s "$base/port";
        my ($number) = PostgreSQL::Test::Utils::slurp_file("$base/port") =~ /^(\d+)\s*$/;
        return $number;
    });
    $self->{port} = $port;
    $self->{url} = "$scheme://127.0.0.1:$port";
    return $self;
}

sub url { return $_[0]{url} }
sub port { return $_[0]{port} }
sub pid { return $_[0]{pid} }
sub ca_file { return $_[0]{ca_file} }
sub key { return $_[0]{key} }

# Its control interface (test/sandbox/README.md); parameters are given as pairs. Lists come as Perl lists.
sub stats    { return $_[0]->_ask('GET', '/_sandbox/stats') }
sub events   { my ($self, %query) = @_; return @{ $self->_ask('GET', '/_sandbox/events', \%query)->{events} } }
sub order    { my ($self, $user) = @_; return @{ $self->_ask('GET', '/_sandbox/order', { user_id => $user })->{messageIds} } }
sub requests { my ($self, %query) = @_; return @{ $self->_ask('GET', '/_sandbox/requests', \%query)->{requests} } }
sub reset    { return $_[0]->_ask('POST', '/_sandbox/reset') }
sub settings { my ($self, %changes) = @_; return $self->_ask('POST', '/_sandbox/settings', {}, \%changes) }

# What the next requests are to meet, as hashes; none: nothing any more.
sub faults { my ($self, @rules) = @_; return $self->_ask('POST', '/_sandbox/faults', {}, { rules => \@rules }) }

# Waits until a figure of stats has reached a value, and returns stats; dies with the last value when it does not.
sub wait
{
    my ($self, $field, $at_least, $timeout) = @_;
    $timeout //= $KsegTest::PATIENCE;
    my %query = (field => $field, at_least => $at_least, timeout => $timeout);
    return $self->_ask('GET', '/_sandbox/wait', \%query, undef, $timeout + 5)->{stats};
}

sub stop { my ($self) = @_; KsegTest::_stop(delete $self->{pid}); return }

sub _ask
{
    my ($self, $method, $path, $query, $body, $timeout) = @_;
    my $http = HTTP::Tiny->new(timeout => $timeout // $KsegTest::PATIENCE);
    my $ask  = %{ $query // {} } ? '?' . $http->www_form_urlencode($query) : '';
    my %with = defined $body
      ? (content => KsegTest::_json()->utf8->encode($body), headers => { 'Content-Type' => 'application/json' }) : ();
    my $answer = $self->{ca_file}
      ? $self->_ask_tls($method, "$self->{url}$path$ask", $with{content} // '')
      : $http->request($method, "$self->{url}$path$ask", \%with);
    croak "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
    return KsegTest::_json()->utf8->decode($answer->{content});
}

# The same over TLS: Perl's core has none.
sub _ask_tls
{
    my ($self, $method, $url, $body) = @_;
    my $program = 'import sys, ssl, urllib.request as u; method, url, ca, body = sys.argv[1:]; '
      . 'request = u.Request(url, method=method, data=body.encode() or None); '
      . 'sys.stdout.buffer.write(u.urlopen(request, context=ssl.create_default_context(cafile=ca)).read())';
    my ($out, $err) = ('', '');
    my $ok = IPC::Run::run([ 'python3', '-c', $program, $method, $url, $self->{ca_file}, $body ], '>', \$out, '2>', \$err);
    return { success => $ok, status => 'failed', content => $ok ? $out : $err };
}

sub DESTROY { my ($self) = @_; local ($@, $?); KsegTest::_stop($self->{pid}); return }

# ---------------------------------------------------------------------------------------------------------------------
# A TCP server that does with its connections what a test says.
package KsegTest::RawServer;

use strict;
use warnings;
use Carp qw(croak);
use File::Temp;
use POSIX ();
use IO::Socket::INET;

sub new
{
    my ($class, $serve) = @_;
    my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp')
      or croak "could not listen: $!";
    my $self = bless { port => $listener->sockport, taken => File::Temp->new }, $class;
    if (!$serve)
    {
        $self->{listener} = $listener;      # the kernel alone answers
        return $self;
    }
    my $log = "$PostgreSQL::Test::Utils::log_path/server$self->{port}.log";
    my $taken = $self->{taken}->filename;
    $self->{pid} = KsegTest::_start($log, sub { _serve($listener, $serve, $taken) }, $listener);
    close $listener;
    return $self;
}

# Takes connections for ever, one process each; they end with their parent, which leads their group.
sub _serve
{
    my ($listener, $serve, $taken) = @_;
    setpgrp;
    # A child that has just been forked has this handler, too.
    my $leader = $$;
    $SIG{TERM} = sub { POSIX::_exit(1) if $$ != $leader; $SIG{TERM} = 'DEFAULT'; kill 'TERM', -$$ };
    $SIG{CHLD} = 'IGNORE';
    for (;;)
    {
        my $socket = $listener->accept or next;
        open my $mark, '>>', $taken or die "could not open $taken: $!";
        syswrite $mark, '.';
        close $mark;
        my $pid = fork // die "could not fork: $!";
        if ($pid)
        {
            # Perl's own close counts the handles of a number, those too that _start closed behind its back: so for real.
            POSIX::close(fileno $socket);
            next;
        }
        close $listener;
        $SIG{TERM} = 'DEFAULT';
        $serve->($socket);
        close $socket;
        POSIX::_exit(0);        # neither END blocks nor destructors of the test
    }
}

sub port { return $_[0]{port} }
sub url  { return "http://127.0.0.1:$_[0]{port}" }
sub connections { return -s $_[0]{taken}->filename }
sub stop { my ($self) = @_; KsegTest::_stop(delete $self->{pid}); close delete $self->{listener} if $self->{listener}; return }

sub DESTROY { my ($self) = @_; local ($@, $?); $self->stop; return }

1;
