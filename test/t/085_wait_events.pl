# needs: kafka
# What pg_stat_activity shows of whom streams keep waiting, as README.md says: the launcher, a worker that waits for messages, for a lock, for its
# next try, and a statement that waits for workers to be gone. From PostgreSQL 17 on kseg's wait events have names; before they all read "Extension".
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('wait_events');
my $has_names = $node->safe_psql('postgres', 'SHOW server_version_num') >= 170000;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# What is shown of a wait event of kseg's.
sub event { return 'Extension/' . ($has_names ? $_[0] : 'Extension') }

# Waits until processes of this kind show this, and nothing else: state, wait event, query (without what a session ends its statements with).
sub shows
{
    my ($where, $shown, $name) = @_;
    my $query = "SELECT string_agg(concat_ws(' ', state, wait_event_type || '/' || wait_event, rtrim(query, E';\\n')), ', ') FROM pg_stat_activity WHERE $where";
    is(wait_for_answer($node, $query, $shown), $shown, $name);
    return;
}

my $topic = $kafka->create_topic($kafka->topic_unique('waits'));
topic_table($node, $kafka, $topic, 'waits');
sql(q{CREATE TABLE broken (yes bool); INSERT INTO broken VALUES (false);
    CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF (SELECT yes FROM public.broken) THEN RAISE 'no room' USING ERRCODE = 'disk_full'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER break BEFORE INSERT ON waits FOR EACH ROW EXECUTE FUNCTION break()});
make_stream($node, 'waits');

subtest 'nothing to do' => sub {
    wait_for_state($node, 'waits', 'running');
    shows(q{backend_type = 'kseg stream'}, 'idle ' . event('KsegCourier') . ' stream waits: waiting for messages', 'a worker waits for messages');
    shows(q{backend_type = 'kseg launcher'}, 'idle ' . event('KsegLauncher') . ' 1 stream worker', 'the launcher waits for something to do');
};

subtest 'a lock' => sub {
    my $lock = session($node);
    $lock->run('BEGIN; LOCK TABLE waits IN ACCESS EXCLUSIVE MODE');
    $kafka->produce($topic, numbers(1));
    shows(q{backend_type = 'kseg stream'}, 'active Lock/relation stream waits: applying 1 messages', 'PostgreSQL says which, the worker what for');
    $lock->quit;
    wait_for_end($node, $kafka, 'waits', $topic);
};

subtest 'the next try' => sub {
    sql('UPDATE broken SET yes = true');
    $kafka->produce($topic, numbers(2));
    wait_for_state($node, 'waits', 'retrying');
    shows(q{backend_type = 'kseg stream'}, 'idle ' . event('KsegStreamRetry') . ' stream waits: waiting for its next try', 'a worker waits for its next try');
    sql('UPDATE broken SET yes = false');
    wait_for_end($node, $kafka, 'waits', $topic);
    shows(q{backend_type = 'kseg stream'}, 'idle ' . event('KsegCourier') . ' stream waits: waiting for messages', 'and then it waits for messages again');
    is(rows_of($node, 'waits'), rows_are(1, 2), 'with all rows');
};

subtest 'a statement that waits for workers to be gone' => sub {
    sql('CREATE DATABASE held');
    unreachable_table($node, 'held', dbname => 'held');
    make_stream($node, 'held', dbname => 'held');
    my ($worker) = wait_for_workers($node, 'held', 1);
    my $drop = session($node);
    kill STOP => $worker;
    $drop->start('DROP DATABASE held');
    shows('pid = ' . $drop->pid, 'active ' . event('KsegHold') . ' DROP DATABASE held', 'DROP DATABASE, here');
    kill CONT => $worker;
    is($drop->finish->{err}, '', 'it succeeds when they are');
};

# pg_wait_events came with PostgreSQL 17, too.
subtest 'the list of them' => sub {
    is(sql(q{SELECT string_agg(name, ' ' ORDER BY name) FROM pg_wait_events WHERE type = 'Extension' AND name LIKE 'Kseg%'}),
        'KsegCourier KsegHold KsegLauncher KsegStreamRetry', 'is what has been seen above');
} if $has_names;

done_testing();
