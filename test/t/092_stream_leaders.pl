# needs: kafka
# long: brokers that go and come back
# A cluster of three nodes whose leaders move while a stream follows its topic, or stand still while others take over, and the group to
# which a stream tells its positions: all messages come, once, and Kafka's own tool says that nothing is left.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegKafkaRun ();
use KsegStream;

my $kafka = kafka_broker(nodes => 3, heap => 256);
my $node  = stream_cluster('leaders');
my $topic = $kafka->create_topic($kafka->topic_unique, partitions => 6, config => { 'min.insync.replicas' => 1 });
my $group = "kseg-$$";
my $sent  = 0;

topic_table($node, $kafka, $topic, 'moved');
make_stream($node, 'moved', workers => 2, commit_group => "'$group'");

# So many more, to all partitions.
sub send_more
{
    my ($count) = @_;
    $kafka->produce($topic, map { { value => "{\"number\": $_}", partition => $_ % 6 } } $sent + 1 .. $sent + $count);
    $sent += $count;
    return;
}

sub all_there
{
    my ($words) = @_;
    # What it waits for is said when it waits in vain.
    wait_for("$sent rows", sub {
        my $said = $node->safe_psql('postgres', q{SELECT concat_ws(' ', (SELECT count(*) FROM moved), state, lag_messages, position, trouble, last_error)
            FROM kseg.stream_status WHERE stream = 'moved'});
        my ($count) = $said =~ /^(\d+)/;
        return ($count >= $sent, $said);
    });
    return is(rows_of($node, 'moved'), rows_are(1 .. $sent), $words);
}

# The partitions that a node leads.
sub led_by { my ($number) = @_; return grep { KsegKafkaRun::leader_of($kafka, $topic, $_) == $number } 0 .. 5 }

# What Kafka's own tool says of the group: { partition => lag }.
sub lag_of_group
{
    my $said = $kafka->java_tool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
        [ qw(--bootstrap-server BOOTSTRAP --describe --group), $group ]);
    return { map { /^\Q$group\E\s+\Q$topic\E\s+(\d+)\s+\d+\s+\d+\s+(\d+)\s/ ? ($1 => $2) : () } split /\n/, $said->{out} };
}

send_more(3000);
all_there('three nodes');

for my $number (1 .. 3)
{
    subtest "node $number is killed, and comes back" => sub {
        my @led = led_by($number);
        my $state = session($node);
        send_more(2000);
        $kafka->kill_node($number);
        send_more(2000);
        all_there('what the others lead and what moves to them, of ' . @led . ' partitions');
        is(scalar(led_by($number)), 0, 'it leads nothing any more');
        $kafka->restart_node($number);
        send_more(1000);
        all_there('with the node that is back');
    };
}

subtest 'a node stands still' => sub {
    my $number = KsegKafkaRun::leader_of($kafka, $topic, 0);
    $kafka->pause_node($number);
    # The others take over when it has missed its heartbeats; what was sent to it is sent again.
    send_more(600);
    all_there('all comes');
    $kafka->resume_node($number);
    send_more(600);
    all_there('and when it goes on');
};

subtest 'the only node that a stream is connected to stands still' => sub {
    my $one    = $kafka->create_topic($kafka->topic_unique('one'), config => { 'min.insync.replicas' => 1 });
    my $number = KsegKafkaRun::leader_of($kafka, $one, 0);
    topic_table($node, $kafka, $one, 'one');
    # Longer than this test has patience: that a request is given up helps nobody.
    my $address = (split /,/, $kafka->bootstrap)[ $number - 1 ];
    $node->safe_psql('postgres', "ALTER SERVER kafka_one OPTIONS (SET bootstrap_servers '$address', ADD request_timeout '300')");
    make_stream($node, 'one');
    # Another client that would wait as long.
    my $producer = $kafka->producer($one, properties => { 'socket.timeout.ms' => 3000, 'enable.idempotence' => 'true' });
    my $more = sub {
        my (@numbers) = @_;
        $producer->send(numbers(@numbers));
        is(scalar(grep({ defined $_->{offset} } $producer->flush)), scalar @numbers, 'so many have left');
        wait_for_answer($node, "SELECT count(*) >= $numbers[-1] FROM one", 't');
        is(rows_of($node, 'one'), rows_are(1 .. $numbers[-1]), 'and are there');
    };
    $more->(1 .. 100);
    $kafka->pause_node($number);
    $more->(101 .. 200);
    $kafka->resume_node($number);
    $more->(201 .. 300);
    wait_for_trouble($node, 'one', qr/^$/);
    pass('there is no trouble any more');
};

subtest 'at the end' => sub {
    is(letters_of($node, 'moved'), 0, 'no message was to blame');
    my $stream = wait_for_state($node, 'moved', 'running');
    is_deeply(wait_for('lag 0 of the group', sub {
        my $lag = lag_of_group();
        return (keys %$lag == 6 && !grep({ $_ } values %$lag), $lag);
    }), { map { $_ => 0 } 0 .. 5 }, 'Kafka\'s tool sees the positions in its group');
    wait_for_trouble($node, 'moved', qr/^$/);
    pass('there is no trouble any more');
};

done_testing();
