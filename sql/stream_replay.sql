-- Dead letters of streams once more: corrected, filtered, as whom, and what a replay must not do. No broker is asked. Those of runs: t/086_replay.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
SELECT kseg.connect_kafka('127.0.0.1:1', for_role => 'public') IS NOT NULL AS connected;
CREATE ROLE replay_alice LOGIN;
CREATE ROLE replay_boss LOGIN IN ROLE replay_alice;
CREATE ROLE replay_mallory LOGIN;
GRANT CREATE ON SCHEMA public TO replay_alice, replay_mallory;
GRANT USAGE ON FOREIGN SERVER kafka TO replay_alice, replay_mallory;
GRANT EXECUTE ON FUNCTION kseg.stream_to_table, kseg.drop_stream TO replay_alice, replay_mallory;

SET ROLE replay_alice;
CREATE FOREIGN TABLE orders_topic (
    id int, customer text, total numeric, key text OPTIONS (meta 'key'), at timestamptz OPTIONS (meta 'timestamp'),
    place bigint OPTIONS (meta 'offset'), part int OPTIONS (meta 'partition'), topic text OPTIONS (meta 'topic'),
    headers jsonb OPTIONS (meta 'headers'), unused int) SERVER kafka OPTIONS (topic 'orders');
CREATE TABLE town (name text PRIMARY KEY);
INSERT INTO town VALUES ('Jena');
CREATE TABLE orders (
    id int PRIMARY KEY, customer text NOT NULL, total numeric CHECK (total >= 0), key text, at timestamptz, place bigint, part int,
    topic text, headers jsonb, town text REFERENCES town DEFERRABLE INITIALLY DEFERRED);
SELECT kseg.stream_to_table('orders', $$
    SELECT id, customer, total, key, at, place, part, topic, headers,
           CASE WHEN customer LIKE 'of %' THEN substr(customer, 4) END AS town FROM orders_topic$$,
    'public.orders', key => '{id}', on_conflict => 'update', delete_when => 'total = 0');
RESET ROLE;

-- A letter as a worker leaves it.
CREATE FUNCTION letter(place bigint, value text, stream text DEFAULT 'orders', run_by text DEFAULT 'replay_alice') RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO kseg.dead_letter_entry (stream, run_by, server, call, topic, partition, "offset", message_time, key, value, headers, sqlstate, reason)
    VALUES (stream, run_by, 'kafka', 'stream', 'orders', 3, place, '2026-01-02 03:04:05.678+00', 'k' || place::text::bytea,
            convert_to(value, 'UTF8'), '[["trace", "a"], ["bin", {"base64": "/w=="}]]', '22P02', 'old');
END;
SELECT FROM letter(1, '{"id": 1, "customer": "fine", "total": 5, "unused": "no number"}');
SELECT FROM letter(2, '{"id": "x", "customer": "wörn", "total": 5}');
SELECT FROM letter(3, '{"id": 3, "total": 5}');
SELECT FROM letter(4, 'no JSON');
SELECT FROM letter(5, '{"id": 5, "customer": "a", "total": -1}');
SELECT FROM letter(6, '{"id": 6, "customer": "of Gera", "total": 1}');
SELECT FROM letter(7, '{"id": 1, "customer": "later", "total": 7}');
SELECT FROM letter(8, NULL);
SELECT FROM letter(9, '{"id": 9, "customer": "cut", "total": 7}');
UPDATE kseg.dead_letter_entry SET incomplete = true WHERE "offset" = 9;

-- each by its own fault, the others applied, as they were
SET ROLE replay_alice;
SELECT * FROM kseg.replay_dead_letters(stream => 'orders');
SELECT id, customer, total, key, extract(epoch FROM at) AS at, place, part, topic, headers, town FROM orders ORDER BY id;
SELECT "offset", sqlstate, attempts, status, reason FROM kseg.dead_letter ORDER BY id;

