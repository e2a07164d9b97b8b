# TLS: events go to whom ca_file vouches for, by name, and to nobody else; what is wrong ends the run at once and says what to
# change.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node = new_cluster('tls');
my $session = run_session($node);
my $sandbox = start_sandbox(tls => 1);
my $other = start_sandbox(tls => 1);
my $wide = start_sandbox(tls => 1, args => [ '--host', '0.0.0.0' ]);
my ($wide_port) = $wide->url =~ /:(\d+)$/;
my $rows = "SELECT 'u' || g AS user_id FROM generate_series(1, 1000) g";
my ($port) = $sandbox->url =~ /:(\d+)$/;

connect_segment($node, $sandbox, ca_file => $sandbox->ca_file);
is(figures($session->run(track($rows)))->{sent}, 1000, 'with its authority in ca_file everything arrives');
is($sandbox->stats->{accepted}, 1000, 'at the receiver, too');
cmp_ok($sandbox->stats->{connections_total}, '<=', 4, 'on as many connections as there are lanes');
my %check = map { (split /\|/)[0, 1] } split /\n/, $session->run(q{SELECT "check", ok FROM kseg.test_server('segment')})->{out};
is("$check{connection}$check{TLS}$check{answer}", 'ttt', 'test_server says so');

connect_segment($node, "https://localhost:$port", ca_file => $sandbox->ca_file);
is(figures($session->run(track("SELECT 'by name' AS user_id")))->{sent}, 1, 'by name');

for my $case (
    [ 'without ca_file, an authority that nobody knows', $sandbox->url, {} ],
    [ 'another\'s authority', $sandbox->url, { ca_file => $other->ca_file } ],
    [ 'another name than the certificate\'s', "https://127.0.0.2:$wide_port", { ca_file => $wide->ca_file } ],
    [ 'a ca_file that is not there', $sandbox->url, { ca_file => '/nonexistent/ca.pem' } ])
{
    my ($name, $url, $options) = @$case;
    $sandbox->reset;
    connect_segment($node, $url, %$options);
    my $failure = failure($session->run(track($rows)));
    is($failure->{code}, 'F0000', "$name: SQLSTATE of a configuration");
    like($failure->{hint}, qr/ca_file/, "$name: hint") unless $name =~ /name/;
    is($sandbox->stats->{received} + $wide->stats->{received}, 0, "$name: nothing was sent");
    my $checks = $session->run(q{SELECT "check" || ' ' || COALESCE(ok::text, '?') FROM kseg.test_server('segment')});
    like($checks->{out} . $checks->{err}, qr/TLS false|ca_file/, "$name: test_server says so");
}

connect_segment($node, "http://127.0.0.1:$port", max_retries => 0);
is(failure($session->run(track($rows)))->{code}, '08006', 'plaintext to a server that speaks TLS is a failure, not a success');

done_testing();
