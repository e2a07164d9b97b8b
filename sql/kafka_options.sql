-- Options of kseg_kafka's servers, user mappings, foreign tables and columns: checked when they are set, alone and together,
-- with a hint that names the option that is meant, and never a password in a message.
CREATE EXTENSION kseg;

-- each option once
CREATE SERVER a FOREIGN DATA WRAPPER kseg_kafka
    OPTIONS (bootstrap_servers 'b1.example.com, b2.example.com:9093,[2001:db8::1]:9094', security_protocol 'sasl_ssl',
             sasl_mechanism 'SCRAM-SHA-512', ssl_ca_file '/etc/ca.pem', ssl_certificate_file '/etc/client.pem',
             ssl_key_file '/etc/client.key', client_id 'app-1', acks 'all', enable_idempotence 'on', compression 'zstd',
             linger '20ms', message_timeout '1h', max_message_bytes '2MB', max_queue_messages '1000', max_queue_bytes '64MB',
             isolation_level 'read_uncommitted', connect_timeout '5', request_timeout '30s', transaction_timeout '15min');
CREATE USER MAPPING FOR CURRENT_USER SERVER a OPTIONS (sasl_username 'app', sasl_password 'p', ssl_key_password 'k');
CREATE FOREIGN TABLE t (id int OPTIONS (path 'a.b[0].c, "odd.key"'), at timestamptz OPTIONS (meta 'timestamp')) SERVER a
    OPTIONS (topic 'orders.v1', format 'json', on_error 'null');
