# needs: kafka
# Several workers of a stream, several streams, and several sessions that tell them things while messages come: each message arrives once,
# whatever they were told, and what they are told last is what they do.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegKafkaRun ();
use KsegStream;
use Time::HiRes qw(time);

my $kafka = kafka_broker();
my $node  = stream_cluster('workers', settings => { max_worker_processes => 60, 'kseg.max_stream_workers' => 48 });
KsegKafkaRun::connect_kafka($node, $kafka);
my $topic = $kafka->create_topic($kafka->topic_unique, partitions => 7);
my $flow  = session($node);
my $sent  = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# So many more messages, in the course of some seconds, beside what the test does; flow_ended waits for the last.
sub flow
{
    my ($count, $seconds) = @_;
    my ($first, $last) = ($sent + 1, $sent + $count);
    my $pause = $seconds / ($count / 100);
    $flow->start(KsegKafkaRun::produce(qq{SELECT g::text AS key, '{"number": ' || g || '}' AS value
        FROM generate_series($first, $last) g, LATERAL (SELECT CASE WHEN g % 100 = 0 THEN pg_sleep($pause) END) p}, topic => $topic));
    $sent += $count;
    return;
}

sub flow_ended { return is($flow->finish->{err}, '', 'all messages are sent') }

sub all_there
{
    my ($name, $words) = @_;
    wait_for_end($node, $kafka, $name, $topic);
    is(rows_of($node, $name), rows_are(1 .. $sent), $words);
    return is(letters_of($node, $name), 0, 'no message was to blame');
}

topic_table($node, $kafka, $topic, $_) for qw(shared keyed);
make_stream($node, 'shared', workers => 3, batch_rows => 300);

subtest 'three workers and seven partitions' => sub {
    flow(10_000, 0.5);
    flow_ended();
    all_there('shared', 'each message once');
    is(sql(q{SELECT count(*), count(*) FILTER (WHERE messages > 0), sum(messages) FROM kseg.stream_slots()}), '3|3|10000', 'each worker has its part');
    is(sql('SELECT count(DISTINCT part) FROM shared'), 7, 'of all partitions');
};

subtest 'more workers, fewer workers, while messages come' => sub {
    flow(40_000, 8);
    for my $workers (5, 1, 7, 9, 2, 3)
    {
        sql("SELECT kseg.alter_stream('shared', workers => $workers)");
        wait_for("$workers workers", sub {
            my $stream = stream_of($node, 'shared');
            return ($stream->{workers_running} == $workers && $stream->{state} eq 'running', $stream);
        });
        is(sql('SELECT count(*) FROM kseg.stream_slots()'), $workers, "$workers workers run, and no other");
    }
    flow_ended();
    all_there('shared', 'each message once');
};

subtest 'partitions that are added while several workers run' => sub {
    flow(6_000, 1);
    $kafka->grow_topic($topic, 9);
    flow_ended();
    flow(4_000, 1);
    flow_ended();
    all_there('shared', 'each message once');
    is(sql('SELECT count(DISTINCT part) FROM shared'), 9, 'of the new ones, too');
};

subtest 'several sessions tell it things in quick succession' => sub {
    # What resets and drops goes to a table with a key: there the same message may come again.
    sql('ALTER TABLE keyed ADD PRIMARY KEY (number)');
    my $create = q{SELECT kseg.stream_to_table('keyed', 'SELECT part, at, number FROM keyed_topic', 'public.keyed', key => '{number}', on_conflict => 'update', workers => 2, batch_rows => 500)};
    sql($create);
    flow(30_000, 6);
    my @said = (
        [ map { "SELECT kseg.stop_stream('shared'); SELECT kseg.start_stream('shared'); SELECT kseg.alter_stream('shared', workers => " . (1 + $_ % 4) . ')' } 1 .. 15 ],
        [ map { "SELECT kseg.alter_stream('shared', batch_rows => " . (100 + 50 * $_) . "); SELECT kseg.stop_stream('shared'); SELECT kseg.start_stream('shared')" } 1 .. 15 ],
        [ map { "SELECT kseg.reset_stream('keyed', 'earliest'); SELECT kseg.stop_stream('keyed'); SELECT kseg.start_stream('keyed'); SELECT kseg.alter_stream('keyed', workers => " . (1 + $_ % 3) . ')' } 1 .. 10 ],
        [ map { "SELECT kseg.drop_stream('keyed'); $create" } 1 .. 6 ]);
    my @sessions = map { session($node) } @said;
    my %errors;
    for my $round (0 .. 14)
    {
        my @busy = grep { $round < @{ $said[$_] } } 0 .. $#said;
        $sessions[$_]->start($said[$_][$round]) for @busy;
        # A stream that somebody else has just dropped is not there; nothing else may go wrong.
        $errors{$_}++ for map { $sessions[$_]->finish->{err} =~ /ERROR:  (.*)/g } @busy;
    }
    is(join('; ', grep { !/^stream "keyed" (?:does not exist|already exists)/ } sort keys %errors), '', 'no error but that a stream is not there: ' . join '; ', map { "$errors{$_} times $_" } sort keys %errors);
    flow_ended();
    sql(q{SELECT kseg.start_stream('shared'); SELECT kseg.alter_stream('shared', workers => 2)});
    sql(q{SELECT kseg.start_stream('keyed')});
    all_there('shared', 'each message once');
    wait_for_end($node, $kafka, 'keyed', $topic);
    is(rows_of($node, 'keyed'), rows_are(1 .. $sent), 'all of them under their keys');
    is(letters_of($node, 'keyed'), 0, 'no message was to blame');
    wait_for("two workers", sub { my $stream = stream_of($node, 'shared'); return ($stream->{workers_running} == 2 && $stream->{state} eq 'running', $stream) });
    is(sql('SELECT count(*) FROM kseg.position_entry p LEFT JOIN kseg.stream_entry e ON e.id = p.stream WHERE e.id IS NULL'), 0, 'no position is left of a stream that was dropped');
    sql(q{SELECT kseg.drop_stream('keyed')});
};

