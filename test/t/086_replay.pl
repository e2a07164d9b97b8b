# needs: kafka
# Dead letters once more, end to end: of a stream that runs, of a run to Segment, of a run to Kafka. What SQL alone can show is in
# sql/stream_replay.sql.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegKafkaRun ();
use KsegRun;
use KsegStream;

my $kafka   = kafka_broker();
my $sandbox = start_sandbox();
my $node    = stream_cluster('replay');
my $super   = run_session($node);
KsegKafkaRun::connect_kafka($node, $kafka);
connect_segment($node, $sandbox, max_retries => 1);

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Replays with these arguments: "replayed failed".
sub replay
{
    my ($arguments, $session) = @_;
    my $row = ($session // $super)->row("SELECT * FROM kseg.replay_dead_letters($arguments)");
    return "$row->{replayed} $row->{failed}";
}

subtest 'of a stream that goes on meanwhile' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('stream'), partitions => 2);
    sql(qq{CREATE FOREIGN TABLE orders_topic (id int, note varchar(5), key text OPTIONS (meta 'key'), at timestamptz OPTIONS (meta 'timestamp'),
            place bigint OPTIONS (meta 'offset'), part int OPTIONS (meta 'partition'), headers jsonb OPTIONS (meta 'headers'))
            SERVER kafka OPTIONS (topic '$topic');
        CREATE TABLE orders (id int PRIMARY KEY, note text, key text, at timestamptz, place bigint, part int, headers jsonb)});
    sql(q{SELECT kseg.stream_to_table('orders', 'SELECT * FROM orders_topic', 'public.orders', key => '{id}', on_conflict => 'update',
        max_dead_letter_rate => 1)});
    my $time = time * 1000;        # a time long ago would be a topic's retention's
    $kafka->produce($topic, map { { partition => 1, timestamp => $time + $_, key => "k$_", headers => [ [ 'n', "h$_" ], [ 'raw', "\xff" ] ],
            value => $_ % 3 ? "{\"id\": $_, \"note\": \"fine\"}" : $_ % 2 ? "{\"id\": $_, \"note\": \"too long\"}" : "{\"id\": $_" } } 1 .. 12);
    wait_for_answer($node, q{SELECT sum("offset") FROM kseg.position WHERE stream = 'orders'}, '12');
    is(sql(q{SELECT string_agg("offset" + 1 || ':' || sqlstate, ' ' ORDER BY id) FROM kseg.dead_letter WHERE stream = 'orders'}),
        '3:22001 6:22P02 9:22001 12:22P02', 'two kinds of letters');

    is(replay(q{stream => 'orders'}), '0 4', 'as they are they fail again');
    sql(q[UPDATE kseg.dead_letter SET value = convert_to(convert_from(value, 'UTF8') || ', "note": "mend"}', 'UTF8') WHERE sqlstate = '22P02']);
    $kafka->produce($topic, { partition => 1, value => '{"id": 100, "note": "new"}' });
    is(replay(q{stream => 'orders', filter => 'sqlstate = ''22P02'''}), '2 0', 'with a corrected value');
    wait_for_answer($node, 'SELECT count(*) FROM orders WHERE id = 100', '1');
    sql('ALTER FOREIGN TABLE orders_topic ALTER note TYPE text');
    is(replay(q{stream => 'orders'}), '2 0', 'and with a corrected definition');
    is(sql(qq{SELECT count(*), count(*) FILTER (WHERE key = 'k' || id AND part = 1 AND place = id - 1
            AND at = to_timestamp($time / 1000) + id * interval '1 ms' AND headers = jsonb_build_array(jsonb_build_array('n', 'h' || id),
            jsonb_build_array('raw', jsonb_build_object('base64', '/w==')))) FROM orders WHERE id <= 12}),
        '12|12', 'key, place, time and headers are the message\'s own');
    is(sql(q{SELECT string_agg(id || note, ' ' ORDER BY id) FROM orders WHERE id % 3 = 0}), '3too long 6mend 9too long 12mend', 'its values, too');
    is(sql(q{SELECT count(*) FROM kseg.dead_letter}), 0, 'no letter is left');
    $kafka->produce($topic, { partition => 0, value => '{"id": 101, "note": "long enough"}' });
    wait_for_answer($node, 'SELECT note FROM orders WHERE id = 101', 'long enough');
    is(state_of($node, 'orders'), 'running', 'the stream has gone on');

    # Stopped, it can be done as well; and two at once do not do it twice.
    sql(q{SELECT kseg.stop_stream('orders')});
    wait_for_state($node, 'orders', 'stopped');
    sql(q{CREATE TABLE applied (id int); CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.applied VALUES (NEW.id); RETURN NEW; END $$;
        CREATE TRIGGER count_it BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION count_it();
        INSERT INTO kseg.dead_letter_entry (stream, run_by, server, call, topic, partition, "offset", value, reason)
            VALUES ('orders', 'postgres', 'kafka', 'stream', 't', 0, 1, '{"id": 200}', 'r')});
    my $other = run_session($node);
    $super->run('BEGIN');
    is(replay(q{stream => 'orders'}), '1 0', 'one session');
    $other->start(q{SELECT row_to_json(r) FROM kseg.replay_dead_letters(stream => 'orders') r});
    wait_for_answer($node, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%replay_dead_letters%'}, '1');
    $super->run('COMMIT');
    my $second = figures($other->finish);
    is("$second->{replayed} $second->{failed}", '0 0', 'the other one waits, and finds nothing');
    is(sql('SELECT count(*) FROM applied'), 1, 'applied once');
    sql(q{SELECT kseg.drop_stream('orders')});
};

