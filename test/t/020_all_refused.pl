# An endpoint that refuses every event: after a thousand, and not one accepted, it is not the events. The run ends instead
# of asking twice for each of them.
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
my $failure = failure($session->run(track($rows)));
like($failure->{message}, qr/^could not deliver events: the endpoint refused a request for good/, 'the run ends');
like($failure->{detail}, qr/HTTP status 400: nothing is right/, 'with the endpoint\'s words');
like($failure->{detail}, qr/ 0 sent, .* (10\d\d) rejected, (?:1\d{4}|[5-9]\d{3}|\d{3,4}) open/, 'and figures');
like($failure->{hint}, qr/"endpoint"/, 'and the option to look at');
cmp_ok($sandbox->stats->{requests}, '<', 3000, 'it was not asked twice for each of 20,000 events');

# One that is accepted shows that events are read: then every refused one is a dead letter, however many.
$sandbox->reset;
$sandbox->faults({ culprit => '"bad"', action => { body => '{"success":false,"message":"bad"}' } });
connect_segment($node, $sandbox, connections => 1);
my $figures = figures($session->run(track(
    "SELECT 'u' || g AS user_id, CASE WHEN g > 1 THEN true END AS bad FROM generate_series(1, 1300) g")));
is("$figures->{sent} $figures->{rejected}", '1 1299', 'one accepted event is enough to go on');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.dead_letter'), '1299', 'the others are kept');

done_testing();
