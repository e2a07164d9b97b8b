-- Who may do what with streams: functions are granted, a stream is its owner's, and what it does its owner could do.
CREATE EXTENSION kseg;
SET client_min_messages = warning;
SELECT kseg.connect_kafka('127.0.0.1:1');
CREATE FOREIGN TABLE topic (k bigint, v text) SERVER kafka OPTIONS (topic 'orders');
CREATE TABLE target (k bigint PRIMARY KEY, v text);
CREATE ROLE stream_anna LOGIN;
CREATE ROLE stream_ben LOGIN;
CREATE ROLE stream_team LOGIN;
GRANT stream_team TO stream_anna;

-- nothing without the functions' right
SET ROLE stream_anna;
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target');
SELECT kseg.start_stream('s');
SELECT kseg.stop_stream('s');
SELECT kseg.alter_stream('s');
SELECT kseg.reset_stream('s', 'latest');
SELECT kseg.drop_stream('s');
SELECT * FROM kseg.stream_entry;
SELECT * FROM kseg.position_entry;
RESET ROLE;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA kseg TO stream_anna, stream_ben, stream_team;
GRANT CREATE ON SCHEMA public TO stream_anna;

-- each right that the stream will need, one after the other
SET ROLE stream_anna;
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target', key => '{k}', on_conflict => 'update', delete_when => 'v IS NULL');
RESET ROLE; GRANT SELECT ON topic TO stream_anna, stream_team; SET ROLE stream_anna;
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target', key => '{k}', on_conflict => 'update', delete_when => 'v IS NULL');
RESET ROLE; GRANT INSERT ON target TO stream_anna, stream_team; SET ROLE stream_anna;
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target', key => '{k}', on_conflict => 'update', delete_when => 'v IS NULL');
RESET ROLE; GRANT UPDATE (v) ON target TO stream_anna; SET ROLE stream_anna;
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target', key => '{k}', on_conflict => 'update', delete_when => 'v IS NULL');
RESET ROLE; GRANT SELECT (k, v) ON target TO stream_anna; SET ROLE stream_anna;
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target', key => '{k}', on_conflict => 'update', delete_when => 'v IS NULL');
RESET ROLE; GRANT DELETE ON target TO stream_anna; SET ROLE stream_anna;
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target', key => '{k}', on_conflict => 'update', delete_when => 'v IS NULL');
RESET ROLE; GRANT USAGE ON FOREIGN SERVER kafka TO stream_anna, stream_team; SET ROLE stream_anna;
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target', key => '{k}', on_conflict => 'update', delete_when => 'v IS NULL');
RESET ROLE; SELECT kseg.connect_kafka('127.0.0.1:1', for_role => 'public'); SET ROLE stream_anna;
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target', key => '{k}', on_conflict => 'update', delete_when => 'v IS NULL');
SELECT name, owner FROM kseg.stream;

-- a view lets its owner's rights through, with the column of order, too
RESET ROLE;
CREATE VIEW shown AS SELECT k, v FROM topic;
GRANT SELECT ON shown TO stream_team;
GRANT SELECT, UPDATE ON target TO stream_team;
REVOKE SELECT ON topic FROM stream_team;
SET ROLE stream_team;
SELECT kseg.stream_to_table('direct', 'SELECT k, v FROM topic', 'target', key => '{k}', on_conflict => 'update');
SELECT kseg.stream_to_table('shown', 'SELECT k, v FROM shown', 'target', key => '{k}', on_conflict => 'update');

-- somebody else's: not there to be seen, nor to be changed
SET ROLE stream_ben;
SELECT name FROM kseg.stream;
SELECT kseg.stop_stream('s');
SELECT kseg.start_stream('ss');
SELECT kseg.alter_stream('s', batch_rows => 1);
SELECT kseg.reset_stream('s', 'latest');
SELECT kseg.drop_stream('s');

-- members of the owner may, and it stays the owner's
SET ROLE stream_anna;
SELECT kseg.stop_stream('shown');
SELECT kseg.alter_stream('shown', batch_rows => 3);
SELECT name, owner, batch_rows FROM kseg.stream ORDER BY name;
-- the definition is checked as the owner, not as who changes it
SELECT kseg.alter_stream('shown', query => 'SELECT k, v FROM topic');

-- an owner is who one may become
DO $$BEGIN
    PERFORM kseg.alter_stream('shown', owner => 'stream_ben');
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'refused'; -- in words that differ between versions
END$$;
SELECT kseg.alter_stream('shown', owner => 'nobody_like_this');
SELECT kseg.alter_stream('shown', owner => 'stream_anna');
SELECT name, owner FROM kseg.stream ORDER BY name;
SET ROLE stream_team;
SELECT kseg.stop_stream('shown');
RESET ROLE;
SELECT kseg.alter_stream('shown', owner => 'stream_team');

-- nobody gets somebody else to make a stream for him
CREATE TABLE bait (k bigint);
CREATE FUNCTION trap(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
    $$BEGIN PERFORM kseg.stream_to_table('trapped', 'SELECT k, v FROM topic', 'target'); RETURN $1; END$$;
INSERT INTO bait VALUES (1);
CREATE INDEX ON bait (trap(k));
SELECT kseg.drop_stream(name) FROM kseg.stream ORDER BY name;

-- rows of our tables run nobody's triggers
CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''ran as %'', current_user; END';
CREATE TRIGGER spy BEFORE INSERT ON kseg.stream_entry FOR EACH ROW EXECUTE FUNCTION spy();
SELECT kseg.stream_to_table('s', 'SELECT k, v FROM topic', 'target');
DROP TRIGGER spy ON kseg.stream_entry;

DROP EXTENSION kseg CASCADE;
DROP OWNED BY stream_anna, stream_ben, stream_team;
DROP ROLE stream_anna, stream_ben, stream_team;
