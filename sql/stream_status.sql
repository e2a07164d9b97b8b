-- Looking at streams without a launcher: who sees what, what state is shown and why, and what health() says. Figures of running streams: t/085_status.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
SELECT kseg.connect_kafka('127.0.0.1:1', for_role => 'public') IS NOT NULL AS connected;
CREATE ROLE status_alice LOGIN;
CREATE ROLE status_bob LOGIN;
CREATE ROLE status_boss IN ROLE status_alice;
CREATE ROLE status_stranger NOINHERIT;
CREATE ROLE status_monitor IN ROLE pg_read_all_stats;
DO $$ BEGIN
    EXECUTE format('GRANT CREATE ON DATABASE %I TO status_alice, status_bob', current_database());
    EXECUTE 'GRANT EXECUTE ON FUNCTION kseg.stream_to_table, kseg.stop_stream TO status_alice, status_bob';
END $$;
GRANT CREATE ON SCHEMA public TO status_alice, status_bob;
GRANT USAGE ON FOREIGN SERVER kafka TO status_alice, status_bob;

SET ROLE status_alice;
CREATE FOREIGN TABLE a_topic (id int, name text) SERVER kafka OPTIONS (topic 'a');
CREATE TABLE a (id int PRIMARY KEY, name text);
SELECT kseg.stream_to_table('a', 'SELECT id, name FROM a_topic', 'public.a', key => '{id}', on_conflict => 'update');
SELECT kseg.stream_to_table('a2', 'SELECT id, name FROM a_topic', 'public.a', start => '{"0": 42, "3": 7}');
SELECT kseg.stop_stream('a2');
SET ROLE status_bob;
CREATE FOREIGN TABLE b_topic (id int, name text) SERVER kafka OPTIONS (topic 'b');
CREATE TABLE b (id int PRIMARY KEY, name text);
SELECT kseg.stream_to_table('b', 'SELECT id, name FROM b_topic', 'public.b', workers => 2);
RESET ROLE;
UPDATE kseg.stream_entry SET halted = 'gap', halted_at = now(), halted_sqlstate = '55000', halted_message = 'gone',
    halted_detail = 'from 5 to 9', halted_hint = 'reset it' WHERE name = 'b';

-- every role its own
CREATE FUNCTION pg_temp.seen() RETURNS TABLE (who name, streams text, states text, positions text) LANGUAGE sql AS $$
    SELECT current_user, (SELECT string_agg(name || ' of ' || owner, ', ' ORDER BY name) FROM kseg.stream),
        (SELECT string_agg(stream || ' ' || state, ', ' ORDER BY stream) FROM kseg.stream_status),
        (SELECT string_agg(format('%s %s/%s@%s', stream, topic, partition, "offset"), ', ' ORDER BY stream, partition)
         FROM kseg.position) $$;
SET ROLE status_alice; SELECT * FROM pg_temp.seen();
SET ROLE status_bob; SELECT * FROM pg_temp.seen();
SET ROLE status_boss; SELECT * FROM pg_temp.seen();
SET ROLE status_stranger; SELECT * FROM pg_temp.seen();
SET ROLE status_monitor; SELECT * FROM pg_temp.seen();
RESET ROLE;
SELECT streams, states, positions FROM pg_temp.seen();

-- a role that is renamed keeps its streams; in a copy of the database they go by name
ALTER ROLE status_alice RENAME TO status_alicia;
SET ROLE status_alicia; SELECT * FROM pg_temp.seen(); RESET ROLE;
ALTER ROLE status_alicia RENAME TO status_alice;
BEGIN;
UPDATE kseg.stream_entry SET database = 1, owner = 'status_bob'::regrole WHERE name = 'a';
UPDATE kseg.stream_entry SET system_identifier = 1, owner = 'status_stranger'::regrole WHERE name = 'a2';
SET LOCAL ROLE status_alice; SELECT * FROM pg_temp.seen();
SET LOCAL ROLE status_bob; SELECT * FROM pg_temp.seen();
SET LOCAL ROLE status_stranger; SELECT * FROM pg_temp.seen();
RESET ROLE;
-- where they do not run until somebody starts them; one that was stopped is just that
SELECT name, halted, sqlstate, message, hint FROM kseg.stream ORDER BY name;
SELECT stream, state, last_error, trouble FROM kseg.stream_status ORDER BY stream;
ROLLBACK;

