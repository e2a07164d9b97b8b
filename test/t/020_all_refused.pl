# An endpoint that refuses every event: each is a dead letter, as always. But after a thousand refused one by one, and none
# accepted, it is not single events any more: whole batches are rejected, instead of asking twice for each of 20,000 events.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node = new_cluster('all_refused');
my $sandbox = start_sandbox();
my $session = run_session($node);
my $rows = "SELECT 'u' || g AS user_id FROM generate_series(1, 20000) g";

connect_segment($node, $sandbox);
$sandbox->faults({ culprit => '"type"', action => { body => '{"success":false,"message":"nothing is right"}' } });
my $result = $session->run(track($rows));
my $figures = figures($result);
is("$figures->{rows} $figures->{sent} $figures->{rejected}", '20000 0 20000', 'refused events do not make the run fail');
like(warning_of($result)->{message}, qr/^20000 of 20000 rows were not delivered/, 'they are told');
my ($single, $batch) = split /\|/, $node->safe_psql('postgres', q{
    SELECT count(*) FILTER (WHERE reason LIKE '%: nothing is right'),
           count(*) FILTER (WHERE reason LIKE '%: nothing is right (with its whole batch, as all events before it were refused one by one)')
    FROM kseg.dead_letter});
cmp_ok($single, '>=', 1000, 'the first thousand are refused one by one');
is($single + $batch, 20000, 'and all are kept, with the endpoint\'s words');
cmp_ok($sandbox->stats->{requests}, '<', 6000, 'it was not asked twice for each of 20,000 events');
$node->safe_psql('postgres', 'SELECT kseg.discard_dead_letters()');

# One that is accepted shows that events are read: then every refused one is a dead letter, however many.
$sandbox->reset;
$sandbox->faults({ culprit => '"bad"', action => { body => '{"success":false,"message":"bad"}' } });
connect_segment($node, $sandbox, connections => 1);
$figures = figures($session->run(track(
    "SELECT 'u' || g AS user_id, CASE WHEN g > 1 THEN true END AS bad FROM generate_series(1, 1300) g")));
is("$figures->{sent} $figures->{rejected}", '1 1299', 'one accepted event is enough to go on');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.dead_letter'), '1299', 'the others are kept');

done_testing();
