# A dump restores without an error where roles have other OIDs or are missing, and brings servers, mappings, runs and dead
# letters; the extension comes and goes in any database.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $sandbox = start_sandbox();
my $node    = new_cluster('origin');
my $copy    = new_cluster('copy', extension => 0);
my $psql    = run_session($node);

sub must
{
    my ($session, $sql) = @_;
    my $result  = $session->run($sql);
    die "$sql: $result->{err}" if failure($result);
    return $result->{out};
}

sub code_of { my ($session, $sql) = @_; my $failure = failure($session->run($sql)); return $failure ? $failure->{code} : 'none' }

connect_segment($node, $sandbox, upload_size => 100, connections => 2);
must($psql, q{
    CREATE ROLE alice LOGIN; CREATE ROLE gone LOGIN; CREATE ROLE "Odd ""name""" LOGIN;
    GRANT USAGE ON FOREIGN SERVER segment TO PUBLIC;
    GRANT USAGE ON FOREIGN DATA WRAPPER kseg_segment TO alice;
    SELECT kseg.connect_segment(write_key => 'key-of-alice', server => 'segment', for_role => 'alice');
    CREATE SERVER "other one" FOREIGN DATA WRAPPER kseg_segment OPTIONS (region 'eu', ca_file '/etc/ssl/none.pem', max_retry_age '1h');
    CREATE USER MAPPING FOR "Odd ""name""" SERVER "other one" OPTIONS (write_key_file '/nonexistent/key');
    CREATE VIEW public.my_runs AS SELECT run, rows FROM kseg.run;
    CREATE TABLE predictions AS SELECT 'u' || g AS user_id, g / 7.0 AS chance FROM generate_series(1, 5) g;
    GRANT SELECT ON predictions TO PUBLIC});
must($psql, q{ALTER USER MAPPING FOR alice SERVER segment OPTIONS (SET write_key '} . $sandbox->key . q{')});

