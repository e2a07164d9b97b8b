-- connect_kafka and COPY kseg.kafka_password: a server and a user mapping in one call; test_server of what is not to be had.
CREATE EXTENSION kseg;

SELECT kseg.connect_kafka('localhost:19092');
SELECT srvname, srvoptions FROM pg_foreign_server;
SELECT usename, umoptions FROM pg_user_mappings;
-- again: kept; other brokers or another protocol are refused
SELECT kseg.connect_kafka('localhost:19092');
SELECT kseg.connect_kafka(' localhost:19092 ', security_protocol => 'plaintext');
SELECT kseg.connect_kafka('localhost:9092');
SELECT kseg.connect_kafka('localhost:19092', security_protocol => 'ssl');
SELECT kseg.connect_kafka('localhost:19092', sasl_mechanism => 'PLAIN');

-- a password: for SASL, with TLS beyond this machine; again: replaced
SELECT kseg.connect_kafka('b1.example.com,b2.example.com:9093', sasl_mechanism => 'SCRAM-SHA-512', sasl_username => 'app',
                          sasl_password => 'one', server => 'remote kafka');
SELECT kseg.connect_kafka('b1.example.com:9092, b2.example.com:9093', sasl_username => 'app2', sasl_password => 'two',
                          server => 'remote kafka');
SELECT kseg.connect_kafka('b1.example.com:9092,b2.example.com:9093', sasl_password => 'three', server => 'remote kafka');
SELECT kseg.connect_kafka('b1.example.com:9092,b2.example.com:9093', sasl_mechanism => 'PLAIN', sasl_username => 'app',
                          sasl_password => 'four', server => 'remote kafka');
SELECT kseg.connect_kafka('127.0.0.1', sasl_mechanism => 'PLAIN', sasl_username => 'app', sasl_password => 'one', server => 'local');
SELECT srvname, srvoptions FROM pg_foreign_server ORDER BY 1;

-- other roles
CREATE ROLE kseg_kafka_user;
SELECT kseg.connect_kafka('127.0.0.1', sasl_username => 'all', sasl_password => 'all', server => 'local', for_role => 'public');
SELECT kseg.connect_kafka('127.0.0.1', sasl_username => 'user', sasl_password => 'user', server => 'local', for_role => 'kseg_kafka_user');
SELECT kseg.connect_kafka('localhost:19092', for_role => 'public');
SELECT srvname, usename, umoptions FROM pg_user_mappings ORDER BY 1, 2;

-- a client's certificate with TLS alone, its password by COPY
CREATE SERVER certified FOREIGN DATA WRAPPER kseg_kafka
    OPTIONS (bootstrap_servers 'b.example.com', ssl_certificate_file '/etc/client.pem', ssl_key_file '/etc/client.key');
COPY kseg.kafka_password (server, ssl_key_password) FROM STDIN;
certified	key-one
\.
SELECT umoptions FROM pg_user_mappings WHERE srvname = 'certified';

-- COPY
COPY kseg.kafka_password (server, sasl_username, sasl_password, for_role) FROM STDIN;
local	copied	copied	public
\.
COPY kseg.kafka_password (server, sasl_password) FROM STDIN;
local	copied
\.
COPY kseg.kafka_password (server, bootstrap_servers, sasl_mechanism, sasl_username, sasl_password) FROM STDIN (FORMAT csv);
new by copy,"b.example.com:1,b.example.com:2",PLAIN,app,"pass,word"
\.
SELECT srvname, usename, umoptions FROM pg_user_mappings WHERE srvname IN ('local', 'new by copy') ORDER BY 1, 2;
SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'new by copy';
-- PostgreSQL quotes a line that it cannot split; not this one
COPY kseg.kafka_password FROM STDIN;
secret-canary
\.
COPY kseg.kafka_password (sasl_password) FROM STDIN;
secret-canary	local
\.
COPY kseg.kafka_password (server, sasl_username, sasl_password) FROM STDIN;
local	app	secret-canary\t
\.
COPY kseg.kafka_password (server, sasl_password) FROM STDIN;
nowhere	secret-canary
\.
SELECT * FROM kseg.kafka_password;