-- what is shown of them
\x on
SELECT stream, state, since IS NOT NULL AS since, pid, workers, workers_running, position, lag_messages, lag_seconds, last_error,
    last_error_at IS NOT NULL AS at, next_try, trouble
FROM kseg.stream_status ORDER BY stream;
SELECT name, owner, query, target, key, on_conflict, enabled, halted, sqlstate, message, detail, hint FROM kseg.stream ORDER BY name;
\x off

-- since when: one that is halted, since it halted; any other, since somebody started or stopped it
CREATE FUNCTION pg_temp.is_since_when(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    UPDATE kseg.stream_entry SET changed_at = '2026-01-02', halted_at = '2026-01-03';
    EXECUTE 'SELECT ' || what;
    RETURN (SELECT changed_at >= now() FROM kseg.stream_entry WHERE name = 'a2');
END $$;
BEGIN;
UPDATE kseg.stream_entry SET changed_at = '2026-01-02', halted_at = '2026-01-03';
SELECT stream, state, since::date FROM kseg.stream_status WHERE stream <> 'a' ORDER BY 1;
SELECT state, since = pg_postmaster_start_time() AS since_the_server FROM kseg.stream_status WHERE stream = 'a';
UPDATE kseg.stream_entry SET database = 1 WHERE name = 'a';
SELECT state, since FROM kseg.stream_status WHERE stream = 'a';
SELECT pg_temp.is_since_when($$kseg.start_stream('a2')$$) AS start, pg_temp.is_since_when($$kseg.start_stream('a2')$$) AS start_again,
    pg_temp.is_since_when($$kseg.stop_stream('a2')$$) AS stop, pg_temp.is_since_when($$kseg.stop_stream('a2')$$) AS stop_again,
    pg_temp.is_since_when($$kseg.alter_stream('a2', batch_rows => 7)$$) AS alter, pg_temp.is_since_when($$kseg.reset_stream('a2', 'latest')$$) AS reset;
UPDATE kseg.stream_entry SET halted = 'gap' WHERE name = 'a2';
SELECT pg_temp.is_since_when($$kseg.reset_stream('a2', 'latest')$$) AS reset_of_a_gap;
ROLLBACK;

-- a view's column leaks nothing to a function that is cheaper than its conditions
SET ROLE status_bob;
CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
SET client_min_messages = notice;
SELECT name FROM kseg.stream WHERE pg_temp.leak(query);
SELECT stream FROM kseg.position WHERE pg_temp.leak(topic);
SET client_min_messages = warning;
-- and its tables are nobody's
SELECT * FROM kseg.stream_entry;
SELECT * FROM kseg.position_entry;
UPDATE kseg.stream SET query = 'SELECT 1';
RESET ROLE;

-- health: one's own streams; a state that needs somebody is not ok
CREATE FUNCTION pg_temp.health() RETURNS TABLE ("check" text, ok boolean, detail text, hint text) LANGUAGE sql AS $$
    SELECT "check", ok, replace(detail, kseg.library_version(), 'VERSION'), hint FROM kseg.health() WHERE "check" <> 'courier' $$;
SELECT * FROM pg_temp.health();
SELECT ok FROM kseg.health() WHERE "check" = 'courier';
SET ROLE status_stranger;
SELECT "check", ok, detail FROM pg_temp.health();
RESET ROLE;
BEGIN;
INSERT INTO kseg.dead_letter_entry (stream, run_by, server, call, reason, created)
    VALUES ('a', 'status_alice', 'kafka', 'stream', 'r', '2026-01-02 03:04'), ('a', 'status_alice', 'kafka', 'stream', 'r', now()),
           ('b', 'status_bob', 'kafka', 'stream', 'r', '2026-01-02 03:04'),
           (NULL, 'status_bob', 'segment', 'track', 'r', '2026-02-03 04:05');
UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'kseg';
SELECT "check", ok, detail FROM pg_temp.health() WHERE "check" ~ 'dead|version';
SET LOCAL ROLE status_boss;
SELECT "check", detail FROM kseg.health() WHERE "check" ~ 'dead|stream';
ROLLBACK;

-- how far behind: what the workers' slots would say, in place of the slots
BEGIN;
CREATE TEMP TABLE slot AS SELECT * FROM kseg.stream_slots() LIMIT 0;
CREATE OR REPLACE FUNCTION kseg.stream_slots()
RETURNS TABLE (stream bigint, worker integer, workers integer, state text, since timestamptz, pid integer, messages bigint,
    rows bigint, batches bigint, dead_letters bigint, bytes bigint, lag_messages bigint, oldest timestamptz, newest timestamptz,
    settled timestamptz, rows_per_second double precision, failures integer, next_try timestamptz, trouble text,
    sqlstate text, last_error text, last_error_at timestamptz) LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY TABLE slot; END $$;
UPDATE kseg.stream_entry SET halted = NULL, halted_message = NULL WHERE name = 'b';
-- The slots of b: state, for how long, messages behind, and how old the oldest is; of both workers.
CREATE FUNCTION pg_temp.late(state text, since interval, lags bigint[], ages interval[], batch_interval interval DEFAULT '0')
RETURNS TABLE (state text, lag_messages bigint, lag_seconds int, ok boolean, hint text) LANGUAGE sql AS $$
    UPDATE kseg.stream_entry SET batch_interval = $5 WHERE name = 'b';
    DELETE FROM slot;
    INSERT INTO slot (stream, worker, workers, state, since, pid, lag_messages, oldest, newest, failures)
        SELECT id, w, 2, $1, now() - $2, 1, $3[w], now() - $4[w], now() - interval '1 day', 0 FROM kseg.stream_entry, generate_series(1, 2) w WHERE name = 'b';
    -- Seconds by the half minute: this takes less.
    SELECT s.state, s.lag_messages, (s.lag_seconds / 30)::int * 30, h.ok, h.hint
        FROM kseg.stream_status s, kseg.health() h WHERE s.stream = 'b' AND h."check" = 'stream b' $$;
-- the oldest of any worker, whatever is settled; not known of one, not known
SELECT * FROM pg_temp.late('running', '1 day', '{0, 0}', '{NULL, NULL}');
SELECT * FROM pg_temp.late('running', '1 day', '{3, 0}', '{30 seconds, NULL}');
SELECT * FROM pg_temp.late('running', '1 day', '{3, 4}', '{30 seconds, 90 seconds}');
SELECT * FROM pg_temp.late('running', '1 day', '{3, 4}', '{-1 hour, NULL}');
SELECT * FROM pg_temp.late('running', '1 day', '{3, NULL}', '{NULL, 90 seconds}');
-- what waits for its batch to fill is not late
SELECT * FROM pg_temp.late('running', '1 day', '{3, 4}', '{30 seconds, 90 seconds}', '1 minute');
SELECT * FROM pg_temp.late('running', '1 day', '{3, 4}', '{30 seconds, 150 seconds}', '1 minute');
-- not known yet, and not known for long
SELECT * FROM pg_temp.late('starting', '30 seconds', '{NULL, NULL}', '{NULL, NULL}');
SELECT * FROM pg_temp.late('starting', '90 seconds', '{NULL, NULL}', '{NULL, NULL}');
SELECT * FROM pg_temp.late('running', '90 seconds', '{0, NULL}', '{NULL, NULL}');
SELECT * FROM pg_temp.late('retrying', '90 seconds', '{3, 0}', '{30 seconds, NULL}');
-- one that somebody has stopped may be behind
UPDATE slot SET pid = NULL, oldest = now() - interval '1 hour';
UPDATE kseg.stream_entry SET enabled = false WHERE name = 'b';
SELECT s.state, h.ok, h.hint FROM kseg.stream_status s, kseg.health() h WHERE s.stream = 'b' AND h."check" = 'stream b';
ROLLBACK;

-- names of the caller's own do not get in between
CREATE SCHEMA trap;
CREATE FUNCTION trap.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 666::bigint';
CREATE FUNCTION trap.wrong(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.wrong);
SET search_path = trap, pg_catalog;
SELECT stream, state FROM kseg.stream_status ORDER BY stream;
SELECT "check", ok FROM kseg.health() WHERE "check" OPERATOR(pg_catalog.~) 'version|stream';
RESET search_path;

DROP OWNED BY status_alice, status_bob;
DROP ROLE status_boss, status_alice, status_bob, status_stranger, status_monitor;
