# needs: kafka
# A dump that is restored into the database it was made of brings a copy as any other: its streams wait for somebody to start them, and then
# each message has come once. And where positions of a stream are gone it never begins at the first message instead.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('restore');
$node->safe_psql('postgres', 'CREATE DATABASE app');

sub sql { return $node->safe_psql('app', $_[0]) }

# A topic of so many partitions with the messages 1 … 100.
sub filled
{
    my ($name, $partitions) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name), partitions => $partitions);
    more($topic, $partitions, 1 .. 100);
    return $topic;
}

# Messages of these numbers, in all partitions.
sub more
{
    my ($topic, $partitions, @numbers) = @_;
    return $kafka->produce($topic, map { { value => "{\"number\": $_}", partition => $_ % $partitions } } @numbers);
}

# A topic of two partitions, and a stream that has read its messages 1 … 100.
sub made
{
    my ($name, %arguments) = @_;
    my $topic = filled($name, 2);
    topic_table($node, $kafka, $topic, $name, dbname => 'app');
    make_stream($node, $name, dbname => 'app', %arguments);
    wait_for_end($node, $kafka, $name, $topic, dbname => 'app');
    return $topic;
}

sub has_rows
{
    my ($name, $numbers, $what) = @_;
    return is(rows_of($node, $name, dbname => 'app'), rows_are(@$numbers), "$name: $what");
}

# Takes away the positions of a stream for which a condition holds.
sub lose
{
    my ($name, $condition) = @_;
    return sql("DELETE FROM kseg.position_entry WHERE $condition AND stream = (SELECT id FROM kseg.stream_entry WHERE name = '$name')");
}

sub stop_and_wait
{
    my ($name) = @_;
    sql("SELECT kseg.stop_stream('$name')");
    wait_for_state($node, $name, 'stopped', dbname => 'app');
    return wait_for_answer($node, "SELECT count(*) FROM kseg.stream_slots() s JOIN kseg.stream_entry e ON e.id = s.stream WHERE e.name = '$name'", 0, dbname => 'app');
}

# It halts as a gap with these words, and start_stream refuses.
sub is_lost
{
    my ($name, $stored, $there) = @_;
    wait_for_state($node, $name, 'gap', dbname => 'app');
    like(halt_of($node, $name, dbname => 'app'), qr/^gap 55000 positions of the stream are lost: $stored were stored, $there are there\. Where a partition was to be read on is not known/, "$name halts, and says why");
    like(sql("SELECT hint FROM kseg.stream WHERE name = '$name'"), qr/^Say where to go on with kseg\.reset_stream\(\)/, 'and what to do');
    my ($code, $out, $err) = $node->psql('app', "SELECT kseg.start_stream('$name')");
    return like($err, qr/ERROR:  stream "$name" has come to a gap.*DETAIL:  What it was to read next is gone, or not known any more/s, 'start_stream refuses');
}

# The target says itself where to go on.
sub goes_on
{
    my ($name, $topic, $numbers, @new) = @_;
    sql("SELECT kseg.reset_stream('$name', (SELECT jsonb_object_agg(part, next)::text FROM (SELECT part, max(at) + 1 AS next FROM $name GROUP BY part) x))");
    more($topic, 2, @new);
    wait_for_end($node, $kafka, $name, $topic, dbname => 'app');
    return has_rows($name, [ @$numbers, @new ], 'after a reset it goes on');
}

subtest 'pg_restore --clean into the same database, while the launcher runs' => sub {
    my $file = PostgreSQL::Test::Utils::tempdir() . '/dump';
    my %topics = (plain => made('plain', workers => 2));
    # Its primary key comes back at the end of the restore, when the table has its rows.
    $topics{keyed} = filled('keyed', 2);
    topic_table($node, $kafka, $topics{keyed}, 'keyed', dbname => 'app');
    sql('ALTER TABLE keyed ADD PRIMARY KEY (part, at)');
    make_stream($node, 'keyed', dbname => 'app', key => q{'{part,at}'}, on_conflict => q{'update'});
    wait_for_end($node, $kafka, 'keyed', $topics{keyed}, dbname => 'app');

    $node->command_ok([ 'pg_dump', '-Fc', '-f', $file, '-d', $node->connstr('app') ], 'a dump');
    for my $name (sort keys %topics)
    {
        more($topics{$name}, 2, 101 .. 200);
        wait_for_end($node, $kafka, $name, $topics{$name}, dbname => 'app');
        has_rows($name, [ 1 .. 200 ], 'it has gone on since');
    }
    $node->command_checks_all([ 'pg_restore', '--clean', '--if-exists', '--exit-on-error', '-j2', '-d', $node->connstr('app'), $file ],
        0, [], [qr/^$/], 'restored into the same database');
    for my $name (sort keys %topics)
    {
        my $stream = wait_for_state($node, $name, 'copy', dbname => 'app');
        like($stream->{last_error}, qr/copy of its database/, "$name is a copy, and says so");
        wait_for_answer($node, "SELECT halted FROM kseg.stream_entry WHERE name = '$name'", 'copy', dbname => 'app');
        has_rows($name, [ 1 .. 100 ], 'its table is as the dump has it');
    }
    is(scalar workers_of($node, 'app'), 0, 'nothing runs');
    sql("SELECT kseg.start_stream('$_')") for sort keys %topics;
    for my $name (sort keys %topics)
    {
        wait_for_end($node, $kafka, $name, $topics{$name}, dbname => 'app');
        has_rows($name, [ 1 .. 200 ], 'started, it has each message once');
        is(state_of($node, $name, dbname => 'app'), 'running', 'and runs');
    }
};

