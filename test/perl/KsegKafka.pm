# A real Kafka for the system tests: the run's shared broker or one of the test's own, its topics, and messages to the last byte.
#
# A test that uses it says so in its first lines, with the comment "needs: kafka": test/run then has a broker (or, where there
# can be none, does not run the test). It asks test/kafka/broker for nodes and test/kafka/client.c for all that is done to topics;
# nothing of kseg is in between.
# Refuses to know what kseg must do with a topic, and to disturb the shared broker: who wants to kill a node has one of his own.
package KsegKafka;

use strict;
use warnings;
use Exporter 'import';
use Carp qw(croak);
use File::Basename qw(basename);
use JSON::PP ();
use KsegTest ();
use POSIX ();
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(kafka_broker);

# What --sasl-ssl of test/kafka/broker sets up.
our ($USER, $PASSWORD, $KEY_PASSWORD) = ('kseg', 'kseg-secret', 'key-secret');

# Returns the run's shared broker, one node; or, with options, one of the test's own, which ends with the test:
#   nodes => 1 or 3; sasl_ssl => 1; set => { 'broker.property' => value, … }; heap => MB
sub kafka_broker
{
    my (%options) = @_;
    croak 'there is no broker: the first lines of this test do not say "needs: kafka"' unless $ENV{KSEG_KAFKA_BOOTSTRAP};
    return KsegKafka::Broker->shared unless %options;
    return KsegKafka::Broker->start(%options);
}

# ---- running programs

