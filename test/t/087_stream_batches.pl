# needs: kafka
# When a batch is applied: as soon as something is there, or, with batch_interval, when it is full or has waited that long. What waits is
# neither lost nor applied twice, whatever the stream is told meanwhile.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('batches');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub made
{
    my ($name, %arguments) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name));
    topic_table($node, $kafka, $topic, $name);
    make_stream($node, $name, start => q{'latest'}, %arguments);
    wait_for_state($node, $name, 'running');
    wait_for_answer($node, "SELECT begun FROM kseg.stream_entry WHERE name = '$name'", 't');
    return $topic;
}

# Waits until the worker has heard that so many messages are there that it has not applied.
sub wait_for_lag
{
    my ($name, $count) = @_;
    return wait_for_answer($node, "SELECT lag_messages FROM kseg.stream_status WHERE stream = '$name'", $count);
}

# What has been applied: "BATCHES of MESSAGES, position OFFSET".
sub applied
{
    my ($name) = @_;
    return sql(qq{SELECT batches || ' of ' || messages || ', position ' || p."offset" FROM kseg.stream_status s JOIN kseg.position p USING (stream) WHERE stream = '$name'});
}

# The rows of each transaction, in their order.
sub transactions_of { return sql("SELECT string_agg(c::text, ' ' ORDER BY first) FROM (SELECT count(*) AS c, min(at) AS first FROM $_[0] GROUP BY xmin) x") }

subtest 'a batch waits until it is full' => sub {
    my $topic = made('filled', batch_interval => q{'1 hour'}, batch_rows => 10);
    # One by one: each is a message that the worker could have applied by itself.
    $kafka->produce($topic, numbers($_)) for 1 .. 9;
    wait_for_lag('filled', 9);
    is(applied('filled'), '0 of 0, position 0', 'nine are there, and none is applied');
    is(rows_of($node, 'filled'), '0 0', 'the table has none');
    is(sql(q{SELECT state, backend_xid IS NULL, query FROM pg_stat_activity WHERE backend_type = 'kseg stream'}), 'idle|t|stream filled: waiting for messages', 'nor is a transaction open');
    $kafka->produce($topic, numbers(10));
    wait_for_end($node, $kafka, 'filled', $topic);
    is(applied('filled'), '1 of 10, position 10', 'with the tenth all are, in one batch');
    is(transactions_of('filled'), '10', 'and one transaction');
    is(rows_of($node, 'filled'), rows_are(1 .. 10), 'each once');

    $kafka->produce($topic, numbers(11 .. 17));
    wait_for_lag('filled', 7);
    is(applied('filled'), '1 of 10, position 10', 'the next one waits again');
    $kafka->produce($topic, numbers(18 .. 20));
    wait_for_end($node, $kafka, 'filled', $topic);
    is(transactions_of('filled'), '10 10', 'ten at a time');

    subtest 'stopped and started while some wait' => sub {
        $kafka->produce($topic, numbers(21 .. 25));
        wait_for_lag('filled', 5);
        sql(q{SELECT kseg.stop_stream('filled')});
        wait_for_state($node, 'filled', 'stopped');
        my $position = sql(q{SELECT "offset" FROM kseg.position WHERE stream = 'filled'});
        is(rows_of($node, 'filled'), rows_are(1 .. $position), "what is applied is what the position says: $position");
        sql(q{SELECT kseg.start_stream('filled')});
        wait_for_lag('filled', 25 - $position);
        $kafka->produce($topic, numbers(26 .. $position + 10));
        wait_for_end($node, $kafka, 'filled', $topic);
        is(rows_of($node, 'filled'), rows_are(1 .. $position + 10), 'the rest comes with the next full batch');
    };

    subtest 'the interval is taken away while some wait' => sub {
        my $count = sql('SELECT count(*) FROM filled');
        $kafka->produce($topic, numbers($count + 1 .. $count + 3));
        wait_for_lag('filled', 3);
        sql(q{SELECT kseg.alter_stream('filled', batch_interval => '0')});
        wait_for_end($node, $kafka, 'filled', $topic);
        is(rows_of($node, 'filled'), rows_are(1 .. $count + 3), 'they are applied at once');
    };
    sql(q{SELECT kseg.drop_stream('filled')});
};

subtest 'a batch that does not fill is applied after the interval' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('interval'));
    topic_table($node, $kafka, $topic, 'interval_of');
    sql(q{ALTER FOREIGN TABLE interval_of_topic ADD sent timestamptz OPTIONS (meta 'timestamp');
        ALTER TABLE interval_of ADD sent timestamptz, ADD came timestamptz DEFAULT now();
        SELECT kseg.stream_to_table('interval_of', 'SELECT part, at, number, sent FROM interval_of_topic', 'interval_of', start => 'latest', batch_interval => '2 s', batch_rows => 10)});
    wait_for_answer($node, q{SELECT begun FROM kseg.stream_entry WHERE name = 'interval_of'}, 't');
    $kafka->produce($topic, numbers(1 .. 4));
    wait_for_end($node, $kafka, 'interval_of', $topic);
    is(applied('interval_of'), '1 of 4, position 4', 'in one batch');
    is(sql(q{SELECT bool_and(came - sent >= '2 s') FROM interval_of}), 't', 'which has waited that long');
    is(rows_of($node, 'interval_of'), rows_are(1 .. 4), 'each message once');
    sql(q{SELECT kseg.drop_stream('interval_of')});
};

done_testing();
