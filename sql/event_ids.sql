-- Message ids: a function of what the event is, not of how it was asked for.
CREATE EXTENSION kseg;
SELECT kseg.connect_segment(write_key => 'one', endpoint => 'http://127.0.0.1:1', server => 'one');
SELECT kseg.connect_segment(write_key => 'two', endpoint => 'http://127.0.0.1:1', server => 'two');

-- The id of the first event of a query.
CREATE FUNCTION id(query text, event text DEFAULT 'E', server text DEFAULT 'one', call text DEFAULT 'track', context jsonb DEFAULT NULL,
    nulls text DEFAULT 'omit', integrations jsonb DEFAULT NULL, exclude text[] DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT e.message_id FROM kseg.segment_preview(query, event => id.event, server => id.server, call => id.call, context => id.context,
        nulls => id.nulls, integrations => id.integrations, exclude => id.exclude) e
$$;
CREATE FUNCTION same(a text, b text) RETURNS boolean LANGUAGE sql AS $$ SELECT id(a) = id(b) $$;

SELECT id('SELECT 1 AS user_id') ~ '^kseg-[0-9a-f]{32}$' AS form, length(id('SELECT 1 AS user_id'));

-- the same event, asked for in other ways
SELECT same('SELECT 1 AS user_id', 'SELECT 1 AS user_id') AS again,
    same('SELECT 1 AS user_id, 2 AS a, 3 AS b', 'SELECT 3 AS b, 2 AS a, 1 AS user_id') AS order_of_columns,
    same('SELECT 1 AS user_id, 2 AS "x.a", 3 AS b, 4 AS "x.c"', 'SELECT 4 AS "x.c", 1 AS user_id, 3 AS b, 2 AS "x.a"') AS order_of_nesting,
    same('SELECT 1 AS user_id, NULL::int AS a', 'SELECT 1 AS user_id') AS null_is_absent,
    same('SELECT 1::int2 AS user_id, 2::int2 AS a', 'SELECT 1::int8 AS user_id, 2::int8 AS a') AS integer_width,
    same('SELECT 1 AS user_id', 'SELECT ''1'' AS user_id') AS id_by_text,
    same('SELECT ''1 ''::char(3) AS user_id, ''a ''::char(3) AS a', 'SELECT ''1'' AS "userId", ''a''::text AS a') AS char_n,
    same('SELECT 1 AS user_id, date ''2024-01-01'' AS a', 'SELECT 1 AS user_id, timestamptz ''2024-01-01 00:00+00'' AS a') AS instants,
    same('SELECT 1 AS user_id, ''{"a":1, "b":2}''::jsonb AS a', 'SELECT 1 AS user_id, ''{"b":2,"a":1}''::jsonb AS a') AS jsonb,
    same('SELECT 1 AS user_id, ''{"a":1,"b":2}''::jsonb AS properties, 3 AS b', 'SELECT 1 AS user_id, ''{"a":1,"b":4}''::jsonb AS properties, 3 AS b') AS covered;
SELECT id('SELECT 1 AS user_id, ''E'' AS event', event => NULL) = id('SELECT 1 AS user_id') AS event_column,
    id('SELECT 1 AS user_id', context => '{"a":1}') = id('SELECT 1 AS user_id, ''{"a":1}''::jsonb AS context') AS context_argument,
    id('SELECT 1 AS user_id', integrations => '{"a":1}') = id('SELECT 1 AS user_id') AS integrations,
    id('SELECT 1 AS user_id, 2 AS a', exclude => '{a}') = id('SELECT 1 AS user_id') AS exclude;

-- other events
SELECT DISTINCT same('SELECT 1 AS user_id, 2 AS a', other) FROM unnest(ARRAY[
    'SELECT 2 AS user_id, 2 AS a', 'SELECT 1 AS anonymous_id, 2 AS a', 'SELECT 1 AS user_id, 1 AS anonymous_id, 2 AS a',
    'SELECT 1 AS user_id, 3 AS a', 'SELECT 1 AS user_id, 2 AS b', 'SELECT 1 AS user_id, 2 AS a, 2 AS b', 'SELECT 1 AS user_id, ''2'' AS a',
    'SELECT 1 AS user_id, 2.0 AS a', 'SELECT 1 AS user_id, 2::float8 AS a', 'SELECT 1 AS user_id, 2 AS context_a', 'SELECT 1 AS user_id, 2 AS "a.b"',
    'SELECT 1 AS user_id, ''2''::jsonb AS a', 'SELECT 1 AS user_id, ARRAY[2] AS a', 'SELECT 1 AS user_id, 2 AS a, date ''2024-01-01'' AS "timestamp"',
    'SELECT 1 AS user_id, 2 AS a, true AS b', 'SELECT 1 AS user_id']) other;
SELECT id('SELECT 1 AS user_id, NULL::int AS a', nulls => 'send') = id('SELECT 1 AS user_id') AS null_that_is_sent,
    id('SELECT 1 AS user_id', event => 'F') = id('SELECT 1 AS user_id') AS event,
    id('SELECT 1 AS user_id', call => 'page', event => NULL) = id('SELECT 1 AS user_id', call => 'screen', event => NULL) AS call,
    id('SELECT 1 AS user_id', context => '{"a":1}') = id('SELECT 1 AS user_id') AS context,
    id('SELECT 1 AS user_id', server => 'two') = id('SELECT 1 AS user_id') AS write_key;
-- what milliseconds cannot tell is told apart: in a field, in the time, in an array, in a record, in a range
SELECT DISTINCT same(replace(q, '?', '.0001'), replace(q, '?', '.0002')), same(replace(q, '?', '.0001'), replace(q, '?', '.0001')) AS again
    FROM unnest(ARRAY[
    'SELECT 1 AS user_id, timestamp ''2024-01-01 00:00:00?'' AS a', 'SELECT 1 AS user_id, timestamp ''2024-01-01 00:00:00?'' AS "timestamp"',
    'SELECT 1 AS user_id, ARRAY[timestamp ''2024-01-01 00:00:00?''] AS a', 'SELECT 1 AS user_id, ROW(ARRAY[timestamptz ''2024-01-01 00:00:00?+00'']) AS a',
    'SELECT 1 AS user_id, tsrange(''2024-01-01 00:00:00?'', NULL) AS a']) q;
-- values that lie side by side do not run into each other
SELECT same('SELECT 1 AS user_id, ''ab'' AS a, ''c'' AS b', 'SELECT 1 AS user_id, ''a'' AS a, ''bc'' AS b') AS texts,
    same('SELECT 1 AS user_id, ARRAY[''a'',''b''] AS a', 'SELECT 1 AS user_id, ARRAY[''a,b''] AS a') AS elements,
    same('SELECT ''ab'' AS user_id, ''c'' AS anonymous_id', 'SELECT ''a'' AS user_id, ''bc'' AS anonymous_id') AS ids;

-- settings of the session play no part
CREATE TABLE seen AS SELECT id('SELECT 1 AS user_id, timestamptz ''2024-01-01 00:00+00'' AS t, 0.1::float8 AS f, point(0.1, 2) AS p, ''\x00''::bytea AS b, interval ''1 day'' AS i');
SET TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'; SET bytea_output = 'escape'; SET extra_float_digits = -5;
INSERT INTO seen SELECT id('SELECT 1 AS user_id, timestamptz ''2024-01-01 00:00+00'' AS t, 0.1::float8 AS f, point(0.1, 2) AS p, ''\x00''::bytea AS b, interval ''1 day'' AS i');
RESET ALL;
SELECT count(*), count(DISTINCT id) FROM seen;

-- the caller's own id; without one, the generated
SELECT id('SELECT 1 AS user_id, ''mine'' AS message_id'), id('SELECT 1 AS user_id, 5 AS "messageId"'),
    id('SELECT 1 AS user_id, ''a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11''::uuid AS message_id'),
    id('SELECT 1 AS user_id, NULL AS message_id') = id('SELECT 1 AS user_id') AS none, id('SELECT 1 AS user_id, '''' AS message_id') = id('SELECT 1 AS user_id') AS empty;

-- equal rows are one event, by content or by the caller's id; problems come first
SELECT event::json -> 'properties' AS properties, problems FROM kseg.segment_preview(
    'SELECT * FROM (VALUES (1, 1), (1, 2), (1, 1), (1, 1)) v (user_id, a)', event => 'E', server => 'one');
SELECT event::json -> 'properties' AS properties, problems FROM kseg.segment_preview(
    'SELECT * FROM (VALUES (1, 1, ''m''), (1, 2, ''m''), (1, 1, NULL), (1, 1, NULL)) v (user_id, a, message_id)', event => 'E', server => 'one');

-- a hundred thousand events, a hundred thousand ids
SELECT count(DISTINCT message_id) FROM kseg.segment_preview('SELECT i AS user_id, i % 7 AS a FROM generate_series(1, 100000) i', event => 'E', server => 'one', row_limit => NULL);
