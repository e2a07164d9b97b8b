# needs: kafka
# What README.md shows of streams is what happens: every SQL block of that part is run, in order, in a cluster that preloads kseg.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $broker = kafka_broker();
my $node = stream_cluster('readme', extension => 0);
my ($part) = slurp_file(source_file('README.md')) =~ /^## Streams.*?\n(.*?)(?=^## )/ms or die 'README has no part about streams';

# What README takes for granted: the foreign table of the part before, and messages. One is not what the table can take.
my $topic = $broker->topic_unique('orders');
$broker->create_topic($topic, partitions => 1);
$broker->produce($topic, map { { value => $_ } }
    '{"order_id":1,"customer":{"name":"ACME"},"total":19.90,"at":"2026-11-20T08:30:00Z"}',
    '{"order_id":2,"customer":{"name":"Initech"},"total":5,"at":"2026-11-20T08:31:00Z"}',
    '{"order_id":3,"customer":{"name":"ACME"},"total":"a lot","at":"2026-11-20T08:31:30Z"}',
    '{"order_id":1,"customer":{"name":"ACME"},"total":20.90,"at":"2026-11-20T08:32:00Z"}');
my $bootstrap = $broker->bootstrap;
$node->safe_psql('postgres', qq{
    CREATE EXTENSION kseg;
    SELECT kseg.connect_kafka('$bootstrap');
    CREATE FOREIGN TABLE orders (order_id bigint, customer text OPTIONS (path 'customer.name'), total numeric, at timestamptz)
        SERVER kafka OPTIONS (topic '$topic')});
my $psql = session($node);

# What must have come about before a block can show what README says.
my %before = (
    'SELECT id, topic' => sub { wait_for_answer($node, q{SELECT count(*) FROM latest_order}, 2); },
);
my @said;
while ($part =~ /^```sql\n(.*?)^```$/msg)
{
    my $sql = $1;
    my ($first) = $sql =~ /^(.{0,60})/;
    for my $begin (keys %before) { $before{$begin}->() if index($sql, $begin) == 0; }
    my $result = $psql->run($sql);
    push @said, $result->{out};
    is($result->{err}, '', 'block ' . @said . " works and warns of nothing: $first");
}
cmp_ok(scalar @said, '>=', 3, 'there are blocks of SQL');
like($said[0], qr/^orders\norders\|\w+\|/m, 'the stream is there at once');
like($said[1], qr/^\d+\|\Q$topic\E\|0\|2\|22P02\|.*"total"/m, 'a message that the table cannot take is a dead letter with its place and reason');
like($said[1], qr/^0\|1\|/m, '... that a replay leaves while nothing is mended');
like($said[2], qr/^orders\|\Q$topic\E\|0\|4$/m, 'the position is behind the last message');
unlike($said[2], qr/^(?!stream |dead letters).*\|f\|/m, 'what streams need is there');
is($node->safe_psql('postgres', 'SELECT string_agg(order_id || \' \' || total, \', \' ORDER BY order_id) FROM latest_order'), '1 20.90, 2 5', 'the last one of a key wins');
is($node->safe_psql('postgres', q{SELECT count(*) FROM kseg.stream WHERE name = 'orders'}), 0, 'the stream is dropped');

subtest 'the arguments' => sub {
    my ($table) = $part =~ /^\| argument of `stream_to_table` .*?\n((?:\|.*\n)+)/m;
    my %shown = map { $_ => 1 } map { /`(\w+)`/g } map { /^\|(.*?)\|/ } split /\n/, $table;
    my %there = map { $_->{name} => 1 } $psql->rows(q{SELECT DISTINCT name FROM pg_proc, unnest(proargnames) AS a (name)
        WHERE oid = 'kseg.stream_to_table'::regproc});
    is_deeply([ sort keys %shown ], [ sort keys %there ], 'README has them all');
};

done_testing();
