# needs: kafka
# What a stream was to read next is gone, or is something else now: it halts as 'gap' and says what and where, nothing is passed over or
# taken for the same, and after reset_stream it goes on.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('gaps');

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A topic of one partition with the messages 1 … 100, and a stream that has read them.
sub made
{
    my ($name, %arguments) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name));
    topic_table($node, $kafka, $topic, $name);
    $kafka->produce($topic, numbers(1 .. 100));
    make_stream($node, $name, %arguments);
    wait_for_end($node, $kafka, $name, $topic);
    return $topic;
}

sub stop_and_wait
{
    my ($name) = @_;
    sql("SELECT kseg.stop_stream('$name')");
    return wait_for_state($node, $name, 'stopped');
}

# The courier of a stream.
sub courier_of
{
    my ($name) = @_;
    my ($courier) = couriers_of(stream_of($node, $name)->{pid});
    return $courier;
}

# The topic once more, with these numbers.
sub make_anew
{
    my ($topic, @numbers) = @_;
    $kafka->delete_topic($topic);
    $kafka->create_topic($topic);
    $kafka->produce($topic, numbers(@numbers)) if @numbers;
    return;
}

# It halts as a gap, its words are like this, start_stream refuses, and nothing more has arrived.
sub is_gap
{
    my ($name, $words, $rows) = @_;
    wait_for_state($node, $name, 'gap');
    like(halt_of($node, $name), qr/^gap \w{5} could not read on in topic ".*": messages are gone\. $words/, 'it halts, and says where');
    my ($code, $out, $err) = $node->psql('postgres', "SELECT kseg.start_stream('$name')");
    like($err, qr/ERROR:  stream "$name" has come to a gap.*HINT:  Say where it is to go on: kseg\.reset_stream/s, 'start_stream refuses');
    is(state_of($node, $name), 'gap', 'and changes nothing');
    return is(rows_of($node, $name), $rows, 'nothing more has arrived');
}

# reset_stream with this start: the stream goes on by itself and comes to the end, with these rows.
sub goes_on
{
    my ($name, $topic, $start, $rows) = @_;
    sql("SELECT kseg.reset_stream('$name', '$start')");
    is(halt_of($node, $name), '', 'why it had stopped is forgotten');
    wait_for_end($node, $kafka, $name, $topic);
    wait_for_state($node, $name, 'running');
    return is(rows_of($node, $name), $rows, "and goes on after a reset to $start");
}

subtest 'retention passes the position of a stream that is stopped' => sub {
    my $topic = made('stopped');
    stop_and_wait('stopped');
    $kafka->produce($topic, numbers(101 .. 200));
    $kafka->delete_records($topic, 0, 150);
    sql(q{SELECT kseg.start_stream('stopped')});
    is_gap('stopped', qr/Partition 0 was to be read at offset 100\. The partition has the offsets 150 to 199: what comes before is deleted\./, rows_are(1 .. 100));
    goes_on('stopped', $topic, 'earliest', rows_are(1 .. 100, 151 .. 200));
};

subtest 'all that there was is deleted' => sub {
    my $topic = made('emptied');
    stop_and_wait('emptied');
    $kafka->produce($topic, numbers(101 .. 200));
    $kafka->delete_records($topic, 0, 200);
    sql(q{SELECT kseg.start_stream('emptied')});
    is_gap('emptied', qr/Partition 0 was to be read at offset 100\. The partition is empty, and its next offset is 200: what comes before is deleted\./, rows_are(1 .. 100));
    sql(q{SELECT kseg.reset_stream('emptied', '{"0": 200}')});
    $kafka->produce($topic, numbers(201 .. 210));
    wait_for_end($node, $kafka, 'emptied', $topic);
    is(rows_of($node, 'emptied'), rows_are(1 .. 100, 201 .. 210), 'and goes on where it is told to');
};

subtest 'what is deleted was read before: no gap' => sub {
    my $topic = made('read');
    stop_and_wait('read');
    $kafka->delete_records($topic, 0, 100);
    sql(q{SELECT kseg.start_stream('read')});
    $kafka->produce($topic, numbers(101 .. 110));
    wait_for_end($node, $kafka, 'read', $topic);
    is(rows_of($node, 'read'), rows_are(1 .. 110), 'it goes on');
};

