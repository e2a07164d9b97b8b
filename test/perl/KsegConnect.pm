# A real Kafka Connect beside a system test: its worker, and Debezium's source connectors over the test's own PostgreSQL.
#
# A test that uses it says so in its first lines, with the comment "needs: kafka connect": test/run then has brought the jars (or does
# not run the test). test/kafka/connect does the work.
# Refuses to know what kseg must make of the messages.
package KsegConnect;

use strict;
use warnings;
use Exporter 'import';
use Carp qw(croak);
use KsegKafka ();
use KsegTest  ();
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(kafka_connect debezium_conf);

my $workers = 0;
my %own;    # workers that this test started: folder → the process that started it

# What a cluster's configuration needs for Debezium: new_cluster(config => debezium_conf()).
sub debezium_conf
{
    return "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nlisten_addresses = '127.0.0.1'\n";
}

# Starts a worker that speaks to this broker; it ends with the test.
sub kafka_connect
{
    my ($kafka) = @_;
    my $dir = PostgreSQL::Test::Utils::tempdir('connect') . '/connect' . ++$workers;
    my $self = bless { dir => $dir }, __PACKAGE__;
    $own{$dir} = $$;
    $self->_do('start', '--bootstrap', $kafka->bootstrap, '--log-dir', $PostgreSQL::Test::Utils::log_path);
    return $self;
}

# Makes a source connector of Debezium's over tables of the cluster's database postgres ("public.kinds", a list with commas), with further
# settings; returns the prefix of its topics: "PREFIX.public.kinds". It, its slot and its publication have this name, of letters and
# digits. It has begun its snapshot when this returns.
sub source
{
    my ($self, $node, $name, $tables, %settings) = @_;
    my $prefix = join '-', 'connect', $$, $name;
    my %all = (
        'connector.class' => 'io.debezium.connector.postgresql.PostgresConnector', 'database.hostname' => '127.0.0.1',
        'database.port' => $node->port, 'database.user' => scalar getpwuid($<), 'database.password' => 'none', 'database.dbname' => 'postgres',
        'topic.prefix' => $prefix, 'plugin.name' => 'pgoutput', 'slot.name' => "slot_$name", 'publication.name' => "publication_$name",
        'table.include.list' => $tables, 'poll.interval.ms' => 5, 'topic.creation.default.replication.factor' => 1,
        'topic.creation.default.partitions' => 3, %settings);
    $self->_do('connector', $name, map { "$_=$all{$_}" } sort keys %all);
    return $prefix;
}

sub stop
{
    my ($self) = @_;
    delete $own{ $self->{dir} };
    return $self->_do('stop');
}

sub _do
{
    my ($self, $command, @arguments) = @_;
    KsegKafka::_done('', KsegTest::source_file('test/kafka/connect'), $command, $self->{dir}, @arguments);
    return;
}

END
{
    local $?;
    for my $dir (grep { $own{$_} == $$ && -e "$_/rest" } keys %own)
    {
        KsegKafka::run_program('', KsegTest::source_file('test/kafka/connect'), 'stop', $dir);
    }
}

1;
