# Who may send what, and who sees what: rights go the SQL/MED way, a query has its caller's rights and names, and nothing of
# kseg's own work can be turned by a caller against its owner.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node    = new_cluster('rights');
my $sandbox = start_sandbox();
my $super   = run_session($node);
connect_segment($node, $sandbox);       # FOR PUBLIC

# Runs SQL that must work.
sub must
{
    my ($session, $sql) = @_;
    my $result  = $session->run($sql);
    my $failure = failure($result);
    die "$sql: $result->{err}" if $failure;
    return $result->{out};
}

sub code_of { my ($session, $sql) = @_; my $failure = failure($session->run($sql)); return $failure ? $failure->{code} : 'none' }

must($super, q{
    CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE carol LOGIN; CREATE ROLE mallory LOGIN;
    CREATE ROLE boss LOGIN IN ROLE alice; CREATE ROLE stranger LOGIN NOINHERIT; GRANT alice TO stranger;
    CREATE ROLE monitor LOGIN IN ROLE pg_read_all_stats;
    GRANT USAGE ON FOREIGN SERVER segment TO alice, bob, mallory});
# 16 asks for more: what NOINHERIT of the role says may be said otherwise of a membership. Here both say no.
must($super, 'REVOKE INHERIT OPTION FOR alice FROM stranger') if $node->pg_version >= 16;
my %session = map { $_ => run_session($node, user => $_) } qw(alice bob carol boss stranger monitor mallory);

my $one_bad = q{SELECT user_id, n FROM (VALUES ('u1', 1), (NULL, 2)) v (user_id, n)};

subtest 'USAGE and a mapping for everybody are enough to send' => sub {
    for my $role (qw(alice bob))
    {
        my $run = figures($session{$role}->run(track($one_bad, event => $role)));
        is("$run->{sent} $run->{invalid}", '1 1', "$role: sent, invalid");
    }
    is_deeply($sandbox->stats->{by_event}, { alice => 1, bob => 1 }, 'both arrived');
};

