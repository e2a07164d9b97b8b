-- Databases that are not UTF8: events are UTF-8 all the same, and the same events have the same JSON.
CREATE DATABASE kseg_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE kseg_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
\set here :DBNAME

\c kseg_latin1
SET client_encoding = 'UTF8';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION kseg;
SELECT event, bytes, problems FROM kseg.segment_preview(
    $$SELECT 'é' AS user_id, 'é' AS "ü.ö", ARRAY['é'] AS c, to_jsonb('é'::text) AS d, '"é"'::json AS e, 'é'::name AS f, ROW('é') AS g,
      '{"ü":{"x":"é"},"é":1}'::json AS properties, 'é' AS context_é$$, event => 'É', server => 'none');
-- a problem names its column
SELECT problems FROM kseg.segment_preview($$SELECT 1 AS user_id, 'NaN'::float8 AS "é"$$, event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview($$SELECT 1 AS user_id$$, event => 'E', user_id => 'é', server => 'none');

\c kseg_ascii
SET client_min_messages = warning;
CREATE EXTENSION kseg;
-- bytes that are UTF-8 pass, others are the row's problem
SELECT encode(event::bytea, 'escape') AS event, problems FROM kseg.segment_preview(
    E'SELECT ''\xc3\xa9'' AS user_id, ''\xe9'' AS a, ''\xc3\xa9'' AS b, ARRAY[''\xe9''] AS c, to_jsonb(''\xc3\xa9''::text) AS d, ''"\xe9"''::json AS e, ''\xe9''::name AS f',
    event => 'E', server => 'none');
SELECT encode(event::bytea, 'escape') AS event, problems FROM kseg.segment_preview(E'SELECT ''\xe9'' AS user_id', event => 'E', server => 'none');

\c :here
DROP DATABASE kseg_latin1;
DROP DATABASE kseg_ascii;
