-- Making, changing and dropping streams: what is kept of a definition. Without shared_preload_libraries they are stored, and do not run.
CREATE EXTENSION kseg;
SELECT kseg.connect_kafka('127.0.0.1:1');
CREATE FOREIGN TABLE orders_topic (order_id bigint, customer text, total numeric, at timestamptz, op text) SERVER kafka
    OPTIONS (topic 'orders');
CREATE TABLE orders (order_id bigint PRIMARY KEY, customer text, total numeric(10,2), at timestamptz);
SELECT kseg.stream_to_table('orders', 'SELECT order_id, customer, total, at FROM orders_topic WHERE total > 0; -- all',
                            'public.orders', key => '{order_id}', on_conflict => 'update');
\x on
SELECT name, owner, query, search_path, target, key, on_conflict, delete_when, start, start_time, topics, batch_rows, batch_interval,
       workers, on_error, max_dead_letter_rate, commit_group, enabled, halted
FROM kseg.stream;
SET client_min_messages = warning;

-- everything said; the search_path is kept
SET search_path = pg_catalog, public;
SELECT kseg.stream_to_table('all', 'SELECT order_id, customer, op FROM orders_topic', 'orders', key => '{order_id}',
    on_conflict => 'update', delete_when => 'op = ''d''', start => '2026-01-02 03:04:05+00', topics => '{orders,^orders_}',
    batch_rows => 5, batch_interval => '200 ms', workers => 4, on_error => 'stop', max_dead_letter_rate => 1,
    commit_group => 'kseg');
SELECT name, search_path, delete_when, start, start_time AT TIME ZONE 'UTC' AS start_time, topics, batch_rows, batch_interval, workers, on_error,
       max_dead_letter_rate, commit_group
FROM kseg.stream WHERE name = 'all';
RESET search_path;

-- NULL is as if nothing was said
SELECT kseg.stream_to_table('nulls', 'SELECT order_id FROM orders_topic', 'orders', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT key, on_conflict, start, topics, batch_rows, batch_interval, workers, on_error, max_dead_letter_rate FROM kseg.stream WHERE name = 'nulls';
SELECT kseg.drop_stream('nulls');
\x off

-- alter_stream: what is NULL stays, '' and {} take away, each change is a revision
SELECT kseg.alter_stream('all', batch_rows => 50);
SELECT batch_rows, workers, delete_when, topics, commit_group FROM kseg.stream WHERE name = 'all';
SELECT kseg.alter_stream('all', delete_when => '', topics => '{}', commit_group => '',
                         query => 'SELECT order_id, customer FROM orders_topic');
SELECT batch_rows, workers, delete_when, topics, commit_group, search_path FROM kseg.stream WHERE name = 'all';
SELECT kseg.alter_stream('all');
SELECT kseg.alter_stream('all', new_name => 'renamed');
SELECT name, revision FROM kseg.stream_entry ORDER BY id;
-- the whole is checked, not what is new alone
SELECT kseg.alter_stream('renamed', key => '{}');
SELECT kseg.alter_stream('renamed', query => 'SELECT customer FROM orders_topic');
SELECT kseg.alter_stream('renamed', on_conflict => 'error', key => '{}', query => 'SELECT order_id, customer FROM orders_topic');
SELECT key, on_conflict FROM kseg.stream WHERE name = 'renamed';

-- names
SELECT kseg.stream_to_table('orders', 'SELECT order_id FROM orders_topic', 'orders');
SELECT kseg.alter_stream('renamed', new_name => 'orders');
SELECT kseg.alter_stream('renamed', new_name => '');
SELECT kseg.stream_to_table('', 'SELECT order_id FROM orders_topic', 'orders');
SELECT kseg.stream_to_table(repeat('n', 64), 'SELECT order_id FROM orders_topic', 'orders');
SELECT kseg.stream_to_table(E'two\nlines', 'SELECT order_id FROM orders_topic', 'orders');
SELECT kseg.stream_to_table(NULL, 'SELECT order_id FROM orders_topic', 'orders');
SELECT kseg.start_stream('order');
SELECT kseg.drop_stream('something else');
SELECT kseg.alter_stream(NULL);

-- dead letters follow a stream that is renamed
INSERT INTO kseg.dead_letter_entry (stream, run_by, server, call, reason)
    VALUES ('orders', current_user, 'kafka', 'stream', 'mine'), ('another', current_user, 'kafka', 'stream', 'not mine');
BEGIN;
SELECT kseg.alter_stream('orders', new_name => 'purchases');
SELECT stream, reason FROM kseg.dead_letter ORDER BY id;
ROLLBACK;
SELECT stream, reason FROM kseg.dead_letter ORDER BY id;
DELETE FROM kseg.dead_letter_entry;

-- stop and start
SELECT kseg.stop_stream('orders');
SELECT enabled FROM kseg.stream WHERE name = 'orders';
SELECT kseg.stop_stream('orders');
SET client_min_messages = notice;
SELECT kseg.start_stream('orders');
SELECT enabled FROM kseg.stream WHERE name = 'orders';

-- one that has stopped by itself: altering does not start it, starting forgets why
UPDATE kseg.stream_entry SET halted = 'failed', halted_message = 'column is gone', halted_sqlstate = '42703' WHERE name = 'orders';
SELECT kseg.alter_stream('orders', batch_rows => 7);
SET client_min_messages = warning;
SELECT kseg.start_stream('orders');
SELECT halted, message, sqlstate FROM kseg.stream WHERE name = 'orders';

-- a gap waits for an answer
UPDATE kseg.stream_entry SET halted = 'gap', begun = true WHERE name = 'orders';
SELECT kseg.start_stream('orders');
SELECT kseg.reset_stream('orders', 'latest');
SELECT s.start, s.halted, e.begun FROM kseg.stream s JOIN kseg.stream_entry e USING (name) WHERE name = 'orders';

-- a roll-back takes everything with it
BEGIN;
SELECT kseg.drop_stream('orders');
ROLLBACK;
SELECT name FROM kseg.stream ORDER BY name;

-- what is dropped takes its positions along
SELECT kseg.reset_stream('orders', '{"0": 42}');
SELECT stream, topic, partition, "offset" FROM kseg.position;
SELECT kseg.drop_stream('orders');
SELECT count(*) FROM kseg.position_entry;

-- a stream whose owner is gone: dropped, or given to somebody else
CREATE ROLE stream_gone SUPERUSER LOGIN;
SELECT kseg.alter_stream('renamed', owner => 'stream_gone');
SELECT kseg.connect_kafka('127.0.0.1:1', for_role => 'public');
SELECT kseg.alter_stream('renamed', owner => 'stream_gone');
SELECT owner FROM kseg.stream WHERE name = 'renamed';
DROP ROLE stream_gone;
SELECT kseg.start_stream('renamed');
SELECT kseg.alter_stream('renamed', batch_rows => 1);
SELECT kseg.alter_stream('renamed', owner => current_user);
SELECT kseg.drop_stream('renamed');