subtest 'of a run to Segment' => sub {
    $sandbox->reset;
    $sandbox->faults({ culprit => '"u2"', action => { body => '{"message":"no such user"}' } });
    my $run = figures($super->run(track(q{SELECT * FROM (VALUES ('u1', 1), ('u2', 2), (NULL, 3)) v (user_id, n)})));
    is("$run->{sent} $run->{rejected} $run->{invalid}", '1 1 1', 'one is refused, one is invalid');
    my %ids = map { $_->{row} => $_->{message_id} } $super->rows("SELECT row, message_id FROM kseg.dead_letter WHERE run = '$run->{run}'");

    is(replay("run => '$run->{run}'"), '0 2', 'as they are they fail again');
    is_deeply([ map { "$_->{row} $_->{attempts} " . ($_->{status} // '-') . " $_->{reason}" }
            $super->rows("SELECT row, attempts, status, reason FROM kseg.dead_letter WHERE run = '$run->{run}' ORDER BY row") ],
        [ '2 2 400 refused with HTTP status 400: no such user', '3 2 - userId and anonymousId are missing' ], 'with the new reasons');
    is($sandbox->stats->{accepted}, 1, 'nothing more has arrived');

    sql(qq{UPDATE kseg.dead_letter SET event = (event::jsonb || '{"userId": "u3"}')::json WHERE run = '$run->{run}' AND row = 3});
    is(replay("run => '$run->{run}'"), '1 1', 'the corrected one arrives');
    $sandbox->faults();
    is(replay("run => '$run->{run}'"), '1 0', 'and the other one when Segment takes it');
    is(sql(q{SELECT count(*) FROM kseg.dead_letter}), 0, 'no letter is left');
    is_deeply({ map { $_->{event}{userId} => $_->{event}{messageId} } grep { $_->{event}{userId} ne 'u1' } $sandbox->events },
        { u2 => $ids{2}, u3 => $ids{3} }, 'with their ids, so that Segment tells repeats');

    # Nothing is lost, and nobody may send who could not have run it.
    $run = figures($super->run(track(q{SELECT NULL AS user_id, 1 AS n})));
    sql(qq{UPDATE kseg.dead_letter SET event = (event::jsonb || '{"userId": "u4"}')::json});
    $sandbox->faults({ action => { status => 503 } });
    my $failure = failure($super->run("SELECT * FROM kseg.replay_dead_letters(run => '$run->{run}')"));
    is($failure->{code}, '08006', 'Segment away: an error of class 08');
    like($failure->{detail}, qr/dead letters are kept/, 'which says that the letters are kept');
    $sandbox->faults();
    is(sql(q{SELECT count(*), max(attempts) FROM kseg.dead_letter}), '1|1', 'they are, as they were');
    sql('CREATE ROLE member LOGIN IN ROLE postgres; REVOKE USAGE ON FOREIGN SERVER segment FROM PUBLIC; CREATE ROLE nobody LOGIN;
        UPDATE kseg.dead_letter_entry SET run_by = $$nobody$$');
    my $nobody = run_session($node, user => 'nobody');
    is(failure($nobody->run("SELECT * FROM kseg.replay_dead_letters(run => '$run->{run}')"))->{code}, '42501', 'without USAGE: 42501');
    is(replay("run => '$run->{run}'"), '1 0', 'a superuser may');
};

subtest 'of a run to Kafka' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('run'), partitions => 3, config => { 'max.message.bytes' => 1000 });
    my $run = figures($super->run(KsegKafkaRun::produce(q{
        SELECT 'k' || n AS key, (SELECT string_agg(md5(g::text), '') FROM generate_series(1, n * n * n * n * 10) g) AS value,
            '{"a": "b", "n": null}'::jsonb AS headers, 2 AS partition FROM generate_series(1, 2) n},
        topic => $topic)));
    is("$run->{sent} $run->{rejected}", '1 1', 'one is too large for the topic');
    is(replay("run => '$run->{run}'"), '0 1', 'as it is it fails again');
    is($super->row(q{SELECT status || ' ' || attempts AS said FROM kseg.dead_letter})->{said}, '10 2', 'with Kafka\'s error');
    $kafka->configure_topic($topic, 'max.message.bytes' => 100_000);
    is(replay("run => '$run->{run}'"), '1 0', 'it arrives when the topic takes it');
    my ($message) = grep { $_->{key} eq 'k2' } $kafka->consume($topic);
    is_deeply([ @{$message}{qw(partition value)}, $message->{headers} ], [ 2, sql(q{SELECT string_agg(md5(g::text), '') FROM generate_series(1, 160) g}), [ [ 'a', 'b' ], [ 'n', undef ] ] ],
        'partition, value and headers are its own');
    is(sql(q{SELECT count(*) FROM kseg.dead_letter}), 0, 'no letter is left');
};

done_testing();
