# needs: kafka
# A topic of which no message can be applied. Where the stream is told to take that, each becomes a dead letter, once, and the stream is at the
# end of the topic; by default it stops by itself, says so, and goes on behind what it has kept when it is started.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('poison');
my $count = 3000;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# What every message is refused for: the definition of the target's column, the message's value of number, the SQLSTATE.
my %poison = (
    check => [ 'ALTER TABLE %s ADD CHECK (number < 0)', sub { "{\"number\": $_[0]}" }, '23514' ],
    type  => [ 'SELECT 1', sub { "{\"number\": \"no $_[0]\"}" }, '22P02' ],
    json  => [ 'SELECT 1', sub { "{\"number\": $_[0]" }, '22P02' ]);

# A topic of three partitions with $count such messages, and the tables.
sub made
{
    my ($name, $what) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name), partitions => 3);
    topic_table($node, $kafka, $topic, $name);
    sql(sprintf $poison{$what}[0], $name);
    $kafka->produce($topic, map { { key => "k$_", value => $poison{$what}[1]->($_), partition => $_ % 3 } } 1 .. $count);
    return $topic;
}

# The letters of a stream: how many, of how many places, the sum of the numbers in their keys, how many have another value than was sent, and why.
sub letters_are
{
    my ($name, $what, $numbers, $words) = @_;
    my $value = $poison{$what}[1]->('#');
    my ($sum, $letters) = (0, scalar @$numbers);
    $sum += $_ for @$numbers;
    is(sql(qq{SELECT count(*), count(DISTINCT (topic, partition, "offset")), sum(n::int), count(*) FILTER (WHERE convert_from(value, 'UTF8') <> replace('$value', '#', n)),
        string_agg(DISTINCT sqlstate, ' ') FROM kseg.dead_letter, substr(convert_from(key, 'UTF8'), 2) n WHERE stream = '$name'}), "$letters|$letters|$sum|0|$poison{$what}[2]", $words);
    return;
}

for my $what (sort keys %poison)
{
    subtest "all of it is taken: $what" => sub {
        my $name  = "all_$what";
        my $topic = made($name, $what);
        make_stream($node, $name, max_dead_letter_rate => 1, batch_rows => 500);
        wait_for_end($node, $kafka, $name, $topic);
        letters_are($name, $what, [ 1 .. $count ], 'every message is a dead letter, once, as it came');
        is(rows_of($node, $name), '0 0', 'and none is a row');
        my $stream = stream_of($node, $name);
        is(join(' ', @{$stream}{qw(state messages rows dead_letters lag_messages)}), "running $count 0 $count 0", 'by its figures, too');
        $kafka->produce($topic, { key => 'good', value => '{"number": -1}' });
        wait_for_end($node, $kafka, $name, $topic);
        is(rows_of($node, $name), '1 1 -1', 'what can be applied behind them is');
        sql("SELECT kseg.drop_stream('$name')");
    };
}

subtest 'by default it stops by itself' => sub {
    my $topic = made('stops', 'check');
    make_stream($node, 'stops', batch_rows => 500);
    my $settled = sub { return sql(q{SELECT sum("offset") FROM kseg.position WHERE stream = 'stops'}) };

    wait_for_state($node, 'stops', 'dead_letters');
    wait_for_workers($node, 'postgres', 0);
    my $first = $settled->();
    cmp_ok($first, '>=', 1000, "not before there is something to judge by: $first");
    cmp_ok($first, '<', $count, 'and before all of it is gone through');
    is(letters_of($node, 'stops'), $first, 'what is behind the position is a dead letter');
    like(halt_of($node, 'stops'), qr/^dead_letters 22000 too many messages became dead letters: (\d+) of the last \1\. max_dead_letter_rate is 0\.5\.$/, 'it says why');

    # Nothing is mended: it goes on behind them, and stops again.
    sql(q{SELECT kseg.start_stream('stops')});
    wait_for_state($node, 'stops', 'dead_letters');
    wait_for_workers($node, 'postgres', 0);
    my $second = $settled->();
    cmp_ok($second, '>=', $first + 1000, "started again, it goes on behind them, as far as to judge anew: $second");
    is(letters_of($node, 'stops'), $second, 'none of them became a letter twice');

    # The cause is gone: what is left goes in, and then the letters do.
    sql(q{ALTER TABLE stops DROP CONSTRAINT stops_number_check; SELECT kseg.start_stream('stops')});
    wait_for_end($node, $kafka, 'stops', $topic);
    is(sql('SELECT count(*) FROM stops'), $count - $second, 'what is left goes in');
    is(sql(q{SELECT replayed, failed FROM kseg.replay_dead_letters(stream => 'stops')}), "$second|0", 'so do the dead letters');
    is(rows_of($node, 'stops'), rows_are(1 .. $count), 'none is lost, none is there twice');
};

done_testing();
