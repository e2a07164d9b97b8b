-- The JSON of every PostgreSQL type, and that no setting of the session changes it.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
\set SHOW_CONTEXT never

-- The members of a query's first event as they stand in its JSON.
CREATE FUNCTION show(query text, OUT key text, OUT value text) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT m.key, m.value::text
      FROM kseg.segment_preview(query, call => 'identify', server => 'none') e, json_each(e.event::json -> 'traits') m
$$;

-- integers: those that a double cannot hold are strings
CREATE VIEW integers AS SELECT 1 AS user_id,
    (-32768)::int2 AS int2, 2147483647 AS int4, 9007199254740992 AS int8_largest, 9007199254740993 AS int8_beyond,
    -9007199254740992 AS int8_smallest, -9007199254740993 AS int8_below, (-9223372036854775808)::int8 AS int8_min,
    4294967295::oid AS oid, 0 AS zero;
SELECT * FROM show('TABLE integers');

-- numeric: integral beyond 2^53 is a string, any other a number as written
CREATE VIEW numerics AS SELECT 1 AS user_id,
    9007199254740992::numeric AS largest, 9007199254740993::numeric AS beyond, -9007199254740993::numeric AS below,
    9007199254740993.00 AS integral_with_scale, 12345678901234567890.5 AS fraction, 1.50 AS scale, 0.00 AS zero,
    0.000000000000000000001 AS small, -0.5 AS negative, 10000 AS round, 100000000.0001 AS groups, 1e30::numeric AS exponent,
    99999999999999999999::numeric(30, 0) AS typmod;
SELECT * FROM show('TABLE numerics');

-- floats: shortest digits
CREATE VIEW floats AS SELECT 1 AS user_id,
    0.1::float8 AS tenth, 0.1::float4 AS tenth4, 1e300 ::float8 AS large, 5e-324::float8 AS tiny, '-0'::float8 AS minus_zero,
    1e15::float8 AS integral, 123456789012345680000::float8 AS beyond, 3.4028235e38::float4 AS max4, 1.0::float8 AS one;
SELECT * FROM show('TABLE floats');

CREATE TYPE mood AS ENUM ('happy', 'sad "q"');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN positives AS positive[];
CREATE VIEW texts AS SELECT 1 AS user_id,
    true AS yes, false AS no, 'text'::text AS text, 'v'::varchar(9) AS varchar, 'c  '::char(5) AS char_n, ''::text AS empty,
    'name'::name AS name, 'c'::"char" AS "char", 'sad "q"'::mood AS enum, 5::positive AS domain,
    'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid AS uuid, '\x00ff41'::bytea AS bytea, ''::bytea AS bytea_empty,
    '<a b="c">d</a>'::xml AS xml;
SELECT * FROM show('TABLE texts');

-- control characters, quotes, backslashes, DEL, 4-byte characters; long enough for every way through the copying loop
CREATE VIEW escapes AS SELECT 1 AS user_id,
    E'a\x01b\x1fc\b\f\n\r\td"e\\f/g\x7fh' AS controls, '😀 é ß 漢字 𝄞' AS wide,
    '0123456"' AS at_8, '01234567"' AS at_9, '0123456701234567\0123' AS at_17, repeat('"', 9) AS quotes;
SELECT * FROM show('TABLE escapes');

CREATE VIEW times AS SELECT 1 AS user_id,
    timestamptz '2024-02-29 12:34:56.789999+00' AS floored, timestamptz '1969-12-31 23:59:59.999999+00' AS before_1970,
    timestamptz '1969-12-31 23:59:59.0001+00' AS before_1970_up, timestamptz '2024-03-10 02:30:00-05' AS zoned,
    timestamp '2024-03-10 02:30:00' AS without_zone, date '1960-01-01' AS date, date '2024-02-29' AS leap,
    timestamp '9999-12-31 23:59:59.999' AS last, timestamp '10000-01-01' AS expanded, date '0001-01-01' AS first,
    date '0001-12-31 BC' AS bc_1, timestamp '0044-03-15 BC' AS bc_44, date '4713-01-01 BC' AS never,
    timestamp '294276-12-31 23:59:59.999999' AS timestamp_max, date '999999-12-31' AS date_max;