subtest 'a session that has made streams before the extension came anew' => sub {
    $node->safe_psql('postgres', 'CREATE DATABASE again');
    my $session = session($node, dbname => 'again');
    my $make = q{SELECT kseg.stream_to_table('one', 'SELECT part, at, number FROM public.one_topic', 'public.one')};
    unreachable_table($node, 'one', dbname => 'again');
    $session->run($make);
    wait_for_workers($node, 'again', 1);
    $session->run('DROP EXTENSION kseg CASCADE');
    $session->run('DROP TABLE one');
    unreachable_table($node, 'one', dbname => 'again');
    $session->run($make);
    wait_for_workers($node, 'again', 1);
    pass('what it makes then is no copy');
    $session->quit;
    $node->safe_psql('postgres', 'DROP DATABASE again');
};

subtest 'all positions are lost' => sub {
    my $topic = made('emptied', workers => 2);
    stop_and_wait('emptied');
    lose('emptied', 'true');
    sql(q{SELECT kseg.start_stream('emptied')});
    is_lost('emptied', 2, 0);
    has_rows('emptied', [ 1 .. 100 ], 'nothing has come twice');
    goes_on('emptied', $topic, [ 1 .. 100 ], 101 .. 110);
};

subtest 'one of them is lost' => sub {
    my $topic = made('short');
    stop_and_wait('short');
    lose('short', 'partition = 1');
    sql(q{SELECT kseg.start_stream('short')});
    is_lost('short', 2, 1);
    has_rows('short', [ 1 .. 100 ], 'nothing has come twice');
    goes_on('short', $topic, [ 1 .. 100 ], 101 .. 110);
};

subtest 'they are lost while the stream runs' => sub {
    my $topic = made('running');
    lose('running', 'true');
    more($topic, 2, 101 .. 110);
    is_lost('running', 2, 0);
    has_rows('running', [ 1 .. 100 ], 'nothing has come twice');
    sql(q{SELECT kseg.reset_stream('running', '{"0": 50, "1": 50}')});
    wait_for_end($node, $kafka, 'running', $topic, dbname => 'app');
    has_rows('running', [ 1 .. 110 ], 'after a reset it goes on');
};

subtest 'offsets that were given are lost before the stream has begun' => sub {
    unreachable_table($node, 'given', dbname => 'app');
    make_stream($node, 'given', dbname => 'app', start => q{'{"0": 50}'});
    stop_and_wait('given');
    is(sql(q{SELECT begun FROM kseg.stream_entry WHERE name = 'given'}), 'f', 'it waits for the broker');
    lose('given', 'true');
    sql(q{SELECT kseg.start_stream('given')});
    is_lost('given', 1, 0);
};

subtest 'that there are none yet is no loss' => sub {
    my $prefix = $kafka->topic_unique('later');
    topic_table($node, $kafka, 'nothing', 'later', dbname => 'app');
    make_stream($node, 'later', dbname => 'app', topics => "ARRAY['^\Q$prefix\E']", workers => 2);
    wait_for_answer($node, q{SELECT begun FROM kseg.stream_entry WHERE name = 'later'}, 't', dbname => 'app');
    stop_and_wait('later');
    is(sql(q{SELECT positions FROM kseg.stream_entry WHERE name = 'later'}), 0, 'it has begun without any');
    sql(q{SELECT kseg.start_stream('later')});
    wait_for_state($node, 'later', 'running', dbname => 'app');
    # Both workers find partitions at the same moment, and count them.
    my $from = -s $node->logfile;
    $kafka->create_topic("$prefix$_", partitions => 8) for qw(a b);
    more("$prefix$_", 8, 1 .. 100) for qw(a b);
    wait_for_end($node, $kafka, 'later', [ map { "$prefix$_" } qw(a b) ], dbname => 'app');
    is(sql('SELECT count(*) FROM later'), 200, 'all has come');
    is(log_has($node, qr/deadlock/, $from), 0, 'the workers have not been in each other\'s way');
    stop_and_wait('later');
    sql(q{SELECT kseg.start_stream('later')});
    wait_for_state($node, 'later', 'running', dbname => 'app');
    is(sql(q{SELECT positions FROM kseg.stream_entry WHERE name = 'later'}), 16, 'and it goes on with sixteen');
};

is(sql(q{SELECT string_agg(name, ' ') FROM kseg.stream_entry e
    WHERE halted IS NULL AND positions <> (SELECT count(*) FROM kseg.position_entry p WHERE p.stream = e.id)}), '', 'of all streams as many positions are there as are counted');

done_testing();
