-- Random values, beside what PostgreSQL makes of them: digits, times, escapes, merging. Nothing is printed but differences.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SELECT setseed(0.5);

CREATE TABLE random_rows AS SELECT i AS user_id,
    (random() * 10 ^ ((random() * 40 - 20)::int))::numeric * CASE WHEN random() < 0.5 THEN -1 ELSE 1 END AS n1,
    round((random() * 10 ^ ((random() * 30)::int))::numeric, (random() * 20)::int) AS n2,
    (repeat(((random() * 9)::int)::text, (random() * 50)::int + 1)
        || CASE WHEN random() < 0.5 THEN '.' || repeat(((random() * 9)::int)::text, (random() * 40)::int + 1) ELSE '' END)::numeric
        * power(10::numeric, (random() * 60 - 30)::int) AS n3,
    ((random() * 2 - 1) * 9.2e18)::bigint AS b1, ((random() * 2 - 1) * 1.8e16)::bigint AS b2, ((random() * 2 - 1) * 1e6)::int AS b3,
    (random() * 10 ^ ((random() * 600 - 300)::int))::float8 AS d1, (random() * 10 ^ ((random() * 60 - 30)::int))::float4 AS f4,
    (SELECT string_agg(chr(CASE WHEN random() < 0.2 THEN (random() * 30)::int + 1
                                WHEN random() < 0.3 THEN ('{34,92,47,127,128,233,8364,65535,65533,128512}'::int[])[(random() * 9)::int + 1]
                                ELSE (random() * 94)::int + 32 END), '') FROM generate_series(1, (random() * 40 + i * 0)::int)) AS t,
    timestamptz '2000-01-01' + make_interval(secs => (random() * 2 - 1) * 6e10) AS ts, date '2000-01-01' + ((random() * 2 - 1) * 700000)::int AS dt,
    decode(md5(i::text), 'hex') AS ba, md5(i::text)::uuid AS uu
    FROM generate_series(1, 5000) i;

CREATE TABLE written AS SELECT event, event::jsonb -> 'userId' AS id, event::json -> 'properties' AS p, problems
    FROM kseg.segment_preview('TABLE random_rows', event => 'E', server => 'none', row_limit => NULL);
SELECT count(*), count(problems) FROM written;

CREATE VIEW pairs AS SELECT r.*, w.p FROM written w JOIN random_rows r ON r.user_id = (w.id #>> '{}')::int;
SELECT count(*) FROM pairs;
SELECT p FROM pairs WHERE ROW(p ->> 'n1', p ->> 'n2', p ->> 'n3', p ->> 'b1', p ->> 'b2', p ->> 'b3', p ->> 'd1', p ->> 'f4')
    IS DISTINCT FROM ROW(n1::text, n2::text, n3::text, b1::text, b2::text, b3::text, d1::text, f4::text);
SELECT p FROM pairs, LATERAL (VALUES (n1, 'n1'), (n2, 'n2'), (n3, 'n3'), (b1, 'b1'), (b2, 'b2'), (b3, 'b3')) v (number, name)
    WHERE json_typeof(p -> name) <> CASE WHEN number = trunc(number) AND abs(number) > 9007199254740992 THEN 'string' ELSE 'number' END;
SELECT p FROM pairs WHERE ROW(p ->> 't', p ->> 'ba', p ->> 'uu') IS DISTINCT FROM ROW(t, ba::text, uu::text);
SELECT p FROM pairs WHERE ts >= '0001-01-01' AND p ->> 'ts' <> to_char(date_trunc('milliseconds', ts), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
SELECT p FROM pairs WHERE p ->> 'dt' <> to_char(dt, 'YYYY-MM-DD"T00:00:00.000Z"');

-- documents come through, and merge as jsonb's own || does
CREATE TABLE documents AS SELECT user_id, b1::text AS z, jsonb_build_object('k' || user_id % 9, n1, coalesce(t, 'q'),
    jsonb_build_array(n3, b1, t, NULL, true, '{}'::jsonb, jsonb_build_object(coalesce(t, '') || 'x', ts)), 'z', '[]'::jsonb) AS j FROM random_rows;
SELECT e.event FROM kseg.segment_preview('SELECT user_id, j FROM documents', event => 'E', server => 'none', row_limit => NULL) e
    JOIN documents d ON d.user_id = (e.event::jsonb ->> 'userId')::int WHERE e.event::jsonb #> '{properties,j}' IS DISTINCT FROM d.j;
SELECT e.event FROM kseg.segment_preview('SELECT user_id, j AS properties, z, 1 AS k5 FROM documents', event => 'E', server => 'none', row_limit => NULL) e
    JOIN documents d ON d.user_id = (e.event::jsonb ->> 'userId')::int
    WHERE e.event::jsonb -> 'properties' IS DISTINCT FROM d.j || jsonb_build_object('z', z, 'k5', 1);
SELECT e.event FROM kseg.segment_preview('SELECT user_id, jsonb_pretty(j)::json AS properties, z, 1 AS k5 FROM documents', event => 'E', server => 'none', row_limit => NULL) e
    JOIN documents d ON d.user_id = (e.event::jsonb ->> 'userId')::int
    WHERE e.event::jsonb -> 'properties' IS DISTINCT FROM d.j || jsonb_build_object('z', z, 'k5', 1);