subtest 'retention passes a stream that runs' => sub {
    my $topic = made('running');
    # The courier is held, so that it has not read what is deleted. A broker that was waiting for news for it has sent it the first one.
    my $courier = courier_of('running');
    kill 'STOP', $courier;
    $kafka->produce($topic, numbers(101));
    $kafka->produce($topic, numbers(102 .. 200));
    $kafka->delete_records($topic, 0, 150);
    kill 'CONT', $courier;
    wait_for_state($node, 'running', 'gap');
    my ($read) = rows_of($node, 'running') =~ /^(\d+) /;
    like($read, qr/^10[01]$/, 'what was on its way may come');
    is_gap('running', qr/Partition 0 was to be read at offset $read\. The partition has the offsets 150 to 199: what comes before is deleted\./, rows_are(1 .. $read));
    goes_on('running', $topic, 'earliest', rows_are(1 .. $read, 151 .. 200));
};

subtest 'a topic is made anew while its stream is stopped' => sub {
    my %numbers = (fewer => [ 1001 .. 1050 ], equal => [ 1001 .. 1100 ], more => [ 1001 .. 1200 ]);
    my %words = (
        fewer => qr/Partition 0 was to be read at offset 100\. The partition has the offsets 0 to 49: the topic was made anew, or its log has lost its end\./,
        equal => qr/Partition 0 was to be read at offset 100, behind a message of [-0-9TZ:.]+; the message at offset 99 is now one of [-0-9TZ:.]+: the topic was deleted and made anew\./,
    );
    $words{more} = $words{equal};
    my %topics = map { $_ => made($_) } sort keys %numbers;
    stop_and_wait($_) for sort keys %numbers;
    make_anew($topics{$_}, @{ $numbers{$_} }) for sort keys %numbers;
    sql("SELECT kseg.start_stream('$_')") for sort keys %numbers;
    for my $name (sort keys %numbers)
    {
        note $name;
        is_gap($name, $words{$name}, rows_are(1 .. 100));
        # The same places once more, so not a table of distinct ones.
        sql("TRUNCATE $name");
        goes_on($name, $topics{$name}, 'earliest', rows_are(@{ $numbers{$name} }));
    }
};

subtest 'a topic is made anew while its stream runs' => sub {
    my %numbers = (less => [ 1001 .. 1050 ], same => [ 1001 .. 1100 ], larger => [ 1001 .. 1200 ], none => []);
    my %topics = map { $_ => made($_) } sort keys %numbers;
    make_anew($topics{$_}, @{ $numbers{$_} }) for sort keys %numbers;
    for my $name (sort keys %numbers)
    {
        wait_for_state($node, $name, 'gap');
        like(halt_of($node, $name), qr/^gap \w{5} could not read on in topic "\Q$topics{$name}\E": messages are gone\. Partition 0.*\b[12]00\b/, "$name: it halts, and says where");
        # "Larger": what lies behind the position may have come before anybody could know.
        my $rows = rows_of($node, $name);
        $name eq 'larger' ? like($rows, qr/^(?:100 100|200 200) /, "$name: $rows") : is($rows, rows_are(1 .. 100), "$name: nothing more has arrived");
        sql("TRUNCATE $name");
        goes_on($name, $topics{$name}, 'earliest', @{ $numbers{$name} } ? rows_are(@{ $numbers{$name} }) : '0 0');
    }
};

subtest 'a topic is deleted' => sub {
    my $topic = made('deleted');
    $kafka->delete_topic($topic);
    is_gap('deleted', qr/Partition 0 was to be read at offset 100\. There is no such topic any more\./, rows_are(1 .. 100));
    sql(q{SELECT kseg.reset_stream('deleted', 'earliest')});
    wait_for('trouble', sub { my $stream = stream_of($node, 'deleted'); return (scalar(($stream->{trouble} // '') =~ /topic "\Q$topic\E" does not exist/), $stream) });
    $kafka->create_topic($topic);
    $kafka->produce($topic, numbers(101 .. 110));
    wait_for_end($node, $kafka, 'deleted', $topic);
    is(rows_of($node, 'deleted'), join(' ', 110, 100, 110 * 111 / 2), 'and goes on with the new one');
    is(stream_of($node, 'deleted')->{trouble}, undef, 'without trouble');
};

subtest 'others run on, and no message was to blame' => sub {
    is(sql(q{SELECT count(*) FROM kseg.stream_status WHERE state <> 'running'}), 0, 'all run at the end');
    is(sql('SELECT count(*) FROM kseg.dead_letter'), 0, 'without dead letters');
};

done_testing();
