# What the tests share that break things while messages flow: a producer that goes on meanwhile, three streams that take what it sends,
# and the proof that each message has come once.
#
# The proof compares the target with the topic itself, read by kcat: the same (partition, offset, number) on both sides, nothing besides.
# What is upserted is compared with the last message of each key.
# Owns these words; refuses to know what is broken and how: that stands in the tests.
package KsegFlow;

use strict;
use warnings;
use Exporter 'import';
use Carp qw(croak);
use IO::Handle ();
use POSIX ();
use Time::HiRes ();
use KsegTest ();
use PostgreSQL::Test::Utils ();
use Test::More;

our @EXPORT = qw(flow_table flow_streams start_flow restarted truth_of all_once upserted_as settled_of snapshot_agrees);

# Messages of a flow: {"number": 1 …, "id": one of so many keys, "op": "u", or "d" for one in ten}, with the id as key.
my $KEYS = 2000;

# The foreign table NAME_topic over a topic, with all that a message of a flow has.
sub flow_table
{
    my ($node, $kafka, $topic, $name) = @_;
    $node->safe_psql('postgres', qq{
        CREATE SERVER kafka_$name FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '@{[ $kafka->bootstrap ]}');
        CREATE USER MAPPING FOR PUBLIC SERVER kafka_$name;
        CREATE FOREIGN TABLE ${name}_topic (part int OPTIONS (meta 'partition'), at bigint OPTIONS (meta 'offset'), number bigint, id int, op text)
            SERVER kafka_$name OPTIONS (topic '$topic')});
    return;
}

# Three streams over NAME_topic: "one" with one worker, "two" with two, "kept" with two that upserts and deletes by id. batch_rows, a
# number of messages, for all of them.
sub flow_streams
{
    my ($node, $name, $batch_rows) = @_;
    $node->safe_psql('postgres', qq{
        CREATE TABLE one (part int, at bigint, number bigint);
        CREATE TABLE two (LIKE one);
        CREATE TABLE kept (id int PRIMARY KEY, part int, at bigint, number bigint, op text);
        SELECT kseg.stream_to_table('one', 'SELECT part, at, number FROM ${name}_topic', 'public.one', batch_rows => $batch_rows);
        SELECT kseg.stream_to_table('two', 'SELECT part, at, number FROM ${name}_topic', 'public.two', batch_rows => $batch_rows, workers => 2);
        SELECT kseg.stream_to_table('kept', 'SELECT id, part, at, number, op FROM ${name}_topic', 'public.kept', key => '{id}',
            on_conflict => 'update', delete_when => 'op = ''d''', batch_rows => $batch_rows, workers => 2)});
    return qw(one two kept);
}

# Sends so many messages a second, until end is called: it returns how many they were. The broker may come and go meanwhile.
sub start_flow
{
    my ($kafka, $topic, %options) = @_;
    my $base = PostgreSQL::Test::Utils::tempdir('flow');
    my $self = bless { stop => "$base/stop", sent => "$base/sent" }, 'KsegFlow';
    my @kcat = ('kcat', '-b', $kafka->bootstrap, '-P', '-E', '-t', $topic, '-K', "\t", '-X', 'enable.idempotence=true', '-X', 'linger.ms=5',
        '-X', 'message.timeout.ms=120000');
    $self->{pid} = KsegTest::_start("$PostgreSQL::Test::Utils::log_path/flow.log", sub { _send($self, $options{rate}, $options{seed}, @kcat) });
    return $self;
}

# In a process of its own. Between two looks at the clock go as many messages as are due.
sub _send
{
    my ($self, $rate, $seed, @kcat) = @_;
    srand $seed;
    open my $kcat, '|-', @kcat or die "could not run kcat: $!";
    $kcat->autoflush(1);
    my ($number, $begun) = (0, Time::HiRes::time());
    while (!-e $self->{stop})
    {
        my $lines = '';
        my $due = int($rate * (Time::HiRes::time() - $begun));
        # A broker that was away is no reason to send all that was due meanwhile at once.
        ($begun, $due) = (Time::HiRes::time() - $number / $rate, $number) if $due > $number + $rate;
        while ($number < $due)
        {
            my $id = int rand $KEYS;
            my $op = rand(10) < 1 ? 'd' : 'u';
            $lines .= sprintf qq(%d\t{"number":%d,"id":%d,"op":"%s"}\n), $id, ++$number, $id, $op;
        }
        print $kcat $lines or die "kcat has ended: $!";
        select undef, undef, undef, 0.01;
    }
    close $kcat or die 'kcat could not deliver all';
    open my $file, '>', "$self->{sent}.new" or die "could not write: $!";
    print $file "$number\n";
    close $file;
    rename "$self->{sent}.new", $self->{sent};
    POSIX::_exit(0);
}

sub end
{
    my ($self) = @_;
    PostgreSQL::Test::Utils::append_to_file($self->{stop}, '');
    KsegTest::wait_for('end of the flow', sub { return scalar -e $self->{sent} }, 150);
    KsegTest::_stop($self->{pid});
    return 0 + PostgreSQL::Test::Utils::slurp_file($self->{sent});
}