SELECT * FROM show('TABLE times');

CREATE VIEW clocks AS SELECT 1 AS user_id,
    time '12:00' AS time, time '12:00:00.120' AS fraction, time '23:59:59.999999' AS micro, time '24:00' AS midnight,
    timetz '12:00+02' AS timetz, timetz '12:00:00.5-03:30' AS half,
    interval '1 year 2 mons -3 days 4:05:06.789' AS "interval", interval '0' AS interval_zero, interval '-1 hour' AS negative;
SELECT * FROM show('TABLE clocks');

-- json stays as it is, jsonb loses its spaces, numbers in both stay as they were written
CREATE VIEW documents AS SELECT 1 AS user_id,
    '{"b": [1, 2.50, "x\u00e9\n", null, true, 12345678901234567890, {}, [[]]], "a": {"c": {}}}'::jsonb AS jsonb,
    E'{ "x" : 1,\n "x":2.0e1 }'::json AS json, '"s"'::jsonb AS scalar, 'null'::jsonb AS json_null, '[]'::jsonb AS empty,
    '12345678901234567890'::jsonb AS number;
SELECT * FROM show('TABLE documents');
-- json may hold what a text cannot
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, ''"\u0000"''::json AS nul, ''"\ud800"''::json AS half', call => 'identify', server => 'none');

CREATE TYPE point3 AS (x int, gone text, y numeric, at timestamptz);
ALTER TYPE point3 DROP ATTRIBUTE gone;
CREATE TYPE texts_range AS RANGE (subtype = text);
CREATE VIEW nested AS SELECT 1 AS user_id,
    ARRAY[1, NULL, 3] AS "array", ARRAY[[1, 2], [3, 4]] AS matrix, '{}'::int[] AS empty, '[0:1]={a,"b\"c"}'::text[] AS bounds,
    ARRAY[9007199254740993] AS beyond, '{1,2}'::positives AS domain, '1 2'::int2vector AS vector,
    ROW(1, 2.50, '2024-01-01 00:00:00.1234+00')::point3 AS composite,
    ARRAY[ROW(1, 9007199254740993, NULL)::point3, NULL] AS composites, ARRAY['{"a": 1}'::jsonb] AS documents,
    ARRAY['happy', 'sad "q"']::mood[] AS moods, ARRAY[date '2024-01-01'] AS dates;
SELECT * FROM show('TABLE nested');
-- records of different shapes in one column
SELECT e.event::json -> 'traits' AS traits FROM kseg.segment_preview(
    'SELECT 1 AS user_id, r FROM (VALUES (ROW(1, 2)), (ROW(''a''::text, 3.5)), (ROW(1, 2)), (ROW())) v (r)',
    call => 'identify', server => 'none') e;
-- arrays of different types in one column
CREATE TABLE counted AS SELECT i % 2 AS a, 'x' AS b, '2024-01-01'::date + i % 3 AS c FROM generate_series(1, 30) i;
ANALYZE counted;
SELECT e.event::json -> 'traits' AS traits FROM kseg.segment_preview(
    'SELECT 1 AS user_id, attname, most_common_vals FROM pg_stats WHERE tablename = ''counted'' ORDER BY attname',
    call => 'identify', server => 'none') e;

CREATE VIEW ranges AS SELECT 1 AS user_id,
    int4range(1, 5) AS int4, int8range(9007199254740993, NULL) AS int8, numrange(1.50, NULL, '[]') AS num, 'empty'::int4range AS empty,
    tstzrange('2024-01-01 00:00:00.1234+00', 'infinity') AS tstz, daterange('2024-01-01', NULL) AS date,
    texts_range('a b', 'c"d\e') AS quoted, texts_range('', NULL) AS blank,
    int4multirange(int4range(1, 3), int4range(5, 7)) AS multi, '{}'::nummultirange AS multi_empty;
SELECT * FROM show('TABLE ranges');

