-- Definitions of foreign tables over topics: what the validator cannot see is said when the table is used, with the column's name.
CREATE EXTENSION kseg;
SELECT kseg.connect_kafka('127.0.0.1:1');

-- types of what a message has besides its value
CREATE FUNCTION pg_temp.try(columns text, options text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    problem text;
    hint text;
    code text;
BEGIN
    EXECUTE format('CREATE FOREIGN TABLE tried (%s) SERVER kafka OPTIONS (topic ''orders''%s)', columns, options);
    EXECUTE 'EXPLAIN SELECT * FROM tried';
    EXECUTE 'DROP FOREIGN TABLE tried';
    RETURN 'fine';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, problem = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN code || ' ' || problem || ' / ' || hint;
END $$;

\x on
SELECT pg_temp.try('p bigint OPTIONS (meta ''partition'')') AS partition,
       pg_temp.try('o integer OPTIONS (meta ''offset'')') AS "offset",
       pg_temp.try('o numeric OPTIONS (meta ''offset'')') AS offset_numeric,
       pg_temp.try('t date OPTIONS (meta ''timestamp'')') AS "timestamp",
       pg_temp.try('h text OPTIONS (meta ''headers'')') AS headers,
       pg_temp.try('e varchar OPTIONS (meta ''error'')') AS error,
       pg_temp.try('n integer OPTIONS (meta ''topic'')') AS topic,
       pg_temp.try('s text OPTIONS (meta ''source'')', ', format ''debezium''') AS source,
       pg_temp.try('k uuid OPTIONS (meta ''key''), v jsonb OPTIONS (meta ''value''), p int OPTIONS (meta ''partition''),
                    o bigint OPTIONS (meta ''offset''), t timestamp(0) OPTIONS (meta ''timestamp''),
                    z timestamptz OPTIONS (meta ''timestamp''), h json OPTIONS (meta ''headers''),
                    e text OPTIONS (meta ''error''), n varchar(10) OPTIONS (meta ''topic'')') AS all_fine;

-- formats
SELECT pg_temp.try('a text, b text', ', format ''text''') AS two_for_text,
       pg_temp.try('k text OPTIONS (meta ''key'')', ', format ''bytea''') AS none_for_bytea,
       pg_temp.try('a text', ', format ''bytea''') AS bytea_into_text,
       pg_temp.try('a text OPTIONS (path ''b'')', ', format ''text''') AS path_in_text,
       pg_temp.try('a integer', ', format ''text''') AS text_into_integer,
       pg_temp.try('a text, b integer OPTIONS (path ''1'')', ', format ''csv''') AS csv_twice,
       pg_temp.try('a text OPTIONS (path ''x'')', ', format ''csv''') AS csv_by_name,
       pg_temp.try('a text OPTIONS (path ''0'')', ', format ''csv''') AS csv_from_zero,
       pg_temp.try('a text OPTIONS (meta ''op'')') AS op_in_json,
       pg_temp.try('a text OPTIONS (path ''b'', meta ''key'')') AS path_and_meta,
       pg_temp.try('a text OPTIONS (path ''a,b,c,d,e'')', ', format ''debezium''') AS debezium_paths,
       pg_temp.try('a text OPTIONS (path ''a,b,c,d''), o text OPTIONS (meta ''op''), s jsonb OPTIONS (meta ''source''),
                    b json OPTIONS (meta ''before'')', ', format ''debezium''') AS debezium_fine,
       pg_temp.try('') AS no_column;
\x off

-- the option's text alone does not say whose it is
CREATE FOREIGN TABLE named (a integer, b text OPTIONS (path 'x')) SERVER kafka OPTIONS (topic 'orders', format 'csv');
SELECT * FROM named;

-- columns that come, go and change
CREATE FOREIGN TABLE orders (id bigint, city text, gone text, raw bytea OPTIONS (meta 'value')) SERVER kafka
    OPTIONS (topic 'orders', format 'csv');
ALTER FOREIGN TABLE orders DROP COLUMN gone;
ALTER FOREIGN TABLE orders ADD COLUMN amount numeric(10,2);
ALTER FOREIGN TABLE orders RENAME COLUMN city TO town;
EXPLAIN (COSTS OFF, VERBOSE) SELECT amount, town FROM orders;
ALTER FOREIGN TABLE orders ALTER COLUMN town OPTIONS (ADD meta 'offset');
EXPLAIN SELECT 1 FROM orders;
DROP FOREIGN TABLE orders;

-- a table cannot be changed, and has no system columns of its own
CREATE FOREIGN TABLE orders (id bigint) SERVER kafka OPTIONS (topic 'orders');
UPDATE orders SET id = 1;
DELETE FROM orders;
TRUNCATE orders;
EXPLAIN (COSTS OFF, VERBOSE) SELECT tableoid::regclass, id FROM orders;
