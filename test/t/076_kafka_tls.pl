# needs: kafka
# Kafka over TLS, with passwords and certificates: messages go to brokers that ssl_ca_file vouches for, by name, and to nobody
# else; who is not let in fails at once, with an error that says what to change and never the password; and plaintext does not
# leave this machine, wherever brokers say that they are.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use KsegSecrets;
use KsegKafka;
use KsegKafkaRun;
use Time::HiRes qw(time);

my $kafka   = kafka_broker(sasl_ssl => 1);
my $node    = new_cluster('kafka_tls', config => "log_statement = none\nlog_min_messages = debug5\n");
my $session = run_session($node);
my $topic   = $kafka->create_topic($kafka->topic_unique('tls'), partitions => 3);
my $rows    = numbered(1000);
my $arrived = 0;
my $told    = '';

# Much longer than any refusal takes: who waits for it has not understood the refusal.
my $patience = 30;

my %ca     = (ssl_ca_file => $kafka->ca_file, connect_timeout => "${patience}s");
my %sasl   = (%ca, security_protocol => 'sasl_ssl', sasl_mechanism => 'PLAIN', sasl_username => $KsegKafka::USER, sasl_password => $KsegKafka::PASSWORD);
my %mutual = (%ca, security_protocol => 'ssl', ssl_certificate_file => $kafka->certificate_file);

# A run with this server, made anew.
sub run_with
{
    my ($to, %options) = @_;
    connect_kafka($node, $to, %options);
    my $result = $session->run(produce($rows, topic => $topic));
    $told .= "$result->{out}\n$result->{err}\n";
    return $result;
}

sub let_in
{
    my ($name, $to, %options) = @_;
    my $result = run_with($to, %options);
    is(eval { figures($result)->{sent} }, 1000, "let in: $name") or return diag($result->{err});
    $arrived += 1000;
    return;
}

# The run must fail with this SQLSTATE, words (of all that is said) and hint, sooner than at connect_timeout.
sub refused
{
    my ($name, $code, $words, $hint, $to, %options) = @_;
    subtest "refused: $name" => sub {
        my $result  = run_with($to, %options);
        my $failure = failure($result) // { code => 'none', message => '', detail => $result->{out}, hint => '' };
        is($failure->{code}, $code, 'SQLSTATE') or diag(explain($failure));
        like("$failure->{message}\n$failure->{detail}", $words, 'words');
        like($failure->{hint}, $hint, 'hint');
        like($failure->{detail}, qr/ 0 sent, .* 0 rejected, \d+ open/, 'nothing was sent, nothing is a dead letter');
        cmp_ok($result->{seconds}, '<', $patience / 2, 'long before connect_timeout');
        is_deeply([ couriers_of($session->pid) ], [], 'no courier is left');
    };
    return;
}

# ---- passwords

my $scram = KsegKafka::client_version() ge '02.06.01';
let_in('PLAIN', $kafka->bootstrap_sasl_ssl, %sasl);
for my $mechanism ('SCRAM-SHA-256', 'SCRAM-SHA-512')
{
    # librdkafka before 2.6.1 sends its nonce twice, which Kafka refuses since 3.8.1.
    if ($scram) { let_in($mechanism, $kafka->bootstrap_sasl_ssl, %sasl, sasl_mechanism => $mechanism) }
    else { refused("$mechanism by an old librdkafka", '28000', qr/denied/, qr/2\.6\.1/, $kafka->bootstrap_sasl_ssl, %sasl, sasl_mechanism => $mechanism) }
}
for my $mechanism ('PLAIN', 'SCRAM-SHA-256')
{
    refused("a wrong password, $mechanism", '28000', qr/^could not use Kafka: access is denied$/m, qr/"sasl_username" and "sasl_password"/,
        $kafka->bootstrap_sasl_ssl, %sasl, sasl_mechanism => $mechanism, sasl_password => canary("wrong$mechanism"));
}
refused('a user that there is not', '28000', qr/denied/, qr/"sasl_username"/, $kafka->bootstrap_sasl_ssl, %sasl, sasl_username => 'nobody', sasl_password => canary('user'));

# ---- TLS

my ($port) = $kafka->bootstrap_sasl_ssl =~ /:(\d+)$/;
let_in('by another of the certificate\'s names', "localhost:$port", %sasl);
refused('authorities that did not sign', 'F0000', qr/certificate verify failed/, qr/"ssl_ca_file"/,
    $kafka->bootstrap_sasl_ssl, %sasl, ssl_ca_file => $kafka->other_ca_file, sasl_password => canary('foreign'));
my %system = %sasl;
delete $system{ssl_ca_file};
refused('the system\'s authorities', 'F0000', qr/certificate verify failed/, qr/"ssl_ca_file"/, $kafka->bootstrap_sasl_ssl, %system, sasl_password => canary('system'));
refused('a file of authorities that is not there', 'F0000', qr/nonexistent|ssl\.ca\.location/, qr/"ssl_ca_file"/,
    $kafka->bootstrap_sasl_ssl, %sasl, ssl_ca_file => '/nonexistent/ca.pem');
