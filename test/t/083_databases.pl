# Workers are no obstacle: a database with running streams is dropped, renamed, moved and copied as any other, the extension comes and
# goes, and a copy does not run. Who may not do these things cannot stop a stream by trying.
use strict;
use warnings;
use KsegTest;
use KsegStream;
use Time::HiRes qw(time);

my $node = stream_cluster('primary', extension => 0);
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN CREATEDB');

# A database with two streams that run; returns their workers.
sub streaming_database
{
    my ($dbname) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $dbname");
    for my $name (qw(one two))
    {
        unreachable_table($node, $name, dbname => $dbname);
        make_stream($node, $name, dbname => $dbname);
    }
    return wait_for_workers($node, $dbname, 2);
}

# Runs a statement that must succeed within five seconds.
sub in_time
{
    my ($name, $sql, $dbname) = @_;
    my $began = time();
    my ($code, $out, $err) = $node->psql($dbname // 'postgres', $sql);
    my $seconds = time() - $began;
    unlike($err, qr/ERROR|FATAL|WARNING/, $name);
    cmp_ok($seconds, '<', 5, sprintf 'in %.2f s', $seconds);
    return;
}

# Runs one that must fail and leave these workers alone.
sub in_vain
{
    my ($name, $sql, $why, $dbname, @workers) = @_;
    my ($code, $out, $err) = $node->psql('postgres', $sql);
    like($err, $why, $name);
    is_deeply([ workers_of($node, $dbname) ], \@workers, 'the workers have not noticed');
    return;
}

subtest 'DROP DATABASE' => sub {
    my @workers = streaming_database('gone');
    in_vain('in a transaction block', 'BEGIN; DROP DATABASE gone', qr/cannot run inside a transaction block/, 'gone', @workers);
    in_vain('by somebody else', 'SET ROLE stranger; DROP DATABASE gone', qr/must be owner/, 'gone', @workers);
    in_vain('renamed by somebody else', 'SET ROLE stranger; ALTER DATABASE gone RENAME TO mine', qr/must be owner/, 'gone', @workers);
    in_vain('copied by somebody else', 'SET ROLE stranger; CREATE DATABASE mine TEMPLATE gone', qr/permission denied to copy/, 'gone', @workers);
    in_vain('a database that is not there', 'DROP DATABASE gone_long_ago', qr/does not exist/, 'gone', @workers);
    $node->safe_psql('postgres', 'DROP DATABASE IF EXISTS gone_long_ago');
    in_time('plain', 'DROP DATABASE gone');
    wait_until_gone('its workers', \@workers);

    @workers = streaming_database('gone');
    in_time('WITH (FORCE)', 'DROP DATABASE gone WITH (FORCE)');
    wait_until_gone('its workers', \@workers);
};

subtest 'DROP DATABASE that fails' => sub {
    streaming_database('used');
    my $session = session($node, dbname => 'used');
    my ($code, $out, $err) = $node->psql('postgres', 'DROP DATABASE used');
    like($err, qr/being accessed by other users.*There is 1 other session/s, 'somebody is in it, and that is no worker');
    wait_for_workers($node, 'used', 2);
    pass('then the workers come back');
    $session->quit;
    in_time('later', 'DROP DATABASE used');
};

subtest 'CREATE DATABASE ... TEMPLATE' => sub {
    streaming_database('original');
    in_time('a copy', 'CREATE DATABASE copy TEMPLATE original');
    wait_for_state($node, $_, 'copy', dbname => 'copy') for qw(one two);
    my $copy = stream_of($node, 'one', dbname => 'copy');
    like($copy->{last_error}, qr/copy of its database/, 'its streams say why they do not run');
    is(scalar workers_of($node, 'copy'), 0, 'and do not');
    wait_for_workers($node, 'original', 2);
    pass('the original\'s run on');
    $node->safe_psql('copy', q{SELECT kseg.start_stream('one')});
    wait_for_workers($node, 'copy', 1);
    pass('the copy\'s when somebody says so');
    in_time('and it can be dropped', 'DROP DATABASE copy');

    $node->safe_psql('postgres', 'ALTER DATABASE original IS_TEMPLATE true');
    wait_for_workers($node, 'original', 0);
    pass('in a template no stream runs');
    $node->safe_psql('postgres', 'ALTER DATABASE original IS_TEMPLATE false');
    wait_for_workers($node, 'original', 2);
};

subtest 'a restored dump' => sub {
    my $file = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
    $node->command_ok([ 'pg_dump', '-f', $file, '-d', $node->connstr('original') ], 'a dump');
    $node->safe_psql('postgres', 'CREATE DATABASE restored');
    $node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $file, '-d', $node->connstr('restored') ], 'restored');
    wait_for_state($node, $_, 'copy', dbname => 'restored') for qw(one two);
    is(scalar workers_of($node, 'restored'), 0, 'its streams wait for somebody to start them');
    wait_for_workers($node, 'original', 2);
};

subtest 'ALTER DATABASE' => sub {
    my $dir = PostgreSQL::Test::Utils::tempdir();
    in_time('RENAME', 'ALTER DATABASE original RENAME TO renamed');
    wait_for_workers($node, 'renamed', 2);
    in_time('RENAME in a transaction that is rolled back', 'BEGIN; ALTER DATABASE renamed RENAME TO nothing; ROLLBACK');
    wait_for_workers($node, 'renamed', 2);
    $node->safe_psql('postgres', "CREATE TABLESPACE aside LOCATION '$dir'");
    in_time('SET TABLESPACE', 'ALTER DATABASE renamed SET TABLESPACE aside');
    wait_for_workers($node, 'renamed', 2);
    pass('each time the workers come back');
};

