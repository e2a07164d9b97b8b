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
    'SELECT stream, topic' => sub { wait_for_answer($node, q{SELECT query FROM pg_stat_activity WHERE backend_type = 'kseg launcher'}, '1 stream worker'); },
    # What offsets are reset to comes again: the letter that had been discarded.
    'BEGIN;' => sub { wait_for_answer($node, q{SELECT count(*) > 0 FROM kseg.dead_letter WHERE stream = 'orders' AND "offset" = 2}, 't'); },
    # The other owner's worker can do what the first one's could.
    'SELECT kseg.drop_stream' => sub {
        wait_for_answer($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'kseg stream' AND usename = 'pipeline'}, 1);
        $broker->produce($topic, '{"order_id":4,"customer":{"name":"Hooli"},"total":1,"at":"2026-11-20T08:33:00Z"}');
        wait_for_answer($node, q{SELECT count(*) FROM latest_order}, 3);
    },
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
like($said[1], qr/^1\|0\|$/m, '... which is mended, and applied');
like($said[2], qr/^orders\|\Q$topic\E\|0\|4$/m, 'the position is behind the last message');
unlike($said[2], qr/^(?!stream |dead letters).*\|f\|/m, 'what streams need is there');
is($node->safe_psql('postgres', 'SELECT string_agg(order_id || \' \' || total, \', \' ORDER BY order_id) FROM latest_order'), '1 20.90, 2 5, 4 1', 'the last one of a key wins');
like($said[2], qr/^kseg stream\|\d+\|stream orders: waiting for messages\|Extension\|/m, 'what its worker does is shown');
like($said[2], qr/^kseg launcher\|\d+\|1 stream worker\|Extension\|/m, 'and what the launcher does');
is($node->safe_psql('postgres', q{SELECT string_agg(name, ' ') FROM kseg.stream WHERE name LIKE '%orders'}), '', 'the stream is dropped');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT stream, ', ') FROM kseg.dead_letter}), 'shop_orders', 'its letters stay, by its new name');

# A second stream over the same topic, of which README says the same.
sub one_letter
{
    my ($name) = @_;
    $node->safe_psql('postgres', qq{CREATE TABLE $name (LIKE latest_order); SELECT kseg.stream_to_table('$name', 'SELECT * FROM orders', '$name', topics => '{$topic}')});
    wait_for_answer($node, "SELECT count(*) FROM kseg.dead_letter WHERE stream = '$name'", 1);
    return;
}

subtest 'a letter that is not complete' => sub {
    one_letter('incomplete');
    # As stream_letter.c leaves it of a value that is too large.
    $node->safe_psql('postgres', q{UPDATE kseg.dead_letter SET value = NULL, incomplete = true WHERE stream = 'incomplete'});
    my $replay = q{SELECT * FROM kseg.replay_dead_letters(stream => 'incomplete')};
    like($node->safe_psql('postgres', $replay), qr/^0\|1\|.*too large to be kept/, 'is not replayed');
    $node->safe_psql('postgres', q{UPDATE kseg.dead_letter SET value = '{"order_id": 3}', incomplete = false WHERE stream = 'incomplete'});
    is($node->safe_psql('postgres', $replay), '1|0|', 'until it is made complete');
};

subtest 'a letter that is too old' => sub {
    one_letter('old');
    $node->safe_psql('postgres', q{SELECT kseg.stop_stream('old');
        UPDATE kseg.dead_letter_entry SET created = now() - interval '30 days 1 hour' WHERE stream = 'old';
        INSERT INTO kseg.dead_letter_entry (stream, run_by, created, server, call, reason)
            VALUES ('old', current_user, now() - interval '29 days', 'kafka', 'stream', 'younger')});
    wait_for_state($node, 'old', 'stopped');
    is($node->safe_psql('postgres', q{SELECT count(*) FROM kseg.dead_letter WHERE stream = 'old'}), 2, 'is there until a stream looks');
    $node->safe_psql('postgres', q{SELECT kseg.start_stream('old')});
    wait_for_answer($node, q{SELECT string_agg(reason, ',') FROM kseg.dead_letter WHERE stream = 'old'}, 'younger');
    pass('a stream that makes no letter removes it, and no younger one');
};

subtest 'the arguments' => sub {
    my ($table) = $part =~ /^\| argument of `stream_to_table` .*?\n((?:\|.*\n)+)/m;
    my %shown = map { $_ => 1 } map { /`(\w+)`/g } map { /^\|(.*?)\|/ } split /\n/, $table;
    my %there = map { $_->{name} => 1 } $psql->rows(q{SELECT DISTINCT name FROM pg_proc, unnest(proargnames) AS a (name)
        WHERE oid = 'kseg.stream_to_table'::regproc});
    is_deeply([ sort keys %shown ], [ sort keys %there ], 'README has them all');
};

done_testing();
