-- The JSON of every PostgreSQL type in a Kafka message. Unlike for Segment (event_types), nothing of a value is lost: integers
-- of any size are numbers, times have their microseconds, a date is a date.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
\set SHOW_CONTEXT never

-- The members of a query's first message as they stand in its JSON.
CREATE FUNCTION show(query text, OUT key text, OUT value text) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT m.key, m.value::text FROM kseg.kafka_preview(query, topic => 't') e, json_each(e.value::json) m
$$;

CREATE VIEW integers AS SELECT
    (-32768)::int2 AS int2, 2147483647 AS int4, 9007199254740993 AS beyond_double, -9007199254740993 AS below,
    9223372036854775807 AS int8_max, (-9223372036854775808)::int8 AS int8_min, 4294967295::oid AS oid, 0 AS zero;
SELECT * FROM show('TABLE integers');

CREATE VIEW numerics AS SELECT
    9007199254740993::numeric AS beyond, -12345678901234567890::numeric AS below, 9007199254740993.00 AS integral_with_scale,
    12345678901234567890.5 AS fraction, 1.50 AS scale, 0.00 AS zero, 0.000000000000000000001 AS small, 1e30::numeric AS exponent,
    1e200::numeric AS huge;
SELECT * FROM show('TABLE numerics');

CREATE VIEW floats AS SELECT
    0.1::float8 AS tenth, 0.1::float4 AS tenth4, 1e300::float8 AS large, 5e-324::float8 AS tiny, '-0'::float8 AS minus_zero,
    123456789012345680000::float8 AS beyond;
SELECT * FROM show('TABLE floats');
-- what has no JSON form is the row's problem
SELECT value, problems FROM kseg.kafka_preview($$SELECT * FROM (VALUES (1, 'NaN'::float8, 'NaN'::numeric, 'Infinity'::float4, date 'infinity', timestamp '-infinity'),
    (2, 1, 2, 3, '2024-01-01', '2024-01-01')) v (n, a, b, c, d, e)$$, topic => 't');
-- but not inside a range, which is a string
SELECT * FROM show('SELECT numrange(1, ''Infinity'') AS a, tstzrange(''2024-01-01 00:00Z'', ''infinity'') AS b');

CREATE TYPE mood AS ENUM ('happy', 'sad "q"');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE VIEW texts AS SELECT
    true AS yes, false AS no, 'text'::text AS text, 'v'::varchar(9) AS varchar, 'c  '::char(5) AS char_n, ''::text AS empty,
    'name'::name AS name, 'c'::"char" AS "char", 'sad "q"'::mood AS enum, 5::positive AS domain,
    'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid AS uuid, '\x00ff41'::bytea AS bytea, E'a\x01b\n"c"\\ 😀 é' AS escapes, '<a/>'::xml AS xml;
SELECT * FROM show('TABLE texts');

-- microseconds where there are any, else milliseconds; dates as dates; years as ISO 8601 has them
CREATE VIEW times AS SELECT
    timestamptz '2024-02-29 12:34:56.789999+00' AS micro, timestamptz '2024-02-29 12:34:56.789+00' AS milli, timestamptz '2024-02-29 12:34:56+00' AS whole,
    timestamptz '1969-12-31 23:59:59.999999+00' AS before_1970, timestamptz '2024-03-10 02:30:00.000001-05' AS zoned,
    timestamp '2024-03-10 02:30:00.1' AS without_zone, date '1960-01-01' AS date, date '2024-02-29' AS leap,
    timestamp '294276-12-31 23:59:59.999999' AS timestamp_max, date '9999-12-31' AS last, date '10000-01-01' AS expanded, date '0001-12-31 BC' AS bc,
    date '4713-01-01 BC' AS first, date '999999-12-31' AS date_six, time '12:00:00.120' AS time, timetz '12:00:00.5-03:30' AS timetz,
    interval '1 year 2 mons -3 days 4:05:06.789' AS "interval";
