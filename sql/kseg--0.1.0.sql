-- Complain if the script is sourced in psql rather than run by CREATE EXTENSION.
\echo Use "CREATE EXTENSION kseg" to load this file. \quit

-- The schema is made here and not by kseg.control, so that it belongs to the extension, goes with it, and is never one that
-- somebody else has made before and could rename under it.
--
-- Rights, the SQL/MED way: whoever has USAGE on a server and a user mapping can send; nobody else can. So functions that
-- send may belong to PUBLIC. Tables give no right to anybody; views show a role what its own runs left.
CREATE SCHEMA kseg;
GRANT USAGE ON SCHEMA kseg TO PUBLIC;

---------------------------------------------------------------------------------------------------------------------
-- Servers
---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION kseg.segment_validator(options text[], catalog oid) RETURNS void
AS 'MODULE_PATHNAME', 'kseg_sql_segment_validator' LANGUAGE C STRICT;

CREATE FOREIGN DATA WRAPPER kseg_segment VALIDATOR kseg.segment_validator;
COMMENT ON FOREIGN DATA WRAPPER kseg_segment IS 'Segment, or another service with its API';

CREATE FUNCTION kseg.connect_segment(
    write_key text, region text DEFAULT NULL, endpoint text DEFAULT NULL, server text DEFAULT 'segment',
    for_role text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_connect_segment' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.connect_segment(text, text, text, text, text) IS
    'create a server for Segment and a user mapping with the write key; again: replace the key';

-- COPY kseg.write_key (write_key) FROM STDIN: connect_segment without the key in any statement.
CREATE VIEW kseg.write_key AS
    SELECT NULL::pg_catalog.text AS write_key, NULL::pg_catalog.text AS server, NULL::pg_catalog.text AS region,
           NULL::pg_catalog.text AS endpoint, NULL::pg_catalog.text AS for_role
    WHERE false;
COMMENT ON VIEW kseg.write_key IS 'COPY a write key into it and no log ever sees it; it is never shown again';
CREATE FUNCTION kseg.write_key_begin() RETURNS trigger
AS 'MODULE_PATHNAME', 'kseg_sql_write_key_begin' LANGUAGE C;
CREATE TRIGGER write_key_begin BEFORE INSERT ON kseg.write_key
    FOR EACH STATEMENT EXECUTE FUNCTION kseg.write_key_begin();
CREATE FUNCTION kseg.write_key_insert() RETURNS trigger
AS 'MODULE_PATHNAME', 'kseg_sql_write_key_insert' LANGUAGE C;
CREATE TRIGGER write_key_insert INSTEAD OF INSERT ON kseg.write_key
    FOR EACH ROW EXECUTE FUNCTION kseg.write_key_insert();
REVOKE ALL ON kseg.write_key FROM PUBLIC;
GRANT INSERT ON kseg.write_key TO PUBLIC;

CREATE FUNCTION kseg.kafka_validator(options text[], catalog oid) RETURNS void
AS 'MODULE_PATHNAME', 'kseg_sql_kafka_validator' LANGUAGE C STRICT;

CREATE FUNCTION kseg.kafka_handler() RETURNS fdw_handler
AS 'MODULE_PATHNAME', 'kseg_sql_kafka_handler' LANGUAGE C STRICT;

CREATE FOREIGN DATA WRAPPER kseg_kafka HANDLER kseg.kafka_handler VALIDATOR kseg.kafka_validator;
COMMENT ON FOREIGN DATA WRAPPER kseg_kafka IS 'Kafka, or another service with its protocol';

CREATE FUNCTION kseg.connect_kafka(
    bootstrap_servers text, security_protocol text DEFAULT NULL, sasl_mechanism text DEFAULT NULL,
    sasl_username text DEFAULT NULL, sasl_password text DEFAULT NULL, server text DEFAULT 'kafka',
    for_role text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_connect_kafka' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.connect_kafka(text, text, text, text, text, text, text) IS
    'create a server for Kafka and a user mapping with the password, if there is one; again: replace the password';

-- COPY kseg.kafka_password (server, sasl_username, sasl_password) FROM STDIN: connect_kafka without the password in any
-- statement.
CREATE VIEW kseg.kafka_password AS
    SELECT NULL::pg_catalog.text AS sasl_username, NULL::pg_catalog.text AS sasl_password,
           NULL::pg_catalog.text AS ssl_key_password, NULL::pg_catalog.text AS server,
           NULL::pg_catalog.text AS bootstrap_servers, NULL::pg_catalog.text AS security_protocol,
           NULL::pg_catalog.text AS sasl_mechanism, NULL::pg_catalog.text AS for_role
    WHERE false;
COMMENT ON VIEW kseg.kafka_password IS 'COPY a password into it and no log ever sees it; it is never shown again';
CREATE FUNCTION kseg.kafka_password_begin() RETURNS trigger
AS 'MODULE_PATHNAME', 'kseg_sql_kafka_password_begin' LANGUAGE C;
CREATE TRIGGER kafka_password_begin BEFORE INSERT ON kseg.kafka_password
    FOR EACH STATEMENT EXECUTE FUNCTION kseg.kafka_password_begin();
CREATE FUNCTION kseg.kafka_password_insert() RETURNS trigger
AS 'MODULE_PATHNAME', 'kseg_sql_kafka_password_insert' LANGUAGE C;
CREATE TRIGGER kafka_password_insert INSTEAD OF INSERT ON kseg.kafka_password
    FOR EACH ROW EXECUTE FUNCTION kseg.kafka_password_insert();
REVOKE ALL ON kseg.kafka_password FROM PUBLIC;
GRANT INSERT ON kseg.kafka_password TO PUBLIC;

CREATE FUNCTION kseg.test_server(server text)
RETURNS TABLE ("check" text, ok boolean, detail text, hint text)
AS 'MODULE_PATHNAME', 'kseg_sql_test_server' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.test_server(text) IS
    'reach a server and say in rows what was found; ok is NULL where nobody can tell';

---------------------------------------------------------------------------------------------------------------------
-- Rows to Segment
---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION kseg.segment_track_from_query(
    query text, event text DEFAULT NULL, event_column text DEFAULT NULL, user_id text DEFAULT NULL,
    anonymous_id text DEFAULT NULL, server text DEFAULT 'segment', event_time text DEFAULT NULL,
    message_id text DEFAULT NULL, properties text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL, nulls text DEFAULT 'omit',
    on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_track' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_track_from_query(text, text, text, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a query to Segment as track calls; returns one row of figures';

CREATE FUNCTION kseg.segment_track_from_table(
    relation regclass, event text DEFAULT NULL, event_column text DEFAULT NULL, user_id text DEFAULT NULL,
    anonymous_id text DEFAULT NULL, server text DEFAULT 'segment', event_time text DEFAULT NULL,
    message_id text DEFAULT NULL, properties text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL, nulls text DEFAULT 'omit',
    on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_track' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_track_from_table(regclass, text, text, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a table or view to Segment as track calls; returns one row of figures';

CREATE FUNCTION kseg.segment_identify_from_query(
    query text, user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL, server text DEFAULT 'segment',
    event_time text DEFAULT NULL, message_id text DEFAULT NULL, traits text[] DEFAULT NULL,
    exclude text[] DEFAULT NULL, context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL,
    nulls text DEFAULT 'omit', on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error',
    row_limit bigint DEFAULT NULL, timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_identify' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_identify_from_query(text, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a query to Segment as identify calls; returns one row of figures';

CREATE FUNCTION kseg.segment_identify_from_table(
    relation regclass, user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL, server text DEFAULT 'segment',
    event_time text DEFAULT NULL, message_id text DEFAULT NULL, traits text[] DEFAULT NULL,
    exclude text[] DEFAULT NULL, context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL,
    nulls text DEFAULT 'omit', on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error',
    row_limit bigint DEFAULT NULL, timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_identify' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_identify_from_table(regclass, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a table or view to Segment as identify calls; returns one row of figures';

CREATE FUNCTION kseg.segment_group_from_query(
    query text, group_id text DEFAULT NULL, user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL,
    server text DEFAULT 'segment', event_time text DEFAULT NULL, message_id text DEFAULT NULL,
    traits text[] DEFAULT NULL, exclude text[] DEFAULT NULL, context jsonb DEFAULT NULL,
    integrations jsonb DEFAULT NULL, nulls text DEFAULT 'omit', on_invalid text DEFAULT 'dead_letter',
    on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL, timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_group' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_group_from_query(text, text, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a query to Segment as group calls; returns one row of figures';

CREATE FUNCTION kseg.segment_group_from_table(
    relation regclass, group_id text DEFAULT NULL, user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL,
    server text DEFAULT 'segment', event_time text DEFAULT NULL, message_id text DEFAULT NULL,
    traits text[] DEFAULT NULL, exclude text[] DEFAULT NULL, context jsonb DEFAULT NULL,
    integrations jsonb DEFAULT NULL, nulls text DEFAULT 'omit', on_invalid text DEFAULT 'dead_letter',
    on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL, timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_group' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_group_from_table(regclass, text, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a table or view to Segment as group calls; returns one row of figures';

CREATE FUNCTION kseg.segment_page_from_query(
    query text, name text DEFAULT NULL, category text DEFAULT NULL, user_id text DEFAULT NULL,
    anonymous_id text DEFAULT NULL, server text DEFAULT 'segment', event_time text DEFAULT NULL,
    message_id text DEFAULT NULL, properties text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL, nulls text DEFAULT 'omit',
    on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_page' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_page_from_query(text, text, text, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a query to Segment as page calls; returns one row of figures';

CREATE FUNCTION kseg.segment_page_from_table(
    relation regclass, name text DEFAULT NULL, category text DEFAULT NULL, user_id text DEFAULT NULL,
    anonymous_id text DEFAULT NULL, server text DEFAULT 'segment', event_time text DEFAULT NULL,
    message_id text DEFAULT NULL, properties text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL, nulls text DEFAULT 'omit',
    on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_page' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_page_from_table(regclass, text, text, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a table or view to Segment as page calls; returns one row of figures';

CREATE FUNCTION kseg.segment_screen_from_query(
    query text, name text DEFAULT NULL, category text DEFAULT NULL, user_id text DEFAULT NULL,
    anonymous_id text DEFAULT NULL, server text DEFAULT 'segment', event_time text DEFAULT NULL,
    message_id text DEFAULT NULL, properties text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL, nulls text DEFAULT 'omit',
    on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_screen' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_screen_from_query(text, text, text, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a query to Segment as screen calls; returns one row of figures';

CREATE FUNCTION kseg.segment_screen_from_table(
    relation regclass, name text DEFAULT NULL, category text DEFAULT NULL, user_id text DEFAULT NULL,
    anonymous_id text DEFAULT NULL, server text DEFAULT 'segment', event_time text DEFAULT NULL,
    message_id text DEFAULT NULL, properties text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL, nulls text DEFAULT 'omit',
    on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_screen' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_screen_from_table(regclass, text, text, text, text, text, text, text, text[], text[], jsonb, jsonb, text, text, text, bigint, interval) IS
    'send the rows of a table or view to Segment as screen calls; returns one row of figures';

CREATE FUNCTION kseg.segment_alias_from_query(
    query text, user_id text DEFAULT NULL, previous_id text DEFAULT NULL, server text DEFAULT 'segment',
    event_time text DEFAULT NULL, message_id text DEFAULT NULL, exclude text[] DEFAULT NULL,
    context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL, on_invalid text DEFAULT 'dead_letter',
    on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL, timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_alias' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_alias_from_query(text, text, text, text, text, text, text[], jsonb, jsonb, text, text, bigint, interval) IS
    'send the rows of a query to Segment as alias calls; returns one row of figures';

CREATE FUNCTION kseg.segment_alias_from_table(
    relation regclass, user_id text DEFAULT NULL, previous_id text DEFAULT NULL, server text DEFAULT 'segment',
    event_time text DEFAULT NULL, message_id text DEFAULT NULL, exclude text[] DEFAULT NULL,
    context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL, on_invalid text DEFAULT 'dead_letter',
    on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL, timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, repeated bigint, invalid bigint, rejected bigint, batches bigint, retries bigint,
    bytes bigint, bytes_on_wire bigint, elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_segment_alias' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_alias_from_table(regclass, text, text, text, text, text, text[], jsonb, jsonb, text, text, bigint, interval) IS
    'send the rows of a table or view to Segment as alias calls; returns one row of figures';

CREATE FUNCTION kseg.segment_preview(
    query text, call text DEFAULT 'track', event text DEFAULT NULL, event_column text DEFAULT NULL,
    user_id text DEFAULT NULL, anonymous_id text DEFAULT NULL, group_id text DEFAULT NULL,
    previous_id text DEFAULT NULL, name text DEFAULT NULL, category text DEFAULT NULL,
    server text DEFAULT 'segment', event_time text DEFAULT NULL, message_id text DEFAULT NULL,
    properties text[] DEFAULT NULL, traits text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    context jsonb DEFAULT NULL, integrations jsonb DEFAULT NULL, nulls text DEFAULT 'omit',
    row_limit bigint DEFAULT 10)
RETURNS TABLE (type text, message_id text, event text, bytes integer, problems text[])
AS 'MODULE_PATHNAME', 'kseg_sql_segment_preview' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.segment_preview(text, text, text, text, text, text, text, text, text, text, text, text, text, text[], text[], text[], jsonb, jsonb, text, bigint) IS
    'the exact JSON, bytes and problems of the first rows of a query; sends nothing';

---------------------------------------------------------------------------------------------------------------------
-- Rows to Kafka
---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION kseg.kafka_produce_from_query(
    query text, topic text DEFAULT NULL, key text DEFAULT NULL, value text DEFAULT NULL,
    headers text DEFAULT NULL, partition text DEFAULT NULL, event_time text DEFAULT NULL, server text DEFAULT 'kafka',
    exclude text[] DEFAULT NULL, nulls text DEFAULT 'send', transactional boolean DEFAULT false,
    on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, invalid bigint, rejected bigint, retries bigint, bytes bigint, bytes_on_wire bigint,
    elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_kafka_produce' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.kafka_produce_from_query(text, text, text, text, text, text, text, text, text[], text, boolean, text, text, bigint, interval) IS
    'produce the rows of a query to a Kafka topic; returns one row of figures';

CREATE FUNCTION kseg.kafka_produce_from_table(
    relation regclass, topic text DEFAULT NULL, key text DEFAULT NULL, value text DEFAULT NULL,
    headers text DEFAULT NULL, partition text DEFAULT NULL, event_time text DEFAULT NULL, server text DEFAULT 'kafka',
    exclude text[] DEFAULT NULL, nulls text DEFAULT 'send', transactional boolean DEFAULT false,
    on_invalid text DEFAULT 'dead_letter', on_failure text DEFAULT 'error', row_limit bigint DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS TABLE (
    run uuid, rows bigint, sent bigint, invalid bigint, rejected bigint, retries bigint, bytes bigint, bytes_on_wire bigint,
    elapsed interval, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_kafka_produce' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.kafka_produce_from_table(regclass, text, text, text, text, text, text, text, text[], text, boolean, text, text, bigint, interval) IS
    'produce the rows of a table or view to a Kafka topic; returns one row of figures';

CREATE FUNCTION kseg.kafka_preview(
    query text, topic text DEFAULT NULL, key text DEFAULT NULL, value text DEFAULT NULL, headers text DEFAULT NULL,
    partition text DEFAULT NULL, event_time text DEFAULT NULL, exclude text[] DEFAULT NULL, nulls text DEFAULT 'send',
    row_limit bigint DEFAULT 10)
RETURNS TABLE (
    topic text, partition integer, key text, value text, headers text, event_time timestamptz, bytes integer, problems text[])
AS 'MODULE_PATHNAME', 'kseg_sql_kafka_preview' LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION kseg.kafka_preview(text, text, text, text, text, text, text, text[], text, bigint) IS
    'the messages that the first rows of a query would be, their bytes and problems; sends nothing';

---------------------------------------------------------------------------------------------------------------------
-- What runs leave
---------------------------------------------------------------------------------------------------------------------

CREATE TABLE kseg.run_entry (
    run uuid PRIMARY KEY,
    run_by text NOT NULL,
    server text NOT NULL,
    call text NOT NULL,
    started timestamptz NOT NULL,
    ended timestamptz NOT NULL,
    rows bigint NOT NULL,
    sent bigint NOT NULL,
    repeated bigint NOT NULL,
    invalid bigint NOT NULL,
    rejected bigint NOT NULL,
    open bigint NOT NULL,
    batches bigint NOT NULL,
    retries bigint NOT NULL,
    bytes bigint NOT NULL,
    bytes_on_wire bigint NOT NULL,
    first_problem text,
    failure text
);
CREATE INDEX run_entry_ended ON kseg.run_entry (ended);
COMMENT ON TABLE kseg.run_entry IS 'figures of runs, until kseg.run_retention; look at the view kseg.run';

CREATE TABLE kseg.dead_letter_entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run uuid, -- NULL: of a stream
    stream text, -- NULL: of a run
    run_by text NOT NULL,
    created timestamptz NOT NULL DEFAULT pg_catalog.now(),
    server text NOT NULL,
    call text NOT NULL,
    row bigint, -- of a run
    user_id text,
    message_id text,
    status integer,
    reason text NOT NULL,
    event json,
    -- Kafka's messages; event is the value, if it is JSON.
    topic text,
    partition integer,
    key bytea,
    value bytea,
    headers jsonb,
    -- Of a stream's messages.
    "offset" bigint,
    message_time timestamptz,
    sqlstate text,
    attempts integer NOT NULL DEFAULT 1,
    -- A part was too large to be kept, so it cannot be replayed as it is.
    incomplete boolean NOT NULL DEFAULT false
);
CREATE INDEX dead_letter_entry_run ON kseg.dead_letter_entry (run);
CREATE INDEX dead_letter_entry_stream ON kseg.dead_letter_entry (stream, id) WHERE stream IS NOT NULL;
CREATE INDEX dead_letter_entry_created ON kseg.dead_letter_entry (created);
COMMENT ON TABLE kseg.dead_letter_entry IS
    'events that could not be delivered, until kseg.dead_letter_retention; look at the view kseg.dead_letter';

-- ALTER DEFAULT PRIVILEGES may have given rights already. With TRIGGER, anybody's code would run as the tables' owner.
REVOKE ALL ON kseg.run_entry, kseg.dead_letter_entry FROM PUBLIC;
REVOKE ALL ON SEQUENCE kseg.dead_letter_entry_id_seq FROM PUBLIC;

-- They hold what users want to have back after a restore.
SELECT pg_catalog.pg_extension_config_dump('kseg.run_entry', '');
SELECT pg_catalog.pg_extension_config_dump('kseg.dead_letter_entry', '');
SELECT pg_catalog.pg_extension_config_dump('kseg.dead_letter_entry_id_seq', '');

-- Roles are kept by name, so that a dump can be restored where they have other OIDs; one that is gone shows nothing.
CREATE VIEW kseg.run WITH (security_barrier = true) AS
    SELECT e.run, e.run_by, e.server, e.call, e.started, e.ended OPERATOR(pg_catalog.-) e.started AS elapsed, e.rows,
           e.sent, e.repeated, e.invalid, e.rejected, e.open, e.batches, e.retries, e.bytes, e.bytes_on_wire,
           e.first_problem, e.failure
    FROM kseg.run_entry e
    WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r
                  WHERE r.rolname OPERATOR(pg_catalog.=) e.run_by::pg_catalog.name
                    AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
       OR EXISTS (SELECT FROM pg_catalog.pg_roles r
                  WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER AND r.rolsuper);
COMMENT ON VIEW kseg.run IS 'runs of the roles that you are or belong to; open: events whose outcome is not known';
REVOKE ALL ON kseg.run FROM PUBLIC;
GRANT SELECT ON kseg.run TO PUBLIC;

CREATE VIEW kseg.dead_letter WITH (security_barrier = true) AS
    SELECT e.id, e.run, e.run_by, e.created, e.server, e.call, e.row, e.user_id, e.message_id, e.status, e.reason, e.event,
           e.topic, e.partition, e.key, e.value, e.headers, e.stream, e."offset", e.message_time, e.sqlstate, e.attempts,
           e.incomplete
    FROM kseg.dead_letter_entry e
    WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r
                  WHERE r.rolname OPERATOR(pg_catalog.=) e.run_by::pg_catalog.name
                    AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
       OR EXISTS (SELECT FROM pg_catalog.pg_roles r
                  WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER AND r.rolsuper);
COMMENT ON VIEW kseg.dead_letter IS
    'undelivered events of the roles that you are or belong to; status: HTTP''s, or Kafka''s error; NULL: never sent. DELETE discards, UPDATE corrects';
REVOKE ALL ON kseg.dead_letter FROM PUBLIC;
GRANT SELECT, DELETE, UPDATE (event, key, value, headers, incomplete) ON kseg.dead_letter TO PUBLIC;

CREATE FUNCTION kseg.discard_dead_letters(
    run uuid DEFAULT NULL, older_than interval DEFAULT NULL, stream text DEFAULT NULL, filter text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'kseg_sql_discard_dead_letters' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.discard_dead_letters(uuid, interval, text, text) IS
    'delete the dead letters that you may see: of one run or stream, older than an age, that a condition over kseg.dead_letter chooses, or all; returns how many';

---------------------------------------------------------------------------------------------------------------------
-- What runs are doing
---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION kseg.progress_entries()
RETURNS TABLE (run uuid, pid integer, role oid, database oid, server oid, phase text, started timestamptz, rows bigint,
    sent bigint, in_flight bigint, repeated bigint, invalid bigint, rejected bigint, retries bigint, last_error text)
AS 'MODULE_PATHNAME', 'kseg_sql_progress_entries' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE VIEW kseg.progress AS
    SELECT e.run, e.pid, pg_catalog.pg_get_userbyid(e.role) AS run_by, d.datname AS database, s.srvname AS server,
           e.phase, e.started, e.rows, e.sent, e.in_flight, e.repeated, e.invalid, e.rejected, e.retries, e.last_error,
           -- Ten minutes: as long as a run retries by default, and when VACUUM begins to be missed on a busy table.
           CASE WHEN e.started OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) '10 minutes'::pg_catalog.interval)
                THEN 'holds its snapshot since ' OPERATOR(pg_catalog.||) e.started::pg_catalog.text
                     OPERATOR(pg_catalog.||) ': VACUUM cannot remove rows that died since'
           END AS warning
    FROM kseg.progress_entries() e
    LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) e.database
    LEFT JOIN pg_catalog.pg_foreign_server s
        ON s.oid OPERATOR(pg_catalog.=) e.server AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database();
COMMENT ON VIEW kseg.progress IS 'runs that are under way: your own roles'', or all with pg_read_all_stats';
REVOKE ALL ON kseg.progress FROM PUBLIC;
GRANT SELECT ON kseg.progress TO PUBLIC;

---------------------------------------------------------------------------------------------------------------------
-- Streams
---------------------------------------------------------------------------------------------------------------------

CREATE TABLE kseg.stream_entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    -- The role by OID in the database that made the entry, by name in a copy of it.
    owner oid NOT NULL,
    owner_name text NOT NULL,
    query text NOT NULL,
    search_path text NOT NULL,
    target text NOT NULL,
    key text[],
    on_conflict text NOT NULL,
    delete_when text,
    start text NOT NULL,
    start_time timestamptz,
    topics text[],
    batch_rows integer NOT NULL,
    batch_interval interval NOT NULL,
    workers integer NOT NULL,
    on_error text NOT NULL,
    max_dead_letter_rate double precision NOT NULL,
    commit_group text,
    enabled boolean NOT NULL,
    -- When somebody started or stopped it, or took it over a gap: since when it is as it is, where no process says so.
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    -- Why it has stopped by itself: failed, gap, dead_letters, copy.
    halted text,
    halted_at timestamptz,
    halted_sqlstate text,
    halted_message text,
    halted_detail text,
    halted_hint text,
    begun boolean NOT NULL DEFAULT false,
    -- How many positions were stored: where fewer are there, some are lost.
    positions integer NOT NULL DEFAULT 0,
    revision bigint NOT NULL DEFAULT 1,
    created timestamptz NOT NULL DEFAULT pg_catalog.now(),
    -- Where it was made: in a copy of the database it does not run until somebody starts it. A dump that is restored into the same
    -- database is known by this table's own OID.
    system_identifier bigint NOT NULL,
    database oid NOT NULL,
    entry_table oid NOT NULL
);
COMMENT ON TABLE kseg.stream_entry IS 'definitions of streams; look at the view kseg.stream';

CREATE TABLE kseg.position_entry (
    stream bigint NOT NULL, -- no foreign key: its triggers would be somebody's code that runs as the owner
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    seen_offset bigint NOT NULL,
    seen_time bigint NOT NULL,
    -- Of a topic that the stream reads now. Others are kept for when it does again.
    followed boolean NOT NULL DEFAULT true,
    updated timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (stream, topic, partition)
) WITH (fillfactor = 50); -- each batch updates its rows in place (HOT)
COMMENT ON TABLE kseg.position_entry IS 'how far streams have come; look at the view kseg.position';

REVOKE ALL ON kseg.stream_entry, kseg.position_entry FROM PUBLIC;
REVOKE ALL ON SEQUENCE kseg.stream_entry_id_seq FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('kseg.stream_entry', '');
SELECT pg_catalog.pg_extension_config_dump('kseg.stream_entry_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('kseg.position_entry', '');

CREATE FUNCTION kseg.stream_to_table(
    name text, query text, target text, key text[] DEFAULT NULL, on_conflict text DEFAULT 'error',
    delete_when text DEFAULT NULL, start text DEFAULT 'earliest', topics text[] DEFAULT NULL,
    batch_rows integer DEFAULT 10000, batch_interval interval DEFAULT '0', workers integer DEFAULT 1,
    on_error text DEFAULT 'dead_letter', max_dead_letter_rate double precision DEFAULT 0.5,
    commit_group text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_stream_to_table' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.stream_to_table(text, text, text, text[], text, text, text, text[], integer, interval, integer, text, double precision, text) IS
    'make a stream from a Kafka topic into a table, and start it';

CREATE FUNCTION kseg.alter_stream(
    name text, query text DEFAULT NULL, target text DEFAULT NULL, key text[] DEFAULT NULL,
    on_conflict text DEFAULT NULL, delete_when text DEFAULT NULL, topics text[] DEFAULT NULL,
    batch_rows integer DEFAULT NULL, batch_interval interval DEFAULT NULL, workers integer DEFAULT NULL,
    on_error text DEFAULT NULL, max_dead_letter_rate double precision DEFAULT NULL, commit_group text DEFAULT NULL,
    owner text DEFAULT NULL, new_name text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_alter_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.alter_stream(text, text, text, text[], text, text, text[], integer, interval, integer, text, double precision, text, text, text) IS
    'change a stream; what is NULL stays, an empty text or array takes an option away';

CREATE FUNCTION kseg.start_stream(name text) RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_start_stream' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.start_stream(text) IS 'start a stream, or start it again after it has stopped by itself';

CREATE FUNCTION kseg.stop_stream(name text) RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_stop_stream' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.stop_stream(text) IS 'stop a stream when its batch is finished; it stays where it is';

CREATE FUNCTION kseg.reset_stream(name text, start text) RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_reset_stream' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.reset_stream(text, text) IS
    'forget how far a stream has come: it goes on from earliest, latest, a time, or offsets as JSON';

CREATE FUNCTION kseg.drop_stream(name text) RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_drop_stream' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.drop_stream(text) IS 'drop a stream and its positions; its dead letters stay';

REVOKE ALL ON FUNCTION kseg.stream_to_table(text, text, text, text[], text, text, text, text[], integer, interval, integer, text, double precision, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION kseg.alter_stream(text, text, text, text[], text, text, text[], integer, interval, integer, text, double precision, text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION kseg.start_stream(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION kseg.stop_stream(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION kseg.reset_stream(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION kseg.drop_stream(text) FROM PUBLIC;

-- The slots of this database's streams in shared memory: those of the caller's roles, or all with pg_read_all_stats. No row
-- without shared_preload_libraries.
CREATE FUNCTION kseg.stream_slots()
RETURNS TABLE (stream bigint, worker integer, workers integer, state text, since timestamptz, pid integer, messages bigint,
    rows bigint, batches bigint, dead_letters bigint, bytes bigint, lag_messages bigint, oldest timestamptz,
    newest timestamptz, settled timestamptz, rows_per_second double precision, failures integer, next_try timestamptz, trouble text,
    sqlstate text, last_error text, last_error_at timestamptz)
AS 'MODULE_PATHNAME', 'kseg_sql_stream_slots' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- Whose a stream is: by OID where it was made, by name in a copy of the database.
CREATE FUNCTION kseg.stream_is_mine(owner oid, owner_name text, system_identifier bigint, database oid, entry_table oid) RETURNS boolean
AS 'MODULE_PATHNAME', 'kseg_sql_stream_is_mine' LANGUAGE C STRICT STABLE PARALLEL RESTRICTED;

CREATE FUNCTION kseg.stream_owner(owner oid, owner_name text, system_identifier bigint, database oid, entry_table oid) RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_stream_owner' LANGUAGE C STRICT STABLE PARALLEL RESTRICTED;

-- Has a stream come with a copy of its database? It does not run there until somebody starts it.
CREATE FUNCTION kseg.stream_is_copy(system_identifier bigint, database oid, entry_table oid) RETURNS boolean
AS 'MODULE_PATHNAME', 'kseg_sql_stream_is_copy' LANGUAGE C STRICT STABLE PARALLEL RESTRICTED;

-- Why a stream that should run has no slot.
CREATE FUNCTION kseg.stream_hindrance() RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_stream_hindrance' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE VIEW kseg.stream WITH (security_barrier = true) AS
    SELECT e.name, kseg.stream_owner(e.owner, e.owner_name, e.system_identifier, e.database, e.entry_table) AS owner,
           e.query, e.search_path, e.target, e.key, e.on_conflict, e.delete_when, e.start, e.start_time, e.topics,
           e.batch_rows, e.batch_interval, e.workers, e.on_error, e.max_dead_letter_rate, e.commit_group, e.created,
           e.enabled, CASE WHEN c.copy THEN 'copy' ELSE e.halted END AS halted, e.halted_at,
           CASE WHEN c.copy THEN '55000' ELSE e.halted_sqlstate END AS sqlstate,
           CASE WHEN c.copy THEN 'the stream came with a copy of its database' ELSE e.halted_message END AS message,
           e.halted_detail AS detail,
           CASE WHEN c.copy THEN 'If it is to run here, start it with kseg.start_stream.' ELSE e.halted_hint END AS hint
    FROM kseg.stream_entry e,
         -- Nobody needs to have looked at the database for that: without preload nobody does.
         LATERAL (SELECT e.enabled AND e.halted IS NULL
                      AND kseg.stream_is_copy(e.system_identifier, e.database, e.entry_table) AS copy) c
    WHERE kseg.stream_is_mine(e.owner, e.owner_name, e.system_identifier, e.database, e.entry_table);
COMMENT ON VIEW kseg.stream IS
    'definitions of streams of the roles that you are or belong to; halted and what follows: why one has stopped by itself';

CREATE VIEW kseg.position WITH (security_barrier = true) AS
    SELECT e.name AS stream, p.topic, p.partition, p.next_offset AS "offset", p.updated
    FROM kseg.position_entry p
    JOIN kseg.stream_entry e ON e.id OPERATOR(pg_catalog.=) p.stream
    WHERE kseg.stream_is_mine(e.owner, e.owner_name, e.system_identifier, e.database, e.entry_table)
       OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE');
COMMENT ON VIEW kseg.position IS 'for each partition of a stream the first offset that is not yet in its target';

-- One row a stream, whatever its number of workers: what the worst of them does, and the sums. Figures are since the start of
-- the worker processes.
CREATE VIEW kseg.stream_status WITH (security_barrier = true) AS
    WITH worker AS (
        SELECT s.*,
               CASE WHEN s.state OPERATOR(pg_catalog.=) 'retrying' THEN 1
                    -- Not there: after a failure, or for want of a process.
                    WHEN s.pid IS NULL AND s.failures OPERATOR(pg_catalog.>) 0 THEN 1
                    WHEN s.pid IS NULL AND s.state OPERATOR(pg_catalog.<>) 'starting' THEN 2
                    WHEN s.state OPERATOR(pg_catalog.=) 'starting' THEN 3
                    WHEN s.state OPERATOR(pg_catalog.=) 'stopping' THEN 4
                    ELSE 5
               END AS rank
        FROM kseg.stream_slots() s),
    workers AS (
        SELECT w.stream, pg_catalog.min(w.rank) AS rank, pg_catalog.count(*) AS slots, pg_catalog.count(w.pid) AS running,
               (pg_catalog.array_agg(w.since ORDER BY w.rank, w.since))[1] AS since,
               pg_catalog.min(w.pid) FILTER (WHERE w.worker OPERATOR(pg_catalog.=) 0) AS pid,
               pg_catalog.sum(w.messages)::pg_catalog.int8 AS messages, pg_catalog.sum(w.rows)::pg_catalog.int8 AS rows,
               pg_catalog.sum(w.batches)::pg_catalog.int8 AS batches,
               pg_catalog.sum(w.dead_letters)::pg_catalog.int8 AS dead_letters,
               pg_catalog.sum(w.bytes)::pg_catalog.int8 AS bytes,
               -- Not known of one: not known.
               CASE WHEN pg_catalog.count(w.lag_messages) OPERATOR(pg_catalog.=) pg_catalog.count(*)
                    THEN pg_catalog.sum(w.lag_messages)::pg_catalog.int8 END AS lag_messages,
               pg_catalog.min(w.oldest) AS oldest,
               pg_catalog.max(w.newest) AS newest, pg_catalog.max(w.settled) AS settled,
               pg_catalog.sum(w.rows_per_second) AS rows_per_second,
               pg_catalog.min(w.next_try) AS next_try, pg_catalog.min(w.trouble) AS trouble,
               (pg_catalog.array_agg(w.last_error ORDER BY w.last_error_at DESC NULLS LAST))[1] AS last_error,
               pg_catalog.max(w.last_error_at) AS last_error_at
        FROM worker w GROUP BY w.stream),
    places AS (
        -- Offsets that were given, and never were: no sum rather than an error of the whole view.
        SELECT t.stream,
               CASE WHEN pg_catalog.sum(t.sum) OPERATOR(pg_catalog.<) 4e18::pg_catalog.numeric
                    THEN pg_catalog.sum(t.sum)::pg_catalog.int8 END AS sum,
               pg_catalog.jsonb_object_agg(t.topic, t.offsets) AS position
        FROM (SELECT p.stream, p.topic, pg_catalog.sum(p.next_offset) AS sum,
                     pg_catalog.jsonb_object_agg(p.partition::pg_catalog.text, p.next_offset) AS offsets
              FROM kseg.position_entry p WHERE p.followed GROUP BY p.stream, p.topic) t
        GROUP BY t.stream)
    SELECT e.name AS stream,
           CASE WHEN e.halted IS NOT NULL THEN e.halted
                WHEN c.copy THEN 'copy'
                WHEN NOT e.enabled THEN CASE WHEN w.running OPERATOR(pg_catalog.>) 0 THEN 'stopping' ELSE 'stopped' END
                WHEN w.rank OPERATOR(pg_catalog.=) 1 THEN 'retrying'
                WHEN w.slots IS NULL OR w.slots OPERATOR(pg_catalog.<) e.workers OR w.rank OPERATOR(pg_catalog.=) 2 THEN 'waiting'
                WHEN w.rank OPERATOR(pg_catalog.=) 3 THEN 'starting'
                WHEN w.rank OPERATOR(pg_catalog.=) 4 THEN 'stopping'
                ELSE 'running'
           END AS state,
           -- When a database was copied nobody knows; without a slot a stream waits since it was started, or the server.
           CASE WHEN e.halted IS NOT NULL THEN e.halted_at
                WHEN c.copy THEN NULL
                WHEN NOT e.enabled THEN e.changed_at
                ELSE COALESCE(w.since, GREATEST(e.changed_at, pg_catalog.pg_postmaster_start_time()))
           END AS since,
           w.pid, e.workers, COALESCE(w.running, 0) AS workers_running,
           l.position, l.sum OPERATOR(pg_catalog.+) w.lag_messages AS topic_end, w.lag_messages,
           CASE WHEN w.oldest IS NOT NULL
                THEN GREATEST(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) w.oldest), 0)
                -- Nothing has come that is not settled.
                WHEN w.lag_messages IS NOT NULL THEN 0::pg_catalog.float8
           END AS lag_seconds,
           w.rows_per_second, w.batches, w.messages, w.rows, w.dead_letters, w.bytes, w.newest AS newest_message, w.settled AS last_batch,
           -- Errors may quote a message: to its owner.
           CASE WHEN NOT c.mine THEN NULL WHEN e.halted IS NOT NULL THEN e.halted_message WHEN c.copy THEN 'the stream came with a copy of its database'
                ELSE w.last_error END AS last_error,
           CASE WHEN e.halted IS NOT NULL THEN e.halted_at ELSE w.last_error_at END AS last_error_at,
           CASE WHEN e.halted IS NULL AND e.enabled THEN w.next_try END AS next_try,
           CASE WHEN e.halted IS NOT NULL OR NOT e.enabled OR c.copy THEN NULL
                WHEN w.slots IS NULL OR w.slots OPERATOR(pg_catalog.<) e.workers THEN kseg.stream_hindrance()
                WHEN w.trouble IS NOT NULL THEN w.trouble
                WHEN w.rank OPERATOR(pg_catalog.=) 2 THEN 'no background worker is free: max_worker_processes'
           END AS trouble
    FROM kseg.stream_entry e
    CROSS JOIN LATERAL (SELECT kseg.stream_is_mine(e.owner, e.owner_name, e.system_identifier, e.database, e.entry_table) AS mine,
                               e.enabled AND e.halted IS NULL
                                   AND kseg.stream_is_copy(e.system_identifier, e.database, e.entry_table) AS copy) c
    LEFT JOIN workers w ON w.stream OPERATOR(pg_catalog.=) e.id
    LEFT JOIN places l ON l.stream OPERATOR(pg_catalog.=) e.id
    WHERE c.mine
       OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE');
COMMENT ON VIEW kseg.stream_status IS
    'how streams do: those of your own roles, or all with pg_read_all_stats; asks no broker';

REVOKE ALL ON kseg.stream, kseg.position, kseg.stream_status FROM PUBLIC;
GRANT SELECT ON kseg.stream, kseg.position, kseg.stream_status TO PUBLIC;

CREATE FUNCTION kseg.library_version() RETURNS text
AS 'MODULE_PATHNAME', 'kseg_sql_library_version' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION kseg.library_version() IS 'version of the kseg.so that this server has loaded';

-- What health() can say without a look at a table. wanted: the caller has streams, so what they need must be there.
CREATE FUNCTION kseg.health_of_server(wanted boolean)
RETURNS TABLE ("check" text, ok boolean, detail text, hint text)
AS 'MODULE_PATHNAME', 'kseg_sql_health_of_server' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION kseg.health()
RETURNS TABLE ("check" text, ok boolean, detail text, hint text) LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT s."check", s.ok, s.detail, s.hint
    FROM kseg.health_of_server(EXISTS (SELECT FROM kseg.stream_status)) s
    UNION ALL
    SELECT 'version', e.extversion OPERATOR(pg_catalog.=) kseg.library_version(),
           'extension ' OPERATOR(pg_catalog.||) e.extversion OPERATOR(pg_catalog.||) ', library '
               OPERATOR(pg_catalog.||) kseg.library_version(),
           CASE WHEN e.extversion OPERATOR(pg_catalog.<>) kseg.library_version()
                THEN 'ALTER EXTENSION kseg UPDATE in this database; restart the server if it runs an older library.' END
    FROM pg_catalog.pg_extension e WHERE e.extname OPERATOR(pg_catalog.=) 'kseg'
    UNION ALL
    -- A minute: a batch takes a second or so, and whoever is a minute behind does not keep up. How far it is behind is known when its
    -- worker has looked at the topic, which takes a second or so, too: not ok when that takes a minute, not known until then.
    (SELECT 'stream ' OPERATOR(pg_catalog.||) s.stream,
            s.state OPERATOR(pg_catalog.=) ANY (ARRAY['running', 'starting', 'stopping', 'stopped'])
                AND s.trouble IS NULL
                AND (s.state OPERATOR(pg_catalog.=) 'stopped'
                     OR COALESCE(NOT l.late, CASE WHEN l.unknown THEN false END)),
            s.state
                OPERATOR(pg_catalog.||) COALESCE(', ' OPERATOR(pg_catalog.||) s.lag_messages::pg_catalog.text
                    OPERATOR(pg_catalog.||) ' messages behind', '')
                OPERATOR(pg_catalog.||) COALESCE(', ' OPERATOR(pg_catalog.||) s.lag_seconds::pg_catalog.int8::pg_catalog.text
                    OPERATOR(pg_catalog.||) ' s behind', '')
                OPERATOR(pg_catalog.||) COALESCE(': ' OPERATOR(pg_catalog.||) COALESCE(s.trouble,
                    CASE WHEN s.state OPERATOR(pg_catalog.<>) ALL (ARRAY['running', 'starting', 'stopping', 'stopped'])
                         THEN s.last_error END), ''),
            CASE WHEN s.state OPERATOR(pg_catalog.=) ANY (ARRAY['failed', 'gap', 'dead_letters', 'copy'])
                 THEN 'kseg.stream has detail and hint; then kseg.start_stream or kseg.reset_stream.'
                 WHEN s.state OPERATOR(pg_catalog.=) 'stopped' THEN NULL
                 WHEN l.unknown AND s.trouble IS NULL AND s.state OPERATOR(pg_catalog.=) ANY (ARRAY['running', 'starting', 'stopping'])
                 THEN 'How far it is behind is not known. pg_stat_activity shows what its workers wait for: look for locks.'
                 WHEN l.late
                 THEN 'If it stays so, give it more workers with kseg.alter_stream, or look for locks and triggers on its target.'
            END
     FROM kseg.stream_status s
     -- What waits for its batch to fill is not late. Who may not see the definition does not know that it does.
     LEFT JOIN kseg.stream d ON d.name OPERATOR(pg_catalog.=) s.stream
     CROSS JOIN LATERAL (
         SELECT s.lag_seconds OPERATOR(pg_catalog.>) (60::pg_catalog.float8 OPERATOR(pg_catalog.+)
                    COALESCE(pg_catalog.date_part('epoch', d.batch_interval), 0)) AS late,
                s.lag_seconds IS NULL AND s.since OPERATOR(pg_catalog.<)
                    (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) '1 minute'::pg_catalog.interval) AS unknown) l
     ORDER BY s.stream)
    UNION ALL
    (SELECT 'dead letters of ' OPERATOR(pg_catalog.||) COALESCE('stream ' OPERATOR(pg_catalog.||) d.stream, 'runs'), false,
            pg_catalog.count(*)::pg_catalog.text OPERATOR(pg_catalog.||) ', '
                OPERATOR(pg_catalog.||) pg_catalog.count(*) FILTER (WHERE d.created OPERATOR(pg_catalog.>)
                    (pg_catalog.now() OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval))::pg_catalog.text
                OPERATOR(pg_catalog.||) ' of the last day; the oldest from '
                OPERATOR(pg_catalog.||) pg_catalog.to_char(pg_catalog.min(d.created), 'YYYY-MM-DD HH24:MI'),
            'Look at kseg.dead_letter, correct what is wrong, then kseg.replay_dead_letters; or kseg.discard_dead_letters.'
     FROM kseg.dead_letter d GROUP BY d.stream ORDER BY d.stream);
END;
COMMENT ON FUNCTION kseg.health() IS
    'what streams need and how they do: of your own roles; ok is NULL where it does not matter or nobody can tell';

CREATE FUNCTION kseg.replay_dead_letters(
    stream text DEFAULT NULL, run uuid DEFAULT NULL, filter text DEFAULT NULL, row_limit bigint DEFAULT NULL)
RETURNS TABLE (replayed bigint, failed bigint, first_problem text)
AS 'MODULE_PATHNAME', 'kseg_sql_replay_dead_letters' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION kseg.replay_dead_letters(text, uuid, text, bigint) IS
    'apply or send dead letters once more, corrected or not; those that fail again stay. Newer messages of their keys may have been applied meanwhile: the order is lost';
