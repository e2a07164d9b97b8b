# needs: kafka
# What README.md shows of Kafka is what happens: every SQL block of that part is run, in order, against a real broker.
use strict;
use warnings;
use KsegTest;
use KsegKafka;

my $broker = kafka_broker();
my $node = new_cluster('readme', extension => 0, config => "log_statement = none\n");
my $readme = slurp_file(source_file('README.md'));
my ($part) = $readme =~ /^## Kafka\n(.*?)(?=^## )/ms or die 'README has no part about Kafka';

# What README takes for granted: its topics, with names of this test's own, and messages of which there are more kinds than one.
my ($predictions, $orders) = ($broker->topic_unique('predictions'), $broker->topic_unique('orders'));
$broker->create_topic($predictions, partitions => 3);
$broker->create_topic($orders, partitions => 1);
$broker->produce($orders, map { { value => $_ } }
    '{"order_id":1,"customer":{"name":"ACME"},"total":19.90,"items":[{"sku":"a-1"}],"at":"2026-11-20T08:30:00Z"}',
    '{"order_id":2,"customer":{"name":"Initech"},"total":5,"sku":"b-2","at":"2026-11-20T08:31:00Z"}',
    '{"order_id":3,"customer":{"name":"ACME"},"total":0.10,"items":[{"sku":"c-3"}],"at":"2026-11-20T08:32:00Z"}');
$node->safe_psql('postgres', q{
    CREATE EXTENSION kseg;
    CREATE TABLE predictions (customer_id bigint, iphone float8, apple_watch float8);
    INSERT INTO predictions VALUES (162514333, 0.734, 0.812), (162514334, 0.1, 0.25), (162514335, 0.5, 0.001)});
my $psql = session($node);

sub against_broker
{
    my ($sql) = @_;
    my $bootstrap = $broker->bootstrap;
    $sql =~ s/'localhost:9092'/'$bootstrap'/g;
    $sql =~ s/topic => 'predictions'/topic => '$predictions'/g;
    $sql =~ s/topic 'orders'/topic '$orders'/g;
    $sql =~ s/"orders%"/"$orders%"/g;
    return $sql;
}

my @said;
while ($part =~ /^```sql\n(.*?)^```$/msg)
{
    my $sql = $1;
    my $result = $psql->run(against_broker($sql));
    my ($first) = $sql =~ /^(.{0,60})/;
    push @said, $result->{out};
    is($result->{err}, '', 'block ' . @said . " works and warns of nothing: $first");
}
cmp_ok(scalar @said, '>=', 7, 'there are blocks of SQL');

my @sent = $broker->consume($predictions);
is(scalar @sent, 6, 'the predictions came, once as they are and once in a transaction');
is((grep { $_->{key} eq '162514333' && $_->{value} eq '{"iphone":0.734,"apple_watch":0.812}' } @sent), 1, 'with key and JSON');
like($said[4] // '', qr/ACME\|20\.00/, 'a topic is a table') or diag(@said);
is($psql->run('SELECT string_agg(first, \',\' ORDER BY order_id) FROM orders WHERE order_id < 4')->{out}, 'a-1,b-2,c-3', 'paths are tried in order');
is((grep { $_->{value} =~ /"order_id":7/ && $_->{value} =~ /"customer":\{"name":"ACME"\}/ } $broker->consume($orders)), 1, 'INSERT produces');

subtest 'the arguments' => sub {
    my ($table) = $part =~ /^\| column, or the argument .*?\n((?:\|.*\n)+)/m;
    my %shown = map { $_ => 1 } map { /`(\w+)(?: =>)?`/g } map { /^\|(.*?)\|/ } split /\n/, $table;
    my ($besides) = $part =~ /^Besides: (.*?)\. In Kafka's/ms;
    $shown{$_} = 1 for $besides =~ /`(\w+)`/g;
    delete @shown{qw(timestamp send omit)};
    my %there = map { $_->{name} => 1 } $psql->rows(q{SELECT DISTINCT name FROM pg_proc, unnest(proargnames, proargmodes) AS a (name, mode)
        WHERE oid = 'kseg.kafka_produce_from_query'::regproc AND mode = 'i'});
    is(delete $there{query}, 1, 'besides the query');
    is_deeply([ sort keys %shown ], [ sort keys %there ], 'README has them all');
};

done_testing();