SELECT * FROM show('TABLE times');
SELECT value, problems FROM kseg.kafka_preview('SELECT date ''5874897-12-31'' AS d', topic => 't');

-- inside arrays, composites, ranges and documents too
CREATE TYPE point3 AS (x bigint, gone text, y numeric, at timestamptz, day date);
ALTER TYPE point3 DROP ATTRIBUTE gone;
CREATE VIEW nested AS SELECT
    ARRAY[1, NULL, 9007199254740993] AS "array", ARRAY[[1, 2], [3, 4]] AS matrix, '{}'::int[] AS empty,
    ROW(9007199254740993, 2.50, '2024-01-01 00:00:00.123456+00', '2024-01-01')::point3 AS composite, ARRAY[date '2024-01-01', NULL] AS dates,
    ARRAY[timestamptz '2024-01-01 00:00:00.000001Z'] AS instants, ARRAY[ROW(1, NULL, NULL, NULL)::point3, NULL] AS composites,
    int8range(9007199254740993, NULL) AS int8, daterange('2024-01-01', '2024-02-01') AS dates_range, tsrange('2024-01-01 00:00:00.000001', NULL) AS micros,
    '{"b": [1, 2.50, "x\u00e9\n", null, 12345678901234567890, {}, [[]]], "a": {"c": 1}}'::jsonb AS jsonb, E'{ "x" : 1,\n "x":2.0e1 }'::json AS json,
    '12345678901234567890'::jsonb AS number, 'null'::jsonb AS json_null, ARRAY['{"a": 1}'::jsonb] AS documents;
SELECT * FROM show('TABLE nested');

-- everything else: its text, or the cast to json that somebody gave it
CREATE TABLE public.some_table ();
CREATE TYPE shade AS ENUM ('dark');
CREATE FUNCTION shade_json(shade) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT json_build_object('shade', $1::text) $$;
CREATE CAST (shade AS json) WITH FUNCTION shade_json(shade);
CREATE VIEW others AS SELECT
    '10.0.0.1/8'::inet AS inet, B'101' AS bit, point(0.1, 1e-9) AS point, '0/1'::pg_lsn AS pg_lsn, 'public.some_table'::regclass AS regclass,
    'dark'::shade AS cast, 'x' AS literal;
SELECT * FROM show('TABLE others');
SELECT * FROM kseg.kafka_preview('SELECT 1::money AS price', topic => 't');
SELECT * FROM kseg.kafka_preview('SELECT ARRAY[1::money] AS prices', topic => 't');

-- no setting of the session changes a message, and the settings are as before afterwards
CREATE TABLE seen (settings text, kind text, value text);
CREATE FUNCTION look() RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    kind text;
BEGIN
    FOREACH kind IN ARRAY '{integers,numerics,floats,texts,times,nested,others}'::text[] LOOP
        INSERT INTO public.seen SELECT current_setting('TimeZone'), kind, e.value FROM kseg.kafka_preview('SELECT * FROM public.' || kind, topic => 't') e;
    END LOOP;
    RETURN ARRAY[current_setting('TimeZone'), current_setting('DateStyle'), current_setting('IntervalStyle'),
                 current_setting('bytea_output'), current_setting('extra_float_digits'), current_setting('search_path')];
END $$;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, MDY';
SET bytea_output = 'hex';
SET extra_float_digits = 1;
SELECT look();
SET TimeZone = 'America/St_Johns';
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'postgres_verbose';
SET bytea_output = 'escape';
SET extra_float_digits = -10;
SET search_path = public, pg_catalog;
SELECT look();
RESET ALL;
SELECT kind, count(*), count(DISTINCT value) FROM seen GROUP BY kind HAVING count(*) <> 2 OR count(DISTINCT value) <> 1;
SELECT count(DISTINCT settings), count(DISTINCT kind), count(value::json) FROM seen;
