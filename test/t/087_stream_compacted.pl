# needs: kafka
# A compacted topic as a table: the message's key is the row's, its JSON value the row, and a tombstone (a value that is NULL) deletes it. At any
# time the table is what compaction would leave of what has come: the last message of each key, unless that is a tombstone.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('compacted');
my $json  = JSON::PP->new->canonical;
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "', for_role => 'public')");

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Kafka deletes what is not the last of its key within the test's time; the segment that is written to stays as it is.
my %compacting = ('cleanup.policy' => 'compact', 'segment.ms' => 100, 'min.cleanable.dirty.ratio' => '0.01');

# A topic, the foreign table NAME_topic over it, the table NAME, and the stream from one to the other.
sub made
{
    my ($name, %options) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name), partitions => $options{partitions} // 1, config => $options{config} // {});
    sql(qq{CREATE FOREIGN TABLE ${name}_topic (id int OPTIONS (meta 'key'), name text, price numeric, body text OPTIONS (meta 'value'))
        SERVER kafka OPTIONS (topic '$topic')});
    stream($name, "${name}_topic", $options{batch_rows});
    return $topic;
}

sub stream
{
    my ($name, $source, $batch_rows) = @_;
    $batch_rows //= 10_000;
    sql(qq{CREATE TABLE $name (id int PRIMARY KEY, name text NOT NULL, price numeric NOT NULL);
        SELECT kseg.stream_to_table('$name', 'SELECT id, name, price, body FROM $source', '$name', key => '{id}', on_conflict => 'update',
            delete_when => 'body IS NULL', batch_rows => $batch_rows)});
    return;
}

sub put  { my ($key, $name, $price, %more) = @_; return { key => $key, value => $json->encode({ name => $name, price => 0 + $price }), %more } }
sub gone { my ($key, %more) = @_; return { key => $key, value => undef, %more } }

# What compaction would leave of the topic, as rows.
sub compaction_of
{
    my ($topic) = @_;
    my %last = map { $_->{key} => $_->{value} } $kafka->consume($topic);
    return join "\n", map { my $row = $json->decode($last{$_}); "$_|$row->{name}|$row->{price}" } sort { $a <=> $b } grep { defined $last{$_} } keys %last;
}

sub rows_in { return sql("SELECT id, name, price FROM $_[0] ORDER BY id") }

# Produces these messages, and waits until they are applied, in whatever batches.
sub arrives
{
    my ($name, $topic, @messages) = @_;
    $kafka->produce($topic, @messages);
    return wait_for_end($node, $kafka, $name, $topic);
}

# The same as one batch for certain: the stream is stopped meanwhile.
sub arrives_together
{
    my ($name, $topic, @messages) = @_;
    sql("SELECT kseg.stop_stream('$name')");
    wait_for_state($node, $name, 'stopped');
    $kafka->produce($topic, @messages);
    sql("SELECT kseg.start_stream('$name')");
    wait_for_end($node, $kafka, $name, $topic);
    return is(sql("SELECT batches FROM kseg.stream_status WHERE stream = '$name'"), 1, 'in one batch');
}

subtest 'inserts, updates, deletes, one after the other' => sub {
    my $topic = made('steps');
    arrives('steps', $topic, put(1, 'one', 1.5), put(2, 'two', 2));
    is(rows_in('steps'), "1|one|1.5\n2|two|2", 'inserted');
    arrives('steps', $topic, put(1, 'One', 10));
    is(rows_in('steps'), "1|One|10\n2|two|2", 'updated');
    arrives('steps', $topic, gone(1));
    is(rows_in('steps'), '2|two|2', 'deleted');
    arrives('steps', $topic, put(1, 'again', 100));
    is(rows_in('steps'), "1|again|100\n2|two|2", 'inserted again');
    arrives('steps', $topic, gone(7), gone(8));
    is(rows_in('steps'), "1|again|100\n2|two|2", 'tombstones of keys that are not there delete nothing');
    is(rows_in('steps'), compaction_of($topic), 'which is what compaction would leave');
    is(letters_of($node, 'steps'), 0, 'no message was to blame');
    sql(q{SELECT kseg.drop_stream('steps')});
};

subtest 'a key that comes several times in a batch' => sub {
    my $topic = made('together');
    arrives('together', $topic, map { put($_, "row $_", $_) } 1 .. 6);
    arrives_together('together', $topic,
        put(1, 'new', 11), gone(1),                       # the tombstone last
        gone(2), put(2, 'new', 12),                       # the tombstone first
        put(3, 'new', 13), gone(3), put(3, 'newer', 33),  # in the middle
        gone(4), put(4, 'new', 14), gone(4),              # on both sides
        gone(5), gone(5),                                 # twice
        put(7, 'new', 17), gone(7),                       # of one that was not there
        gone(8), put(8, 'new', 18));
    is(rows_in('together'), "2|new|12\n3|newer|33\n6|row 6|6\n8|new|18", 'the last one wins, tombstone or not');
    is(rows_in('together'), compaction_of($topic), 'which is what compaction would leave');
    is(letters_of($node, 'together'), 0, 'no message was to blame');
    sql(q{SELECT kseg.drop_stream('together')});
};