-- corrected: value by value, by definition, by what the target refers to
UPDATE kseg.dead_letter SET value = convert_to(replace(convert_from(value, 'UTF8'), '"x"', '2'), 'UTF8') WHERE "offset" = 2;
UPDATE kseg.dead_letter SET value = '{"id": 9, "customer": "whole", "total": 9}', incomplete = false, headers = NULL, key = NULL WHERE "offset" = 9;
ALTER TABLE orders ALTER customer SET DEFAULT 'nobody', ALTER customer DROP NOT NULL;
INSERT INTO town VALUES ('Gera');
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', filter => 'sqlstate ~ ''^(23|54)'' AND "offset" <> 5', row_limit => 1);
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', filter => 'sqlstate ~ ''^(23|54)'' AND "offset" <> 5 -- the end');
SELECT * FROM kseg.replay_dead_letters(filter => 'convert_from(value, ''UTF8'') LIKE ''%wörn%''');
SELECT id, customer, total, key, headers, town FROM orders ORDER BY id;
SELECT "offset", sqlstate, attempts FROM kseg.dead_letter ORDER BY id;

-- deletes are deletes, and a rollback takes everything back
SELECT FROM kseg.discard_dead_letters();
RESET ROLE;
SELECT FROM letter(10, '{"id": 1, "total": 0}');
SET ROLE replay_alice;
BEGIN;
SELECT * FROM kseg.replay_dead_letters(stream => 'orders');
SELECT count(*) AS of_1 FROM orders WHERE id = 1;
ROLLBACK;
SELECT (SELECT count(*) FROM orders WHERE id = 1) AS of_1, (SELECT count(*) FROM kseg.dead_letter) AS letters;

