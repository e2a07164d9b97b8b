# What the functions of a query may do to the run around it: catch errors and cancels, change the role, live in a transaction
# of another isolation level.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node = new_cluster('surprises', config => "max_prepared_transactions = 2\n");
my $sandbox = start_sandbox();
my $session = run_session($node);
connect_segment($node, $sandbox);
$node->safe_psql('postgres', q{
    CREATE ROLE carol;
    CREATE FUNCTION catch_error(x int) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN RETURN 1 / (x - 1); EXCEPTION WHEN division_by_zero THEN RETURN 0; END $$;
    CREATE FUNCTION catch_cancel() RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(600); RETURN 0; EXCEPTION WHEN query_canceled THEN RETURN 1; END $$});

# ---- an error that a function catches ends a subtransaction, and PostgreSQL's progress with it
$sandbox->faults({ action => { how => 'hang' } });
$session->start(track("SELECT 'u' || g AS user_id, catch_error(g) AS c FROM generate_series(1, 3) g"));
my $progress = wait_for('progress of a run whose query caught an error', sub {
    my $row = $node->safe_psql('postgres', 'SELECT rows, phase FROM kseg.progress WHERE pid = ' . $session->pid);
    return ($row eq '3|finishing', $row);
});
is($progress, '3|finishing', 'kseg.progress shows a run whose query caught an error');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $session->pid . ')');
is(failure($session->finish)->{code}, '57014', 'it is cancelled');
$sandbox->faults();

# ---- a cancel that a function catches: the timeout comes again
my $failure = failure($session->run(track("SELECT 'u' || g AS user_id, catch_cancel() AS c FROM generate_series(1, 1000) g", timeout => '300ms')));
is("$failure->{code} $failure->{message}", '57014 the run was stopped by its timeout', 'a timeout that is caught by the query for each row stops the run');
is(figures($session->run(track("SELECT 'after' AS user_id")))->{sent}, 1, 'and no cancel is left behind');

# ---- the role: whose run it is, is decided when it is called
my $figures = figures($session->run(track(q{SELECT NULLIF(set_config('role', 'carol', false), 'carol') AS user_id})));
is("$figures->{rows} $figures->{invalid}", '1 1', 'a query that sets the role');
is($session->run("RESET ROLE; SELECT run_by FROM kseg.run WHERE run = '$figures->{run}'")->{out}, 'postgres', 'the run is the caller\'s');
is($session->run("SELECT run_by FROM kseg.dead_letter WHERE run = '$figures->{run}'")->{out}, 'postgres', 'so are its dead letters');

# ---- transactions
for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
    my $result = $session->run("BEGIN ISOLATION LEVEL $level; " . track("SELECT 'i' || g AS user_id FROM generate_series(1, 3) g") . '; COMMIT');
    is(figures($result)->{rows}, 3, "$level");
}
$figures = figures($session->run('BEGIN; ' . track("SELECT 'p' AS user_id") . "; PREPARE TRANSACTION 'kseg'"));
is($node->safe_psql('postgres', "SELECT count(*) FROM kseg.run WHERE run = '$figures->{run}'"), '0', 'a prepared transaction: nothing is recorded yet');
$node->safe_psql('postgres', "COMMIT PREPARED 'kseg'");
is($node->safe_psql('postgres', "SELECT count(*) FROM kseg.run WHERE run = '$figures->{run}'"), '1', 'and it is when it is committed');

# ---- retention: what is old goes, and nobody waits for somebody else's transaction over it
$node->safe_psql('postgres', "UPDATE kseg.run_entry SET ended = now() - interval '200 days'");
my $holder = run_session($node);
$holder->run('BEGIN; ' . track("SELECT 'h' AS user_id"));
is(figures($session->run("SET lock_timeout = '5s'; " . track("SELECT 'w' AS user_id")))->{sent}, 1, 'a run does not wait for another transaction\'s removal');
$holder->run('COMMIT');
is($node->safe_psql('postgres', "SELECT count(*) FROM kseg.run_entry WHERE ended < now() - interval '90 days'"), '0', 'what was old is gone');
like($session->run('SET kseg.run_retention = 3000000')->{err}, qr/outside the valid range/, 'a retention before the first day of the calendar is refused');

done_testing();
