# Runs inside whatever SQL can be inside of, and what a failure, a timeout or a rollback there leaves: the events that were
# sent, and nothing else that is not said.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node = new_cluster('modes');
my $sandbox = start_sandbox();
my $refusing = start_sandbox();
my $limiting = start_sandbox();
my $silent = silent_server();
$refusing->faults({ action => { status => 500 } });
$limiting->faults({ action => { status => 429, retry_after => 20 } });
connect_segment($node, $sandbox);
connect_segment($node, $sandbox, server => 'small', upload_size => 100, max_queue_size => 500);
connect_segment($node, $refusing, server => 'refusing', max_retries => 1000);
connect_segment($node, $refusing, server => 'failing', max_retries => 0);
connect_segment($node, $limiting, server => 'limiting');
connect_segment($node, $silent, server => 'silent');

my $session = run_session($node);
my $pid = $session->pid;
my $few = 'SELECT g AS user_id FROM generate_series(1, 3) g';
my $invalid = q{SELECT CASE WHEN g = 2 THEN '' ELSE 'u' || g END AS user_id FROM generate_series(1, 3) g};
my ($result, $failure, $figures, $stats);

sub value { return $node->safe_psql('postgres', $_[0]) }
sub recorded { return value('SELECT (SELECT count(*) FROM kseg.run) || $$ $$ || (SELECT count(*) FROM kseg.dead_letter)') }

sub forget
{
    value('DELETE FROM kseg.run_entry; DELETE FROM kseg.dead_letter_entry');
    wait_until_idle($sandbox);
    $sandbox->reset;
    return;
}

# Runs in the session; the result must have no error.
sub run_ok
{
    my ($name, $sql) = @_;
    $result = $session->run($sql);
    is(failure($result), undef, "$name: no error") or diag $result->{err};
    return $result->{out};
}

# ---- the query fails

for my $on_failure ('error', 'report')
{
    my $case = "a query that fails midway, on_failure $on_failure";
    forget();
    $failure = failure($session->run(track('SELECT g AS user_id, 1 / (9000 - g) AS x FROM generate_series(1, 20000) g',
        server => 'small', on_failure => $on_failure)));
    is("$failure->{code} $failure->{message}", '22012 division by zero', "$case: its own error is passed on");
    my ($rows, $sent) = $failure->{context} =~ /^kseg run [0-9a-f-]{36}: (\d+) rows read, (\d+) events sent before$/m;
    is($rows, 8999, "$case: the context says how far it was");
    cmp_ok($sent, '>=', 8000, "$case: and how much was sent");
    cmp_ok(wait_until_idle($sandbox)->{accepted}, '>=', $sent, "$case: which has arrived");
    is_deeply([ couriers_of($pid) ], [], "$case: no courier is left");
    is(recorded(), '0 0', "$case: nothing is recorded");
}

$failure = failure($session->run(track($invalid, on_invalid => 'error')));
is($failure->{code}, '22000', 'on_invalid error: SQLSTATE');
like($failure->{message}, qr/^row 2\b.*column "user_id": user id is/, 'on_invalid error: row and column are named');
is_deeply([ couriers_of($pid) ], [], 'on_invalid error: no courier is left');

# ---- timeout of the whole run, wherever it is

for my $phase (
    [ 'before the first row', 'segment', q{SELECT 'x' AS user_id FROM pg_sleep(60)}, 0 ],
    [ 'waiting for credit', 'silent', 'SELECT g AS user_id FROM generate_series(1, 200000) g', undef ],
    [ 'finishing', 'silent', $few, 3 ],
    [ 'trying again', 'refusing', $few, 3 ],
    [ 'pausing after 429', 'limiting', $few, 3 ])
{
    my ($name, $server, $query, $rows) = @$phase;
    my $case = "timeout $name";
    $result = $session->run(track($query, server => $server, timeout => '400 ms'));
    $failure = failure($result);
    is("$failure->{code} $failure->{message}", '57014 the run was stopped by its timeout', "$case: error");
    like($failure->{detail}, qr/^timeout is 0\.4 seconds\. Run [0-9a-f-]+: \d+ rows, 0 sent, /, "$case: detail");
    like($failure->{detail}, qr/ $rows rows, .* $rows open/, "$case: figures") if defined $rows;
    like($failure->{hint}, qr/^Raise timeout/, "$case: hint");
    cmp_ok($result->{seconds}, '>=', 0.4, "$case: not before its time");
    is_deeply([ couriers_of($pid) ], [], "$case: no courier is left");

    $figures = figures($result = $session->run(track($query, server => $server, timeout => '400 ms', on_failure => 'report')));
    is("$figures->{sent} $figures->{first_problem}", '0 the run was stopped by its timeout', "$case: reported");
    is(value("SELECT (rows = open) || failure FROM kseg.run WHERE run = '$figures->{run}'"), 'truethe run was stopped by its timeout',
        "$case: recorded, with every row open");
}
# A timeout that is set, and a run that is over: what comes after in the same statement is not stopped.
is(run_ok('after a timeout', 'SELECT sent, pg_sleep(3.5) IS NOT NULL FROM kseg.segment_track_from_query($$' . $few .
    '$$, event => $$E$$, timeout => $$3 s$$)'), '3|t', 'a timeout ends with its run');

