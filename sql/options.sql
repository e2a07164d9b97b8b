-- Options of servers and user mappings: checked when they are set, with a hint on a near miss, and never a key in a message.
CREATE EXTENSION kseg;

CREATE SERVER a FOREIGN DATA WRAPPER kseg_segment
    OPTIONS (region 'eu', upload_size '100', upload_interval '250ms', max_queue_size '5000', connections '2',
             compression 'none', request_timeout '10', max_retries '3', max_retry_age '5min');

-- unknown, misspelt, of the other kind of object
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (upload_sise '100');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (colour 'red');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (write_key 'secret-canary');
CREATE USER MAPPING FOR CURRENT_USER SERVER a OPTIONS (region 'eu');

-- values that are none
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (region 'usa');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (compression 'brotli');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (upload_size '2501');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (upload_size '0');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (upload_size '1.5');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (upload_size 'many');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (upload_interval '2min');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (request_timeout 'NaN');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (connections '33');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (ca_file 'relative.pem');
ALTER SERVER a OPTIONS (SET upload_size '9999');

-- endpoints
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint '');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'api.segment.io');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'ftp://api.segment.io');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'http://api.segment.io');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'http://localhost.example.com');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'http://127.0.0.1.example.com');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'http://127.0.0.1@example.com');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://user:password@example.com');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://example.com/?x=1');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://example.com/v1/batch');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://example.com:0');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://example.com:99999');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://[::1');
CREATE SERVER b FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint E'https://example.com/\n');
CREATE SERVER c FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://example.com:8443/prefix/');
CREATE SERVER d FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'http://[::1]:8765');
CREATE SERVER e FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://events.eu1.segmentapis.com');

-- keys: what is wrong is said, the key is not
CREATE USER MAPPING FOR CURRENT_USER SERVER a OPTIONS (write_kye 'secret-canary');
CREATE USER MAPPING FOR CURRENT_USER SERVER a OPTIONS (write_key 'secret:canary');
CREATE USER MAPPING FOR CURRENT_USER SERVER a OPTIONS (write_key 'secret canary');
CREATE USER MAPPING FOR CURRENT_USER SERVER a OPTIONS (write_key '');
CREATE USER MAPPING FOR CURRENT_USER SERVER a OPTIONS (write_key_file 'relative');
CREATE USER MAPPING FOR CURRENT_USER SERVER a OPTIONS (write_key_file '/nonexistent/key');
SELECT * FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E', server => 'a');

-- what only superusers may set
CREATE ROLE kseg_options_user;
GRANT USAGE ON FOREIGN DATA WRAPPER kseg_segment TO kseg_options_user;
SET ROLE kseg_options_user;
CREATE SERVER f FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://10.0.0.1');
CREATE SERVER f FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'http://127.0.0.1:8765');
CREATE SERVER f FOREIGN DATA WRAPPER kseg_segment OPTIONS (ca_file '/etc/passwd');
CREATE SERVER f FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://api.segment.io/');
CREATE USER MAPPING FOR CURRENT_USER SERVER f OPTIONS (write_key_file '/etc/passwd');
CREATE USER MAPPING FOR CURRENT_USER SERVER f OPTIONS (write_key 'k');
RESET ROLE;
DROP OWNED BY kseg_options_user CASCADE;
DROP ROLE kseg_options_user;
