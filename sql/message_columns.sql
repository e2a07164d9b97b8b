-- Which column is which part of a Kafka message, and what is refused: before anything is sent, or row by row.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
SET TimeZone = 'UTC';
\set SHOW_CONTEXT never

-- every reserved name, and a value made of the rest
CREATE VIEW everything AS SELECT 'k' AS key, 'own' AS topic, 3 AS partition, '{"h": "x"}'::jsonb AS headers,
    timestamptz '2024-01-02 03:04:05.678912Z' AS "timestamp", 1 AS a, 'x' AS "b.c", true AS context_d, NULL::text AS user_id;
SELECT * FROM kseg.kafka_preview('TABLE everything', topic => 't');
SELECT * FROM kseg.kafka_preview('TABLE everything', topic => 't', nulls => 'omit', exclude => '{topic,partition,headers,timestamp}');
-- arguments name other columns, and then the reserved name is an ordinary one
SELECT * FROM kseg.kafka_preview('SELECT 1 AS id, 2 AS key, 5 AS p, 6 AS partition, ''{}''::jsonb AS headers, ''{"h": 1}''::jsonb AS h,
    timestamp ''2000-01-01'' AS at, ''x'' AS "timestamp"', topic => 't', key => 'id', partition => 'p', headers => 'h', event_time => 'at');
-- topic: a constant, a column, both
SELECT topic, problems FROM kseg.kafka_preview('SELECT * FROM (VALUES (1, ''a''), (2, NULL), (3, ''b.c_d-9''), (4, ''''), (5, ''a b''), (6, ''..''), (7, ''é'')) v (n, topic)',
    topic => 't');
SELECT topic, problems FROM kseg.kafka_preview('SELECT * FROM (VALUES (1, ''a''), (2, NULL)) v (n, topic)');
SELECT length(topic), problems FROM kseg.kafka_preview('SELECT 1 AS n, repeat(''x'', l) AS topic FROM unnest(ARRAY[249, 250, 70000]) l');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS n');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS n', topic => '');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS n', topic => 'a/b');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS n', topic => repeat('x', 250));
SELECT * FROM kseg.kafka_preview('SELECT 1 AS n', topic => '.');

-- columns as such
SELECT * FROM kseg.kafka_preview('SELECT', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1, 2 AS a', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, 2 AS a', topic => 't');
SELECT value FROM kseg.kafka_preview('SELECT 1 AS a, 2 AS a, 3 AS b', topic => 't', exclude => '{a}');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS customer', topic => 't', key => 'custmer');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS customer', topic => 't', exclude => '{nothing_like_it}');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, 2 AS b', topic => 't', key => 'a', exclude => '{a}');
SELECT * FROM kseg.kafka_preview('SELECT ''x'' AS a', topic => 't', key => 'a', value => 'a');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS key', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS key, ''x'' AS value, 2 AS other', topic => 't');
SELECT value FROM kseg.kafka_preview('SELECT 1 AS key, ''x'' AS value, 2 AS other', topic => 't', exclude => '{other}');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a', topic => 't', nulls => 'keep');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a; SELECT 2 AS a', topic => 't');

-- keys: NULL is none, '' is empty; every scalar as it stands in JSON, JSON as its text
SELECT key, key IS NULL AS none FROM kseg.kafka_preview('SELECT 1 AS a, k AS key FROM unnest(ARRAY[''k'', '''', NULL, ''"q" \ é'']) k', topic => 't');
SELECT e.key FROM unnest('{"1::int2","9223372036854775807","1.50","12345678901234567890","0.1::float8",true,"''c  ''::char(4)","''n''::name",
    "''a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11''::uuid","''10.0.0.1''::inet","date ''2024-01-02''","timestamptz ''2024-01-02 03:04:05.000001Z''",
    "time ''12:00''","interval ''1 day''","''\\xff00''::bytea","''\\x6162''::bytea","''{\"b\": [1], \"a\": \"x\"}''::jsonb","''\"s\"''::jsonb","''{ \"x\" : 1 }''::json",
    "''a\"b\\c''::varchar","E''a\\tb''::char(3)"}'::text[]) t,
    kseg.kafka_preview('SELECT 1 AS a, ' || t || ' AS key', topic => 't') e;
CREATE TYPE pair AS (a int, b int);
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, ARRAY[1] AS key', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, ROW(1, 2)::pair AS key', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, int4range(1, 2) AS key', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, 1::money AS key', topic => 't');
SELECT key, problems FROM kseg.kafka_preview('SELECT 1 AS a, k AS key FROM unnest(ARRAY[1, ''NaN'', ''-Infinity'']::float8[]) k', topic => 't');

