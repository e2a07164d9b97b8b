# needs: kafka
# What a stream makes of the messages of a batch: the foreign table's columns and its on_error mean what they mean in a query, a message
# that they cannot take becomes a dead letter with all that it had, and each is told by its own topic and partition.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('feed');
my $json  = JSON::PP->new->canonical;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub connect_in { return $node->safe_psql($_[0], "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "')") }

sub values_of { return map { $json->encode($_) } @_ }

# Waits until a stream's positions add up to so many messages.
sub wait_for_messages
{
    my ($name, $count, $dbname) = @_;
    wait_for_answer($node, "SELECT sum(next_offset) FROM kseg.position_entry WHERE stream = " .
        "(SELECT id FROM kseg.stream_entry WHERE name = '$name')", $count, dbname => $dbname // 'postgres');
}

connect_in('postgres');

subtest 'many topics: each row and each dead letter has its own' => sub {
    my $prefix = $kafka->topic_unique('many');
    my @topics = map { $kafka->create_topic("$prefix-$_", partitions => 3) } qw(one two);
    sql("CREATE FOREIGN TABLE many_topic (topic text OPTIONS (meta 'topic'), part int OPTIONS (meta 'partition'), at bigint OPTIONS (meta 'offset'),
        number int) SERVER kafka OPTIONS (topic '$topics[0]')");
    sql('CREATE TABLE many (topic text, part int, at bigint, number int)');
    # In each partition of each topic, ten messages of which the fourth has no number.
    for my $topic (@topics)
    {
        $kafka->produce($topic, map { my $p = $_; map { { value => $_ == 3 ? '{"number": "x"}' : "{\"number\": $_}", partition => $p } } 0 .. 9 } 0 .. 2);
    }
    sql(qq{SELECT kseg.stream_to_table('many', 'SELECT topic, part, at, number FROM many_topic', 'public.many', topics => ARRAY['^$prefix-.*'],
        max_dead_letter_rate => 1)});
    wait_for_messages('many', 60);
    is(sql('SELECT topic, part, count(*), sum(number), bool_and(at = number) FROM many GROUP BY 1, 2 ORDER BY 1, 2'),
        join("\n", map { my $t = $_; map { "$t|$_|9|42|t" } 0 .. 2 } @topics), 'rows');
    is(sql(q{SELECT topic, partition, "offset", sqlstate, convert_from(value, 'UTF8'), event->>'number' FROM kseg.dead_letter WHERE stream = 'many'
        ORDER BY 1, 2}),
        join("\n", map { my $t = $_; map { qq($t|$_|3|22P02|{"number": "x"}|x) } 0 .. 2 } @topics), 'dead letters');
    is(sql(q{SELECT DISTINCT reason FROM kseg.dead_letter WHERE stream = 'many'}),
        'column "number": invalid input syntax for type integer: "x"', 'which say why');
};

subtest 'on_error null and skip mean what they mean in a query' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('lenient'));
    for my $on_error (qw(null skip))
    {
        sql("CREATE FOREIGN TABLE ${on_error}_topic (id int, total numeric, wrong text OPTIONS (meta 'error')) SERVER kafka
            OPTIONS (topic '$topic', on_error '$on_error')");
        sql("CREATE TABLE lenient_$on_error (id int, total numeric, wrong boolean)");
        sql(qq{SELECT kseg.stream_to_table('lenient_$on_error', 'SELECT id, total, wrong IS NOT NULL AS wrong FROM ${on_error}_topic',
            'public.lenient_$on_error')});
    }
    $kafka->produce($topic, '{"id": 1, "total": 1.5}', '{"id": 2, "total": "much"}', '{"id": 3', '{"id": 4, "total": 4}');
    wait_for_messages("lenient_$_", 4) for qw(null skip);
    is(sql('SELECT id, total, wrong FROM lenient_null ORDER BY id NULLS LAST'), "1|1.5|f\n2||t\n4|4|f\n||t", 'null');
    is(sql('SELECT id, total FROM lenient_skip ORDER BY id'), "1|1.5\n4|4", 'skip');
    is(sql(q{SELECT count(*) FROM kseg.dead_letter WHERE stream LIKE 'lenient%'}), 0, 'and nothing is a dead letter');
};

subtest 'a dead letter has all that the message had' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('letters'), config => { 'max.message.bytes' => 4 * 1024 * 1024 });
    sql("CREATE FOREIGN TABLE letters_topic (id int, name text) SERVER kafka OPTIONS (topic '$topic')");
    sql('CREATE TABLE letters (id int, name text)');
    sql(q{SELECT kseg.stream_to_table('letters', 'SELECT id, name FROM letters_topic', 'public.letters', max_dead_letter_rate => 1)});
    my $large = '{"id": "large", "name": "' . 'x' x (1024 * 1024) . '"}';
    $kafka->produce($topic,
        { key => 'k1', value => '{"id": "a", "name": "b"}', headers => [ [ 'h', 'one' ], [ 'h', "\xff\x00" ], [ 'n', undef ] ], timestamp => 1_700_000_000_123 },
        { key => "\x00\xff", value => "\xff\xfe" },
        { value => '[' x 3000 . ']' x 3000 },
        { value => $large },
        { value => undef, key => 'tombstone' },
        { value => '{"id": 6, "name": "right"}' },
        { value => '{"id": 7, "name": "b\u0000c"}' });
    wait_for_messages('letters', 7);
    is(sql('SELECT id, name FROM letters ORDER BY id NULLS FIRST'), "|\n6|right", 'a tombstone has NULLs, and is a row');
    my $letters = q{FROM kseg.dead_letter WHERE stream = 'letters' AND "offset" = };
    is(sql(qq{SELECT encode(key, 'escape'), event, headers, message_time AT TIME ZONE 'UTC', reason $letters 0}),
        'k1|{"id": "a", "name": "b"}|[["h", "one"], ["h", {"base64": "/wA="}], ["n", null]]|2023-11-14 22:13:20.123|' .
        'column "id": invalid input syntax for type integer: "a"', 'key, headers, time, and json as it came');
    is(sql(qq{SELECT key, value, event IS NULL, headers, sqlstate $letters 1}), '\x00ff|\xfffe|t|[]|22P02', 'bytes that are no text');
    is(sql(qq{SELECT length(value), event IS NULL $letters 2}), '6000|t', 'what is nested too deep is kept as bytes');
    is(sql(qq{SELECT value IS NULL, event IS NULL, reason LIKE '%(its value of % bytes is not kept)' $letters 3}), 't|t|t', 'what is too large is not kept, and that is said');
    is(sql(qq{SELECT convert_from(value, 'UTF8'), event IS NULL, reason $letters 6}),
        '{"id": 7, "name": "b\u0000c"}|t|malformed JSON at byte 21: "\u0000" cannot be kept in a text', 'json that queries would fail of is kept as bytes');
};

