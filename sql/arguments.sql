-- Arguments of the calls: checked, with a hint on a near miss; wrong ones send nothing.
CREATE EXTENSION kseg;
SELECT kseg.connect_segment(write_key => 'k', endpoint => 'http://127.0.0.1:1');

SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', on_invalid => 'deadletter');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', on_invalid => 'whatever');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', on_failure => 'reprot');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', nulls => 'keep');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', row_limit => -1);
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', timeout => '0');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', timeout => '1 year');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', context => '[1]');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', integrations => '"all"');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', exclude => ARRAY['a', NULL]);
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', event_column => 'e');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => '');
SELECT * FROM kseg.segment_track_from_query(NULL, event => 'E');
SELECT * FROM kseg.segment_track_from_table(NULL, event => 'E');
SELECT * FROM kseg.segment_track_from_table(0, event => 'E');
SELECT * FROM kseg.segment_preview('SELECT 1 AS user_id', call => 'trak');

-- servers
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', server => 'nowhere');
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER foreign_one FOREIGN DATA WRAPPER other;
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', server => 'foreign_one');
CREATE SERVER unmapped FOREIGN DATA WRAPPER kseg_segment;
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', server => 'unmapped');
CREATE USER MAPPING FOR PUBLIC SERVER unmapped;
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', server => 'unmapped');
SELECT * FROM kseg.test_server('nowhere');
SELECT * FROM kseg.test_server(NULL);

-- a role with a mapping but without USAGE, and the other way round
CREATE ROLE kseg_arguments_user;
SET ROLE kseg_arguments_user;
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER segment TO kseg_arguments_user;
SET ROLE kseg_arguments_user;
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E');
-- a preview needs neither, only the rows' rights
SELECT event FROM kseg.segment_preview('SELECT 1 AS user_id', event => 'E');
RESET ROLE;
CREATE TABLE hidden (user_id text);
SET ROLE kseg_arguments_user;
SELECT event FROM kseg.segment_preview('SELECT * FROM hidden', event => 'E');
RESET ROLE;

-- in a read-only transaction there is nowhere to keep dead letters
BEGIN READ ONLY;
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E');
ROLLBACK;

-- in a security-restricted operation nothing is sent
CREATE FUNCTION sneak(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E'); RETURN x; END $$;
CREATE TABLE restricted (x int);
INSERT INTO restricted VALUES (1);
CREATE INDEX ON restricted (sneak(x));

-- internal tables give no right to anybody
SET ROLE kseg_arguments_user;
SELECT * FROM kseg.run_entry;
SELECT * FROM kseg.dead_letter_entry;
SELECT count(*) FROM kseg.run;
SELECT count(*) FROM kseg.dead_letter;
INSERT INTO kseg.dead_letter (run) VALUES (NULL);
RESET ROLE;
DROP OWNED BY kseg_arguments_user;
DROP ROLE kseg_arguments_user;