# ---- transactions

forget();
my $notes = q{SELECT g AS user_id, 'in a transaction' AS note FROM generate_series(1, 5) g UNION ALL SELECT NULL, 'bad'};
run_ok('a run that is rolled back', 'BEGIN');
$figures = figures($session->run(track($notes)));
is("$figures->{sent} $figures->{invalid}", '5 1', 'a run that is rolled back: sends');
is($session->run('SELECT (SELECT count(*) FROM kseg.run) + (SELECT count(*) FROM kseg.dead_letter)')->{out}, '2', 'a run that is rolled back: its transaction sees the record');
run_ok('a run that is rolled back', 'ROLLBACK');
is(recorded(), '0 0', 'a run that is rolled back: the record is gone');
is($sandbox->stats->{accepted}, 5, 'a run that is rolled back: the events are not');
$figures = figures($session->run(track($notes)));
$stats = $sandbox->stats;
is("$figures->{sent} $stats->{accepted} $stats->{repeated} " . recorded(), '5 5 5 1 1', 'a run that is rolled back: its repeat is harmless, and recorded');

forget();
run_ok('savepoints', 'BEGIN; SAVEPOINT one');
$failure = failure($session->run(track($few, server => 'failing')));
is($failure->{code}, '08006', 'savepoints: a failed run');
is_deeply([ couriers_of($pid) ], [], 'savepoints: no courier is left');
run_ok('savepoints', 'ROLLBACK TO one');
run_ok('savepoints', track($few));
run_ok('savepoints', 'SAVEPOINT two');
run_ok('savepoints', track($notes));
run_ok('savepoints', 'ROLLBACK TO two; COMMIT');
is(recorded(), '1 0', 'savepoints: what is recorded is what was not rolled back');
is($sandbox->stats->{accepted}, 8, 'savepoints: what was sent stays sent');

forget();
run_ok('READ ONLY', 'BEGIN READ ONLY');
$figures = figures($session->run(track($invalid, on_invalid => 'skip')));
is("$figures->{sent} $figures->{invalid}", '2 1', 'READ ONLY: sends with on_invalid skip');
run_ok('READ ONLY', 'COMMIT');
is(recorded(), '0 0', 'READ ONLY: nothing is recorded');

# ---- PL/pgSQL

forget();
my $holder = run_session($node);
$holder->run('SELECT pg_advisory_lock(16)');
$session->start(q{DO $do$
    DECLARE problem text; detail text;
    BEGIN
        CREATE TEMP TABLE before AS SELECT 1 AS x;
        BEGIN
            PERFORM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', server => 'failing');
        EXCEPTION WHEN connection_failure THEN
            GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        END;
        PERFORM pg_advisory_xact_lock(16);
        CREATE TEMP TABLE caught AS SELECT problem, detail, (SELECT count(*) FROM before) AS before;
        PERFORM kseg.segment_track_from_query('SELECT 2 AS user_id', event => 'E');
    END $do$});
wait_for('block waiting for its lock', sub {
    my $event = value("SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity WHERE pid = $pid");
    return ($event eq 'Lock advisory', $event);
});
is_deeply([ couriers_of($pid) ], [], 'a caught failure: no courier is left, while its transaction goes on');
is(value('SELECT count(*) FROM kseg.progress'), '0', 'a caught failure: and no progress');
$holder->run('SELECT pg_advisory_unlock(16)');
is($session->finish->{err}, '', 'a caught failure: the block ends in order');
is($session->run('SELECT problem, before FROM caught')->{out}, 'could not deliver events: gave up after 1 attempts of a request|1', 'a caught failure: is told');
like($session->run('SELECT detail FROM caught')->{out}, qr/1 rows, 0 sent, .* 1 open/, 'a caught failure: with its figures');
is($sandbox->stats->{accepted} . ' ' . recorded(), '1 1 0', 'a caught failure: the run after it sends');

