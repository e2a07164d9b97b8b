# needs: kafka
# long: brokers that go and come back
# test_server of a Kafka server, against real listeners: what works is said, and what does not is told apart (nobody there, TLS,
# the password, the client's certificate); plaintext does not leave this machine unless a superuser has said so; and no password
# is seen on the way, in a process, a file of the log or an answer.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegRun;
use KsegSecrets;

my $kafka = kafka_broker(sasl_ssl => 1);
my $node  = new_cluster('kafka_test_server', config => "log_statement = none\nlog_min_messages = debug5\n");
my $psql  = run_session($node);
my $told  = '';

sub ask
{
    my ($sql, $session) = @_;
    my $result = ($session // $psql)->run($sql);
    $told .= "$result->{out}\n$result->{err}\n";
    return $result;
}

# Makes a server with these options, and a mapping with those; returns its name.
my $servers = 0;
sub server_with
{
    my ($options, $mapping) = @_;
    my $name = 's' . ++$servers;
    my $list = sub { my %o = @_; return join ', ', map { my $v = $o{$_} =~ s/'/''/gr; "$_ '$v'" } sort keys %o };
    my $failure = failure(ask("CREATE SERVER $name FOREIGN DATA WRAPPER kseg_kafka OPTIONS (" . $list->(connect_timeout => 5, %$options) . ");
        CREATE USER MAPPING FOR CURRENT_USER SERVER $name" . (%{ $mapping // {} } ? ' OPTIONS (' . $list->(%$mapping) . ')' : '')));
    die "$failure->{code} $failure->{message}" if $failure;
    return $name;
}

# The rows of test_server: { check => { ok, detail, hint } }; ok is t, f or '' (nobody can tell).
sub checks_of
{
    my ($name, $session) = @_;
    my $result = ask("SELECT concat_ws(E'\\x01', \"check\", coalesce(ok::text, ''), coalesce(detail, ''), coalesce(hint, '')) FROM kseg.test_server('$name')", $session);
    die $result->{err} if failure($result);
    return { map { my ($check, $ok, $detail, $hint) = split /\x01/, $_, -1; $check => { ok => substr($ok, 0, 1), detail => $detail, hint => $hint } } split /\n/, $result->{out} };
}

# "connection:t TLS:f": of the checks on the way to a first answer.
sub way { my ($checks) = @_; return join ' ', map { "$_:$checks->{$_}{ok}" } 'connection', 'TLS', 'authentication' }

my %ca    = (ssl_ca_file => $kafka->ca_file);
my %sasl  = (bootstrap_servers => $kafka->bootstrap_sasl_ssl, security_protocol => 'sasl_ssl', %ca);
my %login = (sasl_username => $KsegKafka::USER, sasl_password => $KsegKafka::PASSWORD);
my %certificate = (bootstrap_servers => $kafka->bootstrap_ssl, security_protocol => 'ssl', %ca, ssl_certificate_file => $kafka->certificate_file);

subtest 'plaintext on this machine' => sub {
    my $topic = $kafka->create_topic('visible-' . $$);
    is(failure(ask("SELECT kseg.connect_kafka('" . $kafka->bootstrap . "')")), undef, 'connect_kafka');
    my $checks = checks_of('kafka');
    is(way($checks), 'connection:t TLS: authentication:', 'the way');
    is_deeply([ grep { $checks->{$_}{ok} eq 'f' } keys %$checks ], [], 'nothing is wrong') or diag(explain($checks));
    is($checks->{protocol}{detail}, 'plaintext to ' . $kafka->bootstrap, 'what was set is said');
    like($checks->{'user mapping'}{detail}, qr/^of role ".*", without a password$/, 'and whose mapping serves');
    like($checks->{topics}{detail}, qr/\Q$topic\E/, 'topics are named');
    like($checks->{brokers}{detail}, qr/^1 of 1 in cluster \S+: 1 127\.0\.0\.1:\d+/, 'brokers too');
};

subtest 'another role with USAGE, by everybody\'s mapping' => sub {
    ask("SELECT kseg.connect_kafka('" . $kafka->bootstrap . "', for_role => 'public'); CREATE ROLE colleague LOGIN; GRANT USAGE ON FOREIGN SERVER kafka TO colleague");
    my $checks = checks_of('kafka', run_session($node, user => 'colleague'));
    is($checks->{'user mapping'}{detail}, 'of every role with USAGE, without a password', 'it is told which');
    is($checks->{connection}{ok}, 't', 'and connects');
};

for my $mechanism (qw(PLAIN SCRAM-SHA-256 SCRAM-SHA-512))
{
    subtest "SASL over TLS: $mechanism" => sub {
        my $checks = checks_of(server_with({ %sasl, sasl_mechanism => $mechanism }, \%login));
        if ($mechanism ne 'PLAIN' && KsegKafka::client_version() lt '02.06.01')
        {
            # It sends its nonce twice, which Kafka refuses since 3.7.2.
            is($checks->{authentication}{ok}, 'f', 'an old librdkafka cannot');
            like($checks->{authentication}{hint}, qr/2\.6\.1/, 'and the hint says since when it can');
        }
        else
        {
            is(way($checks), 'connection:t TLS:t authentication:t', 'works') or diag(explain($checks));
        }
        like($checks->{'user mapping'}{detail}, qr/with a user name and a password/, 'from the mapping');
        my $wrong = checks_of(server_with({ %sasl, sasl_mechanism => $mechanism }, { %login, sasl_password => canary("wrong$mechanism") }));
        is(way($wrong), 'connection:t TLS:t authentication:f', 'a wrong password is told apart') or diag(explain($wrong));
        isnt($wrong->{authentication}{hint}, '', 'with a hint');
    };
}

subtest 'TLS' => sub {
    my $foreign = checks_of(server_with({ %sasl, sasl_mechanism => 'PLAIN', ssl_ca_file => $kafka->other_ca_file }, { %login, sasl_password => canary('foreign') }));
    is(way($foreign), 'connection:t TLS:f authentication:', 'authorities that have not signed: refused') or diag(explain($foreign));
    my $none = checks_of(server_with({ bootstrap_servers => $kafka->bootstrap_ssl, security_protocol => 'ssl', %ca }));
    unlike(way($none), qr/authentication:t/, 'a listener that wants a certificate takes nobody without one') or diag(explain($none));
    my $clear = checks_of(server_with({ %certificate, ssl_key_file => $kafka->key_file }));
    is(way($clear), 'connection:t TLS:t authentication:', 'with a certificate') or diag(explain($clear));
    my $locked = server_with({ %certificate, ssl_key_file => $kafka->encrypted_key_file }, { ssl_key_password => $KsegKafka::KEY_PASSWORD });
    is(way(checks_of($locked)), 'connection:t TLS:t authentication:', 'and with a key that has a password');
    ask("ALTER USER MAPPING FOR CURRENT_USER SERVER $locked OPTIONS (SET ssl_key_password '" . canary('locked') . "')");
    my $result = ask("SELECT * FROM kseg.test_server('$locked')");
    unlike($result->{out}, qr/authentication\|t/, 'which is asked for');
};

subtest 'a password in plaintext: on this machine alone' => sub {
    my $result = ask("SELECT kseg.connect_kafka('" . $kafka->bootstrap . "', sasl_mechanism => 'PLAIN', sasl_username => 'app', sasl_password => '" . canary('sasl') . "', server => 'clear')");
    is(failure($result), undef, 'may be set');
    isnt(checks_of('clear')->{connection}{ok} . checks_of('clear')->{authentication}{ok}, 'tt', 'a listener without SASL does not take it');
};

subtest 'plaintext beyond this machine' => sub {
    my ($port) = $kafka->bootstrap =~ /:(\d+)$/;
    my ($address) = grep { !/^127\./ } split ' ', `hostname -I 2>/dev/null`;
    SKIP: {
        skip 'this machine has no other address', 2 unless $address && $address =~ /^[\d.]+$/;
        my $allowed = checks_of(server_with({ bootstrap_servers => "$address:$port", security_protocol => 'plaintext', connect_timeout => 1 }));
        is($allowed->{protocol}{ok}, 'f', 'a superuser may say so, and is told what it means');
        like($allowed->{protocol}{hint}, qr/read and change/, 'in words');
    }
};

subtest 'nobody there, and somebody who says nothing' => sub {
    my $nobody = raw_server();
    my $port = $nobody->port;
    $nobody->stop;
    my $checks = checks_of(server_with({ bootstrap_servers => "127.0.0.1:$port", connect_timeout => 1 }));
    is(way($checks), 'connection:f TLS: authentication:', 'nobody') or diag(explain($checks));
    like($checks->{connection}{detail}, qr/127\.0\.0\.1:$port/, 'the address is told');
    my $silent = silent_server();
    $checks = checks_of(server_with({ %sasl, bootstrap_servers => '127.0.0.1:' . $silent->port, sasl_mechanism => 'PLAIN', connect_timeout => 1 }, { %login, sasl_password => canary('silent') }));
    unlike(way($checks), qr/authentication:t/, 'silence') or diag(explain($checks));
};

subtest 'while it is under way' => sub {
    my $silent = silent_server();
    my $name = server_with({ %sasl, bootstrap_servers => '127.0.0.1:' . $silent->port, sasl_mechanism => 'PLAIN', connect_timeout => 60 },
        { sasl_username => 'app', sasl_password => canary('process'), ssl_key_password => canary('processkey') });
    $psql->start("SELECT * FROM kseg.test_server('$name')");
    my ($courier) = wait_for('courier', sub { my @couriers = couriers_of($psql->pid); return ($couriers[0], $couriers[0] // 'none') });
    wait_for('connection to the silent server', sub { return ($silent->connections > 0, $silent->connections) });
    like(process_text($courier), qr/kseg-courier/, 'what is to be seen of its process');
    is(leaked_in(process_text($courier) . process_text($psql->pid)), '', 'has no password');
    $node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $psql->pid . ')');
    my $result = $psql->finish;
    is(failure($result)->{code}, '57014', 'a cancel ends it');
    wait_until_gone('courier', [$courier]);
};

subtest 'and nothing has leaked' => sub {
    $told =~ s/^.*Valid options.*$//mg;
    is(leaked_in($told), '', 'to clients');
    is(leaked_in(slurp_file($node->logfile)), '', 'to the log') or diag(leaking_lines(slurp_file($node->logfile)));
    is(files_with_secrets($node, run_session($node)), '', 'to files');
};

done_testing();