-- what is wrong is said
SELECT kseg.connect_kafka(NULL, server => 'x');
SELECT kseg.connect_kafka('', server => 'x');
SELECT kseg.connect_kafka('b.example.com', server => NULL);
SELECT kseg.connect_kafka('b.example.com', server => 'x', security_protocol => 'sasl_ssl');
SELECT kseg.connect_kafka('b.example.com', server => 'x', sasl_username => 'app', sasl_password => 'p');
SELECT kseg.connect_kafka('b.example.com', server => 'x', sasl_mechanism => 'PLAIN');
SELECT kseg.connect_kafka('b.example.com', server => 'x', sasl_mechanism => 'PLAIN', sasl_username => 'app');
SELECT kseg.connect_kafka('b.example.com', server => 'x', sasl_mechanism => 'PLAIN', security_protocol => 'sasl_ssl');
SELECT kseg.connect_kafka('b.example.com', server => 'x', sasl_mechanism => 'PLAIN', security_protocol => 'sasl_ssl', sasl_password => 'p');
SELECT kseg.connect_kafka('b.example.com', server => 'x', security_protocol => 'ssl', sasl_username => 'app', sasl_password => 'p');
SELECT kseg.connect_kafka('localhost:19092', sasl_username => 'app', sasl_password => 'p');
SELECT kseg.connect_kafka('b.example.com', server => 'x', sasl_mechanism => 'GSSAPI', sasl_username => 'app', sasl_password => 'p');
SELECT kseg.connect_kafka('127.0.0.1', server => 'local', sasl_username => 'app', sasl_password => E'secret-canary\n');
SELECT kseg.connect_kafka('127.0.0.1', server => 'local', sasl_username => 'app');
SELECT kseg.connect_kafka('127.0.0.1', server => 'local');
SELECT kseg.connect_kafka('b.example.com', server => 'x', for_role => 'nobody_here');
SELECT kseg.connect_segment(write_key => 'k');
SELECT kseg.connect_kafka('b.example.com', server => 'segment');
SELECT kseg.connect_segment(write_key => 'k', server => 'kafka');
BEGIN READ ONLY;
SELECT kseg.connect_kafka('localhost:19092');
ROLLBACK;
SELECT count(*) FROM pg_foreign_server WHERE srvname = 'x';

-- test_server, of what is not to be had
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER foreign_one FOREIGN DATA WRAPPER other;
CREATE SERVER bare FOREIGN DATA WRAPPER kseg_kafka
    OPTIONS (bootstrap_servers 'b.example.com', security_protocol 'sasl_ssl', sasl_mechanism 'PLAIN');
SELECT * FROM kseg.test_server('nowhere');
SELECT * FROM kseg.test_server('foreign_one');
SELECT * FROM kseg.test_server('bare');
CREATE USER MAPPING FOR CURRENT_USER SERVER bare;
SELECT * FROM kseg.test_server('bare');
SELECT * FROM kseg.test_server(NULL);
SET ROLE kseg_kafka_user;
SELECT * FROM kseg.test_server('local');
RESET ROLE;
-- a Segment function does not take a server of Kafka
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', server => 'kafka');

-- it needs what CREATE SERVER needs
SET ROLE kseg_kafka_user;
SELECT kseg.connect_kafka('b.example.com', server => 'mine');
SELECT kseg.connect_kafka('localhost:19092');
RESET ROLE;
GRANT USAGE ON FOREIGN DATA WRAPPER kseg_kafka TO kseg_kafka_user;
SET ROLE kseg_kafka_user;
SELECT kseg.connect_kafka('b.example.com', server => 'mine');
SELECT kseg.connect_kafka('b.example.com', server => 'open', security_protocol => 'plaintext');
RESET ROLE;

-- rolled back: nothing stays
BEGIN;
SELECT kseg.connect_kafka('b.example.com', server => 'gone');
ROLLBACK;
SELECT count(*) FROM pg_foreign_server WHERE srvname = 'gone';

-- a server that logs statements: the way that keeps a password out of the log is named; nothing is said without one
SET log_min_duration_statement = 100000;
SELECT kseg.connect_kafka('127.0.0.1', sasl_password => 'five', server => 'local');
SELECT kseg.connect_kafka('localhost:19092');
RESET log_min_duration_statement;
DROP OWNED BY kseg_kafka_user CASCADE;
DROP ROLE kseg_kafka_user;