subtest 'values that are no tombstones' => sub {
    my $topic = made('values');
    arrives('values', $topic, map { put($_, "row $_", $_) } 1 .. 4);
    # JSON's null, nothing at all, an object without members, and text that is no JSON: none of them deletes, and the table takes none.
    arrives('values', $topic, { key => 1, value => 'null' }, { key => 2, value => '' }, { key => 3, value => '{}' }, { key => 4, value => 'gone' });
    is(rows_in('values'), join("\n", map { "$_|row $_|$_" } 1 .. 4), 'only a value that is NULL deletes');
    is(sql(q{SELECT string_agg("offset" || ' ' || sqlstate, ', ' ORDER BY "offset") FROM kseg.dead_letter WHERE stream = 'values'}),
        '4 23502, 5 22P02, 6 23502, 7 22P02', 'the others are dead letters');
    # A tombstone whose key the table cannot have is a dead letter of its own, with its key.
    arrives('values', $topic, gone('no number'), gone(4));
    is(sql(q{SELECT convert_from(key, 'UTF8') || ' ' || (value IS NULL) || ' ' || sqlstate FROM kseg.dead_letter WHERE stream = 'values' AND "offset" = 8}), 'no number true 22P02', 'so is a tombstone of a key that is none');
    is(rows_in('values'), join("\n", map { "$_|row $_|$_" } 1 .. 3), 'and what comes with it is applied');

    # Tombstones that could not be applied are replayed as what they are.
    sql(q{UPDATE kseg.dead_letter SET key = '3' WHERE stream = 'values' AND "offset" = 8});
    is(sql(q{SELECT replayed, failed FROM kseg.replay_dead_letters(stream => 'values', filter => '"offset" = 8')}), '1|0', 'with its key corrected it is replayed');
    is(rows_in('values'), "1|row 1|1\n2|row 2|2", 'and deletes');
    sql(q{SELECT kseg.drop_stream('values')});
};

# Random steps of sixty keys; a key is always in the same partition, as producers have it.
sub churn
{
    my ($count) = @_;
    return map {
        my $key = int rand 60;
        rand() < 0.3 ? gone($key, partition => $key % 3) : put($key, "step $_", int rand 1000, partition => $key % 3);
    } 1 .. $count;
}

subtest 'many keys, many batches, and compaction itself' => sub {
    srand 4711;
    my $topic = made('many', partitions => 3, batch_rows => 70, config => \%compacting);
    sql(q{SELECT kseg.alter_stream('many', workers => 2)});
    my $count = 0;
    my $left = wait_for('compaction', sub {
        $kafka->produce($topic, churn(1000));
        $count += 1000;
        my $there = () = $kafka->consume($topic);
        return ($there < $count - 1000, $there);
    });
    wait_for_end($node, $kafka, 'many', $topic);
    is(rows_in('many'), compaction_of($topic), "all $count messages have come to what compaction leaves of them");
    is(letters_of($node, 'many'), 0, 'no message was to blame');

    # Whoever begins now sees less of the past, and comes to the same.
    stream('later', 'many_topic', 70);
    wait_for_end($node, $kafka, 'later', $topic);
    is(rows_in('later'), rows_in('many'), "a stream that begins with the $left that are left comes to the same");
    cmp_ok(sql(q{SELECT messages FROM kseg.stream_status WHERE stream = 'later'}), '<', $count, '... without what is compacted away');

    # A tombstone for everything.
    arrives('many', $topic, map { gone($_, partition => $_ % 3) } 0 .. 59);
    wait_for_end($node, $kafka, 'later', $topic);
    is(rows_in($_), '', "$_: nothing is left") for qw(many later);
    sql("SELECT kseg.drop_stream('$_')") for qw(many later);
};

subtest 'as README has it' => sub {
    my ($block) = slurp_file(source_file('README.md')) =~ /^### A compacted topic as a table\n.*?^```sql\n(.*?)^```$/ms or die 'README does not show it';
    my $topic = $kafka->create_topic($kafka->topic_unique('readme'), config => \%compacting);
    is($block =~ s/\(topic 'products'\)/(topic '$topic')/, 1, 'it names its topic');
    sql($block);
    arrives('products', $topic, (map { { key => $_, value => $json->encode({ name => "name of $_", price => 2 }) } } qw(a b c d)), gone('b'), gone('x'),
        { key => 'c', value => 'null' }, { key => 'a', value => $json->encode({ name => 'new', price => 3 }) });
    is(sql('SELECT * FROM products ORDER BY sku'), "a|new|3\nc||\nd|name of d|2", 'the last message of each key, unless that is a tombstone');
    is(letters_of($node, 'products'), 0, 'no message was to blame');
};

done_testing();
