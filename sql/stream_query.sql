-- The query of a stream: one SELECT that reads one topic once, wherever in it; with on_conflict 'update' each of its rows is of one message.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
SELECT kseg.connect_kafka('127.0.0.1:1');
CREATE FOREIGN TABLE topic (k bigint, v text) SERVER kafka OPTIONS (topic 'orders');
CREATE FOREIGN TABLE other_topic (k bigint, v text) SERVER kafka OPTIONS (topic 'other');
CREATE FOREIGN DATA WRAPPER another;
CREATE SERVER another FOREIGN DATA WRAPPER another;
CREATE FOREIGN TABLE elsewhere (k bigint, v text) SERVER another;
CREATE TABLE target (k bigint PRIMARY KEY, v text);
CREATE TABLE dim (k bigint, name text);
CREATE VIEW narrow AS SELECT k, v FROM topic WHERE k > 0;
CREATE VIEW wide AS SELECT n.k AS key, n.v || coalesce(d.name, '') AS value FROM dim d RIGHT JOIN narrow n USING (k);
CREATE VIEW grouped AS SELECT k, max(v) AS v FROM topic GROUP BY k;
CREATE TEMP VIEW passing AS SELECT k, v FROM topic;
CREATE TEMP TABLE passing_dim AS SELECT 1 AS k;

CREATE FUNCTION pg_temp.try(query text, on_conflict text DEFAULT 'update') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text;
    problem text;
    detail text;
    hint text;
BEGIN
    PERFORM kseg.stream_to_table('s', query, 'target', key => CASE WHEN on_conflict <> 'error' THEN '{k}'::text[] END, on_conflict => on_conflict);
    PERFORM kseg.drop_stream('s');
    RETURN 'fine';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' / ', code || ' ' || problem, nullif(detail, ''), nullif(hint, ''));
END $$;
\x on
\pset format unaligned

-- one SELECT
SELECT pg_temp.try('') AS empty, pg_temp.try('SELECT 1; SELECT 2') AS two, pg_temp.try('DELETE FROM topic') AS writes,
       pg_temp.try('SELEC k FROM topic') AS syntax, pg_temp.try('SELECT k, v FROM topic FOR UPDATE') AS locks,
       pg_temp.try('SELECT k, v FROM topik') AS misspelt, pg_temp.try('SELECT k, w AS v FROM topic') AS no_column,
       pg_temp.try('SELECT k, v FROM topic WHERE k = $1') AS parameter,
       pg_temp.try('SELECT k, v FROM topic -- the end') AS comment, pg_temp.try('/* a */ SELECT k, v FROM topic; -- the end') AS semicolon;
SELECT kseg.stream_to_table('s', 'SELECT k,
v FROM topik', 'target');

-- one topic
SELECT pg_temp.try('SELECT k, name AS v FROM dim') AS none, pg_temp.try('SELECT k, v FROM elsewhere') AS another,
       pg_temp.try('VALUES (1, ''a'')') AS "values", pg_temp.try('SELECT t.k, o.v FROM topic t, other_topic o') AS two,
       pg_temp.try('SELECT t.k, o.v FROM topic t JOIN topic o USING (k)') AS twice,
       pg_temp.try('SELECT t.k, t.v FROM topic t WHERE k IN (SELECT key FROM wide)') AS twice_by_view,
       pg_temp.try('WITH t AS (SELECT * FROM topic) SELECT a.k, b.v FROM t a, t b') AS twice_by_with,
       pg_temp.try('WITH t AS (SELECT * FROM topic) SELECT k, name AS v FROM dim') AS never,
       pg_temp.try('SELECT k, v FROM topic UNION ALL SELECT k, v FROM other_topic', 'error') AS branches;
SELECT pg_temp.try('SELECT k, v FROM passing') AS view_of_session,
       pg_temp.try('SELECT t.k, t.v FROM topic t WHERE k IN (SELECT k FROM passing_dim)') AS table_of_session;

-- each row of one message
SELECT pg_temp.try('TABLE topic') AS "table", pg_temp.try('SELECT key AS k, value AS v FROM wide ORDER BY random()') AS view_of_view,
       pg_temp.try('SELECT k, name AS v FROM (SELECT * FROM narrow) n NATURAL LEFT JOIN dim') AS sub_select,
       pg_temp.try('SELECT j.k, j.v FROM (dim JOIN narrow USING (k)) AS j') AS alias_of_join,
       pg_temp.try('SELECT k, d.name AS v FROM topic, LATERAL (SELECT name FROM dim WHERE dim.k = topic.k LIMIT 1) d') AS "lateral",
       pg_temp.try('WITH a AS (SELECT * FROM narrow), b AS MATERIALIZED (SELECT * FROM a) SELECT k, v FROM b') AS "with",
       pg_temp.try('SELECT k, unnest(ARRAY[v]) AS v FROM topic') AS set_returning,
       pg_temp.try('SELECT k, (SELECT max(name) FROM dim WHERE dim.k = t.k) AS v FROM topic t') AS aggregate_elsewhere,
       pg_temp.try('SELECT k, row_to_json(t)::text AS v FROM topic t') AS whole_message;
SELECT pg_temp.try('SELECT k, max(v) AS v FROM topic GROUP BY k') AS groups, pg_temp.try('SELECT * FROM grouped') AS groups_in_view,
       pg_temp.try('SELECT DISTINCT k, v FROM topic') AS "distinct", pg_temp.try('SELECT k, v FROM topic LIMIT 1') AS "limit",
       pg_temp.try('SELECT k, first_value(v) OVER (PARTITION BY k) AS v FROM topic') AS "window",
       pg_temp.try('SELECT k, v FROM (SELECT k, v FROM topic UNION ALL SELECT k, name FROM dim) u') AS "union",
       pg_temp.try('SELECT k, name AS v FROM dim WHERE EXISTS (SELECT FROM topic)') AS condition,
       pg_temp.try('WITH RECURSIVE r AS (SELECT k, v FROM topic UNION ALL SELECT k, v FROM r WHERE false) SELECT * FROM r') AS recursive,
       pg_temp.try('SELECT n.k, row_to_json(n)::text AS v FROM narrow n') AS whole_row_of_view;
-- so it is without on_conflict 'update': a batch ends anywhere; but a whole row of one message may be taken
SELECT pg_temp.try('SELECT k, max(v) AS v FROM topic GROUP BY k', 'error') AS error,
       pg_temp.try('SELECT * FROM grouped', 'ignore') AS ignore,
       pg_temp.try('SELECT k, v FROM topic UNION ALL SELECT k, name FROM dim', 'error') AS "union",
       pg_temp.try('SELECT n.k, row_to_json(n)::text AS v FROM narrow n', 'ignore') AS whole_row_of_view,
       pg_temp.try('SELECT k, v FROM topic LIMIT 10', 'error') AS "limit";

-- names that the statement needs
SELECT pg_temp.try('SELECT k, v, 1 AS kseg_at FROM topic') AS at, pg_temp.try('SELECT k, v AS kseg_gone FROM topic') AS gone;
