# needs: kafka
# What people see of streams that run: state, position, lag and figures; why one does not run; and health(). Nobody asks a broker for it.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('status', settings => { 'kseg.max_stream_workers' => 4 });

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub health_of
{
    my ($check) = @_;
    my ($row) = sql(qq{SELECT row_to_json(h) FROM kseg.health() h WHERE "check" = '$check'});
    return $row eq '' ? undef : KsegTest::_json()->decode($row);
}

# The stream's row when it is behind: messages may come in more than one batch, and of those behind one that waits nothing is heard.
sub wait_for_lag
{
    my ($name) = @_;
    wait_for_answer($node, "SELECT lag_messages > 0 FROM kseg.stream_status WHERE stream = '$name'", 't');
    return stream_of($node, $name);
}

sub wait_for_lock
{
    return wait_for_answer($node, "SELECT DISTINCT wait_event_type FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'kseg stream'", 'Lock');
}

# The stream's row when it has settled so many messages of its topic, and says so.
sub wait_for_messages
{
    my ($name, $messages) = @_;
    wait_for_answer($node, "SELECT messages || ' ' || lag_messages FROM kseg.stream_status WHERE stream = '$name'", "$messages 0");
    return stream_of($node, $name);
}

my $topic = $kafka->create_topic($kafka->topic_unique('status'), partitions => 2);
topic_table($node, $kafka, $topic, 'status');

my $listener = session($node);
$listener->run('LISTEN kseg_stream');

