# needs: kafka
# What is nobody's message's fault: a disk that is full, locks, deadlocks, other isolation levels, roles' timeouts, no more connections. The
# stream tries again until it works, everything arrives once, and nothing becomes a dead letter.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();

# The disk of one tablespace can be full (test/full_disk.c).
my $disk = PostgreSQL::Test::Utils::tempdir('disk');
my $full = PostgreSQL::Test::Utils::tempdir('mark') . '/full';
my $library = PostgreSQL::Test::Utils::tempdir('full_disk') . '/full_disk.so';
system(qw(cc -std=gnu11 -O2 -shared -fPIC -o), $library, source_file('test/full_disk.c'), '-ldl') == 0 or die 'full_disk.c does not compile';

my $node = do
{
    local @ENV{qw(LD_PRELOAD FULL_DISK_FOLDER FULL_DISK_MARK)} = ($library, $disk, $full);
    stream_cluster('surroundings', config => "max_connections = 12\n");
};
my %topic;
my %sent;

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A topic, and its table; options as topic_table's.
sub made
{
    my ($name, %options) = @_;
    $topic{$name} = $kafka->create_topic($kafka->topic_unique($name));
    topic_table($node, $kafka, $topic{$name}, $name, %options);
    $sent{$name} = 0;
    return;
}

sub send_more
{
    my ($name, $count) = @_;
    $kafka->produce($topic{$name}, numbers($sent{$name} + 1 .. $sent{$name} + $count));
    $sent{$name} += $count;
    return;
}

sub all_there
{
    my ($name, $words) = @_;
    wait_for_end($node, $kafka, $name, $topic{$name});
    is(rows_of($node, $name), rows_are(1 .. $sent{$name}), $words);
    is(letters_of($node, $name), 0, 'no message was to blame');
    wait_for_state($node, $name, 'running');
    return pass('and it runs');
}

# Waits until it waits to try again, for this.
sub wait_for_retry
{
    my ($name, $sqlstate, $words) = @_;
    my $stream = wait_for_state($node, $name, 'retrying');
    like($stream->{last_error}, $words, 'it waits to try again, and says why');
    is(sql(qq{SELECT DISTINCT sqlstate FROM kseg.stream_slots() s JOIN kseg.stream_entry e ON e.id = s.stream WHERE e.name = '$name'}), $sqlstate, "with SQLSTATE $sqlstate");
    return ok(defined $stream->{next_try}, 'and when');
}