CREATE FOREIGN TABLE u (id int OPTIONS (path '3')) SERVER a
    OPTIONS (topic 'orders', format 'csv', delimiter E'\t', quote '''', "null" '');

-- unknown, misspelt, of another kind of object
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_server 'x');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', colour 'red');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', sasl_password 'secret-canary');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', topic 'x');
CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS (compression 'none');
CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS (sasl_pasword 'secret-canary');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topik 'x');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', meta 'key');
CREATE FOREIGN TABLE v (id int OPTIONS (topic 'x')) SERVER a OPTIONS (topic 'x');
ALTER FOREIGN DATA WRAPPER kseg_kafka OPTIONS (ADD client_id 'x');

-- librdkafka's names of ours
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("bootstrap.servers" 'x');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("Security.Protocol" 'ssl');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("metadata.broker.list" 'x');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("sasl.mechanisms" 'PLAIN');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("ssl.ca.location" '/x');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("linger.ms" '5');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (linger_ms '5');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("queue.buffering.max.kbytes" '5');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("request.required.acks" '1');
CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS ("sasl.password" 'secret-canary');
-- librdkafka's that run programs, read files, and so on
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("sasl.kerberos.kinit.cmd" 'touch /tmp/x');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (sasl_kerberos_kinit_cmd 'touch /tmp/x');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("plugin.library.paths" '/tmp/x.so');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("ssl.engine.location" '/tmp/x.so');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("ssl.providers" 'x');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("sasl.oauthbearer.token.endpoint.url" 'http://169.254.169.254/');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("sasl.kerberos.keytab" '/etc/passwd');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("ssl.crl.location" '/etc/passwd');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("ssl.keystore.location" '/etc/passwd');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("anything.new.file" '/etc/passwd');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("ssl.key.pem" 'secret-canary');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (debug 'all');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("enable.ssl.certificate.verification" 'false');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("ssl.endpoint.identification.algorithm" 'none');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("max.in.flight.requests.per.connection" '100');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("group.id" 'g');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (partitioner 'random');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS ("statistics.interval.ms" '1');
ALTER SERVER a OPTIONS (ADD "plugin.library.paths" '/tmp/x.so');

-- brokers
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka;
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers ',');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x,');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x y');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x:');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x:0');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x:65536');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x:9092/path');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '::1');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '[::1');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '[1.2.3]:9092');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'SSL://x:9092');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'app:secret-canary@x:9092');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers E'x\ny');

-- values that are none
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', security_protocol 'SASL_SSL');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', security_protocol 'tls');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', sasl_mechanism 'GSSAPI');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', compression 'lz5');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', isolation_level 'serializable');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', acks '1');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', acks '0');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', enable_idempotence 'false');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', enable_idempotence '');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', client_id 'a b');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', max_message_bytes '17MB');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', max_message_bytes '999');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', max_message_bytes '1000.5');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', max_message_bytes '1 minute');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', max_queue_bytes '2GB');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', max_queue_bytes '1000');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', max_queue_messages '0');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', linger '2min');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', message_timeout '13h');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', transaction_timeout '16min');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', request_timeout 'NaN');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', ssl_ca_file 'relative.pem');

-- values that do not go together
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', security_protocol 'sasl_ssl');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', sasl_mechanism 'PLAIN');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'localhost', sasl_mechanism 'PLAIN');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'localhost', ssl_ca_file '/etc/ca.pem');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', ssl_certificate_file '/etc/client.pem');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', ssl_key_file '/etc/client.key');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', linger '30', message_timeout '10');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', max_message_bytes '2MB', max_queue_bytes '1MB');
CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS (sasl_username 'app');
CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS (sasl_password 'secret-canary');
ALTER USER MAPPING FOR CURRENT_USER SERVER a OPTIONS (DROP sasl_username);
ALTER SERVER a OPTIONS (DROP sasl_mechanism);
ALTER SERVER a OPTIONS (SET bootstrap_servers 'localhost', DROP security_protocol);
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (format 'json');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', delimiter ';');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'text', "null" 'NULL');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'csv', delimiter '"');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'csv', "null" 'a,b');
CREATE FOREIGN TABLE v (id int OPTIONS (path 'a', meta 'key')) SERVER a OPTIONS (topic 'x');
ALTER FOREIGN TABLE t ALTER id OPTIONS (ADD meta 'key');
ALTER FOREIGN TABLE t OPTIONS (DROP topic);

-- passwords: what is wrong is said, they are not
CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS (sasl_username 'app', sasl_password E'secret-canary\n');
CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS (sasl_username E'secret-canary\t', sasl_password 'p');
CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS (sasl_username 'app', sasl_password '');
CREATE USER MAPPING FOR PUBLIC SERVER a OPTIONS (ssl_key_password E'secret-canary\x7f');

-- topics and formats
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic '');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic '..');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'a/b');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'bücher');
\set long `printf 'x%.0s' $(seq 250)`
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic :'long');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'avro');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'JSON');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', on_error 'ignore');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'csv', delimiter '||');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'csv', delimiter '€');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'csv', quote E'\n');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'csv', quote '');
CREATE FOREIGN TABLE v (id int) SERVER a OPTIONS (topic 'x', format 'csv', "null" E'a\nb');
CREATE FOREIGN TABLE v (id int OPTIONS (meta 'ofset')) SERVER a OPTIONS (topic 'x');

-- paths: good ones
CREATE FOREIGN TABLE w (
    a int OPTIONS (path 'a'), b int OPTIONS (path '[0]'), c int OPTIONS (path 'a[0][12].b'), d int OPTIONS (path 'ä.straße'),
    e int OPTIONS (path '"a b"."c.d"."say ""hi"""'), f int OPTIONS (path '""'), g int OPTIONS (path ' a , b.c ,[1] '),
    h int OPTIONS (path '"$".x'), i int OPTIONS (path '"*"'), j int OPTIONS (path 'a$*-_/:{}''b')) SERVER a OPTIONS (topic 'x');
-- and bad ones, with the character
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path '');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a.');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path '.a');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a..b');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a b');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a, ');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path ',a');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path '$.a');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a[*]');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a.*');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a[-1]');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a[1');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a[1x]');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a[16777216]');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a[99999999999999999999]');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a]');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a[0]b');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'ää."b');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path 'a"b"');
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path '"a"b');
\set deep `printf 'x%.0s.' $(seq 64)`x
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path :'deep');
\set many `printf 'x%.0s,' $(seq 16)`x
ALTER FOREIGN TABLE w ALTER a OPTIONS (SET path :'many');

-- what only superusers may set, and who else may not keep it
CREATE SERVER open FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'b.example.com', security_protocol 'plaintext');
CREATE SERVER files FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'b.example.com', ssl_ca_file '/etc/ca.pem');
CREATE ROLE kseg_kafka_user;
GRANT USAGE ON FOREIGN DATA WRAPPER kseg_kafka TO kseg_kafka_user;
ALTER SERVER open OWNER TO kseg_kafka_user;
ALTER SERVER files OWNER TO kseg_kafka_user;
SET ROLE kseg_kafka_user;
CREATE SERVER c FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'b.example.com', security_protocol 'plaintext');
CREATE SERVER c FOREIGN DATA WRAPPER kseg_kafka
    OPTIONS (bootstrap_servers 'b.example.com', security_protocol 'sasl_plaintext', sasl_mechanism 'PLAIN');
CREATE SERVER c FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'localhost,10.0.0.1', security_protocol 'plaintext');
CREATE SERVER c FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '127.0.0.1.example.com', security_protocol 'plaintext');
CREATE SERVER c FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '0127.0.0.1', security_protocol 'plaintext');
CREATE SERVER c FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '[::ffff:10.0.0.1]', security_protocol 'plaintext');
CREATE SERVER c FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'b.example.com', ssl_ca_file '/etc/passwd');
CREATE SERVER c FOREIGN DATA WRAPPER kseg_kafka
    OPTIONS (bootstrap_servers 'b.example.com', ssl_certificate_file '/etc/passwd', ssl_key_file '/etc/passwd');
ALTER SERVER open OPTIONS (SET bootstrap_servers 'elsewhere.example.com');
ALTER SERVER open OPTIONS (ADD linger '1ms');
ALTER SERVER files OPTIONS (SET bootstrap_servers 'elsewhere.example.com');
-- what is left when it is given up is theirs
ALTER SERVER open OPTIONS (DROP security_protocol);
ALTER SERVER files OPTIONS (DROP ssl_ca_file);
CREATE SERVER c FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'b.example.com');
CREATE SERVER d FOREIGN DATA WRAPPER kseg_kafka
    OPTIONS (bootstrap_servers 'localhost:1, LocalHost:2,127.1.2.3,[::1]:4,[0:0:0:0:0:0:0:1]:5', security_protocol 'plaintext');
CREATE SERVER e FOREIGN DATA WRAPPER kseg_kafka
    OPTIONS (bootstrap_servers 'localhost', security_protocol 'sasl_plaintext', sasl_mechanism 'SCRAM-SHA-256');
ALTER SERVER d OPTIONS (SET bootstrap_servers 'b.example.com');
ALTER SERVER d OPTIONS (SET bootstrap_servers 'b.example.com', DROP security_protocol);
RESET ROLE;
SELECT srvname, srvoptions FROM pg_foreign_server WHERE srvowner = 'kseg_kafka_user'::regrole ORDER BY 1;
DROP OWNED BY kseg_kafka_user CASCADE;
DROP ROLE kseg_kafka_user;