my $mixed = q{SELECT user_id, chance FROM predictions UNION ALL SELECT NULL, 'NaN'};
for my $role ('alice', 'gone', 'Odd "name"', undef)
{
    my $session = run_session($node, $role ? (user => "'" . $role . "'") : ());
    is(figures($session->run(track($mixed)))->{invalid}, 1, ($role // 'the superuser') . ' leaves a run and a dead letter');
}

# All that a restore must bring, as text. Roles by name, for OIDs differ.
my %contents = (
    'runs'         => 'SELECT * FROM kseg.run_entry ORDER BY run',
    'dead letters' => 'SELECT * FROM kseg.dead_letter_entry ORDER BY id',
    # pg_dump writes the options of a server in the order of their names.
    'servers'      => 'SELECT srvname, srvowner::regrole, (SELECT array_agg(o ORDER BY o) FROM unnest(srvoptions) o) AS options
                       FROM pg_foreign_server ORDER BY srvname',
    'mappings'     => 'SELECT srvname, usename, umoptions FROM pg_user_mappings ORDER BY srvname, usename',
    'rights'       => q{SELECT n.nspname, c.relname, c.relacl FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'kseg' ORDER BY 2},
    'functions'    => q{SELECT proname, proacl, prosrc FROM pg_proc WHERE pronamespace = 'kseg'::regnamespace ORDER BY proname, prosrc},
    'wrapper'      => 'SELECT fdwname, fdwacl FROM pg_foreign_data_wrapper',
    'server rights' => 'SELECT srvname, srvacl FROM pg_foreign_server ORDER BY 1',
);

sub contents_of
{
    my ($session) = @_;
    return { map { my $name = $_; $name => [ $session->rows($contents{$name}) ] } keys %contents };
}

# Roles come into being in another order, and one not at all.
$copy->safe_psql('postgres', q{CREATE ROLE filler; CREATE ROLE "Odd ""name""" LOGIN; CREATE ROLE alice LOGIN});
my $folder = PostgreSQL::Test::Utils::tempdir();

my %restores = (
    plain => sub {
        my ($database) = @_;
        $node->command_ok([ 'pg_dump', '-f', "$folder/plain.sql", $node->connstr('postgres') ], 'pg_dump, plain');
        $copy->command_checks_all([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$folder/plain.sql", $copy->connstr($database) ],
            0, [], [qr/^$/], 'psql restores it and has nothing to say');
    },
    custom => sub {
        my ($database) = @_;
        $node->command_ok([ 'pg_dump', '-Fc', '-f', "$folder/custom", $node->connstr('postgres') ], 'pg_dump, custom');
        $copy->command_checks_all([ 'pg_restore', '--exit-on-error', '-j2', '-d', $copy->connstr($database), "$folder/custom" ],
            0, [], [qr/^$/], 'pg_restore restores it and has nothing to say');
    },
);
for my $format (sort keys %restores)
{
    subtest "a dump restored: $format" => sub {
        $copy->safe_psql('postgres', "CREATE DATABASE $format TEMPLATE template0");
        my $before = contents_of($psql);
        $restores{$format}->($format);
        my $session = run_session($copy, dbname => $format);
        my $after   = contents_of($session);
        is_deeply($after->{$_}, $before->{$_}, "$_ are there") for sort keys %contents;
        cmp_ok(@{ $after->{'dead letters'} }, '>=', 4, 'which is something');
        isnt($session->row(q{SELECT oid FROM pg_roles WHERE rolname = 'alice'})->{oid},
            $psql->row(q{SELECT oid FROM pg_roles WHERE rolname = 'alice'})->{oid}, 'although a role has another OID');

        my %sees = (alice => 'alice', 'Odd "name"' => 'Odd "name"');
        for my $role (sort keys %sees)
        {
            my $other = run_session($copy, dbname => $format, user => "'$role'");
            for my $view (qw(run dead_letter))
            {
                is(join(', ', map { $_->{run_by} } $other->rows("SELECT DISTINCT run_by FROM kseg.$view")), $sees{$role}, "$role sees its own: $view");
            }
        }
        is($session->row(q{SELECT count(*) AS n FROM kseg.dead_letter WHERE run_by = 'gone'})->{n}, 1, 'a superuser sees a missing role\'s');

        # The copy goes on: with the same key, but with ids of its own, for it is another cluster.
        $sandbox->reset;
        my $highest = $session->row('SELECT max(id) AS n FROM kseg.dead_letter')->{n};
        my $alice   = run_session($copy, dbname => $format, user => 'alice');
        my $run     = figures($alice->run(track($mixed)));
        is("$run->{sent} $run->{invalid}", '5 1', 'alice sends from the copy');
        is($sandbox->stats->{accepted}, 5, 'and it arrives');
        cmp_ok($alice->row("SELECT id FROM kseg.dead_letter WHERE run = '$run->{run}'")->{id}, '>', $highest, 'the numbers of dead letters go on');
        my $original = run_session($node, user => 'alice');
        is(figures($original->run(track($mixed)))->{sent}, 5, 'the original sends the same');
        is($sandbox->stats->{repeated}, 0, 'and none is taken for another\'s repeat');
    };
}

subtest 'the extension comes and goes' => sub {
    must($psql, 'CREATE DATABASE elsewhere');
    my $other = run_session($node, dbname => 'elsewhere');
    is(code_of($other, 'CREATE EXTENSION kseg SCHEMA public'), '0A000', 'its schema is kseg and no other') or diag(code_of($other, 'SELECT 1'));
    must($other, 'CREATE EXTENSION kseg');
    is(code_of($other, 'CREATE EXTENSION kseg'), '42710', 'once');
    is($other->row('SELECT count(*) AS n FROM kseg.run')->{n}, 0, 'another database has nothing of the first');
    must($other, 'SELECT kseg.connect_segment(write_key => \'' . $sandbox->key . "', endpoint => '" . $sandbox->url . "')");
    is(figures($other->run(track(q{SELECT 1 AS user_id, 'NaN'::float8 AS a UNION ALL SELECT 2, 2})))->{sent}, 1, 'and sends');
    is(code_of($other, 'ALTER EXTENSION kseg SET SCHEMA public'), '0A000', 'it cannot be moved');
    is(failure($other->run('ALTER EXTENSION kseg UPDATE')), undef, 'an update to where it is');

    is(code_of($other, 'DROP EXTENSION kseg'), '2BP01', 'DROP alone stops before the servers');
    must($other, 'DROP EXTENSION kseg CASCADE');
    is($other->row(q{SELECT count(*) AS n FROM pg_namespace WHERE nspname = 'kseg'})->{n}, 0, 'CASCADE takes the schema');
    is($other->row(q{SELECT (SELECT count(*) FROM pg_foreign_server) + (SELECT count(*) FROM pg_user_mapping) + (SELECT count(*) FROM pg_foreign_data_wrapper) AS n})->{n},
        0, 'servers, mappings, keys');
    is(code_of($other, 'SELECT kseg.connect_segment($$k$$)'), '3F000', 'nothing is left to call');
    must($other, 'CREATE SCHEMA kseg');
    is(code_of($other, 'CREATE EXTENSION kseg'), '42P06', 'a schema of that name, which its owner could turn against kseg, is not taken');
    must($other, 'DROP SCHEMA kseg');
    must($other, 'CREATE EXTENSION kseg');
    is($other->row('SELECT count(*) AS n FROM kseg.dead_letter')->{n}, 0, 'and back again, without what there was');

    my $dropping = run_session($node, dbname => 'elsewhere', user => 'alice');
    is(code_of($dropping, 'DROP EXTENSION kseg'), '42501', 'not by anybody');
    must($other, 'DROP EXTENSION kseg');
    must($other, 'GRANT CREATE ON DATABASE elsewhere TO alice');
    is(code_of($dropping, 'CREATE EXTENSION kseg'), '42501', 'neither way');
};

subtest 'in a template' => sub {
    must($psql, 'CREATE DATABASE pattern');
    my $pattern = run_session($node, dbname => 'pattern');
    must($pattern, "CREATE EXTENSION kseg; SELECT kseg.connect_segment(write_key => '" . $sandbox->key . "', endpoint => '" . $sandbox->url . "')");
    my $query = 'SELECT 1 AS user_id';
    my $id = $pattern->row("SELECT message_id FROM kseg.segment_preview('$query', event => 'E')")->{message_id};
    $pattern->quit;
    wait_for('the template left alone', sub { my $n = must($psql, q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'pattern'}); return ($n == 0, $n) });
    must($psql, 'CREATE DATABASE cloned TEMPLATE pattern');
    my $cloned = run_session($node, dbname => 'cloned');
    $sandbox->reset;
    is(figures($cloned->run(track($query)))->{sent}, 1, 'a database made from it sends');
    my ($event) = $sandbox->events;
    like($event->{messageId}, qr/^kseg-/, 'under an id');
    isnt($event->{messageId}, $id, 'of its own');
    my $run = $cloned->row('SELECT server FROM kseg.run');
    is($run->{server}, 'segment', 'and remembers its runs');
};

done_testing();
