# What other sessions see of a run while it is under way: where it is, its figures, its last error; and nothing of it once it
# has ended, however it ended. Nobody sees the runs of roles that he does not belong to.
use strict;
use warnings;
use IO::Socket::INET;
use KsegTest;
use KsegRun;

my $node = new_cluster('progress');
my $sandbox = start_sandbox();
my $silent = silent_server();
my $session = run_session($node);
my $pid = $session->pid;
my $few = 'SELECT g AS user_id FROM generate_series(1, 3) g';

sub value { return $node->safe_psql('postgres', $_[0]) }

# Ends the run that is under way by a cancel, and checks that it is no longer told of.
sub end_run
{
    my ($name) = @_;
    kill 'INT', $pid;
    is(failure($session->finish)->{code}, '57014', "$name: ended by a cancel");
    is(progress_of($node, $pid), undef, "$name: gone after it");
    return;
}

sub figures_are
{
    my ($name, $progress, %expected) = @_;
    is_deeply({ map { $_ => $progress->{$_} } keys %expected }, \%expected, "$name: figures");
    return;
}

my %none = (rows => 0, sent => 0, in_flight => 0, repeated => 0, invalid => 0, rejected => 0, retries => 0, last_error => undef, warning => undef);

# ---- phases

connect_segment($node, $sandbox);
$session->start(track(q{SELECT 'x' AS user_id FROM pg_sleep(600)}));
my $progress = wait_for_phase($node, $pid, 'sending');
figures_are('query at work', $progress, %none, pid => $pid, database => 'postgres', server => 'segment', run_by => value('SELECT CURRENT_USER'));
like($progress->{run}, qr/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, 'query at work: its run has an id');
is(value("SELECT started BETWEEN now() - interval '1 minute' AND now() FROM kseg.progress"), 't', 'query at work: and a beginning');
is(value(join ' UNION ALL ', map { "SELECT pid FROM pg_stat_progress_$_" } qw(vacuum analyze create_index cluster copy basebackup)), '',
    "query at work: none of PostgreSQL's own commands is taken for it");
end_run('query at work');

connect_segment($node, $silent, upload_size => 100, max_queue_size => 1000);
$session->start(track('SELECT g AS user_id FROM generate_series(1, 100000) g'));
wait_until_held($node, $pid);
$progress = wait_for_phase($node, $pid, 'sending', sub { $_[0]{in_flight} > 500 });
figures_are('waiting for credit', $progress, sent => 0, repeated => 0, invalid => 0, rejected => 0, retries => 0, last_error => undef);
cmp_ok($progress->{in_flight}, '<=', 1000, 'waiting for credit: in flight');
cmp_ok($progress->{rows}, '>=', $progress->{in_flight}, 'waiting for credit: rows');
is(value("SELECT wait_event FROM pg_stat_activity WHERE pid = $pid"), $node->pg_version >= 17 ? 'KsegCourier' : 'Extension',
    'waiting for credit: pg_stat_activity knows what the backend waits for');
end_run('waiting for credit');

$session->start(track($few));
wait_until_held($node, $pid);
$progress = wait_for_phase($node, $pid, 'finishing');
figures_are('finishing', $progress, %none, rows => 3, in_flight => 3);
end_run('finishing');

# One event a request, in order: good ones, one that is refused, and one whose answer never comes.
connect_segment($node, $sandbox, upload_size => 1, connections => 1);
$sandbox->faults({ culprit => '"bad"' }, { match => { event_contains => '"held"' }, action => { how => 'hang' } });
my $mixed = q{SELECT * FROM (VALUES ('a', 1), ('a', 2), ('', 3), ('a', 1), ('b', 1), ('bad', 1), (NULL, 1), ('b', 1), ('c', 1), ('held', 1), ('d', 1)) v (user_id, n)};
$session->start(track($mixed));
$progress = wait_for_phase($node, $pid, 'finishing', sub { $_[0]{rejected} && $_[0]{sent} == 4 && $_[0]{in_flight} == 2 });
figures_are('in the middle', $progress, rows => 11, sent => 4, in_flight => 2, repeated => 2, invalid => 2, rejected => 1, retries => 0);
is($progress->{last_error}, 'HTTP status 400', 'in the middle: last error');
$sandbox->reset;
my $figures = figures($session->finish);
is($figures->{run}, $progress->{run}, 'in the middle: it is the run that it said it was');
is("$figures->{sent} $figures->{repeated} $figures->{invalid} $figures->{rejected}", '6 2 2 1', 'in the middle: and goes on');
is(progress_of($node, $pid), undef, 'in the middle: gone after its end');

