-- Which column is which field, for each call, and what is refused before anything is sent.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
\set SHOW_CONTEXT never

CREATE VIEW everything AS SELECT
    'u' AS user_id, 'a' AS anonymous_id, 'g' AS group_id, 'p' AS previous_id, 'E' AS event, 'n' AS name, 'c' AS category,
    '2024-01-01 00:00Z'::timestamptz AS "timestamp", 'm' AS message_id, '{"i": true}'::jsonb AS integrations,
    '{"x": 1}'::jsonb AS context, '{"p": 1}'::jsonb AS properties, '{"t": 1}'::jsonb AS traits, 1 AS other;
CREATE VIEW camel AS SELECT
    'u' AS "userId", 'a' AS "anonymousId", 'g' AS "groupId", 'p' AS "previousId", 'E' AS event, 'n' AS name, 'c' AS category,
    'm' AS "messageId", 1 AS other;

-- each call takes its own fields; what is reserved for others is an ordinary property or trait
SELECT c, e.event FROM unnest('{track,identify,group,page,screen}'::text[]) c,
    kseg.segment_preview('TABLE everything', call => c, server => 'none') e;
SELECT c, e.event FROM unnest('{track,identify,group,page,screen}'::text[]) c,
    kseg.segment_preview('TABLE camel', call => c, server => 'none') e;
SELECT event FROM kseg.segment_preview('TABLE everything', call => 'alias', server => 'none',
    exclude => '{group_id,event,name,category,properties,traits,other}');

-- both spellings, both events, none
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 2 AS "userId"', event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 2 AS "userId"', event => 'E', server => 'none', exclude => '{userId}');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 2 AS "userId"', event => 'E', server => 'none', user_id => 'userId');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', event => 'E', event_column => 'user_id', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', event => '', server => 'none');
-- beside a constant event, a column called event is a property
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, ''x'' AS event', event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, ''x'' AS what, ''y'' AS event', event_column => 'what', server => 'none');

-- arguments name other columns: these are no properties, and the usual name becomes one
SELECT event FROM kseg.segment_preview(
    'SELECT 1 AS user_id, 2 AS customer, date ''2024-01-01'' AS day, ''m'' AS id', event => 'E', user_id => 'customer',
    event_time => 'day', message_id => 'id', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS customer', event => 'E', user_id => 'custmer', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', event => 'E', exclude => '{nothing_like_it}', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 2 AS x', event => 'E', user_id => 'user_id', exclude => '{user_id}', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', call => 'identify', group_id => 'user_id', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', call => 'identify', event => 'E', server => 'none');

-- properties lists columns: only these, and these whatever else they are
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 2 AS a, 3 AS b, 4 AS context_c', event => 'E', properties => '{b,user_id}', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 2 AS a', event => 'E', properties => '{}', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 2 AS a, 3 AS b', event => 'E', exclude => '{a}', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 2 AS a', event => 'E', properties => '{a}', exclude => '{a}', server => 'none');

-- columns as such
SELECT event FROM kseg.segment_preview('SELECT', event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS a, 2 AS a, 3 AS user_id', event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS a, 2 AS a, 3 AS user_id', event => 'E', exclude => '{a}', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1, 3 AS user_id', event => 'E', server => 'none');

-- missing columns
SELECT event FROM kseg.segment_preview('SELECT 1 AS customer', event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS anonymous_id', event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', call => 'group', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', call => 'alias', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS anonymous_id, 2 AS previous_id', call => 'alias', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 2 AS previous_id, 3 AS more', call => 'alias', server => 'none');

-- types that can serve as ids
CREATE TYPE mood AS ENUM ('happy');
SELECT t, e.event FROM unnest('{"1::int2","1::int8","9007199254740993","9007199254740993::numeric","1.50","''t''::text","''c  ''::char(4)",
    "''n''::name","''happy''::mood","''a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11''::uuid","''10.0.0.1''::inet"}'::text[]) t,
    kseg.segment_preview('SELECT ' || t || ' AS user_id', event => 'E', server => 'none') e;
-- and those that cannot
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY '{1::float8,true,now(),current_date,"''\\x00''::bytea","''{}''::json","''{}''::jsonb","ARRAY[1]","ROW(1)","int4range(1,2)"}'::text[] LOOP
        BEGIN
            PERFORM kseg.segment_preview('SELECT ' || t || ' AS user_id', event => 'E', server => 'none');
            RAISE WARNING '% may be an id', t;
        EXCEPTION WHEN datatype_mismatch THEN
            RAISE WARNING '%: %', t, sqlerrm;
        END;
    END LOOP;
END $$;
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 1 AS event', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 1.5 AS message_id', event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, ''x'' AS "timestamp"', event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, time ''12:00'' AS t', event => 'E', event_time => 't', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 1 AS name', call => 'page', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, ''x'' AS context', event => 'E', server => 'none');
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id, 1 AS properties', event => 'E', server => 'none');
