# needs: kafka
# A standby has no workers; when it is promoted its streams go on from the position that came with its rows: each message once.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka   = kafka_broker();
my $topic   = $kafka->create_topic($kafka->topic_unique, partitions => 3);
my $primary = stream_cluster('primary', init => { allows_streaming => 1 });
topic_table($primary, $kafka, $topic, 'received');
make_stream($primary, 'received');
$kafka->produce($topic, map { { value => $_ } } numbers(1 .. 500));
wait_for_answer($primary, 'SELECT count(*) FROM received', 500);

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

subtest 'on the standby' => sub {
    is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'kseg%'}), 0, 'no launcher, no worker');
    my $stream = stream_of($standby, 'received');
    is($stream->{state}, 'waiting', 'the stream is to be seen');
    like($stream->{trouble}, qr/recovery/, 'and why it does not run');
    my ($code, $out, $err) = $standby->psql('postgres', q{SELECT kseg.stop_stream('received')});
    like($err, qr/read-only/, 'it cannot be changed there');
};

subtest 'after its promotion' => sub {
    $kafka->produce($topic, map { { value => $_ } } numbers(501 .. 1000));
    wait_for_answer($primary, 'SELECT count(*) FROM received', 1000);
    $primary->wait_for_catchup($standby);
    $primary->stop('fast');
    $kafka->produce($topic, map { { value => $_ } } numbers(1001 .. 1500));
    $standby->promote;
    wait_for_launcher($standby);
    wait_for_answer($standby, 'SELECT count(*) FROM received', 1500);
    is($standby->safe_psql('postgres', 'SELECT count(DISTINCT (part, at)), sum(number) FROM received'), '1500|' . 1500 * 1501 / 2, 'each message once');
    is(state_of($standby, 'received'), 'running', 'it runs');
};

done_testing();