subtest 'the extension' => sub {
    my @workers = wait_for_workers($node, 'renamed', 2);
    in_time('DROP EXTENSION that is rolled back', 'BEGIN; DROP EXTENSION kseg CASCADE; ROLLBACK', 'renamed');
    wait_for_workers($node, 'renamed', 2);
    in_time('a savepoint', 'BEGIN; SAVEPOINT a; DROP EXTENSION kseg CASCADE; ROLLBACK TO a; COMMIT', 'renamed');
    @workers = wait_for_workers($node, 'renamed', 2);
    my ($code, $out, $err) = $node->psql('renamed', 'SET ROLE stranger; DROP EXTENSION kseg CASCADE');
    like($err, qr/must be owner/, 'not by a stranger');
    is_deeply([ workers_of($node, 'renamed') ], \@workers, 'the workers have not noticed');
    in_time('ALTER EXTENSION UPDATE', 'ALTER EXTENSION kseg UPDATE', 'renamed');
    wait_for_workers($node, 'renamed', 2);

    # While a transaction has dropped it and goes on, nothing comes back and waits for it.
    my $session = session($node, dbname => 'renamed');
    $session->run('BEGIN; DROP EXTENSION kseg CASCADE');
    is(scalar workers_of($node, 'renamed'), 0, 'held until the end of the transaction');
    $session->run('COMMIT');
    $session->quit;
    my $from = -s $node->logfile;
    $node->safe_psql('postgres', 'CREATE ROLE boss SUPERUSER');
    $node->safe_psql('renamed', 'DROP TABLE IF EXISTS one, two; SET ROLE boss; CREATE EXTENSION kseg');
    unreachable_table($node, 'one', dbname => 'renamed');
    make_stream($node, 'one', dbname => 'renamed');
    wait_for_workers($node, 'renamed', 1);
    in_time('DROP OWNED BY its owner', 'DROP OWNED BY boss CASCADE', 'renamed');
    wait_for_workers($node, 'renamed', 0);
    is(log_has($node, qr/(?:ERROR|FATAL):(?!.*terminating background worker)/, $from), 0, 'without an error in the log');
    in_time('and the database', 'DROP DATABASE renamed');
};

subtest 'another version' => sub {
    streaming_database('old');
    my $from = -s $node->logfile;
    $node->safe_psql('old', q{UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'kseg'; ALTER DATABASE old CONNECTION LIMIT 90});
    wait_for_workers($node, 'old', 0);
    wait_for_log($node, qr/database "old" do not run/, $from);
    is(log_has($node, qr/database "old" do not run: the library is of version \S+, the extension of version 0\.0\.9/, $from), 1, 'is told in the log, once');
    is($node->safe_psql('old', q{SELECT ok FROM kseg.health() WHERE "check" = 'version'}), 'f', 'and in health');
    like(stream_of($node, 'two', dbname => 'old')->{trouble}, qr/version 0\.0\.9/, 'and in the status');

    # What needs the extension's tables says so, before it looks at them.
    $node->safe_psql('old', 'ALTER TABLE kseg.stream_entry RENAME COLUMN revision TO earlier');
    my @calls = (q{stream_to_table('three', 'SELECT part, at, number FROM one_topic', 'one')}, q{alter_stream('one', batch_rows => 1)},
        (map { "${_}_stream('one')" } qw(start stop drop)), q{reset_stream('one', 'earliest')}, 'replay_dead_letters()');
    for my $call (@calls)
    {
        my ($code, $out, $err) = $node->psql('old', "SELECT kseg.$call");
        like($err, qr/ERROR:\ \ the\ extension\ kseg\ is\ of\ another\ version\ than\ the\ loaded\ library\n
            DETAIL:\ \ The\ extension\ in\ this\ database\ has\ version\ 0\.0\.9,\ the\ library\ \d\S+\.\n
            HINT:\ \ ALTER\ EXTENSION\ kseg\ UPDATE\ in\ this\ database/x, $call);
    }
    $node->safe_psql('old', q{ALTER TABLE kseg.stream_entry RENAME COLUMN earlier TO revision;
        UPDATE pg_extension SET extversion = kseg.library_version() WHERE extname = 'kseg'; SELECT kseg.stop_stream('one')});
    wait_for_workers($node, 'old', 1);
    pass('and when both are the same again, all is as before');
};

subtest 'a database that cannot be looked at' => sub {
    streaming_database($_) for qw(locked free);
    my $session = session($node, dbname => 'locked');
    $session->run('BEGIN; LOCK TABLE kseg.stream_entry IN ACCESS EXCLUSIVE MODE');
    $node->safe_psql('locked', 'ALTER DATABASE locked CONNECTION LIMIT 90');    # marks it
    my $began = time();
    $node->safe_psql('free', q{SELECT kseg.stop_stream('one')});
    wait_for_workers($node, 'free', 1);
    cmp_ok(time() - $began, '<', 10, sprintf 'another is not kept waiting: %.1f s', time() - $began);
    wait_for_log($node, qr/canceling statement due to lock timeout/);
    is(scalar workers_of($node, 'locked'), 2, 'its workers run on by what was known');
    $session->run(q{SELECT kseg.stop_stream('two'); COMMIT});
    wait_for_workers($node, 'locked', 1);
    pass('and it is looked at when it can be');
    in_time('it is dropped as any other', 'DROP DATABASE free');
};

done_testing();