# ---- errors that are tried again after

connect_segment($node, $sandbox, max_retries => 1000);
for my $error ([ 'HTTP status 503', { status => 503 } ], [ 'HTTP status 429', { status => 429, retry_after => 60 } ],
    [ 'network error', { how => 'close', cut => 'nothing' } ])
{
    my ($words, $action) = @$error;
    $sandbox->faults({ action => $action });
    $session->start(track($few));
    $progress = wait_for_phase($node, $pid, 'finishing', sub { $_[0]{last_error} });
    like($progress->{last_error}, qr{^$words(?: \(libcurl code \d+\))?$}, "$words: is told");
    is($progress->{in_flight}, 3, "$words: everything is in flight");
    wait_for_phase($node, $pid, 'finishing', sub { $_[0]{retries} > 1 }) if $words !~ /429/;
    is(progress_of($node, $pid)->{retries}, 0, "$words: is no retry") if $words =~ /429/;
    end_run($words);
}
$sandbox->faults({ action => { status => 401 } });
is(failure($session->run(track($few)))->{code}, '28000', 'an error ends a run');
is(progress_of($node, $pid), undef, 'gone after an error');
$figures = figures($session->run('BEGIN; ' . track($few, on_failure => 'report')));
is(progress_of($node, $pid), undef, 'gone after a report, with its transaction still open');
$session->run('COMMIT');
$sandbox->faults;

# ---- who sees it

value('CREATE ROLE stranger LOGIN; CREATE ROLE colleague LOGIN; CREATE ROLE sender LOGIN; CREATE ROLE monitor LOGIN;
    GRANT sender TO colleague; GRANT pg_read_all_stats TO monitor; GRANT USAGE ON FOREIGN SERVER segment TO sender');
my $sender = run_session($node, user => 'sender');
$sender->start(track(q{SELECT 'x' AS user_id FROM pg_sleep(600)}));
wait_for_phase($node, $sender->pid, 'sending');
my %sees = (stranger => 0, colleague => 1, sender => 1, monitor => 1);
for my $role (sort keys %sees)
{
    my $seer = run_session($node, user => $role);
    is($seer->run('SELECT count(*) FROM kseg.progress')->{out}, $sees{$role}, "$role: sees " . ($sees{$role} ? 'the run' : 'nothing'));
}
# Another database knows the run, but not the names of this one's servers.
value('CREATE DATABASE other');
is($node->safe_psql('other', 'CREATE EXTENSION kseg; SELECT run_by, database, server IS NULL, phase FROM kseg.progress'),
    'sender|postgres|t|sending', 'another database sees it, too');
kill 'TERM', $sender->pid;
$sender->finish;
wait_until_gone('backend', [ $sender->pid ]);
is(value('SELECT count(*) FROM kseg.progress'), '0', 'gone after a termination');
# ---- the warning of the view, with runs of another age in the place of those that there are

my $view = $node->safe_psql('postgres', q{SELECT pg_get_viewdef('kseg.progress'::regclass)});
my $ages = q{(SELECT gen_random_uuid(), g, 10::oid, 1::oid, 1::oid, 'sending', clock_timestamp() - g * interval '1 minute',
    0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, NULL FROM unnest(ARRAY[1, 9, 11]) g)};
$view =~ s/kseg\.progress_entries\(\)/$ages/ or die "no entries in: $view";
$view =~ s/;\s*\z//;
is($node->safe_psql('postgres', "SELECT string_agg(pid || ':' || COALESCE(left(warning, 24), 'none'), ' ' ORDER BY pid) FROM ($view) v"),
    '1:none 9:none 11:holds its snapshot since', 'a run of more than ten minutes has a warning');

done_testing();