subtest 'a database of another encoding' => sub {
    sql(q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
    $node->safe_psql('latin', 'CREATE EXTENSION kseg');
    connect_in('latin');
    my $topic = $kafka->create_topic($kafka->topic_unique('latin'));
    $node->safe_psql('latin', "CREATE FOREIGN TABLE latin_topic (id int, name text) SERVER kafka OPTIONS (topic '$topic')");
    $node->safe_psql('latin', 'CREATE TABLE latin (id int, name text)');
    $node->safe_psql('latin', qq{SELECT kseg.stream_to_table('latin', 'SELECT id, name FROM latin_topic', 'public.latin', topics => ARRAY['$topic', '$topic-later'],
        max_dead_letter_rate => 1)});
    $kafka->produce($topic, "{\"id\": 1, \"name\": \"caf\xc3\xa9\"}", "{\"id\": 2, \"name\": \"\xe2\x82\xac\"}", '{"id": 3, "name": "\u20ac"}', '{"id": 4, "name": "plain"}');
    wait_for_messages('latin', 4, 'latin');
    is($node->safe_psql('latin', q{SELECT id, encode(convert_to(name, 'UTF8'), 'hex') FROM latin ORDER BY id}), "1|636166c3a9\n4|706c61696e", 'text in it');
    is($node->safe_psql('latin', q{SELECT "offset", sqlstate, encode(value, 'hex') LIKE '%e282ac%', event->>'id' FROM kseg.dead_letter ORDER BY "offset"}),
        "1|22P05|t|2\n2|22P05|f|", 'characters that it has not: a dead letter with the bytes as they came');
};

done_testing();
