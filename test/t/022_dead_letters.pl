# Which events become dead letters, how often, and what is kept of them.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node = new_cluster('letters');
my $sandbox = start_sandbox();
my $session = run_session($node);
connect_segment($node, $sandbox, connections => 1);
my $count = sub { return $node->safe_psql('postgres', "SELECT count(*) FROM kseg.dead_letter WHERE run = '$_[0]{run}'") };

# Repeats that are known only at the end of the run go out twice: refused twice, they are one event and one dead letter.
$sandbox->faults({ culprit => '"u4999"', action => { body => '{"message":"no"}' } });
my $twice = "SELECT 'u' || g AS user_id FROM generate_series(1, 5000) g UNION ALL SELECT 'u' || g FROM generate_series(1, 5000) g";
my $figures = figures($session->run("SET work_mem = '64kB'; " . track($twice)));
is("$figures->{rows} $figures->{sent} $figures->{repeated} $figures->{rejected}", '10000 4999 5000 1', 'a late repeat of a rejected event');
is($count->($figures), '1', 'is one dead letter');
$session->run('RESET work_mem');

# skip is about rows that break a rule; what Segment refuses is kept all the same.
$figures = figures($session->run(track("SELECT * FROM (VALUES ('u4999'), (NULL), ('fine')) v (user_id)", on_invalid => 'skip')));
is("$figures->{sent} $figures->{invalid} $figures->{rejected}", '1 1 1', 'skip: figures');
is($count->($figures), '1', 'skip: the rejected event is kept, the invalid row is not');
$sandbox->faults();

# A value as deep as its table took it must not overflow the stack when the letter is recorded.
my $deep = q{(repeat('[', 5000) || repeat(']', 5000))::json};
$figures = figures($session->run(track("SELECT NULL::text AS user_id, $deep AS deep")));
is("$figures->{invalid} " . $node->safe_psql('postgres', "SELECT event IS NULL FROM kseg.dead_letter WHERE run = '$figures->{run}'"), '1 t',
    'a deep value: the letter is kept without its event');

done_testing();
