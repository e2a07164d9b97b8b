-- Objects inside the event: dots, context_, and the base that columns are merged over.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE FUNCTION look(query text, OUT event text, OUT problems text[]) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT e.event, e.problems FROM kseg.segment_preview(query, event => 'E', server => 'none') e
$$;

-- dots nest, wherever the columns stand; objects of which nothing is left are left out
SELECT * FROM look('SELECT 1 AS user_id, 2 AS "a.b", 3 AS c, 4 AS "a.d.e", 5 AS "a.d.f", NULL::int AS "g.h.i"');
SELECT * FROM look('SELECT 1 AS user_id, NULL::int AS "a.b"');
SELECT * FROM look('SELECT 1 AS user_id, 1 AS "a""b.c\d"');
-- context_ and context.
SELECT * FROM look('SELECT 1 AS user_id, ''127.0.0.1'' AS context_ip, ''x'' AS "context_device.id", 1 AS "context.y", 2 AS context_, 3 AS contexts');
SELECT * FROM look('SELECT 1 AS user_id, NULL::text AS context_ip');
-- a reserved name inside a path is not reserved
SELECT * FROM look('SELECT 1 AS user_id, 2 AS "user_id.x", 3 AS "event.y", 4 AS "properties.z"');

-- two in one place, parts that are empty
SELECT * FROM look('SELECT 1 AS user_id, 2 AS a, 3 AS "a.b"');
SELECT * FROM look('SELECT 1 AS user_id, 2 AS "a.b", 3 AS a');
SELECT * FROM look('SELECT 1 AS user_id, 2 AS "a.b", 3 AS "a.b.c"');
SELECT * FROM look('SELECT 1 AS user_id, 2 AS context_a, 3 AS "context_a.b"');
SELECT * FROM look('SELECT 1 AS user_id, 2 AS "a..b"');
SELECT * FROM look('SELECT 1 AS user_id, 2 AS ".a"');
SELECT * FROM look('SELECT 1 AS user_id, 2 AS "a."');
SELECT * FROM look('SELECT 1 AS user_id, 2 AS "context_.a"');

-- a base, and columns over it: deep, and NULL covers nothing
SELECT * FROM look($$SELECT 1 AS user_id, '{"a":1,"b":{"x":1,"y":{"z":1}},"c":[1],"d":2}'::jsonb AS properties,
    NULL::int AS a, 5 AS "b.x", 6 AS "b.y.w", 7 AS "c.z", NULL::int AS "d.e", 8 AS f$$);
SELECT event FROM kseg.segment_preview($$SELECT 1 AS user_id, '{"a":1,"b":{"x":1}}'::jsonb AS properties, NULL::int AS a, NULL::int AS "b.x"$$,
    event => 'E', nulls => 'send', server => 'none');
-- json: spaces, names twice (the last counts), escaped names
SELECT * FROM look($$SELECT 1 AS user_id, '{ "a" : 1, "\u0062" : {"x":1, "y" : [ "}" , "\"{" ] } ,"a":2 , "c\"d":"\\" }'::json AS properties, 5 AS "b.x"$$);
SELECT * FROM look($$SELECT 1 AS user_id, '{"\ud83d\ude00": 1, "é": 2, "b": 3}'::json AS properties, 4 AS "😀", 5 AS "é"$$);
SELECT * FROM look($$SELECT 1 AS user_id, E' \n{ "a" : 1 } '::json AS properties$$);
-- a base that is no object, or none
SELECT e.event, e.problems FROM (VALUES ('[1]'), ('null'), ('"{"'), ('1'), ('{}'), (NULL)) v (base),
    look(format('SELECT 1 AS user_id, %L::jsonb AS properties, 1 AS a', base)) e;
-- traits
SELECT event FROM kseg.segment_preview($$SELECT 1 AS user_id, '{"a":1,"b":2}'::jsonb AS traits, 3 AS b$$, call => 'identify', server => 'none');
-- nested deeper than any stack would like
SELECT length(event), event::jsonb IS NOT NULL AS valid FROM kseg.segment_preview(
    $$SELECT 1 AS user_id, (repeat('{"a":', 1000) || '1' || repeat('}', 1000))::jsonb AS properties, 2 AS b$$, event => 'E', server => 'none');

-- context: argument, under column, under context_x
SELECT event FROM kseg.segment_preview(
    $$SELECT 1 AS user_id, '{"ip":"1","b":2}'::jsonb AS context, 9 AS context_b, 'x' AS "context_device.id"$$, event => 'E',
    context => '{"z":1,"ip":"0","device":{"id":1,"type":"p"}}', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', event => 'E', context => '{"z":1,"device":{"id":1}}', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, NULL::int AS context_z', event => 'E', context => '{"z":1}', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', event => 'E', context => '{}', server => 'none');
-- integrations: argument, under column
SELECT event FROM kseg.segment_preview($$SELECT 1 AS user_id, '{"All":false}'::jsonb AS integrations$$, event => 'E',
    integrations => '{"All":true,"X":{"y":1}}', server => 'none');