forget();
run_ok('a procedure', q{
    CREATE PROCEDURE send(times int) LANGUAGE plpgsql AS $$
    BEGIN
        FOR i IN 1 .. times LOOP
            PERFORM kseg.segment_track_from_query('SELECT ' || i || ' AS user_id', event => 'E');
            COMMIT;
        END LOOP;
    END $$;
    CREATE FUNCTION inner_send(event text) RETURNS bigint LANGUAGE plpgsql AS
        $$ BEGIN RETURN (SELECT sent FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => inner_send.event)); END $$;
    CREATE FUNCTION outer_send(event text) RETURNS bigint LANGUAGE sql AS $$ SELECT inner_send(event) + inner_send(event || ' again') $$;
    CREATE FUNCTION catching_send() RETURNS text LANGUAGE plpgsql AS $$
        BEGIN RETURN kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', server => 'failing');
        EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$});
run_ok('a procedure', 'CALL send(5)');
is($sandbox->stats->{accepted} . ' ' . recorded(), '5 5 0', 'a procedure that commits in between');
is(run_ok('nested functions', "SELECT outer_send('nested'), outer_send('and once more')"), '2|2', 'nested functions send');
is(run_ok('failures in a row', 'SELECT DISTINCT catching_send() FROM generate_series(1, 20)'), '08006', 'twenty failures in one statement');
is_deeply([ couriers_of($pid) ], [], 'failures in a row: no courier is left');

# ---- as somebody else

forget();
value(q{
    CREATE ROLE owner LOGIN; CREATE ROLE caller LOGIN;
    CREATE SERVER theirs FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint '} . $sandbox->url . q{');
    CREATE USER MAPPING FOR owner SERVER theirs OPTIONS (write_key '} . $sandbox->key . q{');
    GRANT USAGE ON FOREIGN SERVER theirs TO owner;
    GRANT CREATE ON SCHEMA public TO owner;
    CREATE TABLE secret AS SELECT 'hidden' AS user_id;
    GRANT SELECT ON secret TO owner;
    SET ROLE owner;
    CREATE FUNCTION send_for_all() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public AS
        $$ SELECT sent FROM kseg.segment_track_from_query('SELECT * FROM secret', event => 'E', server => 'theirs') $$});
my $caller = run_session($node, user => 'caller');
is($caller->run('SELECT send_for_all()')->{out}, '1', "SECURITY DEFINER: the definer's mapping and rights are used");
is(value('SELECT run_by FROM kseg.run'), 'owner', 'SECURITY DEFINER: and the run is the definer\'s');
is($caller->run('SELECT count(*) FROM kseg.run')->{out}, '0', 'SECURITY DEFINER: the caller does not see it');
is(failure($caller->run(track($few, server => 'theirs')))->{code}, '42501', 'SECURITY DEFINER: by himself the caller cannot send');
$caller->quit;

# ---- cursors and prepared statements

forget();
for my $hold ('', ' WITH HOLD')
{
    my $case = "a cursor$hold";
    run_ok($case, "BEGIN; DECLARE c CURSOR$hold FOR SELECT sent FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'cursor$hold')");
    is($sandbox->stats->{requests}, 0, "$case: sends nothing before it is asked");
    is(run_ok($case, 'COMMIT; FETCH c; CLOSE c'), 1, "$case: runs at COMMIT") if $hold;
    is(run_ok($case, 'FETCH c; FETCH c; CLOSE c; COMMIT'), 1, "$case: runs at FETCH, once") if !$hold;
    is($sandbox->stats->{requests} . ' ' . recorded(), '1 1 0', "$case: it was one run");
    forget();
}

run_ok('a prepared statement', q{PREPARE send(text) AS SELECT sent FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => $1)});
is(join(' ', map { run_ok('a prepared statement', "EXECUTE send('event $_')") } 1 .. 7), '1 1 1 1 1 1 1', 'a prepared statement sends each time');
is($sandbox->stats->{accepted} . ' ' . recorded(), '7 7 0', 'a prepared statement: generic plan or not');

forget();
is(run_ok('two runs', q{SELECT a.sent + b.sent FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'a') a,
    kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'b') b}), '2', 'two runs in one statement');

