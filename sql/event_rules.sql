-- What Segment drops without a word, and what has no JSON, is a problem of the row that has it, and of no other.
CREATE EXTENSION kseg;
SET client_min_messages = warning;

-- ids: NULL and '' are missing
SELECT event, problems FROM kseg.segment_preview(
    'SELECT * FROM (VALUES (NULL, ''''), (''u'', ''a''), ('''', ''a''), (''u'', NULL), ('''', '''')) v (user_id, anonymous_id)', event => 'E', server => 'none');
SELECT event, problems FROM kseg.segment_preview('SELECT * FROM (VALUES (''''), (''u'')) v (user_id)', event => 'E', server => 'none');
SELECT event, problems FROM kseg.segment_preview('SELECT * FROM (VALUES (''''), (''a'')) v (anonymous_id)', call => 'page', server => 'none');
SELECT event, problems FROM kseg.segment_preview(
    'SELECT * FROM (VALUES (''u'', ''g''), (''u'', ''''), (NULL, ''g''), (NULL, NULL)) v (user_id, group_id)', call => 'group', server => 'none');
SELECT event, problems FROM kseg.segment_preview(
    'SELECT * FROM (VALUES (''u'', ''p''), (''u'', ''''), (NULL, ''p'')) v (user_id, previous_id)', call => 'alias', server => 'none');
SELECT problems FROM kseg.segment_preview('SELECT ''  ''::char(2) AS user_id', event => 'E', server => 'none');
SELECT problems FROM kseg.segment_preview('SELECT ''NaN''::numeric AS user_id', event => 'E', server => 'none');

-- event names
SELECT event, problems FROM kseg.segment_preview(
    'SELECT * FROM (VALUES (1, ''E''), (2, ''''), (3, NULL)) v (user_id, event)', server => 'none');

-- values without a JSON form: null, and the row's problem, all of them
SELECT event, problems FROM kseg.segment_preview(
    $$SELECT 1 AS user_id, 'NaN'::float8 AS a, '-infinity'::float4 AS b, 'NaN'::numeric AS c, 'infinity'::numeric AS d,
      'infinity'::timestamptz AS e, '-infinity'::timestamp AS f, 'infinity'::date AS g, ARRAY[1, 'NaN', 'NaN']::float8[] AS h,
      ROW('NaN'::float8) AS i, date '1000000-01-01' AS j, 1 AS fine$$, event => 'E', server => 'none');
SELECT event, problems FROM kseg.segment_preview(
    $$SELECT * FROM (VALUES (1, timestamptz '2024-01-01 00:00+00'), (2, 'infinity'), (3, NULL)) v (user_id, "timestamp")$$, event => 'E', server => 'none');
-- in a range, which is a string, they are words
SELECT event, problems FROM kseg.segment_preview(
    $$SELECT 1 AS user_id, tstzrange('-infinity', 'infinity') AS a, numrange(0, 'NaN') AS b$$, event => 'E', server => 'none');

-- message ids: at most 100 characters, not bytes; NULL and '' are none
SELECT message_id, problems, event::json ->> 'messageId' = message_id AS same FROM kseg.segment_preview(
    $$SELECT * FROM (VALUES (1, 'm'), (2, repeat('é', 100)), (3, repeat('é', 101)), (4, ''), (5, NULL)) v (user_id, message_id)$$, event => 'E', server => 'none');

-- an event is at most 32,768 bytes: the one that has exactly that many goes
SELECT bytes, problems FROM kseg.segment_preview(
    'SELECT 1 AS user_id, repeat(''x'', 32705 + i) AS p FROM generate_series(0, 2) i', event => 'E', server => 'none');
-- it is the bytes of the JSON that count
SELECT bytes, problems FROM kseg.segment_preview('SELECT 1 AS user_id, repeat(E''\x01'', 6000) AS p', event => 'E', server => 'none');
-- one too large row among others
SELECT bytes, problems FROM kseg.segment_preview(
    'SELECT i AS user_id, repeat(''x'', CASE i WHEN 2 THEN 40000 ELSE 1 END) AS p FROM generate_series(1, 3) i', event => 'E', server => 'none');

-- values over 1 MB are not read; nothing that expands goes on without end
CREATE TABLE large AS SELECT repeat('x', 1024 * 1024 - 3) AS text, repeat('x', 200 * 1024 * 1024) AS long, 1 AS user_id;
SELECT bytes, problems FROM kseg.segment_preview('SELECT long AS user_id, text AS a, long AS b, long::bytea AS c, ARRAY[long] AS d, to_jsonb(text) AS e FROM large',
    event => 'E', server => 'none');
SELECT bytes, problems FROM kseg.segment_preview('SELECT user_id, repeat(E''\x01'', 1000000) AS a, text AS b FROM large', event => 'E', server => 'none');
SELECT problems FROM kseg.segment_preview('SELECT 1 AS user_id, array_agg(1e131071) AS a FROM generate_series(1, 1000)', event => 'E', server => 'none');
SELECT problems FROM kseg.segment_preview('SELECT 1 AS user_id, to_jsonb(array_agg(1e131071)) AS a FROM generate_series(1, 1000)', event => 'E', server => 'none');
DROP TABLE large;

-- what is written is JSON, problems or not
SELECT count(event::json) FROM kseg.segment_preview(
    $$SELECT NULLIF(i, 2) AS user_id, 'NaN'::float8 AS a, ARRAY['NaN'::float8] AS b, '[]'::jsonb AS properties, 'infinity'::date AS "timestamp"
        FROM generate_series(1, 3) i$$, event => 'E', server => 'none');

-- an output function that fails is the query's failure, and says at which row
CREATE TYPE loud AS ENUM ('a');
CREATE FUNCTION loud_json(loud) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no json for %', $1; END $$;
CREATE CAST (loud AS json) WITH FUNCTION loud_json(loud);
SELECT event FROM kseg.segment_preview('SELECT i AS user_id, CASE i WHEN 3 THEN ''a''::loud END AS l FROM generate_series(1, 5) i', event => 'E', server => 'none');
