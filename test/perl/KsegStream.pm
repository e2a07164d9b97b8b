# What the tests of streams share: a cluster that preloads kseg, a topic that flows into a table, what a stream's workers and its
# state are, and waiting for them.
#
# Owns the words for that and nothing else; refuses to know what a stream must do: that stands in the tests.
package KsegStream;

use strict;
use warnings;
use Exporter 'import';
use Carp qw(croak);
use KsegTest ();
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(stream_cluster topic_table unreachable_table make_stream stream_of state_of wait_for_state wait_for_trouble wait_for_answer workers_of
  wait_for_workers wait_for_launcher log_has wait_for_log numbers wait_for_end rows_of rows_are letters_of halt_of);

# As KsegTest's new_cluster, with kseg preloaded; the launcher is there when this returns. After a crash it begins anew by itself, as
# servers do outside of tests. settings => { name => value }, further ones.
sub stream_cluster
{
    my ($name, %options) = @_;
    my %settings = (shared_preload_libraries => 'kseg', max_worker_processes => 24,
        restart_after_crash => 'on', %{ delete $options{settings} // {} });
    my $config = join '', map { "$_ = '$settings{$_}'\n" } sort keys %settings;
    my $node = KsegTest::new_cluster($name, %options, config => $config . ($options{config} // ''));
    wait_for_launcher($node) unless defined $options{start} && !$options{start};
    return $node;
}

# ---- a source and a target

# In a database (dbname, default postgres): the extension, a server of the broker, a foreign table NAME_topic over the topic with the
# columns partition, "offset" and number (a JSON value {"number": …}), and the table NAME with the same. owner => whose all this is.
sub topic_table
{
    my ($node, $kafka, $topic, $name, %options) = @_;
    return _table($node, $kafka->bootstrap, $topic, $name, %options);
}

# The same over a server where nobody listens: a worker is there, and waits for the broker.
sub unreachable_table
{
    my ($node, $name, %options) = @_;
    return _table($node, '127.0.0.1:1', 'nowhere', $name, %options);
}

sub _table
{
    my ($node, $bootstrap, $topic, $name, %options) = @_;
    my $owner = $options{owner} // $node->safe_psql('postgres', 'SELECT current_user');
    my $server = 'kafka_' . $name;
    $node->safe_psql($options{dbname} // 'postgres', qq{
        SET client_min_messages = error;
        CREATE EXTENSION IF NOT EXISTS kseg;
        CREATE SERVER $server FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '$bootstrap');
        CREATE USER MAPPING FOR PUBLIC SERVER $server;
        GRANT USAGE ON FOREIGN SERVER $server TO PUBLIC;
        CREATE FOREIGN TABLE ${name}_topic (part int OPTIONS (meta 'partition'), at bigint OPTIONS (meta 'offset'), number int)
            SERVER $server OPTIONS (topic '$topic');
        CREATE TABLE $name (part int, at bigint, number int);
        ALTER TABLE $name OWNER TO "$owner";
        ALTER FOREIGN TABLE ${name}_topic OWNER TO "$owner"});
    return $name;
}

# Makes the stream NAME from NAME_topic to NAME. dbname; the other pairs are further arguments, as SQL.
sub make_stream
{
    my ($node, $name, %arguments) = @_;
    my $dbname = delete $arguments{dbname} // 'postgres';
    my $role = delete $arguments{role};
    my $further = join '', map { ", $_ => $arguments{$_}" } sort keys %arguments;
    my $set = defined $role ? qq{SET ROLE "$role";} : '';
    $node->safe_psql($dbname, "$set SELECT kseg.stream_to_table('$name', 'SELECT part, at, number FROM public.${name}_topic', 'public.$name'$further)");
    return $name;
}

# Messages {"number": …} of these numbers, for the broker's produce.
sub numbers { return map { "{\"number\": $_}" } @_ }

# ---- what is there

# The row of kseg.stream_status of a stream, as a hash; undef: there is none. dbname
sub stream_of
{
    my ($node, $name, %options) = @_;
    my $json = $node->safe_psql($options{dbname} // 'postgres', "SELECT row_to_json(s) FROM kseg.stream_status s WHERE stream = '$name'");
    return $json eq '' ? undef : KsegTest::_json()->decode($json);
}

sub state_of
{
    my $stream = stream_of(@_);
    return $stream ? $stream->{state} : 'no such stream';
}

# Waits until a stream's state is one of those that a pattern tells, and returns the row. dbname, timeout
sub wait_for_state
{
    my ($node, $name, $pattern, %options) = @_;
    my $stream;
    KsegTest::wait_for("stream $name to be $pattern", sub {
        $stream = stream_of($node, $name, %options);
        return (scalar($stream && $stream->{state} =~ /^(?:$pattern)$/), $stream // 'no such stream');
    }, $options{timeout});
    return $stream;
}

# Waits until a stream's trouble, '' for none, is like this, and returns the stream's row.
sub wait_for_trouble
{
    my ($node, $name, $pattern) = @_;
    return KsegTest::wait_for("trouble of stream $name", sub {
        my $stream = stream_of($node, $name);
        return (scalar(($stream->{trouble} // '') =~ $pattern), $stream);
    });
}

# Waits until a query says this. dbname, timeout
sub wait_for_answer
{
    my ($node, $query, $answer, %options) = @_;
    return KsegTest::wait_for("\"$answer\" of $query", sub {
        my $said = $node->safe_psql($options{dbname} // 'postgres', $query);
        return ($said eq $answer, $said);
    }, $options{timeout});
}

# Waits until the positions of a stream have come to what are the ends of all partitions of these topics now. dbname, timeout
sub wait_for_end
{
    my ($node, $kafka, $name, $topics, %options) = @_;
    my %ends;
    for my $topic (ref $topics ? @$topics : $topics)
    {
        my $offsets = $kafka->offsets($topic);
        $ends{"$topic $_"} = $offsets->{$_}{high} for keys %$offsets;
    }
    return KsegTest::wait_for("stream $name at the end of its topics", sub {
        my %at = map { /^(\S+ \d+) (\d+)$/ } split /\n/, $node->safe_psql($options{dbname} // 'postgres',
            qq{SELECT concat_ws(' ', topic, partition, "offset") FROM kseg.position WHERE stream = '$name'});
        my @before = map { "$_: " . ($at{$_} // 'none') . " of $ends{$_}" } grep { ($at{$_} // -1) < $ends{$_} } sort keys %ends;
        return (!@before, join ', ', @before);
    }, $options{timeout});
}

# What is in a table as topic_table makes them: rows, distinct places, sum of the numbers.
sub rows_of
{
    my ($node, $name, %options) = @_;
    return $node->safe_psql($options{dbname} // 'postgres', "SELECT concat_ws(' ', count(*), count(DISTINCT (part, at)), sum(number)) FROM $name");
}

# The same for a table that has each message of these numbers, once.
sub rows_are
{
    my (@numbers) = @_;
    my $sum = 0;
    $sum += $_ for @numbers;
    return join ' ', scalar @numbers, scalar @numbers, $sum;
}

# How many dead letters a stream has.
sub letters_of
{
    my ($node, $name, %options) = @_;
    return $node->safe_psql($options{dbname} // 'postgres', "SELECT count(*) FROM kseg.dead_letter WHERE stream = '$name'");
}

# Why a stream has halted: "HALTED SQLSTATE message. detail"
sub halt_of
{
    my ($node, $name, %options) = @_;
    return $node->safe_psql($options{dbname} // 'postgres',
        "SELECT concat_ws(' ', halted, sqlstate, concat_ws('. ', message, detail)) FROM kseg.stream WHERE name = '$name'");
}

# The process ids of the workers of streams in a database (undef: in all).
sub workers_of
{
    my ($node, $dbname) = @_;
    my $where = defined $dbname ? "AND datname = '$dbname'" : '';
    return split /\n/, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'kseg stream' $where ORDER BY pid");
}

# Waits until so many are there, and returns their process ids.
sub wait_for_workers
{
    my ($node, $dbname, $count, $timeout) = @_;
    my @workers;
    KsegTest::wait_for("$count workers in " . ($dbname // 'the cluster'), sub {
        @workers = workers_of($node, $dbname);
        return (@workers == $count, scalar @workers);
    }, $timeout);
    return @workers;
}

# Waits for the launcher, and returns its process id.
sub wait_for_launcher
{
    my ($node, $timeout) = @_;
    return KsegTest::wait_for('the launcher', sub {
        my $said = eval { $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'kseg launcher'") } // '';
        return (scalar($said =~ /^\d+$/), $said);
    }, $timeout);
}

# How often the log of a node has a pattern, from a byte on.
sub log_has
{
    my ($node, $pattern, $from) = @_;
    my @found = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $from // 0) =~ /$pattern/g;
    return scalar @found;
}

sub wait_for_log
{
    my ($node, $pattern, $from) = @_;
    return KsegTest::wait_for("$pattern in the log", sub { return log_has($node, $pattern, $from) });
}

1;