# Waits until the server has been through a crash and takes connections again; from: where its log ended before.
sub restarted
{
    my ($node, $from) = @_;
    KsegTest::wait_for('the server to have begun anew', sub {
        my $log = substr PostgreSQL::Test::Utils::slurp_file($node->logfile), $from;
        return scalar($log =~ /all server processes terminated; reinitializing.*database system is ready to accept connections/s);
    });
    return;
}

# ---- the proof

# Makes the table NAME_truth of what the topic has, as kcat reads it: all that was sent, from the first offset to the last.
sub truth_of
{
    my ($node, $kafka, $topic, $name, $sent) = @_;
    my $file = PostgreSQL::Test::Utils::tempdir('truth') . '/messages';
    my $messages = KsegTest::wait_for("kcat to have read the $sent messages", sub {
        my $said = $kafka->kcat([ '-C', '-t', $topic, '-e', '-q', '-f', '%p\t%o\t%s\n' ]);
        croak "kcat: $said->{err}" if $said->{status};
        my $there = 0;
        $there += $_->{high} - $_->{low} for values %{ $kafka->offsets($topic) };
        my $count = () = $said->{out} =~ /\n/g;
        return (1, $said->{out}) if $count == $there && $there >= $sent;
        return (0, "the topic has $there, kcat has read $count");
    });
    PostgreSQL::Test::Utils::append_to_file($file, $messages);
    return $node->safe_psql('postgres', qq{
        DROP TABLE IF EXISTS ${name}_truth;
        CREATE TEMPORARY TABLE message (part int, at bigint, value json);
        \\copy message FROM '$file'
        CREATE TABLE ${name}_truth AS SELECT part, at, (value->>'number')::bigint AS number, (value->>'id')::int AS id, value->>'op' AS op FROM message;
        SELECT count(*) FROM ${name}_truth});
}

# Messages that a stream has settled.
sub settled_of
{
    my ($node, $stream) = @_;
    return 0 + $node->safe_psql('postgres', "SELECT coalesce(sum(next_offset), 0) FROM kseg.position_entry p JOIN kseg.stream_entry e ON e.id = p.stream WHERE e.name = '$stream'");
}

# At any moment, in one snapshot, there are as many rows as the positions say: they are committed together.
sub snapshot_agrees
{
    my ($node, $stream, $name) = @_;
    return is($node->safe_psql('postgres', qq{SELECT (SELECT count(*) FROM $stream) - (SELECT coalesce(sum(next_offset), 0) FROM kseg.position_entry p
        JOIN kseg.stream_entry e ON e.id = p.stream WHERE e.name = '$stream')}), 0, $name // "$stream: as many rows as the positions say");
}

# Waits until a stream has come to the end of the truth, is running, and lags by nothing.
sub _wait_for_end
{
    my ($node, $stream, $name) = @_;
    my $places = q{SELECT string_agg(part || ':' || next, ' ' ORDER BY part) FROM };
    my $end = $node->safe_psql('postgres', "$places (SELECT part, max(at) + 1 AS next FROM ${name}_truth GROUP BY part) x");
    KsegTest::wait_for("stream $stream at the end $end", sub {
        my $said = $node->safe_psql('postgres', "$places (SELECT partition AS part, next_offset AS next FROM kseg.position_entry p
            JOIN kseg.stream_entry e ON e.id = p.stream WHERE e.name = '$stream') x");
        return ($said eq $end, $said);
    }, 120);
    KsegTest::wait_for("stream $stream to run without a lag", sub {
        my $said = $node->safe_psql('postgres', "SELECT state || ' ' || coalesce(lag_messages::text, 'unknown') FROM kseg.stream_status WHERE stream = '$stream'");
        return ($said eq 'running 0', $said);
    });
    return;
}

# The target of a stream has each message of the truth once, and nothing besides.
sub all_once
{
    my ($node, $stream, $name) = @_;
    _wait_for_end($node, $stream, $name);
    my $count = $node->safe_psql('postgres', "SELECT count(*) || ' ' || count(DISTINCT (part, at)) || ' ' || sum(number) FROM $stream");
    my $truth = $node->safe_psql('postgres', "SELECT count(*) || ' ' || count(*) || ' ' || sum(number) FROM ${name}_truth");
    is($count, $truth, "$stream: rows, distinct offsets and sum are the topic's");
    is($node->safe_psql('postgres', "SELECT count(*) FROM (SELECT part, at, number FROM $stream EXCEPT SELECT part, at, number FROM ${name}_truth) x"), 0,
        "$stream: each row is a message");
    return;
}

# It has the last message of each key, unless that one deletes.
sub upserted_as
{
    my ($node, $stream, $name) = @_;
    _wait_for_end($node, $stream, $name);
    my $model = "SELECT id, part, at, number, op FROM (SELECT DISTINCT ON (id) * FROM ${name}_truth ORDER BY id, at DESC) last WHERE op <> 'd'";
    my $have  = "SELECT id, part, at, number, op FROM $stream";
    is($node->safe_psql('postgres', "SELECT count(*) || ' ' || sum(number) FROM $stream"),
        $node->safe_psql('postgres', "SELECT count(*) || ' ' || sum(number) FROM ($model) x"), "$stream: as many rows, with the same sum, as the last messages of each key leave");
    is($node->safe_psql('postgres', "SELECT count(*) FROM (($have EXCEPT $model) UNION ALL ($model EXCEPT $have)) x"), 0, "$stream: just these");
    return;
}

1;
