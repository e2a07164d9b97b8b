# needs: kafka
# Upserts and deletes end to end, into tables that do more with a row than keep it: partitions, row security, foreign keys, triggers with
# transition tables. What PostgreSQL refuses of one message is that message's dead letter, and everything else of its batch is there.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('targets');
my $json  = JSON::PP->new->canonical;
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "', for_role => 'public')");

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A topic, and the foreign table NAME_topic over it with these columns and op.
sub source
{
    my ($name, $columns) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name));
    sql("CREATE FOREIGN TABLE ${name}_topic ($columns, op text) SERVER kafka OPTIONS (topic '$topic')");
    return $topic;
}

# Produces these as one batch: the stream is stopped meanwhile. Waits until they are applied.
sub arrives
{
    my ($name, $topic, @messages) = @_;
    sql("SELECT kseg.stop_stream('$name')");
    wait_for_state($node, $name, 'stopped');
    my @made = $kafka->produce($topic, map { $json->encode($_) } @messages);
    sql("SELECT kseg.start_stream('$name')");
    wait_for_end($node, $kafka, $name, $topic);
    return map { $_->{offset} } @made;
}

# The dead letters of a stream: "OFFSET SQLSTATE", in their order.
sub letters { return sql(qq{SELECT "offset" || ' ' || sqlstate FROM kseg.dead_letter WHERE stream = '$_[0]' ORDER BY "offset"}) }

# A message as letters has it.
sub letter { my ($offset, $sqlstate) = @_; return "$offset $sqlstate" }

subtest 'partitions' => sub {
    my $topic = source('parted', 'id int, region text, amount int');
    sql(q{
        CREATE TABLE parted (id int, region text, amount int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
        CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
        -- another order of columns, and one that is gone: what is inserted through the parent is converted
        CREATE TABLE parted_b (gone int, amount int, region text NOT NULL, id int NOT NULL);
        ALTER TABLE parted_b DROP COLUMN gone;
        ALTER TABLE parted ATTACH PARTITION parted_b FOR VALUES IN ('b')});
    sql(q{CREATE FUNCTION parted_is() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' ', tableoid::regclass, id, region, amount), ', ' ORDER BY id, region) FROM parted $$});
    sql(q{SELECT kseg.stream_to_table('parted', 'SELECT id, region, amount, op FROM parted_topic', 'parted', key => '{id,region}', on_conflict => 'update', delete_when => 'op = ''d''', max_dead_letter_rate => 1)});
    arrives('parted', $topic, map { { id => $_, region => $_ % 2 ? 'a' : 'b', amount => $_ } } 1 .. 4);
    is(sql('SELECT parted_is()'), 'parted_a 1 a 1, parted_b 2 b 2, parted_a 3 a 3, parted_b 4 b 4', 'each row is in the partition of its key');
    my @at = arrives('parted', $topic,
        { id => 1, region => 'a', amount => 10 }, { id => 2, region => 'b', amount => 20 },      # updated where they are
        { id => 3, region => 'a', op => 'd' }, { id => 3, region => 'b', amount => 30 },         # from one partition to the other
        { id => 4, region => 'a', op => 'd' },                                                   # not there: its namesake stays
        { id => 5, region => 'c', amount => 50 },                                                # there is no such partition
        { id => 6, region => 'c', op => 'd' },                                                   # ... in which to delete
        { id => 7, region => 'b', amount => 70 });
    is(sql('SELECT parted_is()'), 'parted_a 1 a 10, parted_b 2 b 20, parted_b 3 b 30, parted_b 4 b 4, parted_b 7 b 70', 'updated, moved, deleted');
    is(letters('parted'), letter($at[5], '23514'), 'a row that no partition takes is a dead letter, and no other');
    sql(q{CREATE TABLE parted_c PARTITION OF parted FOR VALUES IN ('c')});
    is(sql(q{SELECT replayed, failed FROM kseg.replay_dead_letters(stream => 'parted')}), '1|0', 'when there is one, it is replayed');
    is(sql(q{SELECT concat_ws(' ', tableoid::regclass, id, region, amount) FROM parted WHERE region = 'c'}), 'parted_c 5 c 50', 'into it');
    sql(q{SELECT kseg.drop_stream('parted')});
};

