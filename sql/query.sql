-- The query: one SELECT, truly read-only, run as the caller. What is not is refused before anything is sent.
CREATE EXTENSION kseg;
SELECT kseg.connect_segment(write_key => 'k', endpoint => 'http://127.0.0.1:1');

-- not one SELECT
SELECT * FROM kseg.segment_preview('');
SELECT * FROM kseg.segment_preview('  -- nothing');
SELECT * FROM kseg.segment_preview(NULL);
SELECT * FROM kseg.segment_preview('SELECT 1 AS user_id; SELECT 2 AS user_id', event => 'E');
SELECT * FROM kseg.segment_preview('SELECT 1 AS user_id; DROP TABLE x', event => 'E');
SELECT * FROM kseg.segment_preview('DELETE FROM pg_class', event => 'E');
SELECT * FROM kseg.segment_preview('SELECT 1 AS user_id INTO x', event => 'E');
SELECT * FROM kseg.segment_preview('CREATE TABLE x AS SELECT 1 AS user_id', event => 'E');
SELECT * FROM kseg.segment_preview('EXPLAIN SELECT 1', event => 'E');
SELECT * FROM kseg.segment_preview('COPY pg_class TO STDOUT', event => 'E');
SELECT * FROM kseg.segment_preview('SELECT $1 AS user_id', event => 'E');

-- a syntax error points into the query
SELECT * FROM kseg.segment_preview('SELECT 1 AS user_id FRM x', event => 'E');
SELECT * FROM kseg.segment_preview('SELECT user_id FROM nowhere', event => 'E');
SELECT * FROM kseg.segment_preview('SELECT 1/0 AS user_id', event => 'E');

-- writes, plain and hidden
CREATE TABLE t (user_id text);
CREATE FUNCTION write_behind() RETURNS text LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN INSERT INTO t VALUES ('w'); RETURN 'w'; END $$;
CREATE FUNCTION write_switch() RETURNS text LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN SET transaction_read_only = off; INSERT INTO t VALUES ('w'); RETURN 'w'; END $$;
CREATE SEQUENCE s;
SELECT * FROM kseg.segment_preview('WITH x AS (INSERT INTO t VALUES (1) RETURNING user_id) SELECT * FROM x', event => 'E');
SELECT * FROM kseg.segment_preview('SELECT user_id FROM t FOR UPDATE', event => 'E');
SELECT * FROM kseg.segment_preview('SELECT write_behind() AS user_id', event => 'E');
SELECT * FROM kseg.segment_preview('SELECT write_switch() AS user_id', event => 'E');
SELECT * FROM kseg.segment_preview('SELECT nextval(''s'') AS user_id', event => 'E');
-- (a run's context has its id, which is never twice the same)
\set SHOW_CONTEXT never
SELECT * FROM kseg.segment_track_from_query('SELECT write_behind() AS user_id', event => 'E');
\set SHOW_CONTEXT errors
SELECT count(*) FROM t;
-- and afterwards the transaction writes as before
BEGIN;
SELECT count(*) FROM kseg.segment_preview('SELECT 1 AS user_id', event => 'E');
INSERT INTO t VALUES ('after');
SHOW transaction_read_only;
COMMIT;

-- VALUES, TABLE, WITH and set operations are SELECTs
SELECT event FROM kseg.segment_preview('TABLE t', call => 'identify', server => 'none');
SELECT event FROM kseg.segment_preview('VALUES (''a'')', call => 'identify', user_id => 'column1', server => 'none');
SELECT event FROM kseg.segment_preview('WITH x AS (SELECT 1 AS user_id) SELECT * FROM x UNION ALL SELECT 2', call => 'identify', server => 'none');
-- a trailing semicolon or comment is no second statement
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id; -- end', call => 'identify', server => 'none');

-- the query sees what its caller has done in this transaction, and the caller's names
BEGIN;
CREATE TEMP TABLE mine (user_id text) ON COMMIT DROP;
INSERT INTO mine VALUES ('seen');
SELECT event FROM kseg.segment_preview('SELECT * FROM mine', call => 'identify', server => 'none');
COMMIT;

-- a run inside a run's query
\set SHOW_CONTEXT never
SELECT * FROM kseg.segment_track_from_query(
    $$SELECT run::text AS user_id FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'inner')$$, event => 'outer');
\set SHOW_CONTEXT errors

-- row_limit
SELECT count(*) FROM kseg.segment_preview('SELECT g AS user_id FROM generate_series(1, 100) g', event => 'E');
SELECT count(*) FROM kseg.segment_preview('SELECT g AS user_id FROM generate_series(1, 100) g', event => 'E', row_limit => 3);
SELECT count(*) FROM kseg.segment_preview('SELECT g AS user_id FROM generate_series(1, 100) g', event => 'E', row_limit => NULL);
SELECT count(*) FROM kseg.segment_preview('SELECT g AS user_id FROM generate_series(1, 100) g', event => 'E', row_limit => 0);