subtest 'a stream that runs' => sub {
    my $before = time;
    $kafka->produce($topic, map { { value => "{\"number\": $_}", partition => $_ % 2 } } 1 .. 1000);
    make_stream($node, 'status', workers => 2);
    my $stream = wait_for_messages('status', 1000);
    is_deeply({ map { $_ => $stream->{$_} } qw(state workers workers_running messages rows dead_letters lag_messages lag_seconds topic_end) },
        { state => 'running', workers => 2, workers_running => 2, messages => 1000, rows => 1000, dead_letters => 0, lag_messages => 0,
            lag_seconds => 0, topic_end => 1000 }, 'state, workers, figures, lag');
    is_deeply($stream->{position}, { $topic => { 0 => 500, 1 => 500 } }, 'position by topic and partition');
    is_deeply([ split /\n/, sql(q{SELECT stream, topic, partition, "offset" FROM kseg.position ORDER BY partition}) ],
        [ "status|$topic|0|500", "status|$topic|1|500" ], 'and as rows');
    ok((grep { $_ == $stream->{pid} } workers_of($node)), 'pid is a worker');
    is(sql("SELECT count(*) FROM kseg.stream_status WHERE newest_message BETWEEN to_timestamp($before - 60) AND now() AND last_batch <= now()
        AND since <= now() AND batches BETWEEN 2 AND 1000 AND bytes > 1000"), 1, 'times and sums');
    is_deeply([ @{$stream}{qw(last_error next_try trouble)} ], [ undef, undef, undef ], 'nothing to complain about');
    # As much as in the time that has passed, which is less than the ten seconds that it is a mean of; and the less, the longer it is ago.
    my $rate = q{SELECT rows_per_second > 200 / s * exp(-s / 10), rows_per_second FROM kseg.stream_status,
        greatest(1, extract(epoch FROM clock_timestamp() - since)::float8) s};
    my ($enough, $first) = split /\|/, sql($rate);
    is($enough, 't', "rows per second: $first");
    wait_for('it to fall while nothing comes', sub { my (undef, $now) = split /\|/, sql($rate); return ($now < $first, $now) });
    is_deeply([ @{ health_of('stream status') }{qw(ok detail)} ], [ JSON::PP::true, 'running, 0 messages behind, 0 s behind' ], 'health of it');
    is_deeply([ map { health_of($_)->{ok} ? $_ : "$_ is not ok" } 'preload', 'launcher', 'worker processes', 'stream workers', 'courier', 'version' ],
        [ 'preload', 'launcher', 'worker processes', 'stream workers', 'courier', 'version' ], 'and of what it needs');
    is(health_of('stream workers')->{detail}, '2 of 4 are taken in all databases', 'with numbers');
};

subtest 'a stream that is behind' => sub {
    my $lock = session($node);
    $lock->run('BEGIN; LOCK TABLE status IN ACCESS EXCLUSIVE MODE');
    # Its clock says that it is two minutes old.
    $kafka->produce($topic, map { { value => "{\"number\": $_}", partition => 0, timestamp => (time - 120) * 1000 } } 1 .. 10);
    wait_for_lock();
    my $stream = wait_for_lag('status');
    is_deeply([ @{$stream}{qw(state messages topic_end)} ], [ 'running', 1000, 1000 + $stream->{lag_messages} ], 'what has come and waits for a lock counts, in the end of the topic, too');
    cmp_ok($stream->{lag_seconds}, '>=', 120, 'it is as old as its oldest message says');
    my $health = health_of('stream status');
    ok(defined $health->{ok} && !$health->{ok}, 'health is not ok');
    like("$health->{detail}: $health->{hint}", qr/^running, \d+ messages behind, 1\d\d s behind: .*look for locks/, 'and says where to look');
    $lock->run('COMMIT');
    $stream = wait_for_messages('status', 1010);
    is_deeply([ @{$stream}{qw(state lag_seconds)} ], [ 'running', 0 ], 'and it goes on');
    ok(health_of('stream status')->{ok}, 'health is ok again');
    is(sql('SELECT sum(number) FROM status'), 500500 + 55, 'with all rows');

    # What is settled is two minutes old, and one that waits has a clock that is an hour ahead: neither says how long it waits.
    $lock->run('BEGIN; LOCK TABLE status IN ACCESS EXCLUSIVE MODE');
    $kafka->produce($topic, { value => '{"number": 0}', partition => 0, timestamp => (time + 3600) * 1000 });
    wait_for_lag('status');
    my $seconds = wait_for('it to be behind by the clock', sub {
        my ($now) = sql(q{SELECT lag_seconds FROM kseg.stream_status WHERE stream = 'status'});
        return ($now > 0 && $now, $now);
    });
    cmp_ok($seconds, '<', 110, 'from when the message came on');
    $lock->run('COMMIT');
    is(wait_for_messages('status', 1011)->{lag_seconds}, 0, 'until it is settled');
};

subtest 'a stream whose first batch waits' => sub {
    my $first = $kafka->create_topic($kafka->topic_unique('first'));
    topic_table($node, $kafka, $first, 'first');
    sql('CREATE UNIQUE INDEX ON first (number)');
    my $lock = session($node);
    $lock->run('BEGIN; INSERT INTO first (number) VALUES (7)');
    $kafka->produce($first, map { { value => "{\"number\": $_}", timestamp => (time - 120) * 1000 } } 5 .. 9);
    make_stream($node, 'first');
    wait_for_lock();
    cmp_ok(wait_for_lag('first')->{lag_seconds}, '>=', 120, 'what it is behind is known before anything is settled');
    ok(!health_of('stream first')->{ok}, 'and health is not ok');
    $lock->run('ROLLBACK');
    wait_for_messages('first', 5);
    ok(health_of('stream first')->{ok}, 'until it is');
    sql(q{SELECT kseg.drop_stream('first')});
};

subtest 'a stream that tries again' => sub {
    my $full = $kafka->create_topic($kafka->topic_unique('full'));
    topic_table($node, $kafka, $full, 'full_disk');
    sql(q{CREATE TABLE room (left_over bool); INSERT INTO room VALUES (false);
        CREATE FUNCTION need_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT left_over FROM public.room) THEN RETURN NEW; END IF; RAISE 'no room' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER need_room BEFORE INSERT ON full_disk FOR EACH ROW EXECUTE FUNCTION need_room()});
    make_stream($node, 'full_disk');
    wait_for_state($node, 'full_disk', 'running');
    $kafka->produce($full, map { { value => $_, timestamp => (time - 120) * 1000 } } numbers(1 .. 3));
    my $stream = wait_for_state($node, 'full_disk', 'retrying');
    cmp_ok($stream->{lag_messages}, '>', 0, 'is behind by what it cannot store');
    is_deeply([ @{$stream}{qw(topic_end messages)} ], [ $stream->{lag_messages}, 0 ], 'which is what it has of the topic');
    cmp_ok($stream->{lag_seconds}, '>=', 120, 'for as long');
    sql('UPDATE room SET left_over = true');
    is(wait_for_messages('full_disk', 3)->{lag_seconds}, 0, 'until it can');
    sql(q{SELECT kseg.drop_stream('full_disk')});
};

subtest 'a batch that waits for more' => sub {
    my $slow = $kafka->create_topic($kafka->topic_unique('slow'));
    topic_table($node, $kafka, $slow, 'slow');
    make_stream($node, 'slow', batch_interval => q{'1 hour'}, batch_rows => 3);
    $kafka->produce($slow, map { { value => $_, timestamp => (time - 120) * 1000 } } numbers(1 .. 2));
    # Until they have come it is behind since it heard of them.
    my $stream = wait_for('it to be as far behind as what waits in it', sub {
        my $now = stream_of($node, 'slow');
        return (($now->{lag_messages} // 0) == 2 && $now->{lag_seconds} >= 120, $now);
    });
    is("$stream->{state} $stream->{messages}", 'running 0', 'is behind by what waits in it');
    ok(health_of('stream slow')->{ok}, 'which is what was asked for');
    $kafka->produce($slow, numbers(3));
    is(wait_for_messages('slow', 3)->{lag_seconds}, 0, 'until it is full');
    sql(q{SELECT kseg.drop_stream('slow')});
};

subtest 'a stream that is stopped, and started again' => sub {
    my $before = sql('SELECT clock_timestamp()');
    sql("SELECT kseg.stop_stream('status')");
    my $stream = wait_for_state($node, 'status', 'stopped');
    is_deeply([ @{$stream}{qw(pid workers_running trouble next_try)} ], [ undef, 0, undef, undef ], 'nobody works');
    is(sql("SELECT since BETWEEN '$before' AND clock_timestamp() FROM kseg.stream_status"), 't', 'since it was stopped');
    is_deeply($stream->{position}, { $topic => { 0 => 511, 1 => 500 } }, 'its position stays visible');
    ok(health_of('stream status')->{ok}, 'that is nothing to worry about');
    sql("SELECT kseg.start_stream('status')");
    wait_for_state($node, 'status', 'running');
};

subtest 'why a stream does not run' => sub {
    unreachable_table($node, 'nobody');
    make_stream($node, 'nobody');
    # Before, it says that the launcher has not seen it yet.
    wait_for_answer($node, q{SELECT trouble LIKE '%broker%' FROM kseg.stream_status WHERE stream = 'nobody'}, 't');
    like(stream_of($node, 'nobody')->{trouble}, qr/127\.0\.0\.1:1/, 'no broker: the trouble names it');
    ok(!health_of('stream nobody')->{ok}, 'health says so');
    unlike(stream_of($node, 'status')->{trouble} // '', qr/./, 'the other one has no trouble');

    unreachable_table($node, 'many');
    make_stream($node, 'many', workers => 3);
    wait_for_answer($node, q{SELECT trouble LIKE '%max_stream_workers%' FROM kseg.stream_status WHERE stream = 'many'}, 't');
    my $stream = wait_for_state($node, 'many', 'waiting');
    like($stream->{trouble}, qr/kseg\.max_stream_workers/, 'no slot: which setting');
    ok(!health_of('stream workers')->{ok}, 'health says it, too');
    like(health_of('stream workers')->{hint}, qr/Raise kseg\.max_stream_workers/, 'with what to do');
    sql(q{SELECT kseg.drop_stream('many'), kseg.drop_stream('nobody')});
    wait_for_answer($node, q{SELECT count(*) FROM kseg.stream_slots()}, '2');
};

subtest 'a stream that has failed' => sub {
    sql('ALTER TABLE status DROP COLUMN number');
    $kafka->produce($topic, '{"number": 1}');
    my $stream = wait_for_state($node, 'status', 'failed');
    like($stream->{last_error}, qr/number/, 'its error says which column');
    ok(defined $stream->{last_error_at} && defined $stream->{since}, 'and since when');
    is(sql(q{SELECT halted, sqlstate LIKE '42%', message = (SELECT last_error FROM kseg.stream_status) FROM kseg.stream}),
        'failed|t|t', 'kseg.stream has the whole error');
    my $health = health_of('stream status');
    ok(!$health->{ok}, 'health is not ok');
    like("$health->{detail} $health->{hint}", qr/^failed.*number.*kseg\.start_stream/, 'and says what to do');
    sql('ALTER TABLE status ADD COLUMN number int');
    sql("SELECT kseg.start_stream('status')");
    wait_for_state($node, 'status', 'running');
    wait_for_answer($node, 'SELECT count(*) FROM status WHERE number = 1', '1');
};

subtest 'who sees it' => sub {
    sql('CREATE ROLE stranger LOGIN; CREATE ROLE monitor LOGIN IN ROLE pg_read_all_stats');
    is($node->safe_psql('postgres', 'SET ROLE stranger; SELECT count(*) FROM kseg.stream_status; SELECT count(*) FROM kseg.stream_slots()'),
        "0\n0", 'nothing for a stranger');
    is($node->safe_psql('postgres', 'SET ROLE monitor; SELECT state FROM kseg.stream_status; SELECT count(*) FROM kseg.stream_slots();
        SELECT count(*) FROM kseg.stream'), "running\n2\n0", 'figures, but no query, for a monitor');
};

subtest 'what README says of it' => sub {
    my $readme = slurp_file(source_file('README.md'));
    my %table;
    for my $of ('column of `stream_status`', 'check of `health()`')
    {
        ($table{$of}) = $readme =~ /^\| \Q$of\E \|.*\n\|[-|]+\n((?:\|.*\n)+)/m or die "README has no table of $of";
    }
    my %columns = map { /^\| (.*?) \| (.*) \|$/ } split /\n/, $table{'column of `stream_status`'};
    is_deeply([ sort map { /`(\w+)`/g } keys %columns ],
        [ split /\n/, sql(q{SELECT attname FROM pg_attribute WHERE attrelid = 'kseg.stream_status'::regclass ORDER BY attname COLLATE "C"}) ], 'all columns');
    # Those that the view's CASE has by name, and those that halt a stream.
    my ($case) = sql(q{SELECT pg_get_viewdef('kseg.stream_status')}) =~ /(CASE\s+WHEN \(e\.halted IS NOT NULL\) THEN e\.halted.*?) AS state/s;
    my %states = map { $_ => 1 } qw(failed gap dead_letters), $case =~ /(?:THEN|ELSE) '(\w+)'/g;
    is_deeply([ sort grep { $states{$_} } $columns{'`state`'} =~ /`(\w+)`/g ], [ sort keys %states ], 'all states');
    my %checks = map { $_ => 1 } map { /`(.+?)`/g } map { /^\| (.*?) \|/ } split /\n/, $table{'check of `health()`'};
    my %there = map { s/^(stream|dead letters of) .*(?<!workers)$/$1 …/r => 1 } 'dead letters of runs', split /\n/, sql('SELECT "check" FROM kseg.health()');
    is_deeply([ sort keys %checks ], [ sort keys %there ], 'all checks');

    # What was heard while this test ran is what README names, and no more.
    my ($told, $untold) = $readme =~ /^`LISTEN kseg_stream` hears, as .*?, that a stream is: (.*?) Not told: (.*?); /ms or die 'README does not say what LISTEN hears';
    $told =~ s/ \([^)]*\)//g;
    my %told   = map { $_ => 1 } $told =~ /`(\w+)`/g;
    my %untold = map { $_ => 1 } $untold =~ /`(\w+)`/g;
    my %heard  = map { $_ => 1 } $listener->run('SELECT 1')->{out} =~ /"state": "(\w+)"/g;
    is_deeply([ grep { !$told{$_} } sort keys %heard ], [], 'LISTEN hears nothing else');
    is_deeply([ grep { !$heard{$_} } qw(starting running retrying stopped failed dropped) ], [], 'and all that came about here');
    is_deeply([ sort keys %{ { %told, %untold } } ], [ sort keys %states, qw(renamed dropped) ], 'each state is told or is not');
    is_deeply([ grep { $told{$_} } keys %untold ], [], 'and not both');
};

done_testing();