subtest 'row security, with an owner who is subject to it' => sub {
    my $topic = source('secured', 'id int, tenant text, amount int');
    sql(q{
        CREATE ROLE clerk LOGIN; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA kseg TO clerk;
        GRANT USAGE ON FOREIGN SERVER kafka TO clerk; GRANT SELECT ON secured_topic TO clerk;
        CREATE TABLE secured (id int PRIMARY KEY, tenant text, amount int);
        INSERT INTO secured VALUES (1, 'ours', 1), (2, 'ours', 2), (3, 'ours', 3), (4, 'theirs', 4), (5, 'theirs', 5);
        GRANT SELECT, INSERT, UPDATE, DELETE ON secured TO clerk;
        ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
        CREATE POLICY ours ON secured TO clerk USING (tenant = 'ours') WITH CHECK (tenant = 'ours' AND amount < 1000);
        SET ROLE clerk;
        SELECT kseg.stream_to_table('secured', 'SELECT id, tenant, amount, op FROM public.secured_topic', 'public.secured', key => '{id}', on_conflict => 'update',
            delete_when => 'op = ''d''', max_dead_letter_rate => 1)});
    my @at = arrives('secured', $topic,
        { id => 1, tenant => 'ours', amount => 10 },          # 0 updates
        { id => 2, tenant => 'theirs', amount => 20 },        # 1 would give the row away
        { id => 3, op => 'd', tenant => 'ours' },             # 2 deletes
        { id => 4, tenant => 'ours', amount => 40 },          # 3 would take another's row
        { id => 5, op => 'd', tenant => 'ours' },             # 4 would delete another's, which DELETE does not see
        { id => 6, tenant => 'ours', amount => 60 },          # 5 inserts
        { id => 7, tenant => 'theirs', amount => 70 },        # 6 would insert another's
        { id => 8, tenant => 'ours', amount => 1000 },        # 7 is too much
        { id => 9, tenant => 'ours', amount => 90 });         # 8 inserts
    is(sql(q{SELECT string_agg(concat_ws(' ', id, tenant, amount), ', ' ORDER BY id) FROM secured}),
        '1 ours 10, 2 ours 2, 4 theirs 4, 5 theirs 5, 6 ours 60, 9 ours 90', 'what the policy allows is applied, and nothing else');
    is(letters('secured'), join("\n", map { letter($at[$_], '42501') } 1, 3, 6, 7), 'what it refuses are dead letters');
    is(state_of($node, 'secured'), 'running', 'and the stream goes on');
    sql(q{SELECT kseg.drop_stream('secured')});
};

subtest 'foreign keys, from both sides' => sub {
    my %topic = (parent => source('parent', 'id int, name text'), child => source('child', 'id int, parent int, amount int'));
    sql(q{
        CREATE TABLE parent (id int PRIMARY KEY, name text);
        CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, amount int);
        INSERT INTO parent SELECT g, 'p' || g FROM generate_series(1, 5) g;
        SELECT kseg.stream_to_table('parent', 'SELECT id, name, op FROM parent_topic', 'parent', key => '{id}', on_conflict => 'update', delete_when => 'op = ''d''', max_dead_letter_rate => 1);
        SELECT kseg.stream_to_table('child', 'SELECT id, parent, amount, op FROM child_topic', 'child', key => '{id}', on_conflict => 'update', delete_when => 'op = ''d''', max_dead_letter_rate => 1)});
    # Every tenth has a parent that is not there.
    my @at = arrives('child', $topic{child}, map { { id => $_, parent => $_ % 10 ? 1 + $_ % 3 : 99, amount => $_ } } 1 .. 100);
    is(sql('SELECT count(*), sum(amount), count(*) FILTER (WHERE id % 10 = 0) FROM child'), '90|' . (5050 - 550) . '|0', 'children with a parent are there');
    is(letters('child'), join("\n", map { letter($at[ 10 * $_ - 1 ], '23503') } 1 .. 10), 'each one without is a dead letter');
    # An update may lose its parent, too; the row stays what it was.
    my ($lost) = arrives('child', $topic{child}, { id => 1, parent => 98, amount => 1000 }, { id => 2, parent => 1, amount => 2000 });
    is(sql('SELECT string_agg(concat_ws(\' \', id, parent, amount), \', \' ORDER BY id) FROM child WHERE id < 3'), '1 2 1, 2 1 2000', 'so it is with updates');
    is(sql(qq{SELECT sqlstate FROM kseg.dead_letter WHERE stream = 'child' AND "offset" = $lost}), '23503', 'which are dead letters, too');

    # Parents 1 to 3 have children. 2 is renamed and deleted in the same batch: the rename is not to blame.
    @at = arrives('parent', $topic{parent}, { id => 4, op => 'd' }, { id => 2, name => 'renamed' }, { id => 2, op => 'd' }, { id => 3, op => 'd' }, { id => 6, name => 'p6' });
    is(sql(q{SELECT string_agg(id || ' ' || name, ', ' ORDER BY id) FROM parent}), '1 p1, 2 renamed, 3 p3, 5 p5, 6 p6', 'parents without children are deleted');
    is(letters('parent'), join("\n", map { letter($at[$_], '23503') } 2, 3), 'the delete of one with children is a dead letter');

    # What was missing comes, and what could not be is possible: the letters apply.
    arrives('parent', $topic{parent}, { id => 99, name => 'late' }, { id => 98, name => 'late' });
    is(sql(q{SELECT replayed, failed FROM kseg.replay_dead_letters(stream => 'child')}), '11|0', 'with their parents the children are replayed');
    is(sql('SELECT count(*), sum(amount) FROM child'), '100|' . (5050 - 1 + 1000 - 2 + 2000), 'all of them');
    sql('DELETE FROM child WHERE parent = 3');
    is(sql(q{SELECT replayed, failed FROM kseg.replay_dead_letters(stream => 'parent')}), '1|1', 'without its children a parent goes; the other one stays a letter');
    is(sql(q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM parent}), '1 2 5 6 98 99', 'by the table');
    sql("SELECT kseg.drop_stream('$_')") for qw(parent child);
};

