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
    run uuid NOT NULL,
    run_by text NOT NULL,
    created timestamptz NOT NULL DEFAULT pg_catalog.now(),
    server text NOT NULL,
    call text NOT NULL,
    row bigint NOT NULL,
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
    headers jsonb
);
CREATE INDEX dead_letter_entry_run ON kseg.dead_letter_entry (run);
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
           e.topic, e.partition, e.key, e.value, e.headers
    FROM kseg.dead_letter_entry e
    WHERE EXISTS (SELECT FROM pg_catalog.pg_roles r
                  WHERE r.rolname OPERATOR(pg_catalog.=) e.run_by::pg_catalog.name
                    AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
       OR EXISTS (SELECT FROM pg_catalog.pg_roles r
                  WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER AND r.rolsuper);
COMMENT ON VIEW kseg.dead_letter IS
    'undelivered events of the roles that you are or belong to; status: HTTP''s, or Kafka''s error; NULL: never sent. DELETE discards';
REVOKE ALL ON kseg.dead_letter FROM PUBLIC;
GRANT SELECT, DELETE ON kseg.dead_letter TO PUBLIC;

CREATE FUNCTION kseg.discard_dead_letters(run uuid DEFAULT NULL, older_than interval DEFAULT NULL)
RETURNS bigint LANGUAGE sql VOLATILE
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM kseg.dead_letter d
        WHERE (discard_dead_letters.run IS NULL OR d.run OPERATOR(pg_catalog.=) discard_dead_letters.run)
          AND (discard_dead_letters.older_than IS NULL OR d.created OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) discard_dead_letters.older_than))
        RETURNING 1)
    SELECT pg_catalog.count(*) FROM gone;
END;
COMMENT ON FUNCTION kseg.discard_dead_letters(uuid, interval) IS
    'delete the dead letters that you may see: of one run, older than an age, or all; returns how many';

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
