-- Bounds and words of a stream's arguments: each refusal says what is valid, and why.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
SELECT kseg.connect_kafka('127.0.0.1:1');
CREATE FOREIGN TABLE topic (k bigint, v text) SERVER kafka OPTIONS (topic 'orders');
CREATE TABLE target (k bigint PRIMARY KEY, v text);

-- The arguments after query and target, as text.
CREATE FUNCTION pg_temp.try(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text;
    problem text;
    detail text;
    hint text;
BEGIN
    EXECUTE 'SELECT kseg.stream_to_table(''s'', ''SELECT k, v FROM topic'', ''target'', ' || arguments || ')';
    PERFORM kseg.drop_stream('s');
    RETURN 'fine';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' / ', code || ' ' || problem, nullif(detail, ''), nullif(hint, ''));
END $$;

\x on
\pset format unaligned
SELECT pg_temp.try('batch_rows => 0') AS none, pg_temp.try('batch_rows => 1') AS one, pg_temp.try('batch_rows => 1000000') AS most,
       pg_temp.try('batch_rows => 1000001') AS more;
SELECT pg_temp.try('workers => 0') AS none, pg_temp.try('workers => 64') AS most, pg_temp.try('workers => 65') AS more;
SELECT pg_temp.try('batch_interval => ''-1 ms''') AS less, pg_temp.try('batch_interval => ''1 hour''') AS most,
       pg_temp.try('batch_interval => ''3601 s''') AS more, pg_temp.try('batch_interval => ''1000 years''') AS much_more;
SELECT pg_temp.try('max_dead_letter_rate => -0.1') AS less, pg_temp.try('max_dead_letter_rate => 0') AS least,
       pg_temp.try('max_dead_letter_rate => 1.01') AS more, pg_temp.try('max_dead_letter_rate => ''NaN''') AS nan;
SELECT pg_temp.try('on_error => ''dead_leter''') AS near, pg_temp.try('on_error => ''skip''') AS other,
       pg_temp.try('on_conflict => ''upsert''') AS conflict, pg_temp.try('on_conflict => ''updates''') AS conflict_near;
SELECT pg_temp.try('commit_group => E''a\nb''') AS control, pg_temp.try('commit_group => repeat(''g'', 255)') AS longest,
       pg_temp.try('commit_group => repeat(''g'', 256)') AS longer;

-- topics
SELECT pg_temp.try('topics => ''{a,b.c_d-1}''') AS names, pg_temp.try('topics => ''{^orders_[a-z]+$}''') AS expression,
       pg_temp.try('topics => ''{a b}''') AS space, pg_temp.try('topics => ARRAY['''']') AS empty,
       pg_temp.try('topics => ARRAY[''a'', NULL]') AS nothing, pg_temp.try('topics => ''{a,b,a}''') AS twice,
       pg_temp.try('topics => ARRAY[repeat(''t'', 250)]') AS longer;
SELECT pg_temp.try('topics => ''{^orders_(a}''') AS unclosed, pg_temp.try('topics => ''{^[z-a]}''') AS range,
       pg_temp.try('topics => ARRAY[''^a{255}'']') AS repetition, pg_temp.try('topics => ARRAY[''^(a)\1'']') AS back_reference,
       pg_temp.try('topics => ARRAY[''^é'']') AS letter, pg_temp.try('topics => ARRAY[''^'' || repeat(''('', 250)]') AS longer;
SELECT pg_temp.try('topics => ARRAY(SELECT ''t'' || i FROM generate_series(1, 1000) i)') AS most,
       pg_temp.try('topics => ARRAY(SELECT ''t'' || i FROM generate_series(1, 1001) i)') AS more;

-- where it begins
SELECT pg_temp.try('start => ''latest''') AS latest, pg_temp.try('start => ''lastest''') AS near, pg_temp.try('start => ''2026-13-01''') AS no_date,
       pg_temp.try('start => ''whenever''') AS no_time, pg_temp.try('start => ''infinity''') AS infinite,
       pg_temp.try('start => ''1969-12-31''') AS before_epoch, pg_temp.try('start => ''yesterday''') AS yesterday;
SELECT pg_temp.try('start => ''{"0": 42, "3": 0}''') AS offsets, pg_temp.try('start => ''{"orders": {"0": 42}}''') AS by_topic,
       pg_temp.try('start => ''{"0": 1, "1"''') AS no_json, pg_temp.try('start => ''{}''') AS empty, pg_temp.try('start => ''{"t": {}}''') AS empty_topic,
       pg_temp.try('start => ''{"zero": 42}''') AS no_partition, pg_temp.try('start => ''{"0": -1}''') AS negative,
       pg_temp.try('start => ''{"0": 1.5}''') AS fraction, pg_temp.try('start => ''{"0": "7"}''') AS text,
       pg_temp.try('start => ''{"2147483648": 7}''') AS big_partition, pg_temp.try('start => ''{"0": 9223372036854775807}''') AS big_offset,
       pg_temp.try('start => ''{"a b": {"0": 42}}''') AS no_topic, pg_temp.try('start => ''{"a": {"0": 42}, "b": 7}''') AS mixed,
       pg_temp.try('start => ''{"0": 42}'', topics => ''{a,b}''') AS which, pg_temp.try('start => ''{"0": 42}'', topics => ''{^a}''') AS which_of,
       pg_temp.try('start => ''{"a": {"0": 42}, "b": {"1": 7}}'', topics => ''{a,b}''') AS both;
\x off

-- offsets are positions; the other partitions begin at their first message
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target', start => '{"0": 42, "11": 9007199254740993}');
SELECT topic, partition, "offset" FROM kseg.position ORDER BY partition;
SELECT kseg.reset_stream('s', '{"other": {"1": 7}}');
SELECT kseg.alter_stream('s', topics => '{other,^the_}');
SELECT kseg.reset_stream('s', '{"other": {"1": 7}, "the_third": {"0": 8}, "the fourth": {"0": 1}}');
SELECT kseg.reset_stream('s', '{"other": {"1": 7}, "the_third": {"0": 8}}');
SELECT topic, partition, "offset" FROM kseg.position ORDER BY topic, partition;
SELECT start, start_time FROM kseg.stream;
SELECT kseg.reset_stream('s', '2026-01-02 03:04:05+00');
SELECT start, start_time AT TIME ZONE 'UTC' AS start_time FROM kseg.stream;
SELECT count(*) FROM kseg.position;
SELECT kseg.reset_stream('s', 'earlyest');
SELECT kseg.reset_stream('s', '{"other": {"0": 1}}');
SELECT start, start_time FROM kseg.stream;
