# needs: kafka
# Where a stream begins: at a time, at offsets, at the end; when it is made, and when it is reset. Which messages are there afterwards is known
# to the last one, in each partition: those with nothing from there on, too.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('start');

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Messages of partition 0 to 4, with times that are counted in seconds from 2023-11-14 22:13:20: all along, all before 20, none, all after 20, and
# back and forth. Old as they are, retention must not take them.
my $epoch = 1_700_000_000_000;
my @made = (
    (map { [ 0, $_,       $_ ] } 1 .. 40),
    (map { [ 1, 100 + $_, $_ ] } 1 .. 10),
    (map { [ 3, 300 + $_, 30 + $_ ] } 1 .. 10),
    [ 4, 401, 10 ], [ 4, 402, 30 ], [ 4, 403, 5 ], [ 4, 404, 20 ], [ 4, 405, 25 ]);

sub at_time
{
    my ($seconds) = @_;
    return sql("SELECT to_timestamp(1700000000) + interval '$seconds seconds'");
}

# A topic with these messages, and the foreign table and the table of a stream.
sub made
{
    my ($name) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name), partitions => 5, config => { 'retention.ms' => -1 });
    $kafka->produce($topic, map { { value => "{\"number\": $_->[1]}", partition => $_->[0], timestamp => $epoch + 1000 * $_->[2] } } @made);
    topic_table($node, $kafka, $topic, $name);
    return $topic;
}

# What is there of each partition that has something, as "PARTITION: NUMBER NUMBER …", in the order of the offsets; and that none is there twice.
sub numbers_of
{
    my ($name) = @_;
    my ($rows, $places) = split /\|/, sql("SELECT count(*), count(DISTINCT (part, at)) FROM $name");
    is($rows, $places, 'no message is there twice');
    return sql("SELECT part || ': ' || string_agg(number::text, ' ' ORDER BY at) FROM $name GROUP BY part ORDER BY part");
}

sub lines { return join "\n", map { my ($partition, @numbers) = @$_; "$partition: @numbers" } @_ }

sub positions_of { return sql(qq{SELECT string_agg(partition || ':' || "offset", ' ' ORDER BY partition) FROM kseg.position WHERE stream = '$_[0]'}) }

# Waits until a stream knows where each partition begins for it.
sub wait_until_begun
{
    my ($name) = @_;
    return wait_for_answer($node, "SELECT begun FROM kseg.stream_entry WHERE name = '$name'", 't');
}

# One more message to each partition, of times long before.
sub produce_later
{
    my ($topic, $first) = @_;
    $kafka->produce($topic, map { { value => '{"number": ' . ($first + $_) . '}', partition => $_, timestamp => $epoch + $_ } } 0 .. 4);
    return;
}

subtest 'a time' => sub {
    my $topic = made('time');
    # Exactly of a message: it is the first.
    make_stream($node, 'time', start => "'" . at_time(20) . "'");
    wait_until_begun('time');
    wait_for_end($node, $kafka, 'time', $topic);
    my @from_there = ([ 0, 20 .. 40 ], [ 3, 301 .. 310 ], [ 4, 402 .. 405 ]);
    is(numbers_of('time'), lines(@from_there), 'from the first message of this time or later, and whatever is behind it');
    is(positions_of('time'), '0:40 1:10 2:0 3:10 4:5', 'partitions that have nothing from there on begin at their end');
    is(stream_of($node, 'time')->{messages}, 35, 'no more was read');

    produce_later($topic, 900);
    wait_for_end($node, $kafka, 'time', $topic);
    is(numbers_of('time'), lines([ 0, 20 .. 40, 900 ], [ 1, 901 ], [ 2, 902 ], [ 3, 301 .. 310, 903 ], [ 4, 402 .. 405, 904 ]),
        'what comes later comes, whatever time it says');

    # Where it begins is asked for once: a restart goes on.
    sql(q{SELECT kseg.stop_stream('time')});
    wait_for_state($node, 'time', 'stopped');
    produce_later($topic, 910);
    sql(q{SELECT kseg.start_stream('time')});
    wait_for_end($node, $kafka, 'time', $topic);
    is(sql('SELECT count(*), sum(number) FROM time WHERE number >= 900'), '10|' . (5 * 900 + 5 * 910 + 2 * 10), 'nor does a restart begin there again');
    sql(q{SELECT kseg.drop_stream('time')});
};

subtest 'a time between two messages, with several workers' => sub {
    my $topic = made('between');
    # Kafka's times are milliseconds: half of one behind a message is behind it.
    make_stream($node, 'between', start => "'" . at_time('20.0005') . "'", workers => 3);
    wait_for_end($node, $kafka, 'between', $topic);
    is(numbers_of('between'), lines([ 0, 21 .. 40 ], [ 3, 301 .. 310 ], [ 4, 402 .. 405 ]), 'what is before it does not come');
    sql(q{SELECT kseg.drop_stream('between')});
};