subtest 'deferred foreign keys' => sub {
    my $topic = source('node', 'id int, parent int');
    sql(q{
        CREATE TABLE node (id int PRIMARY KEY, parent int REFERENCES node DEFERRABLE INITIALLY DEFERRED);
        SELECT kseg.stream_to_table('node', 'SELECT id, parent, op FROM node_topic', 'node', key => '{id}', on_conflict => 'update', delete_when => 'op = ''d''', max_dead_letter_rate => 1)});
    # Each is there before its parent, which comes with it.
    arrives('node', $topic, map { { id => $_, parent => $_ == 40 ? undef : $_ + 1 } } 1 .. 40);
    is(sql('SELECT count(*), count(parent), sum(parent) FROM node'), '40|39|' . (820 - 1), 'a batch may have its rows in any order');
    # 50 has no parent, and so 51 has none; a message later everything is as it was.
    my @at = arrives('node', $topic, map { { id => $_, parent => $_ == 50 ? 7777 : $_ == 51 ? 50 : 1 } } 41 .. 100);
    is(sql('SELECT count(*), sum(id) FROM node'), '98|' . (5050 - 101), 'only who has no parent is missing');
    is(letters('node'), join("\n", map { letter($at[$_], '23503') } 9, 10), 'and is a dead letter');
    sql(q{SELECT kseg.drop_stream('node')});
};

subtest 'AFTER triggers with transition tables' => sub {
    my $topic = source('watched', 'id int, amount int');
    sql(q{
        CREATE TABLE watched (id int PRIMARY KEY, amount int);
        CREATE TABLE change (number int GENERATED ALWAYS AS IDENTITY, what text, id int, before int, after int);
        CREATE FUNCTION on_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO change (what, id, after) SELECT 'insert', id, amount FROM new_rows; RETURN NULL; END $$;
        CREATE FUNCTION on_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO change (what, id, before, after) SELECT 'update', n.id, o.amount, n.amount FROM new_rows n JOIN old_rows o USING (id); RETURN NULL; END $$;
        CREATE FUNCTION on_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO change (what, id, before) SELECT 'delete', id, amount FROM old_rows; RETURN NULL; END $$;
        CREATE TRIGGER on_insert AFTER INSERT ON watched REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION on_insert();
        CREATE TRIGGER on_update AFTER UPDATE ON watched REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION on_update();
        CREATE TRIGGER on_delete AFTER DELETE ON watched REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION on_delete();
        SELECT kseg.stream_to_table('watched', 'SELECT id, amount, op FROM watched_topic', 'watched', key => '{id}', on_conflict => 'update', delete_when => 'op = ''d''')});
    my $changes = sub { my $said = sql(q{SELECT string_agg(concat_ws(' ', what, id, concat(before, '>', after)), ', ' ORDER BY what, id) FROM change}); sql('TRUNCATE change'); return $said };
    arrives('watched', $topic, map { { id => $_, amount => $_ } } 1 .. 3);
    is($changes->(), 'insert 1 >1, insert 2 >2, insert 3 >3', 'inserts');
    arrives('watched', $topic, { id => 1, amount => 10 }, { id => 2, op => 'd' }, { id => 4, amount => 4 }, { id => 1, amount => 100 }, { id => 5, amount => 5 }, { id => 5, op => 'd' });
    is($changes->(), 'delete 2 2>, insert 4 >4, update 1 1>100', 'of one batch: an insert, an update and a delete, each with the rows that it is about');
    is(sql(q{SELECT string_agg(id || ' ' || amount, ', ' ORDER BY id) FROM watched}), '1 100, 3 3, 4 4', 'as the table is');

    # What the triggers have heard of many batches adds up to the table.
    srand 815;
    sql(q{SELECT kseg.alter_stream('watched', batch_rows => 40); TRUNCATE watched});
    my %is;
    my @steps = map { my $id = int rand 50; rand() < 0.3 ? do { delete $is{$id}; { id => $id, op => 'd' } } : { id => $id, amount => $is{$id} = int rand 1000 } } 1 .. 2000;
    arrives('watched', $topic, @steps);
    is(sql(q{SELECT string_agg(id || ' ' || amount, ', ' ORDER BY id) FROM watched}), join(', ', map { "$_ $is{$_}" } sort { $a <=> $b } keys %is), 'after 2000 messages the table is what they say');
    is(sql(q{SELECT count(*) FILTER (WHERE what = 'insert') - count(*) FILTER (WHERE what = 'delete'), COALESCE(sum(after), 0) - COALESCE(sum(before), 0) FROM change}),
        sql('SELECT count(*), sum(amount) FROM watched'), 'and the triggers have heard of every change');
    is(letters('watched'), '', 'no message was to blame');
    sql(q{SELECT kseg.drop_stream('watched')});
};

done_testing();