-- a type that somebody gave a cast to json
CREATE TYPE shade AS ENUM ('dark');
CREATE FUNCTION shade_json(shade) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT json_build_object('shade', $1::text) $$;
CREATE CAST (shade AS json) WITH FUNCTION shade_json(shade);
SELECT * FROM show('SELECT 1 AS user_id, ''dark''::shade AS cast, ARRAY[''dark''::shade] AS casts');

-- everything else: its text
CREATE TABLE public.some_table ();
CREATE VIEW others AS SELECT 1 AS user_id,
    '10.0.0.1/8'::inet AS inet, '10.0.0.0/8'::cidr AS cidr, '08:00:2b:01:02:03'::macaddr AS macaddr, B'101' AS bit,
    point(0.1, 1e-9) AS point, box(point(0, 0), point(1, 1)) AS box, 'a b'::tsvector AS tsvector, '0/1'::pg_lsn AS pg_lsn,
    '$.a'::jsonpath AS jsonpath, '(0,1)'::tid AS tid, 'public.some_table'::regclass AS regclass, 'int4'::regtype AS regtype,
    ARRAY[point(0.1, 2)] AS points, 'x' AS literal;
SELECT * FROM show('TABLE others');

-- NULL is left out, or sent
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, NULL::int AS a, NULL::text AS "b.c", ARRAY[NULL]::int[] AS d',
    call => 'identify', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, NULL::int AS a, NULL::text AS "b.c", NULL::text AS anonymous_id',
    call => 'identify', server => 'none', nulls => 'send');

-- money depends on lc_monetary at any depth
SELECT * FROM show('SELECT 1 AS user_id, 1::money AS price');
SELECT * FROM show('SELECT 1 AS user_id, ARRAY[1::money] AS prices');
CREATE TYPE offer AS (id int, prices money[]);
SELECT * FROM show('SELECT 1 AS user_id, ROW(1, ARRAY[1::money])::offer AS offer');
SELECT event, problems FROM kseg.segment_preview('SELECT 1 AS user_id, ROW(1, 1::money) AS offer', call => 'identify', server => 'none');
-- unless the column is not used
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 1::money AS price', call => 'identify', server => 'none', exclude => '{price}');

-- settings of the session: every event is the same byte by byte, and the settings are as before afterwards
CREATE TABLE seen (settings text, kind text, event text);
CREATE FUNCTION look() RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    kind text;
BEGIN
    FOREACH kind IN ARRAY '{integers,numerics,floats,texts,escapes,times,clocks,documents,nested,ranges,others}'::text[] LOOP
        INSERT INTO public.seen SELECT current_setting('TimeZone'), kind, e.event
          FROM kseg.segment_preview('SELECT * FROM public.' || kind, call => 'identify', server => 'none') e;
    END LOOP;
    RETURN ARRAY[current_setting('TimeZone'), current_setting('DateStyle'), current_setting('IntervalStyle'),
                 current_setting('bytea_output'), current_setting('extra_float_digits'), current_setting('search_path')];
END $$;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, MDY';
SET IntervalStyle = 'postgres';
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
SET TimeZone = 'Pacific/Kiritimati';
SET DateStyle = 'SQL, MDY';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = 3;
SET lc_monetary = 'C';
SET search_path = pg_catalog;
SELECT public.look();
RESET ALL;
SET client_min_messages = warning;
SELECT kind, count(*), count(DISTINCT event) FROM seen GROUP BY kind HAVING count(*) <> 3 OR count(DISTINCT event) <> 1;
SELECT count(DISTINCT settings), count(DISTINCT kind), count(event::json) FROM seen;

-- infinite intervals exist from 17 on
DO $$
DECLARE
    problem text[];
BEGIN
    IF current_setting('server_version_num')::int >= 170000 THEN
        SELECT problems INTO problem FROM kseg.segment_preview(
            'SELECT 1 AS user_id, interval ''infinity'' AS i', call => 'identify', server => 'none');
        ASSERT problem = ARRAY['column "i": infinity has no ISO 8601 form'], problem;
    END IF;
END $$;
