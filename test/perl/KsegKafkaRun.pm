# What the system tests of runs to Kafka share: a server, a run's SQL, rows that are numbered and can be held, and what has
# arrived of them.
#
# Owns the words for that and nothing else; refuses to know what a run must do: that stands in the tests.
package KsegKafkaRun;

use strict;
use warnings;
use Exporter 'import';
use Carp qw(croak);
use KsegTest ();
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(connect_kafka produce gate numbered arrived all_arrived connections_to leader_of);

# Makes a server of Kafka's anew, for every role: to $to, a broker of KsegKafka's or its addresses. The pairs are options of the
# server and of the mapping, and server => its name, preset "kafka".
sub connect_kafka
{
    my ($node, $to, %options) = @_;
    my $server = delete $options{server} // 'kafka';
    my %mapping = map { exists $options{$_} ? ($_ => delete $options{$_}) : () } qw(sasl_username sasl_password ssl_key_password);
    $options{bootstrap_servers} = ref $to ? $to->bootstrap : $to;
    $node->safe_psql('postgres', join(";\n",
        "DROP SERVER IF EXISTS $server CASCADE",
        "CREATE SERVER $server FOREIGN DATA WRAPPER kseg_kafka OPTIONS (" . _options(%options) . ')',
        "GRANT USAGE ON FOREIGN SERVER $server TO PUBLIC",
        "CREATE USER MAPPING FOR PUBLIC SERVER $server" . (%mapping ? ' OPTIONS (' . _options(%mapping) . ')' : '')));
    return;
}

sub _options { my (%options) = @_; return join ', ', map { "$_ '" . $options{$_} =~ s/'/''/gr . "'" } sort keys %options }

# The SQL of a run; it returns the row of figures as JSON. The pairs are further arguments, quoted here.
sub produce
{
    my ($query, %arguments) = @_;
    my $named = join ', ', map { "$_ => '$arguments{$_}'" } sort keys %arguments;
    return "SELECT row_to_json(r) FROM kseg.kafka_produce_from_query(\$kseg\$$query\$kseg\$, $named) r";
}

# ---- rows that are numbered, and a gate on their way

# A query of $count messages, numbered from 1, of fifty keys and 200 bytes; the row numbered $held waits at the gate.
sub numbered
{
    my ($count, $held) = @_;
    my $number = defined $held ? "gate(g, $held)" : 'g';
    return "SELECT g % 50 AS key, g || repeat(' .', 100) AS value FROM (SELECT $number AS g FROM generate_series(1, $count) g) q";
}

# The gate of a cluster: an object with close and open. What waits there can be canceled.
sub gate { return KsegKafkaRun::Gate->new(@_) }

# What has arrived of such runs in a topic: { count, last (highest number), twice (how many numbers came again), late (how many
# behind a higher one of their partition) }. isolation: read_committed, or read_uncommitted.
sub arrived
{
    my ($kafka, $topic, $isolation) = @_;
    my $said = $kafka->kcat([ '-C', '-t', $topic, '-e', '-q', '-X', 'isolation.level=' . ($isolation // 'read_committed'), '-f', '%p %s\n' ]);
    croak "kcat: $said->{err}" if $said->{status};
    my %seen = (count => 0, last => 0, twice => 0, late => 0);
    my (%numbers, %latest);
    for my $line (split /\n/, $said->{out})
    {
        my ($partition, $number) = $line =~ /^(\d+) (\d+)\b/ or croak "what is this: $line";
        $seen{count}++;
        $seen{twice}++ if $numbers{$number}++;
        $seen{late}++ if ($latest{$partition} // 0) > $number;
        $latest{$partition} = $number;
        $seen{last} = $number if $number > $seen{last};
    }
    return \%seen;
}

# What arrived returns when each of $count messages has come, once, in order.
sub all_arrived { my ($count) = @_; return { count => $count, last => $count, twice => 0, late => 0 } }

# ---- brokers

# The connections to a port of the loopback: the client's ports, of those that are established.
sub connections_to
{
    my ($port) = @_;
    my $to = sprintf '0100007F:%04X', $port;
    return grep { defined } map { /^\s*\d+: 0100007F:([0-9A-F]{4}) $to 01 / ? hex $1 : undef }
      split /\n/, PostgreSQL::Test::Utils::slurp_file('/proc/net/tcp');
}

# The node that leads a partition, as kcat is told.
sub leader_of
{
    my ($kafka, $topic, $partition) = @_;
    my $said = $kafka->kcat([ '-L', '-t', $topic ]);
    my ($leader) = $said->{out} =~ /partition $partition, leader (\d+)/ or croak "kcat: $said->{out} $said->{err}";
    return $leader;
}

# ---------------------------------------------------------------------------------------------------------------------
# A row of a query waits here while it is closed: an advisory lock, held by a session of its own.
package KsegKafkaRun::Gate;

use strict;
use warnings;

sub new
{
    my ($class, $node) = @_;
    $node->safe_psql('postgres', q{CREATE FUNCTION gate(g int, held int) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN IF g = held THEN PERFORM pg_advisory_xact_lock_shared(75); END IF; RETURN g; END $$});
    return bless { session => KsegTest::session($node) }, $class;
}

sub close { my ($self) = @_; $self->{session}->run('SELECT pg_advisory_lock(75)'); return }
sub open  { my ($self) = @_; $self->{session}->run('SELECT pg_advisory_unlock_all()'); return }

1;