# Runs a command with this input (a string) to its end: { out, err, status }. Input and output go through files: there may be much.
sub run_program
{
    my ($input, @command) = @_;
    my $base = PostgreSQL::Test::Utils::tempdir_short();
    _write("$base/in", $input // '');
    my $pid = fork // croak "could not fork: $!";
    if (!$pid)
    {
        open STDIN,  '<', "$base/in"  or POSIX::_exit(126);
        open STDOUT, '>', "$base/out" or POSIX::_exit(126);
        open STDERR, '>', "$base/err" or POSIX::_exit(126);
        { no warnings 'exec'; exec { $command[0] } @command }
        print STDERR "could not run $command[0]: $!\n";
        close STDERR;
        POSIX::_exit(127);
    }
    local $?;
    waitpid $pid, 0;
    return { out => PostgreSQL::Test::Utils::slurp_file("$base/out"), err => PostgreSQL::Test::Utils::slurp_file("$base/err"),
        status => $? & 127 ? 128 + ($? & 127) : $? >> 8 };
}

# The same for a command that must succeed; returns its output.
sub _done
{
    my ($input, @command) = @_;
    my $said = run_program($input, @command);
    croak basename($command[0]) . " @command[1 .. $#command]: $said->{err}" if $said->{status};
    return $said->{out};
}

# librdkafka's version as kcat tells it, in words that can be compared: 02.06.01
sub client_version
{
    my ($said) = _done('', 'kcat', '-V') =~ /librdkafka (\d+\.\d+\.\d+)/ or croak 'kcat -V names no version of librdkafka';
    return join '.', map { sprintf '%02d', $_ } split /\./, $said;
}

sub _write
{
    my ($file, $bytes) = @_;
    open my $handle, '>:raw', $file or croak "could not open $file: $!";
    print $handle $bytes;
    close $handle or croak "could not write $file: $!";
    return;
}

# ---- messages as the client writes and reads them

sub _json { return JSON::PP->new->canonical }

sub _hex
{
    my ($bytes) = @_;
    return undef unless defined $bytes;    ## no critic: undef in a list too
    croak 'a message is bytes: encode it first' if $bytes =~ /[^\x00-\xff]/;
    utf8::downgrade(my $copy = "$bytes");
    return unpack 'H*', $copy;
}

sub _bytes { return defined $_[0] ? pack('H*', $_[0]) : undef }

# A message as a line: a hash { key, value, headers => [[name, value], …], partition, timestamp }, or only its value.
sub _line
{
    my ($message) = @_;
    $message = { value => $message } unless ref $message;
    my %line = (hex => JSON::PP::true(), key => _hex($message->{key}), value => _hex($message->{value}));
    $line{headers} = [ map { [ _hex($_->[0]), _hex($_->[1]) ] } @{ $message->{headers} } ] if $message->{headers};
    $line{$_} = 0 + $message->{$_} for grep { defined $message->{$_} } qw(partition timestamp);
    return _json()->encode(\%line) . "\n";
}

sub _message
{
    my ($line) = @_;
    my $message = _json()->decode($line);
    delete $message->{hex};
    $message->{$_} = _bytes($message->{$_}) for qw(key value);
    $message->{headers} = [ map { [ _bytes($_->[0]), _bytes($_->[1]) ] } @{ $message->{headers} } ];
    return $message;
}

# ---------------------------------------------------------------------------------------------------------------------
package KsegKafka::Broker;

use strict;
use warnings;
use Carp qw(croak);
use File::Basename qw(basename);

my $brokers = 0;
my $topics  = 0;
my %own;         # brokers that this test started: folder → the process that started it

sub shared { return bless { bootstrap => $ENV{KSEG_KAFKA_BOOTSTRAP} }, $_[0] }

sub start
{
    my ($class, %options) = @_;
    my $dir = PostgreSQL::Test::Utils::tempdir('broker') . '/kafka' . ++$brokers;
    my @options = ('--log-dir', $PostgreSQL::Test::Utils::log_path);
    push @options, '--nodes', $options{nodes} if $options{nodes};
    push @options, '--sasl-ssl' if $options{sasl_ssl};
    push @options, '--heap', $options{heap} if $options{heap};
    push @options, map { ('--set', "$_=$options{set}{$_}") } sort keys %{ $options{set} // {} };
    $own{$dir} = $$;
    my $self = bless { dir => $dir, nodes => $options{nodes} // 1 }, $class;
    $self->_broker('start', @options);
    $self->{bootstrap} = $self->_address('bootstrap');
    return $self;
}

# ---- where it is: host:port[,host:port…]

sub bootstrap          { return $_[0]{bootstrap} }
sub bootstrap_sasl_ssl { return $_[0]->_address('bootstrap-sasl-ssl') }
sub bootstrap_ssl      { return $_[0]->_address('bootstrap-ssl') }

# Who signed the certificates of the two above, and somebody who did not; a client's certificate and keys for bootstrap_ssl.
sub ca_file              { return $_[0]->_file('ca.pem') }
sub other_ca_file        { return $_[0]->_file('other-ca.pem') }
sub certificate_file     { return $_[0]->_file('client.pem') }
sub key_file             { return $_[0]->_file('client.key') }
sub encrypted_key_file   { return $_[0]->_file('client-encrypted.key') }

sub _file
{
    my ($self, $name) = @_;
    my $file = ($self->{dir} // croak 'the shared broker speaks no TLS') . "/$name";
    -f $file or croak "this broker has no $name: sasl_ssl => 1";
    return $file;
}

sub _address
{
    my ($self, $name) = @_;
    my $address = PostgreSQL::Test::Utils::slurp_file($self->_file($name));
    chomp $address;
    return $address;
}

# ---- its nodes, 1 to 3. A killed node may come back: with the same address and data.

sub kill_node    { return $_[0]->_broker('kill',    $_[1]) }
sub restart_node { return $_[0]->_broker('restart', $_[1]) }
sub pause_node   { return $_[0]->_broker('pause',   $_[1]) }
sub resume_node  { return $_[0]->_broker('resume',  $_[1]) }

sub stop
{
    my ($self) = @_;
    delete $own{ $self->{dir} };
    return $self->_broker('stop');
}

# The process id of a node.
sub node_pid
{
    my ($self, $node) = @_;
    return 0 + PostgreSQL::Test::Utils::slurp_file("$self->{dir}/node$node/pid");
}

sub _broker
{
    my ($self, $command, @arguments) = @_;
    croak 'the shared broker is not one test\'s to touch' unless $self->{dir};
    KsegKafka::_done('', KsegTest::source_file('test/kafka/broker'), $command, $self->{dir}, @arguments);
    return;
}

END
{
    local $?;
    for my $dir (grep { $own{$_} == $$ && -e "$_/nodes.json" } keys %own)
    {
        KsegKafka::run_program('', KsegTest::source_file('test/kafka/broker'), 'stop', $dir);
    }
}

# ---- topics

# A name that no other test has.
sub topic_unique
{
    my ($self, $what) = @_;
    return join '-', basename($0, '.pl'), $what // 'topic', $$, ++$topics;
}

# Makes a topic and returns its name: partitions => 1, replication => the number of nodes, config => { 'topic.property' => value }.
# It is there for every node when this returns; so is what the others below do.
sub create_topic
{
    my ($self, $name, %options) = @_;
    my $config = $options{config} // {};
    $self->_client('', 'create', $name, $options{partitions} // 1, $options{replication} // $self->{nodes} // 1,
        map { "$_=$config->{$_}" } sort keys %$config);
    return $name;
}

sub delete_topic { return $_[0]->_client('', 'delete', $_[1]) }

# Gives it that many partitions altogether.
sub grow_topic { return $_[0]->_client('', 'grow', $_[1], $_[2]) }

# Sets these properties of a topic; what is not named goes back to its default.
sub configure_topic
{
    my ($self, $name, %config) = @_;
    return $self->_client('', 'configure', $name, map { "$_=$config{$_}" } sort keys %config);
}

# Removes everything before an offset of a partition, as retention does.
sub delete_records { return $_[0]->_client('', 'delete-records', @_[ 1 .. 3 ]) }

# The offsets of a topic: { partition => { low, high } }; high is where the next message goes.
sub offsets
{
    my ($self, $topic) = @_;
    my @lines = map { KsegKafka::_json()->decode($_) } split /\n/, $self->_client('', 'offsets', $topic);
    return { map { delete $_->{partition} => $_ } @lines };
}

# ---- messages

# Produces messages and returns where each has come to: { partition, offset }. A message is a hash { key, value, headers => [[name,
# value], …], partition, timestamp (ms) }, each of which may be missing, or only its value. All of it is bytes; undef is NULL.
# Dies when one is not delivered.
sub produce
{
    my ($self, $topic, @messages) = @_;
    return map { KsegKafka::_json()->decode($_) } split /\n/,
      $self->_client(join('', map { KsegKafka::_line($_) } @messages), 'produce', $topic);
}

# All messages of a topic, by partition and offset: { partition, offset, timestamp, timestamp_type, key, value, headers }.
# isolation => 'read_committed' (default) or 'read_uncommitted'
sub consume
{
    my ($self, $topic, %options) = @_;
    my $isolation = $options{isolation} // 'read_committed';
    my @messages = map { KsegKafka::_message($_) } split /\n/, $self->_client('', '-X', "isolation.level=$isolation", 'consume', $topic);
    return sort { $a->{partition} <=> $b->{partition} || $a->{offset} <=> $b->{offset} } @messages;
}

# A producer that stays: see KsegKafka::Producer. transactional_id => name; properties => { 'librdkafka.property' => value }
sub producer { return KsegKafka::Producer->new(@_) }

sub _command
{
    my ($self, @arguments) = @_;
    return (KsegTest::source_file('build/kafka/client'), '-b', $self->bootstrap, @arguments);
}

sub _client
{
    my ($self, $input, @arguments) = @_;
    return KsegKafka::_done($input, $self->_command(@arguments));
}

# ---- other clients

# Runs kcat with these arguments, and input; returns { out, err, status }.
sub kcat
{
    my ($self, $arguments, $input) = @_;
    return KsegKafka::run_program($input, 'kcat', '-b', $self->bootstrap, @$arguments);
}

# Kafka's own tools and clients are in Java, and take a second or two each.

# Runs a class of Kafka's; BOOTSTRAP among the arguments becomes the address. Returns { out, err, status }.
sub java_tool
{
    my ($self, $class, $arguments, $input) = @_;
    my @arguments = map { $_ eq 'BOOTSTRAP' ? $self->bootstrap : $_ } @$arguments;
    return KsegKafka::run_program($input, KsegTest::source_file('test/kafka/broker'), 'java', $class, @arguments);
}

# Produces with Java's producer, so with its partitioner; messages are [key, value], both text without tabs and line ends.
sub java_produce
{
    my ($self, $topic, @messages) = @_;
    my $said = $self->java_tool('org.apache.kafka.tools.ConsoleProducer',
        [ qw(--bootstrap-server BOOTSTRAP --reader-property parse.key=true --topic), $topic ],
        join '', map { "$_->[0]\t$_->[1]\n" } @messages);
    croak "ConsoleProducer: $said->{err}" if $said->{status} || $said->{err} =~ /ERROR|Exception/;
    return;
}

# Reads with Java's consumer until so many messages have come: { partition, offset, key, value }, by partition and offset. Text.
# isolation => 'read_committed' (default) or 'read_uncommitted'
sub java_consume
{
    my ($self, $topic, $count, %options) = @_;
    my @print = map { ('--formatter-property', "print.$_=true") } qw(partition offset key);
    my $said = $self->java_tool('org.apache.kafka.tools.consumer.ConsoleConsumer',
        [ qw(--bootstrap-server BOOTSTRAP --from-beginning --timeout-ms 60000 --max-messages), $count, '--topic', $topic, @print,
            '--isolation-level', $options{isolation} // 'read_committed' ]);
    croak "ConsoleConsumer: $said->{err}" if $said->{status} || $said->{err} =~ /ERROR|Exception/;
    my @messages = map {
        my ($partition, $offset, $key, $value) = /^Partition:(\d+)\tOffset:(\d+)\t([^\t]*)\t(.*)$/ or croak "ConsoleConsumer: $_";
        { partition => $partition, offset => $offset, key => $key, value => $value }
    } split /\n/, $said->{out};
    return sort { $a->{partition} <=> $b->{partition} || $a->{offset} <=> $b->{offset} } @messages;
}

# ---------------------------------------------------------------------------------------------------------------------
# A producer that stays beside the test, for transactions: begin, send, flush, and commit, abort or gone.
package KsegKafka::Producer;

use strict;
use warnings;
use Carp qw(croak);
use IPC::Run;

sub new
{
    my ($class, $broker, $topic, %options) = @_;
    my %properties = %{ $options{properties} // {} };
    $properties{'transactional.id'} = $options{transactional_id} if defined $options{transactional_id};
    my $self = bless { in => '', out => '', err => '' }, $class;
    my @command = $broker->_command((map { ('-X', "$_=$properties{$_}") } sort keys %properties), 'produce', $topic);
    $self->{run} = IPC::Run::start(\@command, '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err});
    return $self;
}

# Hands messages over, as Broker::produce takes them; they have left when flush returns.
sub send
{
    my ($self, @messages) = @_;
    $self->{in} .= KsegKafka::_line($_) for @messages;
    $self->{run}->pump_nb;
    return;
}

# Each waits for its end, and returns what has become of the messages sent since the last one: { partition, offset } or { error }.
sub begin  { return $_[0]->_do('begin') }
sub flush  { return $_[0]->_do('flush') }
sub commit { return $_[0]->_do('commit') }
sub abort  { return $_[0]->_do('abort') }

# Ends it, without a word: a transaction stays open until the broker's time for it (transaction.timeout.ms) is over.
sub kill
{
    my ($self) = @_;
    my $run = delete $self->{run} or return;
    $run->signal('KILL');
    $run->finish;
    return;
}

sub _do
{
    my ($self, $what) = @_;
    $self->{in} .= KsegKafka::_json()->encode({ do => $what }) . "\n";
    KsegTest::wait_for("producer's $what", sub {
        my $alive = eval { $self->{run}->pump_nb; 1 } && $self->{run}->pumpable;
        return (1, 1) if $self->{out} =~ /^\{"done":"$what"\}$/m;
        croak "the producer ended: $self->{err}" unless $alive;
        return (0, "out: $self->{out} err: $self->{err}");
    });
    my @reports = map { KsegKafka::_json()->decode($_) } split /\n/, $self->{out};
    $self->{out} = '';
    return grep { !$_->{done} } @reports;
}

sub DESTROY
{
    my ($self) = @_;
    local ($@, $?);
    $self->kill if ${^GLOBAL_PHASE} ne 'DESTRUCT';
    return;
}

1;