# ---- two sessions at once

forget();
my @sessions = map { run_session($node) } 1 .. 2;
$holder->run('SELECT pg_advisory_lock(17)');
$sessions[$_]->start(track("SELECT g AS user_id, (SELECT 1 FROM pg_advisory_xact_lock_shared(17)) AS n FROM generate_series(1, 20000) g", event => "session $_")) for 0, 1;
wait_for_phase($node, $_->pid, 'sending') for @sessions;
is(value('SELECT count(DISTINCT run) FROM kseg.progress'), '2', 'two sessions are sending at once');
$holder->run('SELECT pg_advisory_unlock(17)');
is(figures($_->finish)->{sent}, 20000, 'each sends its own') for @sessions;
is_deeply($sandbox->stats->{by_event}, { 'session 0' => 20000, 'session 1' => 20000 }, 'and all of it arrives');

# ---- parallel plans

value('CREATE TABLE large AS SELECT g AS n, CASE WHEN g % 1000 = 0 THEN $$$$ ELSE $$u$$ || g END AS user_id FROM generate_series(1, 30000) g; ANALYZE large');
my $parallel = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2';
my $debug = value("SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') ORDER BY 1 LIMIT 1");
for my $case (
    [ 'a parallel plan', $parallel, 'SELECT user_id, n FROM large WHERE n > 0' ],
    [ 'a parallel plan that is forced', "SET $debug = on", 'SELECT user_id, n FROM large' ])
{
    my ($name, $set, $query) = @$case;
    forget();
    my $leader = run_session($node);
    $leader->run($set);
    # The first answers are held back until somebody has looked: the query waits in its middle, its workers too.
    $sandbox->faults({ action => { how => 'hang' } });
    $leader->start(track($query));
    wait_until_held($node, $leader->pid);
    my $workers = value('SELECT count(*) FROM pg_stat_activity WHERE leader_pid = ' . $leader->pid);
    cmp_ok($workers, '>=', 1, "$name: workers are at work");
    $sandbox->reset;
    $result = $leader->finish;
    $figures = figures($result);
    is("$figures->{rows} $figures->{sent} $figures->{invalid}", '30000 29970 30', "$name: figures");
    is($sandbox->stats->{accepted}, 29970, "$name: everything arrives");
    is(value('SELECT count(*), count(DISTINCT row), count(DISTINCT event->$$properties$$->>$$n$$) FROM kseg.dead_letter'), '30|30|30',
        "$name: its invalid rows are dead letters");
    like(warning_of($result)->{message}, qr/^30 of 30000 rows were not delivered: 30 invalid, 0 rejected$/, "$name: and are warned of");
    is(figures($leader->run(track($query, row_limit => 100)))->{rows}, 100, "$name: row_limit stops it");

    $leader->start(track($query, server => 'silent'));
    wait_until_held($node, $leader->pid);
    kill 'INT', $leader->pid;
    is(failure($leader->finish)->{code}, '57014', "$name: a cancel stops it");
    is(value('SELECT count(*) FROM pg_stat_activity WHERE leader_pid = ' . $leader->pid), '0', "$name: and its workers");
    is_deeply([ couriers_of($leader->pid) ], [], "$name: and its courier");
    $leader->quit;
}

# ---- more than work_mem holds: dead letters, and ids

forget();
run_ok('many dead letters', q{SET work_mem = '64kB'});
$result = $session->run(track(q{SELECT '' AS user_id, g AS n, repeat('x', 500) AS note FROM generate_series(1, 3000) g}));
is(figures($result)->{invalid}, 3000, 'many dead letters: all of them are counted');
is(value('SELECT count(*) FROM kseg.dead_letter'), '3000', 'many dead letters: and kept');
unlike($result->{err}, qr/leak/, 'many dead letters: and no temporary file is forgotten');
for my $case ([ 'segment', 20000 ], [ 'failing', 0 ])
{
    my ($server, $sent) = @$case;
    $result = $session->run(track('SELECT g % 20000 AS user_id FROM generate_series(1, 40000) g', server => $server, on_failure => 'report'));
    is(figures($result)->{sent}, $sent, "many ids, server $server: figures");
    unlike($result->{err}, qr/leak/, "many ids, server $server: no temporary file is forgotten");
}
ok(slurp_file($node->logfile) !~ qr/WARNING:.*leak|PANIC|TRAP/, 'the log knows of nothing worse either');
done_testing();