-- what is not of the syntax, and what is not there
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', filter => 'true) OR (true');
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', filter => 'true; DROP TABLE orders');
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', filter => 'nothing');
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', row_limit => 0);
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', run => '00000000-0000-0000-0000-000000000000');
SELECT * FROM kseg.replay_dead_letters(stream => 'order');
SELECT * FROM kseg.replay_dead_letters(run => '00000000-0000-0000-0000-000000000000');
UPDATE kseg.dead_letter SET reason = 'other';
UPDATE kseg.dead_letter SET run_by = 'postgres';
RESET ROLE;

-- nobody's fault but the definition's: nothing has happened
ALTER TABLE orders DROP COLUMN town;
SET ROLE replay_alice;
SELECT * FROM kseg.replay_dead_letters(stream => 'orders');
SELECT "offset", sqlstate, attempts FROM kseg.dead_letter ORDER BY id;
ALTER TABLE orders ADD COLUMN town text REFERENCES town DEFERRABLE INITIALLY DEFERRED;

-- as whom: another's are not seen; a member and a superuser run them as the owner
SET ROLE replay_mallory;
SELECT * FROM kseg.replay_dead_letters();
SELECT kseg.discard_dead_letters(stream => 'orders');
RESET ROLE;
SELECT FROM letter(11, '{"id": 11, "total": 1}', 'orders', 'replay_mallory');
SET ROLE replay_mallory;
SELECT * FROM kseg.replay_dead_letters(stream => 'orders');
RESET ROLE;
DELETE FROM kseg.dead_letter WHERE "offset" = 11;
CREATE TABLE seen (what text, who name, session name, path text);
GRANT INSERT ON seen TO PUBLIC;
SET ROLE replay_alice;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.seen VALUES (TG_NAME, current_user, session_user, current_setting('search_path'));
    RETURN NULL;
END $$;
CREATE TRIGGER at_once AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR UPDATE ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
RESET ROLE;
SELECT FROM letter(12, '{"id": 12, "customer": "member", "total": 1}');
SELECT FROM letter(13, '{"id": 13, "customer": "superuser", "total": 1}');
SET ROLE replay_boss;
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', filter => '"offset" = 12');
SELECT current_user;
RESET ROLE;
SET search_path = pg_catalog, public;
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', filter => '"offset" = 13');
SHOW search_path;
RESET search_path;
SELECT what, who, path FROM seen ORDER BY ctid;
DROP TRIGGER at_once ON orders;
DROP TRIGGER deferred ON orders;

-- the weaker owner's code gains nothing in the stronger caller's session
SET ROLE replay_mallory;
CREATE FOREIGN TABLE evil_topic (what text) SERVER kafka OPTIONS (topic 'evil');
CREATE TABLE evil (what text);
SELECT kseg.stream_to_table('evil', 'SELECT what FROM evil_topic', 'public.evil');
CREATE FUNCTION evil_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE NEW.what;
    RETURN NEW;
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR object_not_in_prerequisite_state OR insufficient_resources THEN
    RAISE EXCEPTION 'refused: %', SQLERRM;
END $$;
CREATE TRIGGER evil_run BEFORE INSERT ON evil FOR EACH ROW EXECUTE FUNCTION evil_run();
CREATE FUNCTION evil_later() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.seen VALUES (TG_NAME, current_user, session_user); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER evil_later AFTER INSERT ON evil DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION evil_later();
RESET ROLE;
TRUNCATE seen;
SELECT FROM (VALUES
    (1, '{"what": "RESET ROLE"}'),
    (2, '{"what": "SET SESSION AUTHORIZATION DEFAULT"}'),
    (3, '{"what": "CREATE TEMP TABLE trap (a int)"}'),
    (4, '{"what": "ALTER ROLE replay_mallory SUPERUSER"}'),
    (5, '{"what": "SET CONSTRAINTS ALL DEFERRED"}'),
    (6, '{"what": "SET work_mem = ''99MB''"}'),
    (7, '{"what": "SET search_path = public"}'),
    (8, '{"what": "SELECT kseg.replay_dead_letters(stream => ''evil'')"}')) v (n, x),
    letter(n, x, 'evil', 'replay_mallory');
SHOW work_mem;
\set VERBOSITY terse
SELECT * FROM kseg.replay_dead_letters(stream => 'evil', filter => '"offset" = 5');
\set VERBOSITY default
BEGIN;
SELECT replayed, failed FROM kseg.replay_dead_letters(stream => 'evil', filter => '"offset" <> 5');
SELECT what, who FROM seen ORDER BY ctid;
COMMIT;
SHOW work_mem;
SHOW search_path;
SELECT current_user = session_user AS myself;
SELECT what, who FROM seen ORDER BY ctid;
SELECT "offset", sqlstate, left(reason, 7) AS reason FROM kseg.dead_letter WHERE stream = 'evil' ORDER BY id;

-- what the caller has deferred himself fires before, as himself
SET ROLE replay_alice;
CREATE CONSTRAINT TRIGGER mine AFTER INSERT ON town DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
RESET ROLE;
TRUNCATE seen;
SELECT FROM letter(14, '{"id": 14, "customer": "x", "total": 1}');
BEGIN;
INSERT INTO town VALUES ('Suhl');
SELECT count(*) FROM seen;
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', filter => '"offset" = 14');
SELECT what, who = session_user AS myself FROM seen;
COMMIT;

-- the order is that of the letters; a stream that is gone
SELECT FROM generate_series(1, 3) n, letter(20 + n, format('{"id": 20, "customer": "c%s", "total": 1}', n));
SELECT * FROM kseg.replay_dead_letters(stream => 'orders', filter => '"offset" > 20');
SELECT customer, place FROM orders WHERE id = 20;
SET ROLE replay_alice;
SELECT kseg.drop_stream('orders');
SELECT * FROM kseg.replay_dead_letters(stream => 'orders');
SELECT kseg.discard_dead_letters(stream => 'orders', filter => '"offset" < 0') AS none, kseg.discard_dead_letters(stream => 'orders') AS rest;
SELECT kseg.discard_dead_letters(filter => 'true) OR (true');
RESET ROLE;
DROP OWNED BY replay_alice, replay_mallory;
DROP ROLE replay_boss, replay_alice, replay_mallory;