subtest 'what it is told takes effect within a second' => sub {
    # One session tells and looks, so that what is measured is not the start of a psql.
    my $psql = session($node);
    my $rows = sub { return $psql->row($_[0])->{count} };
    my %is = (
        pids    => sub { return join ',', map { $_->{pid} } $psql->rows(q{SELECT pid FROM kseg.stream_slots() s JOIN kseg.stream_entry e ON e.id = s.stream WHERE e.name = 'shared' AND pid IS NOT NULL}) },
        running => sub { return $rows->(q{SELECT count(*) FROM kseg.stream_status WHERE stream = 'shared' AND state = 'running' AND workers_running = workers}) == 1 },
        gone    => sub { return $rows->(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kseg stream'}) == 0 });
    # Each is looked for in what only the change brings about: other processes, in which its definition is read; positions, which a reset takes away.
    my $pids;
    my @told = (
        [ stop   => q{SELECT kseg.stop_stream('shared')}, $is{gone} ],
        [ start  => q{SELECT kseg.start_stream('shared')}, $is{running} ],
        [ alter  => q{SELECT kseg.alter_stream('shared', batch_rows => 200)}, sub { return $is{running}->() && !grep { (",$pids," =~ /,$_,/) } split /,/, $is{pids}->() } ],
        [ reset  => q{SELECT kseg.reset_stream('shared', 'latest')}, sub { return $is{running}->() && $rows->(q{SELECT count(*) FROM kseg.position WHERE stream = 'shared'}) == 9 } ],
        [ drop   => q{SELECT kseg.drop_stream('shared')}, $is{gone} ],
        [ create => q{SELECT kseg.stream_to_table('shared', 'SELECT part, at, number FROM public.shared_topic', 'public.shared', start => 'latest', workers => 2)}, $is{running} ]);
    my %seconds;
    my $round = sub {
        for my $told (@told)
        {
            my ($what, $statement, $look) = @$told;
            $pids = $is{pids}->();
            my $began = time;
            $psql->row($statement);
            wait_for("the effect of $what", $look);
            push @{ $seconds{$what} }, time - $began;
        }
    };
    # The machine may be busy with other tests, for one measurement (the median) or for a whole attempt.
    my $median = sub { return (sort { $a <=> $b } @{ $seconds{ $_[0] } })[2] };
    for my $attempt (1 .. 3)
    {
        %seconds = ();
        $round->() for 1 .. 5;
        last unless grep { $median->($_->[0]) >= 1 } @told;
    }
    for my $what (map { $_->[0] } @told)
    {
        cmp_ok($median->($what), '<', 1, sprintf '%s: %s s', $what, join ' ', map { sprintf '%.2f', $_ } @{ $seconds{$what} });
    }
    $psql->quit;
};

subtest 'twenty streams at once' => sub {
    sql("CREATE TABLE many_$_ (part int, at bigint, number int)") for 1 .. 20;
    sql("SELECT kseg.stream_to_table('many_$_', 'SELECT part, at, number FROM shared_topic', 'public.many_$_')") for 1 .. 20;
    flow(5_000, 2);
    flow_ended();
    all_there('shared', 'each message once');
    wait_for_end($node, $kafka, "many_$_", $topic) for 1 .. 20;
    my %rows = map { rows_of($node, "many_$_") => 1 } 1 .. 20;
    is_deeply(\%rows, { rows_are(1 .. $sent) => 1 }, 'in each of the twenty as well');
    sql("SELECT kseg.stop_stream('many_$_')") for 1 .. 20;
    wait_for_answer($node, q{SELECT count(*) FROM kseg.stream_status WHERE state = 'stopped'}, 20);
    wait_for_workers($node, 'postgres', 2);
    pass('they stop, and the other one runs on');
};

is(sql('SELECT count(*) FROM kseg.dead_letter'), 0, 'no message was to blame for anything');

done_testing();