subtest 'without USAGE, or without a mapping, nobody sends' => sub {
    $sandbox->reset;
    my $failure = failure($session{carol}->run(track($one_bad)));
    is($failure->{code}, '42501', 'no USAGE: the code');
    like($failure->{hint}, qr/GRANT USAGE ON FOREIGN SERVER segment TO carol/, 'and what would help');
    is(code_of($session{carol}, q{SELECT * FROM kseg.test_server('segment')}), '42501', 'test_server neither');
    must($super, "CREATE SERVER unmapped FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint '" . $sandbox->url . "');
        GRANT USAGE ON FOREIGN SERVER unmapped TO alice; CREATE USER MAPPING FOR bob SERVER unmapped OPTIONS (write_key 'bobs')");
    $failure = failure($session{alice}->run(track($one_bad, server => 'unmapped')));
    is($failure->{code}, '42704', 'no mapping: the code');
    like($failure->{hint}, qr/connect_segment/, 'and what would help');
    is($sandbox->stats->{requests} + $sandbox->stats->{key_checks}, 0, 'nothing left the server');
};

subtest 'no colleague reads the key' => sub {
    for my $role (qw(alice carol boss))
    {
        is($session{$role}->row(q{SELECT count(*) AS n, count(umoptions) AS shown FROM pg_user_mappings WHERE srvname = 'segment'})->{shown},
            0, "$role: pg_user_mappings");
        is($session{$role}->row('SELECT count(option_value) AS n FROM information_schema.user_mapping_options')->{n},
            0, "$role: information_schema");
        is(code_of($session{$role}, 'SELECT * FROM pg_user_mapping'), '42501', "$role: the catalog");
    }
    is($super->row(q{SELECT count(umoptions) AS shown FROM pg_user_mappings WHERE srvname = 'segment'})->{shown}, 1, 'its owner does');
};

subtest 'runs and dead letters are seen by their owners and members' => sub {
    my %sees = (alice => 'alice', bob => 'bob', carol => '', boss => 'alice', stranger => '', postgres => 'alice bob');
    for my $view (qw(run dead_letter))
    {
        for my $role (sort keys %sees)
        {
            my @seen = ($session{$role} // $super)->rows("SELECT DISTINCT run_by FROM kseg.$view ORDER BY 1");
            is(join(' ', map { $_->{run_by} } @seen), $sees{$role}, "$view: $role");
        }
    }
    must($session{stranger}, 'SET ROLE alice');
    is($session{stranger}->row('SELECT count(*) AS n FROM kseg.run')->{n}, 1, 'who becomes another role sees what it sees');
    must($session{stranger}, 'RESET ROLE');
    must($session{carol}, q{CREATE FUNCTION pg_temp.peek(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS
        $$BEGIN RAISE NOTICE 'peeked %', $1; RETURN true; END$$});
    for my $look ('SELECT * FROM kseg.dead_letter WHERE pg_temp.peek(event::text)', 'SELECT * FROM kseg.run WHERE pg_temp.peek(run_by)',
        'DELETE FROM kseg.dead_letter WHERE pg_temp.peek(reason)')
    {
        unlike($session{carol}->run($look)->{err}, qr/peeked/, "nor by a function in the condition: $look");
    }
};

subtest 'kseg\'s tables give no right' => sub {
    for my $sql ('SELECT FROM kseg.run_entry', 'SELECT FROM kseg.dead_letter_entry', 'DELETE FROM kseg.run_entry',
        'INSERT INTO kseg.dead_letter DEFAULT VALUES', q{UPDATE kseg.dead_letter SET reason = 'x'}, q{UPDATE kseg.run SET run_by = 'alice'},
        'DELETE FROM kseg.run', q{SELECT nextval('kseg.dead_letter_entry_id_seq')}, 'SELECT FROM kseg.dead_letter_entry_id_seq',
        'CREATE TRIGGER t BEFORE INSERT ON kseg.run_entry FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
        'CREATE TABLE kseg.mine (a int)')
    {
        is(code_of($session{alice}, $sql), '42501', $sql);
    }
};

subtest 'discarding takes one\'s own' => sub {
    my $left = sub { join ' ', map { $_->{run_by} } $super->rows('SELECT run_by FROM kseg.dead_letter ORDER BY 1') };
    my $bobs = $super->row(q{SELECT run FROM kseg.dead_letter WHERE run_by = 'bob'})->{run};
    is(must($session{alice}, "SELECT kseg.discard_dead_letters(run => '$bobs')"), 0, 'another\'s run: none');
    is(must($session{carol}, 'SELECT kseg.discard_dead_letters()'), 0, 'of somebody without any: none');
    is(must($session{alice}, q{SELECT kseg.discard_dead_letters(older_than => '1 hour')}), 0, 'older than an hour: none');
    is($left->(), 'alice bob', 'all are there');
    is(must($session{boss}, 'SELECT kseg.discard_dead_letters()'), 1, 'a member takes the role\'s');
    is($left->(), 'bob', 'the other stays');
    figures($session{alice}->run(track($one_bad)));
    must($session{alice}, 'DELETE FROM kseg.dead_letter');
    is($left->(), 'bob', 'DELETE takes one\'s own');
    is(must($super, "SELECT kseg.discard_dead_letters(run => '$bobs')"), 1, 'a superuser takes anybody\'s, by run');
};

# ---- the rows: what the caller may read

must($super, q{
    CREATE TABLE customers (user_id text, region text, email text);
    INSERT INTO customers VALUES ('u-alice', 'alice', 'a@example.com'), ('u-bob', 'bob', 'b@example.com');
    ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON customers USING (region = current_user);
    GRANT SELECT ON customers TO alice, bob;

    CREATE TABLE narrow (user_id text, plan text, salary int);
    INSERT INTO narrow VALUES ('u1', 'gold', 1000);
    GRANT SELECT (user_id, plan) ON narrow TO alice;

    CREATE TABLE hidden (user_id text, plan text);
    INSERT INTO hidden VALUES ('u1', 'gold'), ('u2', 'free');
    CREATE VIEW shown WITH (security_barrier) AS SELECT * FROM hidden WHERE plan = 'free';
    GRANT SELECT ON shown TO alice;

    CREATE TABLE measured (user_id text, at date, n int) PARTITION BY RANGE (at);
    CREATE TABLE measured_1 PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE measured_2 PARTITION OF measured FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO measured VALUES ('u1', '2026-01-05', 1), ('u2', '2026-02-05', 2);
    GRANT SELECT ON measured TO alice});

# The users that arrive when a role sends: [ from a query, from a table ], or the code of the failure.
sub sends
{
    my ($role, $relation) = @_;
    my @sent;
    for my $from ('query', 'table')
    {
        $sandbox->reset;
        my $what = $from eq 'query' ? "TABLE $relation" : $relation;
        my $failure = failure($session{$role}->run("SELECT * FROM kseg.segment_track_from_$from('$what', event => 'E')"));
        push @sent, $failure ? $failure->{code} : join ' ', sort map { $_->{event}{userId} } $sandbox->events;
    }
    return \@sent;
}

subtest 'a query has its caller\'s rights' => sub {
    is_deeply(sends('alice', 'customers'), [ ('u-alice') x 2 ], 'row security: alice\'s rows');
    is_deeply(sends('bob', 'customers'), [ ('u-bob') x 2 ], 'row security: bob\'s rows');
    is_deeply(sends('mallory', 'customers'), [ ('42501') x 2 ], 'no right, no rows');
    is_deeply(sends('alice', 'narrow'), [ ('42501') x 2 ], 'a column that is not to be read');
    is_deeply(sends('alice', 'hidden'), [ ('42501') x 2 ], 'the table under a view');
    is_deeply(sends('alice', 'shown'), [ ('u2') x 2 ], 'the view');
    is_deeply(sends('alice', 'measured'), [ ('u1 u2') x 2 ], 'a table in partitions');
    is_deeply(sends('alice', 'measured_1'), [ ('42501') x 2 ], 'a partition by itself');
    $sandbox->reset;
    figures($session{alice}->run(track('SELECT user_id, plan FROM narrow')));
    is_deeply([ map { $_->{event}{properties} } $sandbox->events ], [ { plan => 'gold' } ], 'the columns that are to be read');
    must($session{alice}, q{CREATE FUNCTION pg_temp.leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS
        $$BEGIN RAISE NOTICE 'leaked %', $1; RETURN true; END$$});
    my $result = $session{alice}->run(track('SELECT * FROM shown WHERE pg_temp.leak(plan)'));
    like($result->{err}, qr/leaked free/, 'a condition of one\'s own is called');
    unlike($result->{err}, qr/leaked gold/, 'but not with what a security barrier hides');
    is(code_of($session{alice}, 'SET row_security = off; ' . track('TABLE customers')), '42501', 'row_security = off refuses to filter');
    must($session{alice}, 'RESET row_security');
};

subtest 'a SECURITY DEFINER function sends as its owner' => sub {
    must($super, q{
        CREATE FUNCTION send_hidden(OUT sent bigint, OUT invalid bigint) LANGUAGE sql SECURITY DEFINER
        AS $$ SELECT sent, invalid FROM kseg.segment_track_from_query('TABLE public.hidden UNION ALL SELECT NULL, NULL', event => 'Definer') $$});
    $sandbox->reset;
    is(must($session{carol}, 'SELECT * FROM send_hidden()'), '2|1', 'one without any right has it sent');
    is($sandbox->stats->{by_event}{Definer}, 2, 'the rows of its owner');
    is($super->row(q{SELECT count(*) AS n FROM kseg.dead_letter WHERE run_by = 'postgres'})->{n}, 1, 'the dead letter is the owner\'s');
    is($session{carol}->row('SELECT count(*) AS n FROM kseg.dead_letter')->{n}, 0, 'and not the caller\'s');
};

subtest 'progress is seen by the role, its members and monitors' => sub {
    $sandbox->reset;
    $sandbox->faults({ action => { how => 'hang' } });
    $session{alice}->start(track('SELECT 1 AS user_id'));
    my $pid = $session{alice}->pid;
    wait_for_phase($node, $pid, 'finishing', sub { $_[0]{in_flight} == 1 });
    my %sees = (bob => 0, carol => 0, stranger => 0, boss => 1, monitor => 1, mallory => 0);
    for my $role (sort keys %sees)
    {
        is($session{$role}->row("SELECT count(*) AS n FROM kseg.progress WHERE pid = $pid")->{n}, $sees{$role}, $role);
    }
    must($super, "SELECT pg_cancel_backend($pid)");
    is(failure($session{alice}->finish)->{code}, '57014', 'it ends by a cancel');
    $sandbox->faults;
};

# ---- servers

subtest 'what only a superuser may set' => sub {
    must($super, 'GRANT USAGE ON FOREIGN DATA WRAPPER kseg_segment TO alice');
    must($session{alice}, q{SELECT kseg.connect_segment(write_key => 'alices', server => 'own')});
    my $file = $node->data_dir . '/PG_VERSION';
    for my $sql (
        q{CREATE SERVER x FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'http://127.0.0.1:1')},
        q{CREATE SERVER x FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://example.com')},
        qq{CREATE SERVER x FOREIGN DATA WRAPPER kseg_segment OPTIONS (ca_file '$file')},
        q{ALTER SERVER own OPTIONS (ADD endpoint 'https://169.254.169.254')},
        qq{ALTER SERVER own OPTIONS (ADD ca_file '$file')},
        qq{CREATE USER MAPPING FOR boss SERVER own OPTIONS (write_key_file '$file')},
        qq{ALTER USER MAPPING FOR alice SERVER own OPTIONS (ADD write_key_file '$file')},
        q{SELECT kseg.connect_segment(write_key => 'k', server => 'x', endpoint => 'http://localhost:1')},
        qq{COPY kseg.write_key (write_key, server, endpoint) FROM STDIN;\nk\tx\thttp://localhost:1\n\\.\n},
        # A server that is not one's own cannot be turned either.
        q{ALTER SERVER segment OPTIONS (SET endpoint 'https://api.segment.io')},
        q{ALTER USER MAPPING FOR PUBLIC SERVER segment OPTIONS (SET write_key 'k')},
        q{SELECT kseg.connect_segment(write_key => 'k', for_role => 'public')},
        q{SELECT kseg.connect_segment(write_key => 'k', for_role => 'bob')},
        q{SET kseg.dead_letter_retention = 0},
    )
    {
        is(code_of($session{alice}, $sql), '42501', $sql =~ s/\n/\\n/gr);
    }
    must($session{alice}, q{ALTER SERVER own OPTIONS (ADD upload_size '10', ADD region 'eu')});
    is($super->row(q{SELECT array_to_string(srvoptions, ' ') AS o FROM pg_foreign_server WHERE srvname = 'own'})->{o},
        'upload_size=10 region=eu', 'the rest is the owner\'s to set');
    is($super->row(q{SELECT umoptions[1] AS o FROM pg_user_mappings WHERE srvname = 'own'})->{o}, 'write_key=alices', 'and nothing else was');
};

# ---- names

# A schema in front on the path with traps for whatever unqualified name kseg's own statements might use.
must($super, 'CREATE SCHEMA evil AUTHORIZATION mallory; CREATE SCHEMA "my.schema"; GRANT USAGE ON SCHEMA "my.schema" TO alice');
must($session{mallory}, q{
    CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'trapped %', current_user; RETURN pg_catalog.now(); END $$;
    CREATE FUNCTION evil.make_interval(int, int, int, int, int, int, float8) RETURNS interval LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'trapped %', current_user; RETURN '0'; END $$;
    CREATE FUNCTION evil.make_interval(days int) RETURNS interval LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'trapped %', current_user; RETURN '0'; END $$;
    CREATE FUNCTION evil.pg_has_role(oid, text) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'trapped %', current_user; RETURN true; END $$;
    CREATE FUNCTION evil.before(timestamptz, timestamptz) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'trapped %', current_user; RETURN true; END $$;
    CREATE OPERATOR evil.< (FUNCTION = evil.before, LEFTARG = timestamptz, RIGHTARG = timestamptz);
    CREATE FUNCTION evil.same(text, text) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'trapped %', current_user; RETURN true; END $$;
    CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = text, RIGHTARG = text);
    CREATE FUNCTION evil.same(name, name) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'trapped %', current_user; RETURN true; END $$;
    CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = name, RIGHTARG = name);
    CREATE FUNCTION evil.same(uuid, uuid) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'trapped %', current_user; RETURN true; END $$;
    CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = uuid, RIGHTARG = uuid);
    CREATE FUNCTION evil.back(timestamptz, interval) RETURNS timestamptz LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'trapped %', current_user; RETURN 'infinity'; END $$;
    CREATE OPERATOR evil.- (FUNCTION = evil.back, LEFTARG = timestamptz, RIGHTARG = interval);
    CREATE AGGREGATE evil.count(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '1000000');
    CREATE DOMAIN evil.json AS text CHECK (false);
    CREATE TABLE evil.run_entry (LIKE kseg.run INCLUDING ALL);
    CREATE TABLE evil.dead_letter_entry (a int);
    CREATE VIEW evil.pg_roles AS SELECT 'postgres'::name AS rolname, 10::oid AS oid, true AS rolsuper;
    CREATE TABLE evil.people AS SELECT 'u1'::text AS user_id, 1 AS n;
    SET search_path = evil, kseg, pg_catalog, public});

subtest 'a caller\'s path does not reach kseg\'s own statements' => sub {
    like($session{mallory}->run(q{SELECT 'a'::text = 'b'::text, now()})->{err}, qr/trapped mallory.*trapped mallory/s, 'the traps are set');
    $sandbox->reset;
    my $letters = $super->row('SELECT count(*) AS n FROM kseg.dead_letter_entry')->{n};
    my $result = $session{mallory}->run(track($one_bad));
    my $run = figures($result);
    is("$run->{sent} $run->{invalid}", '1 1', 'a run with a dead letter');
    unlike($result->{err}, qr/trapped/, 'trips none of them');
    is($super->row("SELECT count(*) AS n FROM kseg.run_entry WHERE run = '$run->{run}'")->{n}, 1, 'it is recorded where it belongs');
    is($super->row('SELECT count(*) AS n FROM evil.run_entry')->{n}, 0, 'and not where it does not');
    is($super->row('SELECT count(*) AS n FROM kseg.dead_letter_entry')->{n}, $letters + 1, 'nobody\'s dead letters went');

    $result = $session{mallory}->run('SELECT run_by FROM kseg.run');
    is($result->{out}, 'mallory', 'a look at the runs');
    unlike($result->{err}, qr/trapped/, 'trips none');
    $result = $session{mallory}->run('SELECT phase FROM kseg.progress');
    unlike($result->{err}, qr/trapped/, 'a look at the progress neither');
    $result = $session{mallory}->run(q{SELECT kseg.discard_dead_letters(older_than => '1 hour')});
    is($result->{out}, '0', 'discarding what is older than an hour: none');
    $result = $session{mallory}->run(q{SELECT kseg.discard_dead_letters()});
    is($result->{out}, '1', 'discarding: one\'s own, and counted rightly');
    unlike($result->{err}, qr/trapped/, 'trips none');
    is($super->row('SELECT count(*) AS n FROM kseg.dead_letter_entry')->{n}, $letters, 'the others stay');
};

subtest 'a query has its caller\'s names' => sub {
    $sandbox->reset;
    my $result = $session{mallory}->run(track('SELECT *, now() IS NOT NULL AS t FROM people'));
    is(figures($result)->{sent}, 1, 'a table found by the path');
    like($result->{err}, qr/trapped mallory/, 'and functions, run as the caller');
    $result = $session{mallory}->run(q{SELECT sent FROM segment_track_from_table('people', event => 'E')});
    is($result->{out}, 1, 'a table by name');
};

subtest 'odd names of relations' => sub {
    my $long = 'l' x 63;
    my %relations = (
        '"we""ird; table"'               => { q{"a""b"} => 'a"b' },
        '"my.schema"."my.table"'         => { q{"x;y"}  => 'x;y' },
        qq{"my.schema"."$long"}          => { $long => $long },
        q{"DROP TABLE hidden --"}        => { q{"'quoted'"} => q{'quoted'} },
        qq{"select"}                     => { q{"from"} => 'from' },
        qq{U&"\\00FC\\4E2D\\+01F600"}    => { qq{U&"\\00FC"} => "\x{fc}" },
    );
    for my $name (sort keys %relations)
    {
        my ($column, $key) = %{ $relations{$name} };
        must($super, "CREATE TABLE $name (user_id text, $column int); INSERT INTO $name VALUES ('u1', 7); GRANT SELECT ON $name TO alice");
        my $spelled = $super->row("SELECT '$name'::regclass::text AS r")->{r} if $name !~ /^U/;
        $spelled //= "\x{fc}\x{4e2d}\x{1F600}";
        utf8::encode($spelled);
        $sandbox->reset;
        my $result = $session{alice}->run("SELECT sent FROM kseg.segment_track_from_table(\$n\$$spelled\$n\$, event => 'E')");
        is($result->{out}, 1, "$name: sent") or diag($result->{err});
        is_deeply([ map { $_->{event}{properties} } $sandbox->events ], [ { $key => 7 } ], "$name: with its column");
    }
    must($super, q{CREATE TABLE nesting (user_id text, "a.b" int, "a.c" int); INSERT INTO nesting VALUES ('u1', 1, 2)});
    $sandbox->reset;
    must($super, q{SELECT * FROM kseg.segment_track_from_table('nesting', event => 'E')});
    is_deeply([ map { $_->{event}{properties} } $sandbox->events ], [ { a => { b => 1, c => 2 } } ], 'a column with a dot nests');
};

subtest 'a temporary table that hides another' => sub {
    must($super, q{CREATE TABLE hiding AS SELECT 'permanent'::text AS user_id; GRANT SELECT ON hiding TO alice});
    must($session{alice}, q{CREATE TEMP TABLE hiding AS SELECT 'temporary'::text AS user_id});
    my %sends = (hiding => 'temporary', 'public.hiding' => 'permanent', 'pg_temp.hiding' => 'temporary');
    for my $name (sort keys %sends)
    {
        $sandbox->reset;
        must($session{alice}, "SELECT * FROM kseg.segment_track_from_table('$name', event => 'E')");
        is(join(' ', map { $_->{event}{userId} } $sandbox->events), $sends{$name}, $name);
    }
};

# ALTER DEFAULT PRIVILEGES in force when the extension is made: its tables give no right all the same, and a trigger that
# somebody could make nevertheless is not run as their owner.
$node->safe_psql('postgres', $_) for 'CREATE ROLE trudy', 'CREATE DATABASE generous';
$node->safe_psql('generous', q{
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
    CREATE EXTENSION kseg});
is($node->safe_psql('generous', q{
    SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'kseg'
    WHERE c.relkind IN ('r', 'v') AND (has_table_privilege('trudy', c.oid, 'TRIGGER') OR has_table_privilege('trudy', c.oid, 'TRUNCATE'))}),
    '0', 'default privileges: no right to put a trigger on a table or view of kseg');
$node->safe_psql('generous', q{
    GRANT TRIGGER ON kseg.run_entry TO trudy;
    CREATE SCHEMA m AUTHORIZATION trudy;
    SET ROLE trudy;
    CREATE FUNCTION m.climb() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE trudy SUPERUSER; RETURN NEW; END $$;
    CREATE TRIGGER climb BEFORE INSERT ON kseg.run_entry FOR EACH ROW EXECUTE FUNCTION m.climb()});
my $url = $sandbox->url;
my $climb_key = $sandbox->key;
my ($code, $out, $err) = $node->psql('generous', "SELECT kseg.connect_segment(write_key => '$climb_key', endpoint => '$url');
    SELECT sent FROM kseg.segment_track_from_query('SELECT 1 AS user_id', event => 'E')");
like($err, qr/table kseg\.run_entry has triggers or rules, which kseg does not run/, 'a trigger on kseg\'s table is refused');
is($node->safe_psql('postgres', "SELECT rolsuper FROM pg_roles WHERE rolname = 'trudy'"), 'f', 'and was not run');

done_testing();
