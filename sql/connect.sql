-- connect_segment and COPY kseg.write_key: a server and a user mapping in one call.
CREATE EXTENSION kseg;

SELECT kseg.connect_segment(write_key => 'key-one');
SELECT srvname, srvoptions FROM pg_foreign_server;
SELECT usename, umoptions FROM pg_user_mappings WHERE usename = CURRENT_USER;

-- again: the key is replaced; another address is refused
SELECT kseg.connect_segment(write_key => 'key-two');
SELECT kseg.connect_segment(write_key => 'key-three', region => 'eu');
SELECT kseg.connect_segment(write_key => 'key-three', endpoint => 'http://127.0.0.1:1');
SELECT umoptions FROM pg_user_mappings;

-- other servers, other roles
SELECT kseg.connect_segment(write_key => 'key-eu', region => 'eu', server => 'segment eu');
SELECT kseg.connect_segment(write_key => 'key-local', endpoint => 'http://127.0.0.1:8765', server => 'sandbox', for_role => 'public');
CREATE ROLE kseg_connect_user;
SELECT kseg.connect_segment(write_key => 'key-user', server => 'sandbox', for_role => 'kseg_connect_user');
SELECT srvname, usename, umoptions FROM pg_user_mappings ORDER BY 1, 2;

-- a file goes before a key, so a new key drops it
CREATE SERVER file FOREIGN DATA WRAPPER kseg_segment;
CREATE USER MAPPING FOR CURRENT_USER SERVER file OPTIONS (write_key_file '/nonexistent');
SELECT kseg.connect_segment(write_key => 'key-file', server => 'file');
SELECT umoptions FROM pg_user_mappings WHERE srvname = 'file';

-- COPY
COPY kseg.write_key (write_key, server) FROM STDIN;
key-copied	sandbox
\.
COPY kseg.write_key (write_key, server, region) FROM STDIN;
key-new	by copy	eu
\.
COPY kseg.write_key (write_key) FROM STDIN;
key with blanks
\.
-- PostgreSQL quotes a line that it cannot split; not this one
COPY kseg.write_key FROM STDIN;
secret-canary
\.
COPY kseg.write_key (write_key) FROM STDIN;
secret-canary	sandbox
\.
SELECT srvname, usename, umoptions FROM pg_user_mappings WHERE srvname IN ('sandbox', 'by copy') ORDER BY 1, 2;
SELECT * FROM kseg.write_key;

-- what is wrong is said
SELECT kseg.connect_segment(write_key => NULL);
SELECT kseg.connect_segment(write_key => '');
SELECT kseg.connect_segment(write_key => 'k', server => NULL);
SELECT kseg.connect_segment(write_key => 'k', region => 'us', endpoint => 'https://api.segment.io', server => 'x');
SELECT kseg.connect_segment(write_key => 'k', region => 'mars', server => 'x');
SELECT kseg.connect_segment(write_key => 'k', for_role => 'nobody_here');
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER foreign_one FOREIGN DATA WRAPPER other;
SELECT kseg.connect_segment(write_key => 'k', server => 'foreign_one');
BEGIN READ ONLY;
SELECT kseg.connect_segment(write_key => 'k');
ROLLBACK;

-- it needs what CREATE SERVER needs
SET ROLE kseg_connect_user;
SELECT kseg.connect_segment(write_key => 'k', server => 'mine');
SELECT kseg.connect_segment(write_key => 'k', server => 'segment');
RESET ROLE;
GRANT USAGE ON FOREIGN DATA WRAPPER kseg_segment TO kseg_connect_user;
SET ROLE kseg_connect_user;
SELECT kseg.connect_segment(write_key => 'k', server => 'mine');
SELECT kseg.connect_segment(write_key => 'k', server => 'local', endpoint => 'http://127.0.0.1:8765');
RESET ROLE;

-- rolled back: nothing stays
BEGIN;
SELECT kseg.connect_segment(write_key => 'k', server => 'gone');
ROLLBACK;
SELECT count(*) FROM pg_foreign_server WHERE srvname = 'gone';

-- a server that logs statements: the ways that keep a key out of the log are named
SET log_min_duration_statement = 100000;
SELECT kseg.connect_segment(write_key => 'key-two');
RESET log_min_duration_statement;
DROP OWNED BY kseg_connect_user CASCADE;
DROP ROLE kseg_connect_user;
