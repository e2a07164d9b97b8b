# Dead letters and runs are forgotten when their time has come, whoever's they are, whenever a later run records something.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node    = new_cluster('retention');
my $sandbox = start_sandbox();
connect_segment($node, $sandbox);
$node->safe_psql('postgres', 'CREATE ROLE analyst LOGIN; GRANT USAGE ON FOREIGN SERVER segment TO analyst');
my $super   = run_session($node);
my $analyst = run_session($node, user => 'analyst');

# Runs and dead letters of these ages in days, and nothing else.
sub fill
{
    my (@ages) = @_;
    my $ages = join ', ', map { "($_)" } @ages;
    my $result = $super->run(qq{
        TRUNCATE kseg.run_entry, kseg.dead_letter_entry;
        INSERT INTO kseg.run_entry SELECT gen_random_uuid(), 'age ' || age, 's', 'track', now() - age * interval '1 day' - interval '1 hour',
            now() - age * interval '1 day', 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 FROM (VALUES $ages) v (age);
        INSERT INTO kseg.dead_letter_entry (run, run_by, created, server, call, row, reason)
            SELECT gen_random_uuid(), 'age ' || age, now() - age * interval '1 day', 's', 'track', 1, 'r' FROM (VALUES $ages) v (age)});
    die $result->{err} if failure($result);
    return;
}

# The ages that are left, of runs and of dead letters.
sub left
{
    return map { my $table = $_; join ' ', map { $_->{age} } $super->rows(qq{SELECT substr(run_by, 5) AS age FROM kseg.$table
        WHERE run_by LIKE 'age %' ORDER BY substr(run_by, 5)::float8}) } qw(run_entry dead_letter_entry);
}

sub run_once
{
    my ($session, %more) = @_;
    my $result = $session->run(track($more{query} // 'SELECT 1 AS user_id', %{ $more{arguments} // {} }));
    my $failure = failure($result);
    die "$failure->{code} $failure->{message}" if $failure;
    return figures($result);
}

subtest 'by default 30 days and 90 days' => sub {
    fill(0.5, 29.9, 30.1, 89.9, 90.1, 1000);
    run_once($analyst);
    is_deeply([ left() ], [ '0.5 29.9 30.1 89.9', '0.5 29.9' ], 'what is older is gone, of runs and of dead letters');
    is($super->row(q{SELECT count(*) AS n FROM kseg.run WHERE run_by = 'analyst'})->{n}, 1, 'the run that did it is there');
};

subtest 'a dead letter of now stays' => sub {
    fill(31);
    my $run = run_once($analyst, query => 'SELECT NULL::text AS user_id');
    is_deeply([ left() ], [ '31', '' ], 'the old ones went');
    is($analyst->row("SELECT count(*) AS n FROM kseg.dead_letter WHERE run = '$run->{run}'")->{n}, 1, 'the new one is kept');
};

subtest 'other days' => sub {
    fill(0.5, 1.5, 9.5, 10.5);
    $super->run('SET kseg.dead_letter_retention = 1; SET kseg.run_retention = 10');
    run_once($super);
    is_deeply([ left() ], [ '0.5 1.5 9.5', '0.5' ], 'each by its own setting');
    $super->run('SET kseg.dead_letter_retention = 0; SET kseg.run_retention = 0');
    my $run = run_once($super, query => 'SELECT NULL::text AS user_id');
    is_deeply([ left() ], [ '', '' ], '0 keeps nothing');
    is($super->row("SELECT count(*) AS n FROM kseg.dead_letter WHERE run = '$run->{run}'")->{n}, 1, 'but what was recorded just now');
};

subtest '-1 keeps for ever' => sub {
    fill(1, 1000, 100000);
    $super->run('SET kseg.dead_letter_retention = -1; SET kseg.run_retention = -1');
    run_once($super);
    is_deeply([ left() ], [ ('1 1000 100000') x 2 ], 'all are there');
    $super->run('SET kseg.run_retention = 30');
    run_once($super);
    is_deeply([ left() ], [ '1', '1 1000 100000' ], 'one does not mean the other');
    $super->run('RESET kseg.dead_letter_retention; RESET kseg.run_retention');
};

subtest 'what records nothing forgets nothing' => sub {
    fill(1, 1000);
    $super->rows(q{SELECT * FROM kseg.segment_preview('SELECT 1 AS user_id', event => 'E')});
    my $result = $super->run('BEGIN;' . track('SELECT 1 AS user_id') . '; ROLLBACK');
    is(figures($result)->{sent}, 1, 'a run that is rolled back');
    $result = $super->run('BEGIN READ ONLY;' . track('SELECT 1 AS user_id', on_invalid => 'skip') . '; COMMIT');
    is(figures($result)->{sent}, 1, 'and one that may not write');
    is_deeply([ left() ], [ ('1 1000') x 2 ], 'all are there');
};

subtest 'a run that failed and is reported forgets too' => sub {
    fill(1, 1000);
    $sandbox->faults({ action => { status => 401 } });
    run_once($super, arguments => { on_failure => 'report' });
    $sandbox->faults;
    is_deeply([ left() ], [ ('1') x 2 ], 'what was old is gone');
};

subtest 'the settings' => sub {
    is($super->row(q{SELECT current_setting('kseg.dead_letter_retention') || ' ' || current_setting('kseg.run_retention') AS s})->{s}, '30 90', 'their defaults');
    is(failure($analyst->run('SET kseg.dead_letter_retention = 1'))->{code}, '42501', 'are not everybody\'s to set');
    is(failure($super->run('SET kseg.run_retention = -2'))->{code}, '22023', 'have bounds');
    is(failure($super->run('SET kseg.retention = 1'))->{code}, '42602', 'and no others of kseg\'s exist');
    $node->append_conf('postgresql.conf', "kseg.dead_letter_retention = 7\nkseg.run_retention = 8");
    $node->restart;
    my $fresh = run_session($node);
    $super = $fresh;
    fill(6.5, 7.5, 8.5);
    run_once($fresh);
    is_deeply([ left() ], [ '6.5 7.5', '6.5' ], 'postgresql.conf may have them, though kseg is not preloaded');
};

done_testing();