subtest 'a time that is before everything, and one that is to come' => sub {
    my $topic = made('early');
    make_stream($node, 'early', start => q{'1970-01-01 00:00:00+00'});
    wait_for_end($node, $kafka, 'early', $topic);
    is(numbers_of('early'), lines([ 0, 1 .. 40 ], [ 1, 101 .. 110 ], [ 3, 301 .. 310 ], [ 4, 401 .. 405 ]), 'all that is there');
    sql(q{SELECT kseg.drop_stream('early'); TRUNCATE early});

    make_stream($node, 'early', start => "'" . sql(q{SELECT now() + interval '1 day'}) . "'");
    wait_until_begun('early');
    is(positions_of('early'), '0:40 1:10 2:0 3:10 4:5', 'each partition begins at its end');
    produce_later($topic, 900);
    wait_for_end($node, $kafka, 'early', $topic);
    is(numbers_of('early'), lines(map { [ $_, 900 + $_ ] } 0 .. 4), 'and what is produced from then on comes, before that time');
    sql(q{SELECT kseg.drop_stream('early')});
};

subtest 'latest' => sub {
    my $topic = made('latest');
    make_stream($node, 'latest', start => q{'latest'});
    wait_until_begun('latest');
    is(positions_of('latest'), '0:40 1:10 2:0 3:10 4:5', 'each partition begins at its end');
    produce_later($topic, 900);
    wait_for_end($node, $kafka, 'latest', $topic);
    is(numbers_of('latest'), lines(map { [ $_, 900 + $_ ] } 0 .. 4), 'nothing of before comes, and all of afterwards');
    sql(q{SELECT kseg.drop_stream('latest')});
};

subtest 'offsets' => sub {
    my $topic = made('offsets');
    # The first message, one in the middle, the end; partition 1 and 4 are not named.
    make_stream($node, 'offsets', start => q{'{"0": 35, "2": 0, "3": 10}'});
    wait_for_end($node, $kafka, 'offsets', $topic);
    is(numbers_of('offsets'), lines([ 0, 36 .. 40 ], [ 1, 101 .. 110 ], [ 4, 401 .. 405 ]), 'from each offset on; partitions that are not named, from their first message');
    produce_later($topic, 900);
    wait_for_end($node, $kafka, 'offsets', $topic);
    is(sql('SELECT count(*), sum(number) FROM offsets WHERE number >= 900'), '5|4510', 'and on from there');
    sql(q{SELECT kseg.drop_stream('offsets'); TRUNCATE offsets});

    make_stream($node, 'offsets', start => qq{'{"$topic": {"4": 3}}'}, topics => "'{$topic}'");
    wait_for_end($node, $kafka, 'offsets', $topic);
    is(sql('SELECT string_agg(number::text, \' \' ORDER BY at) FROM offsets WHERE part = 4'), '404 405 904', 'offsets that name their topic');
    sql(q{SELECT kseg.drop_stream('offsets')});
};

subtest 'reset to a time, to offsets, to the end' => sub {
    my $topic = made('reset');
    make_stream($node, 'reset');
    wait_for_end($node, $kafka, 'reset', $topic);
    is(numbers_of('reset'), lines([ 0, 1 .. 40 ], [ 1, 101 .. 110 ], [ 3, 301 .. 310 ], [ 4, 401 .. 405 ]), 'all at first');

    my $again = sub {
        my ($start) = @_;
        sql("BEGIN; TRUNCATE reset; SELECT kseg.reset_stream('reset', start => '$start'); COMMIT");
        wait_until_begun('reset');
        return wait_for_end($node, $kafka, 'reset', $topic);
    };
    $again->(at_time(38));
    is(numbers_of('reset'), lines([ 0, 38 .. 40 ], [ 3, 308 .. 310 ]), 'a time: what is from there on comes again, and nothing else');
    $again->('{"0": 39, "1": 10, "3": 8, "4": 4}');
    is(numbers_of('reset'), lines([ 0, 40 ], [ 3, 309, 310 ], [ 4, 405 ]), 'offsets');
    $again->('latest');
    is(numbers_of('reset'), '', 'latest: nothing comes again');
    produce_later($topic, 900);
    wait_for_end($node, $kafka, 'reset', $topic);
    is(numbers_of('reset'), lines(map { [ $_, 900 + $_ ] } 0 .. 4), 'what is produced then does');
    $again->('earliest');
    is(numbers_of('reset'), lines([ 0, 1 .. 40, 900 ], [ 1, 101 .. 110, 901 ], [ 2, 902 ], [ 3, 301 .. 310, 903 ], [ 4, 401 .. 405, 904 ]), 'earliest: all of it');
    is(letters_of($node, 'reset'), 0, 'no message was to blame');
    sql(q{SELECT kseg.drop_stream('reset')});
};

done_testing();
