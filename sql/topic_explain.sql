-- EXPLAIN of a scan shows what narrows the read and reaches no broker: there is none at this address.
CREATE EXTENSION kseg;
SELECT kseg.connect_kafka('127.0.0.1:1');
SET TimeZone = 'UTC';
SET max_parallel_workers_per_gather = 0;
CREATE FOREIGN TABLE orders (
    id bigint, city text,
    partition integer OPTIONS (meta 'partition'), "offset" bigint OPTIONS (meta 'offset'),
    at timestamptz OPTIONS (meta 'timestamp'), day timestamp OPTIONS (meta 'timestamp'),
    second timestamptz(0) OPTIONS (meta 'timestamp')) SERVER kafka OPTIONS (topic 'orders');

-- Plans as every version prints them: the names of what is computed elsewhere, and of rows and memory, differ.
CREATE FUNCTION pg_temp.plan(query text, options text DEFAULT 'COSTS OFF') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, query) LOOP
        CONTINUE WHEN line ~ '^ *(Buffers|Memory|Storage|Planning)';
        line := regexp_replace(regexp_replace(line, ' \(returns .*\)$', ''), 'rows=0\.00', 'rows=0');
        RETURN NEXT regexp_replace(line, '\(InitPlan \d+\)\.col1|\$\d+', '$N', 'g');
    END LOOP;
END $$;

EXPLAIN (COSTS OFF) SELECT * FROM orders;
EXPLAIN (COSTS OFF) SELECT count(*) FROM orders WHERE partition = 1 AND "offset" BETWEEN 10 AND 20 AND city = 'Wien';
EXPLAIN (COSTS OFF) SELECT id FROM orders WHERE partition IN (0, 2) AND 5 < "offset" AND 7::smallint >= partition;
EXPLAIN (COSTS OFF) SELECT id FROM orders WHERE at >= now() - interval '1 hour' AND at < '2030-01-01';
EXPLAIN (COSTS OFF) SELECT id FROM orders WHERE at > date '2024-01-01' AND day <= timestamp '2024-01-02';
CREATE FUNCTION pg_temp.plan_member(query text, member text) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' -> member;
END $$;
SELECT member, pg_temp.plan_member('SELECT id FROM orders WHERE "offset" > 5', member)
FROM unnest(ARRAY['Kafka Topic', 'Kafka Offsets', 'Kafka Time']) member;

-- not for every row the same, not of this column's type, or not exact: filters only
EXPLAIN (COSTS OFF) SELECT id FROM orders
    WHERE "offset" >= partition AND at >= clock_timestamp() AND second >= '2024-01-01' AND "offset" <> 5
      AND day >= timestamptz '2024-01-01 UTC' AND "offset" >= 1.5 AND partition <> ALL ('{1,2}') AND partition + 1 = 2
      AND (partition = 1 OR "offset" = 2);
-- how many partitions there are only a broker knows
EXPLAIN (COSTS OFF) SELECT id FROM orders WHERE partition > 2;
EXPLAIN (COSTS OFF) SELECT id FROM orders WHERE partition > 2 AND partition < 5;

-- parameters, subqueries and lateral references are known when the scan begins
PREPARE of_partition(integer, bigint) AS SELECT id FROM orders WHERE partition = ANY (ARRAY[$1, 7]) AND "offset" >= $2;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE of_partition(1, 2);
CREATE TEMPORARY TABLE positions (partition integer, next bigint);
SELECT pg_temp.plan('SELECT id FROM orders WHERE "offset" >= (SELECT min(next) FROM positions)');
SELECT pg_temp.plan('SELECT * FROM positions p,
    LATERAL (SELECT id FROM orders o WHERE o.partition = p.partition AND o."offset" >= p.next LIMIT 10) o');

-- what is read twice is kept: the second read would cost as much as the first
EXPLAIN (COSTS OFF) SELECT count(*) FROM orders a, orders b WHERE a.id < b.id;
EXPLAIN (COSTS OFF) SELECT count(*) FROM positions p JOIN orders o ON o.id < p.next;

-- where no row can match nobody is asked either
SELECT count(*) FROM orders WHERE "offset" < 0;
SELECT count(*) FROM orders WHERE "offset" > 9223372036854775807;
SELECT count(*) FROM orders WHERE partition = -1;
SELECT count(*) FROM orders WHERE partition = 3000000000;
SELECT count(*) FROM orders WHERE partition = ANY ('{1,2,NULL}') AND partition = 3;
SELECT count(*) FROM orders WHERE partition = ANY (NULL::integer[]);
SELECT count(*) FROM orders WHERE "offset" = NULL::bigint;
SELECT count(*) FROM orders WHERE "offset" >= 20 AND "offset" < 20;
SELECT count(*) FROM orders WHERE at >= 'infinity';
SELECT count(*) FROM orders WHERE at < '-infinity';
SELECT count(*) FROM orders WHERE at > '2024-01-01 00:00:00' AND at < '2024-01-01 00:00:00.001';
SELECT count(*) FROM orders WHERE at = '2024-01-01 00:00:00.0005';
SELECT pg_temp.plan('SELECT * FROM orders WHERE "offset" < 0', 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, VERBOSE');
SELECT count(*) FROM orders WHERE false;
EXECUTE of_partition(NULL, NULL);

-- nor from where nothing may reach outside, or with nobody's mapping
CREATE MATERIALIZED VIEW kept AS SELECT id FROM orders;
DROP USER MAPPING FOR CURRENT_USER SERVER kafka;
SELECT id FROM orders;
EXPLAIN (COSTS OFF) SELECT id FROM orders;