# Waits until the worker of a stream waits for a lock, and returns its process id.
sub wait_for_lock
{
    my ($name) = @_;
    my $pid = stream_of($node, $name)->{pid};
    wait_for_answer($node, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid", 'Lock');
    return $pid;
}

made('other');
make_stream($node, 'other');

subtest 'the disk of the target is full' => sub {
    sql("CREATE TABLESPACE small LOCATION '$disk'");
    made('filled');
    sql('ALTER TABLE filled SET TABLESPACE small');
    make_stream($node, 'filled', batch_rows => 500);
    send_more('filled', 1000);
    all_there('filled', 'there is room');
    append_to_file($full, '');
    send_more('filled', 20_000);
    wait_for_retry('filled', '53100', qr/could not extend file ".*": No space left on device/);
    send_more('other', 100);
    all_there('other', 'another stream goes on');
    is(letters_of($node, 'filled'), 0, 'no message is to blame');
    unlink $full;
    all_there('filled', 'with room it goes on');
};

subtest 'the table is locked for a while' => sub {
    my $locker = session($node);
    $locker->run('BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE');
    send_more('other', 100);
    wait_for_lock('other');
    send_more('filled', 100);
    all_there('filled', 'another stream goes on');
    is(state_of($node, 'other'), 'running', 'to wait for a lock is no failure');
    $locker->run('COMMIT');
    all_there('other', 'it goes on');
};

subtest 'settings of the owner: timeouts and isolation' => sub {
    # What would end a session's transactions must not end a stream's, and what it cannot do without is its own.
    sql(q{CREATE ROLE strict LOGIN; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA kseg TO strict; GRANT CREATE ON SCHEMA public TO strict;
        ALTER ROLE strict SET lock_timeout = '100ms'; ALTER ROLE strict SET statement_timeout = '1ms';
        ALTER ROLE strict SET idle_in_transaction_session_timeout = '1ms'; ALTER ROLE strict SET deadlock_timeout = '1s';
        ALTER ROLE strict SET default_transaction_isolation = 'repeatable read'});
    made('strict_one', owner => 'strict');
    make_stream($node, 'strict_one', role => 'strict', batch_rows => 1000);
    send_more('strict_one', 5000);
    all_there('strict_one', 'it runs with these');

    my $locker = session($node);
    $locker->run('BEGIN; LOCK TABLE strict_one IN ACCESS EXCLUSIVE MODE');
    send_more('strict_one', 100);
    wait_for_retry('strict_one', '55P03', qr/canceling statement due to lock timeout/);
    $locker->run('COMMIT');
    all_there('strict_one', 'lock_timeout: it goes on');
};

# A stream that updates rows by their number, of a role with settings of its own.
sub made_keyed
{
    my ($name, $settings) = @_;
    sql("CREATE ROLE role_$name LOGIN; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA kseg TO role_$name; GRANT CREATE ON SCHEMA public TO role_$name; $settings");
    made($name, owner => "role_$name");
    sql("ALTER TABLE $name ADD PRIMARY KEY (number)");
    make_stream($node, $name, role => "role_$name", key => q{'{number}'}, on_conflict => q{'update'});
    send_more($name, 10);
    all_there($name, 'rows with keys');
    return;
}

subtest 'a deadlock' => sub {
    # The worker looks for one after two seconds, the session much later.
    made_keyed('dead', q{ALTER ROLE role_dead SET deadlock_timeout = '2s'});
    my $other = session($node);
    $other->run(q{SET deadlock_timeout = '60s'; BEGIN; UPDATE dead SET part = 99 WHERE number = 10});
    $kafka->produce($topic{dead}, numbers(1 .. 10));
    wait_for_lock('dead');
    my $from = -s $node->logfile;
    # The worker holds its positions, and waits for the row; this waits for the positions.
    $other->start(q{SELECT kseg.reset_stream('dead', 'latest')});
    wait_for_log($node, qr/stream "dead" waits and tries again: deadlock detected/, $from);
    is($other->finish->{err}, '', 'the other one goes on');
    $other->run('ROLLBACK');
    wait_for_end($node, $kafka, 'dead', $topic{dead});
    is(sql('SELECT count(*), count(*) FILTER (WHERE at >= 10), sum(number) FROM dead'), '10|10|55', 'and then the stream, with the same messages');
    is(letters_of($node, 'dead'), 0, 'no message was to blame');
};

subtest 'a serialization failure' => sub {
    made_keyed('serial', q{ALTER ROLE role_serial SET default_transaction_isolation = 'serializable'});
    my $other = session($node);
    $other->run(q{BEGIN; UPDATE serial SET part = 99 WHERE number = 10});
    $kafka->produce($topic{serial}, numbers(1 .. 10));
    wait_for_lock('serial');
    my $from = -s $node->logfile;
    $other->run('COMMIT');
    wait_for_log($node, qr/stream "serial" waits and tries again: could not serialize access due to concurrent update/, $from);
    wait_for_end($node, $kafka, 'serial', $topic{serial});
    is(sql('SELECT count(*), count(*) FILTER (WHERE at >= 10 AND part = 0), sum(number) FROM serial'), '10|10|55', 'the same messages once more');
    is(letters_of($node, 'serial'), 0, 'no message was to blame');
};

subtest 'a worker is canceled, again and again' => sub {
    send_more('other', 20_000);
    my $pid = stream_of($node, 'other')->{pid};
    # Each is a failure, and the next try waits twice as long.
    sql("SELECT pg_cancel_backend($pid)") for 1 .. 4;
    wait_for_state($node, 'other', 'running');
    all_there('other', 'all is there');
    is(stream_of($node, 'other')->{pid}, $pid, 'in the same process');
};

subtest 'there are no connections any more' => sub {
    my $looker = session($node);
    my @sessions;
    my $said = wait_for('no more connections', sub {
        my $session = eval { session($node) };
        push @sessions, $session if $session;
        return (!$session, scalar @sessions);
    });
    send_more('other', 100);
    wait_for('the messages', sub { my $rows = $looker->run('SELECT count(*) FROM other')->{out}; return ($rows eq $sent{other}, $rows) });
    pass('a stream that runs needs none');
    $looker->run(q{SELECT kseg.stop_stream('other')});
    wait_for('the worker gone', sub { return $looker->run(q{SELECT state FROM kseg.stream_status WHERE stream = 'other'})->{out} eq 'stopped' });
    $looker->run(q{SELECT kseg.start_stream('other')});
    send_more('other', 100);
    wait_for('the messages', sub { my $rows = $looker->run('SELECT count(*) FROM other')->{out}; return ($rows eq $sent{other}, $rows) });
    pass('nor does one that is started');
    $_->quit for @sessions;
    wait_for('a connection', sub { return eval { sql('SELECT 1') } });
    all_there('other', 'all is there');
};

subtest 'no worker is ever idle in a transaction' => sub {
    # Sequences tell at once what a transaction that goes on has seen.
    sql('CREATE TABLE seen (state text); CREATE SEQUENCE seen_idle; CREATE SEQUENCE seen_active');
    my $looker = session($node);
    my $lock   = session($node);
    $lock->run('BEGIN; LOCK TABLE other IN SHARE MODE');
    $looker->start(qq{DO \$\$
        DECLARE look text;
        BEGIN
            WHILE (SELECT count(*) FROM other) < $sent{other} + 20000 LOOP
                PERFORM pg_stat_clear_snapshot();
                FOR look IN SELECT DISTINCT a.state FROM pg_stat_activity a WHERE a.backend_type = 'kseg stream' LOOP
                    INSERT INTO seen VALUES (look);
                    PERFORM nextval('seen_' || look) WHERE look IN ('idle', 'active');
                END LOOP;
            END LOOP;
        END \$\$});
    wait_for_answer($node, 'SELECT is_called FROM seen_idle', 't');
    send_more('other', 20_000);
    wait_for_answer($node, 'SELECT is_called FROM seen_active', 't');
    $lock->run('COMMIT');
    is($looker->finish->{err}, '', 'looked at all the time');
    is(sql(q{SELECT string_agg(DISTINCT state, ' ' ORDER BY state) FROM seen}), 'active idle', 'it is idle or active');
    all_there('other', 'all is there');
};

done_testing();