refused('TLS to a port without it', 'F0000', qr/./, qr/"security_protocol".*plaintext/, $kafka->bootstrap, %sasl, sasl_password => canary('clear'));

# Another way to write the same address.
refused('another name than the certificate\'s', 'F0000', qr/certificate verify failed/, qr/host must be one that its certificate names/,
    "127.1:$port", %sasl, sasl_password => canary('name'));

# ---- certificates of clients

let_in('a certificate', $kafka->bootstrap_ssl, %mutual, ssl_key_file => $kafka->key_file);
let_in('a certificate whose key has a password', $kafka->bootstrap_ssl, %mutual, ssl_key_file => $kafka->encrypted_key_file, ssl_key_password => $KsegKafka::KEY_PASSWORD);
refused('a wrong password of the key', 'F0000', qr/could not set up a Kafka client/, qr/"ssl_key_password"/,
    $kafka->bootstrap_ssl, %mutual, ssl_key_file => $kafka->encrypted_key_file, ssl_key_password => canary('key'));
refused('no password of the key', 'F0000', qr/could not set up a Kafka client/, qr/"ssl_key_password"/, $kafka->bootstrap_ssl, %mutual, ssl_key_file => $kafka->encrypted_key_file);
refused('no certificate', 'F0000', qr/./, qr/"ssl_certificate_file"/, $kafka->bootstrap_ssl, %ca, security_protocol => 'ssl');

# ---- plaintext

refused('plaintext to a port with TLS', '08006', qr/./, qr/"security_protocol".*TLS or SASL/, $kafka->bootstrap_sasl_ssl, connect_timeout => '5s');

subtest 'plaintext beyond this machine must be said, by a superuser' => sub {
    $node->safe_psql('postgres', 'CREATE ROLE app LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER kseg_kafka TO app');
    my $app = run_session($node, user => 'app');
    my $server = 0;
    my $create = sub {
        my ($who, %options) = @_;
        return failure($who->run('CREATE SERVER beyond' . ++$server . ' FOREIGN DATA WRAPPER kseg_kafka OPTIONS ('
            . join(', ', map { "$_ '$options{$_}'" } sort keys %options) . ')'));
    };
    is($create->($app, bootstrap_servers => '127.0.0.1:1', security_protocol => 'plaintext'), undef, 'on this machine anybody may');
    for my $protocol ('plaintext', 'sasl_plaintext')
    {
        my %options = (bootstrap_servers => '192.0.2.1:9092', security_protocol => $protocol, $protocol eq 'plaintext' ? () : (sasl_mechanism => 'PLAIN'));
        my $failure = $create->($app, %options) // {};
        is($failure->{code}, '42501', "$protocol beyond it: refused");
        like($failure->{message}, qr/only superusers may set security_protocol '$protocol'/, '... in words');
        like($failure->{hint}, qr/ssl/, '... with a hint');
        is($create->($session, %options), undef, '... but a superuser may');
    }
};

subtest 'a broker on this machine that sends its clients elsewhere' => sub {
    # An address for documentation (RFC 5737): nobody is there, and nobody must be asked.
    my $lying = kafka_broker(set => { 'advertised.listeners' => 'PLAINTEXT://192.0.2.1:9092', 'auto.create.topics.enable' => 'true' });
    wait_for('a topic with a leader', sub {
        my $said = $lying->kcat([ '-L', '-t', 'far', '-X', 'allow.auto.create.topics=true' ]);
        return (scalar($said->{out} =~ /partition 0, leader \d/), $said->{out} . $said->{err});
    });
    for my $transactional ('false', 'true')
    {
        connect_kafka($node, $lying, connect_timeout => "${patience}s", message_timeout => "${patience}s");
        my $result  = $session->run(produce($rows, topic => 'far', transactional => $transactional));
        my $failure = failure($result) // {};
        is("$failure->{code} $failure->{message}", '42501 could not connect to a Kafka broker: plaintext is for loopback only', "transactional $transactional: error");
        like($failure->{detail}, qr/^The address that would be connected to is 192\.0\.2\.1\. .* 0 sent, .* 0 rejected, \d+ open/, 'the address, and nothing sent');
        like($failure->{hint}, qr/"security_protocol"/, 'hint');
        cmp_ok($result->{seconds}, '<', $patience / 2, 'at once');
    }
    $lying->stop;
};

# ---- and nothing has leaked

is(leaked_in($told), '', 'no password was told to clients');
is(leaked_in(slurp_file($node->logfile)), '', 'nor to the log') or diag(leaking_lines(slurp_file($node->logfile)));
unlike($told . slurp_file($node->logfile), qr/\Q$KsegKafka::PASSWORD\E|\Q$KsegKafka::KEY_PASSWORD\E/, 'nor a right one');
is(files_with_secrets($node, run_session($node)), '', 'nor to files');

is_deeply([ @{ arrived($kafka, $topic) }{qw(count last)} ], [ $arrived, 1000 ], 'what was let in has arrived, and nothing else');
is($node->safe_psql('postgres', 'SELECT count(*) FROM kseg.dead_letter'), '0', 'no dead letters');

done_testing();
