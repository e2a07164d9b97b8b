# A run that is held up by its receiver holds up nobody else, and does not outlive those it works for: databases can be
# dropped meanwhile, its server changed, its client go away.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node = new_cluster('bystanders');
my $sandbox = start_sandbox();
connect_segment($node, $sandbox);
$sandbox->faults({ action => { how => 'hang' } });
my $session = run_session($node);
$session->start(track('SELECT g AS user_id FROM generate_series(1, 3) g'));
wait_until_held($node, $session->pid);

# DROP DATABASE waits until every backend has answered a barrier (PostgreSQL 15 and later).
is($node->psql('postgres', "SET statement_timeout = '30s'; CREATE DATABASE passing STRATEGY file_copy"), 0, 'a database can be created');
is($node->psql('postgres', "SET statement_timeout = '30s'; DROP DATABASE passing"), 0, 'and dropped');
is($node->psql('postgres', 'SELECT pg_reload_conf()'), 0, 'settings can be loaded anew');

# Whatever happens to server and mapping, the run goes on as it began.
$node->safe_psql('postgres', q{SET statement_timeout = '30s'; DROP SERVER segment CASCADE});
is(progress_of($node, $session->pid)->{server}, undef, "a server can be dropped: its name is unknown then");
$sandbox->reset;
is(figures($session->finish)->{sent}, 3, 'and the run goes on as it began');
is($sandbox->stats->{accepted}, 3, 'with the key that it began with');
like(failure($session->run(track('SELECT 1 AS user_id')))->{message}, qr/^server "segment" does not exist$/, 'the next one cannot begin');

# Nobody is left to tell: with client_connection_check_interval PostgreSQL looks whether the client is there.
connect_segment($node, $sandbox);
$sandbox->faults({ action => { how => 'hang' } });
my $lonely = run_session($node);
$lonely->run(q{SET client_connection_check_interval = '100ms'});
$lonely->start(track('SELECT g AS user_id FROM generate_series(1, 3) g'));
wait_until_held($node, $lonely->pid);
my @processes = ($lonely->pid, couriers_of($lonely->pid));
is(scalar @processes, 2, 'a run is under way');
undef $lonely;      # kills psql
wait_until_gone('backend and courier of a client that went away', \@processes, 10);
is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.progress'), '0', 'a client that goes away takes its run along');

# Nor do bystanders hold up a run: its start asks no name server. libcurl's curl_version() would, by way of OpenLDAP, which
# looks up the machine's own name: 5 s for every run, where that has no answer. (A machine with such a name is not to be had here.)
my $symbols = `nm -uD '$ENV{KSEG_LIB}/kseg-courier'`;
like($symbols, qr/\bcurl_version_info\b/, 'the courier knows its libraries');
unlike($symbols, qr/\b(?:curl_version|getaddrinfo|gethostby\w+|res_\w+)(?:@|$)/m, 'and looks up no name to know them');

# Ten at once.
$sandbox->reset;
my @sessions = map { run_session($node) } 1 .. 10;
$sessions[$_]->start(track('SELECT g AS user_id FROM generate_series(1, 2000) g', event => "Session $_")) for 0 .. 9;
is(join(' ', map { figures($_->finish)->{sent} } @sessions), join(' ', (2000) x 10), 'ten sessions send at once');
is($sandbox->stats->{accepted}, 20000, 'and everything arrives');
done_testing();
