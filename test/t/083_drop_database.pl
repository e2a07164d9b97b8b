# needs: kafka
# A plain DROP DATABASE within five seconds, whatever its streams are doing: taking messages at full speed, waiting for each other's locks, or
# for a courier that stands still. What else happens to databases with streams is in 083_databases.
use strict;
use warnings;
use Time::HiRes qw(time);
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $topic = $kafka->create_topic($kafka->topic_unique('flow'), partitions => 4);
my $node  = stream_cluster('dropped', extension => 0);

# For each of the streams some seconds' work.
my $messages = 200_000;
my $said = $kafka->kcat([ '-P', '-t', $topic ], join '', map { "$_\n" } numbers(1 .. $messages));
is($said->{status}, 0, "$messages messages") or diag $said->{err};

# A database with these tables, each to be filled from the topic by a stream of its name.
sub database_with
{
    my ($dbname, @names) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $dbname");
    topic_table($node, $kafka, $topic, $_, dbname => $dbname) for @names;
    return;
}

sub answer_of { return $node->safe_psql($_[0], $_[1]) }

# Runs DROP DATABASE, which must succeed within five seconds, with nothing left of these processes.
sub dropped_in_time
{
    my ($dbname, @processes) = @_;
    my $from  = -s $node->logfile;
    my $began = time();
    my ($code, $out, $err) = $node->psql('postgres', "DROP DATABASE $dbname");
    my $seconds = time() - $began;
    is("$code $err", '0 ', 'DROP DATABASE');
    cmp_ok($seconds, '<', 5, sprintf 'in %.2f s', $seconds);
    wait_until_gone('workers and couriers', \@processes);
    is(log_has($node, qr/(?:PANIC|terminating any other active server processes)/, $from), 0, 'the server has not noticed');
    is(answer_of('postgres', "SELECT count(*) FROM pg_database WHERE datname = '$dbname'"), 0, 'it is gone');
    return;
}

sub processes_in
{
    my ($dbname) = @_;
    my @workers = workers_of($node, $dbname);
    return (@workers, map { couriers_of($_) } @workers);
}

subtest 'streams in the middle of messages' => sub {
    database_with('flowing', qw(one two));
    # An index and a trigger, so that batches take their time; large ones.
    $node->safe_psql('flowing', q{ALTER TABLE one ADD UNIQUE (part, at);
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM md5(i::text) FROM generate_series(1, 20) i; RETURN NEW; END';
        CREATE TRIGGER slow BEFORE INSERT ON two FOR EACH ROW EXECUTE FUNCTION slow()});
    make_stream($node, $_, dbname => 'flowing', batch_rows => 10_000) for qw(one two);
    wait_for_answer($node, 'SELECT (SELECT count(*) FROM one) > 1000 AND (SELECT count(*) FROM two) > 1000', 't', dbname => 'flowing');
    cmp_ok(answer_of('flowing', 'SELECT count(*) FROM two'), '<', $messages, 'not all is there yet');
    dropped_in_time('flowing', processes_in('flowing'));
};

subtest 'a stream that waits for a lock' => sub {
    # Whoever else holds a lock in this database is a session, or a prepared transaction, and PostgreSQL itself does not drop the database then.
    # So another stream holds it: it stands in its transaction, which takes a minute, and has inserted what the other one is to insert.
    database_with('locking', qw(first second));
    $node->safe_psql('locking', q{CREATE TABLE shared (part int, at bigint, number int PRIMARY KEY);
        CREATE FUNCTION sleeper() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';
        CREATE TRIGGER sleeper AFTER INSERT ON shared FOR EACH STATEMENT EXECUTE FUNCTION sleeper()});
    $node->safe_psql('locking', "SELECT kseg.stream_to_table('$_', 'SELECT part, at, number FROM public.${_}_topic', 'public.shared', key => '{number}', on_conflict => 'ignore')")
      for qw(first second);
    wait_for_answer($node, q{SELECT string_agg(wait_event_type || ' ' || wait_event, ', ' ORDER BY wait_event_type) FROM pg_stat_activity
        WHERE backend_type = 'kseg stream' AND datname = 'locking'}, 'Lock transactionid, Timeout PgSleep');
    dropped_in_time('locking', processes_in('locking'));
};

subtest 'a stream whose courier stands still' => sub {
    database_with('hanging', qw(one two));
    make_stream($node, $_, dbname => 'hanging') for qw(one two);
    wait_for_answer($node, 'SELECT (SELECT count(*) FROM one) > 1000 AND (SELECT count(*) FROM two) > 1000', 't', dbname => 'hanging');
    my @processes = processes_in('hanging');
    my @couriers  = map { couriers_of($_) } workers_of($node, 'hanging');
    is(scalar @couriers, 2, 'two couriers');
    kill 'STOP', @couriers;
    dropped_in_time('hanging', @processes);
};

done_testing();
