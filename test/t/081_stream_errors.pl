# needs: kafka
# What a stream does about errors: a message's own fault becomes a dead letter and everything else arrives; what is the surroundings' is
# waited for, and makes no dead letter; a definition that no longer fits halts the stream, and says why.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('stream_errors');
my $json  = JSON::PP->new->canonical;
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "', for_role => 'public')");

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A topic of one partition, the foreign table NAME_topic over it, and the target NAME with these definitions.
sub made
{
    my ($name, $target, $columns) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name));
    sql("CREATE FOREIGN TABLE ${name}_topic (" . ($columns // q{at bigint OPTIONS (meta 'offset'), id int, note text}) . ") SERVER kafka OPTIONS (topic '$topic')");
    sql("CREATE TABLE $name ($target)");
    return $topic;
}

sub stream
{
    my ($name, %arguments) = @_;
    my $columns = delete $arguments{columns} // 'at, id, note';
    my $further = join '', map { ", $_ => $arguments{$_}" } sort keys %arguments;
    sql("SELECT kseg.stream_to_table('$name', 'SELECT $columns FROM ${name}_topic', 'public.$name'$further)");
    return;
}

sub messages { return map { ref $_ ? $json->encode($_) : $_ } @_ }

sub wait_for_position
{
    my ($name, $offset) = @_;
    return wait_for_answer($node, "SELECT next_offset FROM kseg.position_entry WHERE stream = (SELECT id FROM kseg.stream_entry WHERE name = '$name')", $offset);
}

sub letters
{
    my ($name) = @_;
    return sql(qq{SELECT "offset" || ' ' || sqlstate FROM kseg.dead_letter WHERE stream = '$name' ORDER BY "offset"});
}

sub entry
{
    my ($name) = @_;
    return $json->decode(sql("SELECT row_to_json(e) FROM kseg.stream_entry e WHERE name = '$name'"));
}

# The messages 0 … $count - 1, of which some are others.
sub numbered
{
    my ($count, %others) = @_;
    return messages(map { $others{$_} // { id => $_, note => "note $_" } } 0 .. $count - 1);
}

subtest 'messages to blame in the middle of others' => sub {
    my $topic = made('mixed', 'at bigint UNIQUE, id int PRIMARY KEY, note text NOT NULL CHECK (note <> \'bad\')');
    my %bad = (
        100  => { id => 100, note => 'bad' },
        101  => { id => 101, note => undef },
        499  => '{"id": 499, "note": ',
        500  => { id => 'five hundred', note => 'x' },
        1000 => { id => 3, note => 'again' },
        1999 => { id => 99999999999, note => 'too large' });
    $kafka->produce($topic, map { { value => $_, key => 'k', headers => [ [ 'h', 'v' ] ] } } numbered(2000, %bad));
    stream('mixed');
    wait_for_position('mixed', 2000);
    is(letters('mixed'), "100 23514\n101 23502\n499 22P02\n500 22P02\n1000 23505\n1999 22003", 'each is a dead letter, with its place and SQLSTATE');
    is(sql('SELECT count(*), count(DISTINCT at), sum(id) FROM mixed'),
        sql('SELECT count(*), count(*), sum(g) FROM generate_series(0, 1999) g WHERE g NOT IN (100, 101, 499, 500, 1000, 1999)'), 'everything else arrives');
    is(sql(q{SELECT topic || ' ' || partition || ' ' || convert_from(key, 'UTF8') || ' ' || convert_from(value, 'UTF8') || ' ' || headers || ' ' || run_by
        FROM kseg.dead_letter WHERE stream = 'mixed' AND "offset" = 499}), "$topic 0 k $bad{499} " . '[["h", "v"]] ' . sql('SELECT current_user'), 'as it came');
    like(sql(q{SELECT reason FROM kseg.dead_letter WHERE stream = 'mixed' AND "offset" = 1000}), qr/duplicate key value .*: Key \(id\)=\(3\) already exists\.$/, 'with a reason');
    is(sql(q{SELECT s.dead_letters || ' ' || s.rows || ' ' || s.messages || ' ' || s.failures FROM kseg.stream_slots() s}), '6 1994 2000 0', 'and figures');
};

subtest 'constraints and triggers that are deferred to the commit' => sub {
    my $topic = made('deferred', 'at bigint, id int, note text, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED');
    sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 77 THEN RAISE 'no % here', NEW.id; END IF; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()});
    $kafka->produce($topic, numbered(300, 200 => { id => 5, note => 'again' }));
    stream('deferred');
    wait_for_position('deferred', 300);
    is(letters('deferred'), "77 P0001\n200 23505", 'the one message is found all the same');
    is(sql('SELECT count(*), count(DISTINCT id) FROM deferred'), '298|298', 'everything else arrives');
};

subtest 'a trigger that raises, with a key that comes twice' => sub {
    my $topic = made('raised', 'at bigint, id int PRIMARY KEY, note text');
    sql(q{CREATE FUNCTION raise_bad() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.note = 'bad' THEN RAISE 'bad % refused', NEW.id; END IF; RETURN NEW; END $$;
        CREATE TRIGGER raise_bad BEFORE INSERT ON raised FOR EACH ROW EXECUTE FUNCTION raise_bad()});
    $kafka->produce($topic, messages(map { { id => $_ % 50, note => $_ == 120 ? 'bad' : "$_" } } 0 .. 199));
    stream('raised', key => "'{id}'", on_conflict => "'update'", batch_rows => 150);
    wait_for_position('raised', 200);
    is(sql('SELECT count(*), min(note::int), max(note::int) FROM raised'), '50|150|199', 'the last of each key');
    # Whether 120 is seen at all depends on the batch: 170 has its key.
    like(letters('raised'), qr/^(?:120 P0001)?$/, 'at most one message is to blame');
};

subtest 'on_error stop: what comes before it is applied, and it stands in the error' => sub {
    my $topic = made('stops', 'at bigint, id int CHECK (id <> 50), note text');
    $kafka->produce($topic, numbered(100));
    stream('stops', on_error => "'stop'");
    my $stream = wait_for_state($node, 'stops', 'failed');
    is(sql('SELECT count(*), max(id) FROM stops'), '50|49', 'by the target');
    my $entry = entry('stops');
    is("$entry->{halted} $entry->{halted_sqlstate}", 'failed 23514', 'it has halted');
    like($entry->{halted_detail}, qr/The message is in topic "\Q$topic\E", partition 0, offset 50\.$/, 'and says where');
    sql('ALTER TABLE stops DROP CONSTRAINT stops_id_check');
    $kafka->produce($topic, '{"id": "no number"}', numbered(10));
    sql(q{SELECT kseg.start_stream('stops')});
    wait_for_answer($node, q{SELECT halted_detail ~ 'offset 100' FROM kseg.stream_entry WHERE name = 'stops' AND halted IS NOT NULL}, 't');
    is(sql('SELECT count(*), max(id) FROM stops'), '100|99', 'by the columns');
    is(letters('stops'), '', 'no dead letter is made');
};

subtest 'too many dead letters halt the stream' => sub {
    my $topic = made('many', 'at bigint, id int NOT NULL, note text');
    $kafka->produce($topic, messages(map { $_ % 3 ? { note => 'no id' } : { id => $_ } } 0 .. 5999));
    stream('many', max_dead_letter_rate => 0.4, batch_rows => 500);
    my $stream = wait_for_state($node, 'many', 'dead_letters');
    my $next = sql(q{SELECT next_offset FROM kseg.position_entry WHERE stream = (SELECT id FROM kseg.stream_entry WHERE name = 'many')});
    cmp_ok($next, '>=', 1000, 'not before there is something to judge by');
    cmp_ok($next, '<', 3000, 'and not long after');
    is(sql('SELECT count(*) FROM many') + sql(q{SELECT count(*) FROM kseg.dead_letter WHERE stream = 'many'}), $next, 'what was settled is a row or a letter');
    like(entry('many')->{halted_message}, qr/^too many messages became dead letters: \d+ of the last \d+$/, 'and it says so');
    sql(q{SELECT kseg.alter_stream('many', max_dead_letter_rate => 1)});
    sql(q{SELECT kseg.start_stream('many')});
    wait_for_position('many', 6000);
    is(sql('SELECT count(*) FROM many') . ' ' . sql(q{SELECT count(*) FROM kseg.dead_letter WHERE stream = 'many'}), '2000 4000', 'it goes on where it was');
};

subtest 'the definition no longer fits' => sub {
    my $listener = session($node);
    $listener->run('LISTEN kseg_stream');
    my %change = (
        column => 'ALTER TABLE %s DROP COLUMN note',
        table  => 'DROP TABLE %s',
        source => 'ALTER FOREIGN TABLE %s_topic DROP COLUMN note');
    for my $what (sort keys %change)
    {
        my $name  = "gone_$what";
        my $topic = made($name, 'at bigint, id int, note text');
        stream($name);
        $kafka->produce($topic, numbered(10));
        wait_for_position($name, 10);
        sql(sprintf $change{$what}, $name);
        $kafka->produce($topic, numbered(10));
        wait_for_state($node, $name, 'failed');
        my $entry = entry($name);
        like("$entry->{halted_sqlstate} $entry->{halted_message}", qr/^(?:42703 column|42P01 relation) .* does not exist$/, "$what: it halts and says why");
        is(sql("SELECT next_offset FROM kseg.position_entry WHERE stream = $entry->{id}"), 10, "$what: nothing is passed over");
        is(letters($name), '', "$what: no message is to blame");
    }
    my $said = $listener->run('SELECT 1');
    like($said->{out}, qr/"kseg_stream" with payload "\{"stream": "gone_column", "state": "failed", "message": ".*"\}"/, 'who listens has heard');
};

subtest 'the surroundings: a lock, a cancel' => sub {
    my $topic = made('waits', 'at bigint, id int, note text');
    stream('waits');
    $kafka->produce($topic, numbered(10));
    wait_for_position('waits', 10);
    sql(q{ALTER ROLE CURRENT_USER SET lock_timeout = '50ms'});
    my ($pid) = sql(q{SELECT pid FROM kseg.stream_slots() s JOIN kseg.stream_entry e ON e.id = s.stream WHERE e.name = 'waits'});
    my $locker = session($node);
    $locker->run('BEGIN; LOCK TABLE waits');
    $kafka->produce($topic, numbered(20));
    wait_for('the worker to wait for the table', sub {
        my $said = sql("SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid");
        return (($said // '') eq 'Lock', $said);
    });
    my $from = -s $node->logfile;
    sql("SELECT pg_cancel_backend($pid)");
    my $stream = wait_for_state($node, 'waits', 'retrying');
    $locker->run('COMMIT');
    wait_for_position('waits', 30);
    is(sql('SELECT count(*) FROM waits'), 30, 'it goes on with the same messages');
    is(letters('waits'), '', 'no message is to blame');
    is(log_has($node, qr/stream "waits" waits and tries again: canceling statement/, $from), 1, 'the log has the first error');
    wait_for_log($node, qr/stream "waits" goes on after \d+ tries that failed/, $from);
    sql('ALTER ROLE CURRENT_USER RESET lock_timeout');
};

subtest 'columns that are added to the query\'s table while it runs' => sub {
    my $topic = made('altered', 'at bigint, id int, note text', q{at bigint OPTIONS (meta 'offset'), id int, note text});
    stream('altered');
    $kafka->produce($topic, numbered(10));
    wait_for_position('altered', 10);
    sql(q{ALTER FOREIGN TABLE altered_topic ALTER COLUMN note OPTIONS (path 'other')});
    $kafka->produce($topic, messages(map { { id => $_, note => 'old', other => 'new' } } 10 .. 19));
    wait_for_position('altered', 20);
    is(sql(q{SELECT count(*) FILTER (WHERE note = 'new'), count(*) FILTER (WHERE note LIKE 'note%') FROM altered}), '10|10', 'what they read is read from then on');
};

done_testing();