-- value columns, as they are; NULL is a tombstone, a JSON null is not
SELECT value, value IS NULL AS tombstone, bytes FROM kseg.kafka_preview('SELECT v AS value FROM unnest(ARRAY[''text "é"'', '''', NULL]) v', topic => 't');
SELECT value, value IS NULL AS tombstone, bytes FROM kseg.kafka_preview('SELECT v AS value FROM unnest(ARRAY[''\x00ff'', ''\x'', NULL, ''\xc3a9'']::bytea[]) v', topic => 't');
SELECT value, value IS NULL AS tombstone, bytes FROM kseg.kafka_preview('SELECT v AS value FROM unnest(ARRAY[''{ "a" : 1 }'', ''null'', NULL]::json[]) v', topic => 't');
SELECT value, value IS NULL AS tombstone, bytes FROM kseg.kafka_preview('SELECT v AS value FROM unnest(ARRAY[''{ "b" : 1.50, "a" : "s" }'', ''null'', ''"s"'', NULL]::jsonb[]) v', topic => 't');
SELECT value FROM kseg.kafka_preview('SELECT ''x'' AS payload, 1 AS key', topic => 't', value => 'payload');
SELECT value FROM kseg.kafka_preview('SELECT NULL::text AS value, 1 AS key', topic => 't', nulls => 'omit');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS value', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT ARRAY[1] AS value', topic => 't');
-- NULL columns and no members at all
SELECT value FROM kseg.kafka_preview('SELECT NULL::int AS a, NULL::text AS b', topic => 't');
SELECT value FROM kseg.kafka_preview('SELECT NULL::int AS a, NULL::text AS b', topic => 't', nulls => 'omit');

-- headers: an object, or pairs in their order
SELECT headers, problems FROM kseg.kafka_preview($$SELECT 1 AS a, h AS headers FROM unnest(ARRAY[
    '{"b": "text", "a": null, "c": 1.50, "d": true, "e": false, "": "no name", "é": "ß"}', '{"many": ["a", null, 2, {"base64": "AP8="}], "none": []}',
    '[["b", "1"], ["a", "2"], ["b", "3"], ["n", null], ["bytes", {"base64": "AP8="}], ["nul", {"base64": "AA=="}], ["empty", ""]]',
    '{"text": {"base64": "dGV4dA=="}, "nothing": {"base64": ""}}', '{}', '[]', NULL]::jsonb[]) h$$, topic => 't');
-- what was shown can be produced
SELECT e.headers = again.headers AS same FROM kseg.kafka_preview($$SELECT 1 AS a, '{"b": ["x", null, {"base64": "AP8="}], "a": "é"}'::jsonb AS headers$$, topic => 't') e,
    kseg.kafka_preview('SELECT 1 AS a, ' || quote_literal(e.headers) || '::jsonb AS headers', topic => 't') again;
-- and what is no header
SELECT headers, problems FROM kseg.kafka_preview($$SELECT 1 AS a, h AS headers FROM unnest(ARRAY[
    '"text"', '1', 'null', '{"a": {"b": 1}, "c": "kept"}', '{"a": {"base64": 1}}', '{"a": {"base64": "AP8=", "more": 1}}', '{"a": {"base64": "*"}}', '{"a": [["b"]]}',
    '[["a", "1"], "b", ["c"], ["d", "1", "2"], [1, "x"], {"e": 1}]']::jsonb[]) h$$, topic => 't');
SELECT headers, length(problems[1]) FROM kseg.kafka_preview($$SELECT 1 AS a, jsonb_build_object(repeat('é', 1000), ARRAY[ARRAY[1]]) AS headers$$, topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, ''{}''::json AS headers', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, ''{}'' AS headers', topic => 't');

-- partitions and timestamps
SELECT partition, problems FROM kseg.kafka_preview('SELECT 1 AS a, p AS partition FROM unnest(ARRAY[0, 2147483647, NULL, -1, 2147483648]) p', topic => 't');
SELECT partition FROM kseg.kafka_preview('SELECT 1 AS a, 5::int2 AS partition', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, 1.5 AS partition', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, 1::oid AS partition', topic => 't');
SELECT event_time, problems FROM kseg.kafka_preview($$SELECT 1 AS a, t AS "timestamp" FROM unnest(ARRAY['1970-01-01 00:00:00.001Z', '1970-01-01 00:00:00.0009Z', '1969-12-31 23:59:59.999999Z', '1999-12-31 23:59:59.999999Z',
    '2024-02-29 12:34:56.789999Z', 'infinity', '-infinity', NULL, '294276-12-31 23:59:59.999999Z', '4713-01-01 BC Z']::timestamptz[]) t$$, topic => 't');
SET TimeZone = 'Pacific/Kiritimati';
SELECT event_time AT TIME ZONE 'UTC' FROM kseg.kafka_preview($$SELECT 1 AS a, timestamp '2024-01-01 00:00' AS "timestamp"$$, topic => 't');
SET TimeZone = 'UTC';
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, current_date AS "timestamp"', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT 1 AS a, 0::bigint AS "timestamp"', topic => 't');

-- a row may have several problems, and the others are not theirs
SELECT key, value, headers, event_time, problems FROM kseg.kafka_preview($$SELECT * FROM (VALUES
    ('NaN'::float8, 'NaN'::float8, -1, '1'::jsonb, timestamptz '1900-01-01Z', 'a b'), (1, 2, 3, '{}', '2000-01-01Z', 'ab')) v (key, x, partition, headers, "timestamp", topic)$$);
-- too large: a value, or all of it
SELECT length(key) AS key, length(value) AS value, bytes, problems FROM kseg.kafka_preview($$SELECT repeat('k', k) AS key, repeat('v', v) AS value
    FROM (VALUES (1, 999999), (1, 1000000), (2, 999999), (1000001, 1), (1, 20000000)) t (k, v)$$, topic => 't');
SELECT left(value, 20) AS value, bytes, problems FROM kseg.kafka_preview($$SELECT repeat('v', 600000) AS a, repeat('v', 600000) AS b, 1 AS c$$, topic => 't');
SELECT value, problems FROM kseg.kafka_preview($$SELECT repeat('v', 1000001) AS a, repeat('v', 1000001)::bytea AS b, ('"' || repeat('v', 1000001) || '"')::json AS c$$, topic => 't');
SELECT value, bytes, problems FROM kseg.kafka_preview($$SELECT 1 AS a, jsonb_build_object('h', repeat('v', 1000000)) AS headers$$, topic => 't') AS e (topic, partition, key, value, headers_are_long);
-- arrays and documents may be larger than their JSON, and their JSON larger than they are
SELECT bytes, problems FROM kseg.kafka_preview($$SELECT array_fill(1::int8, ARRAY[n]) AS a FROM unnest(ARRAY[499996, 499997, 1100000]) n$$, topic => 't');
SELECT bytes, problems FROM kseg.kafka_preview($$SELECT jsonb_agg(1) AS value FROM generate_series(1, 400000)$$, topic => 't');
SELECT bytes > 1000000 AS more, problems FROM kseg.kafka_preview($$SELECT jsonb_build_array(1e100000, 1e131071) AS value FROM generate_series(1, 2) UNION ALL
    SELECT jsonb_agg(('1e' || 100000 + n)::numeric) FROM generate_series(1, 9) n UNION ALL SELECT jsonb_agg(('1e' || 100000 + n)::numeric) FROM generate_series(1, 99) n$$, topic => 't') ORDER BY 1;

-- an output function that fails says at which row
CREATE TYPE sulk;
CREATE FUNCTION sulk_in(cstring) RETURNS sulk LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION sulk_out(sulk) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'any_out';
CREATE TYPE sulk (INPUT = sulk_in, OUTPUT = sulk_out, LIKE = text);
\set SHOW_CONTEXT always
SELECT value FROM kseg.kafka_preview('SELECT * FROM (VALUES (1, NULL), (2, ''x''::sulk)) v (n, a)', topic => 't');
\set SHOW_CONTEXT never
-- the preview shows ten rows if not told otherwise, and stops the query there
SELECT count(*) FROM kseg.kafka_preview('SELECT generate_series(1, 1000000000) AS a', topic => 't');
SELECT count(*) FROM kseg.kafka_preview('SELECT n AS a FROM generate_series(1, 20) n', topic => 't', row_limit => NULL);
-- it has only its caller's rights, and needs no server
CREATE ROLE kseg_message_user;
CREATE TABLE hidden (a int);
SET ROLE kseg_message_user;
SELECT value FROM kseg.kafka_preview('SELECT 1 AS a', topic => 't');
SELECT value FROM kseg.kafka_preview('TABLE hidden', topic => 't');
RESET ROLE;
DROP ROLE kseg_message_user;

-- databases that are not UTF8: text is UTF-8 all the same, bytes are as they are
CREATE DATABASE kseg_message_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE kseg_message_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
\set here :DBNAME
\c kseg_message_latin1
SET client_encoding = 'UTF8';
SET client_min_messages = warning;
CREATE EXTENSION kseg;
SELECT key, value, headers, bytes FROM kseg.kafka_preview($$SELECT 'é' AS key, 'é' AS "ü", ARRAY['é'] AS c, '{"é": "ß"}'::jsonb AS headers$$, topic => 't');
SELECT key, value, bytes FROM kseg.kafka_preview($$SELECT '\xe9'::bytea AS key, 'é' AS value$$, topic => 't');
\c kseg_message_ascii
SET client_min_messages = warning;
CREATE EXTENSION kseg;
SELECT encode(key::bytea, 'escape') AS key, encode(value::bytea, 'escape') AS value, problems FROM kseg.kafka_preview(
    E'SELECT k AS key, k AS a FROM unnest(ARRAY[''\xc3\xa9'', ''\xe9'']) k', topic => 't');
SELECT value, problems FROM kseg.kafka_preview(E'SELECT v AS value FROM unnest(ARRAY[''\xe9'', ''x'']) v', topic => 't');
\c :here
DROP DATABASE kseg_message_latin1;
DROP DATABASE kseg_message_ascii;
