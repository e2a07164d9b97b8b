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

# The stream's row when it has settled so many messages of its topic, and says so.
sub wait_for_messages
{
    my ($name, $messages) = @_;
    wait_for_answer($node, "SELECT messages || ' ' || lag_messages FROM kseg.stream_status WHERE stream = '$name'", "$messages 0");
    return stream_of($node, $name);
}

my $topic = $kafka->create_topic($kafka->topic_unique('status'), partitions => 2);
topic_table($node, $kafka, $topic, 'status');

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
    wait_for_answer($node, "SELECT wait_event_type FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type LIKE 'kseg%'", 'Lock');
    $lock->run('COMMIT');
    my $stream = wait_for_messages('status', 1010);
    is($stream->{state}, 'running', 'and it goes on');
    is(sql('SELECT sum(number) FROM status'), 500500 + 55, 'with all rows');
};

subtest 'a stream that is stopped, and started again' => sub {
    sql("SELECT kseg.stop_stream('status')");
    my $stream = wait_for_state($node, 'status', 'stopped');
    is_deeply([ @{$stream}{qw(pid workers_running trouble next_try)} ], [ undef, 0, undef, undef ], 'nobody works');
    is_deeply($stream->{position}, { $topic => { 0 => 510, 1 => 500 } }, 'its position stays visible');
    ok(health_of('stream status')->{ok}, 'that is nothing to worry about');
    sql("SELECT kseg.start_stream('status')");
    wait_for_state($node, 'status', 'running');
};

subtest 'why a stream does not run' => sub {
    unreachable_table($node, 'nobody');
    make_stream($node, 'nobody');
    wait_for_answer($node, q{SELECT trouble IS NOT NULL FROM kseg.stream_status WHERE stream = 'nobody'}, 't');
    like(stream_of($node, 'nobody')->{trouble}, qr/127\.0\.0\.1:1/, 'no broker: the trouble names it');
    ok(!health_of('stream nobody')->{ok}, 'health says so');
    unlike(stream_of($node, 'status')->{trouble} // '', qr/./, 'the other one has no trouble');

    unreachable_table($node, 'many');
    make_stream($node, 'many', workers => 3);
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

done_testing();
