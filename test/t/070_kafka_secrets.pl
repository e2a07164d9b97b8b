# Passwords for Kafka appear nowhere: not in the server's log at its most talkative, not in what other sessions and roles see,
# not in statistics, errors or files; whatever goes wrong. On their way to a broker they are 070_kafka_test_server's.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use KsegSecrets;

my $node = new_cluster('kafka_secrets', start => 0, config => q{
    log_statement = none
    log_min_messages = debug5
    log_connections = on
    log_disconnections = on
    shared_preload_libraries = 'pg_stat_statements'
    pg_stat_statements.track = all
    pg_stat_statements.track_utility = on
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION kseg; CREATE EXTENSION pg_stat_statements');

my $psql  = run_session($node);
my $watch = run_session($node);

my $activity   = 'SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()';
my $statements = 'SELECT query FROM pg_stat_statements';
my $of_kseg    = q{SELECT r::text FROM kseg.run_entry r UNION ALL SELECT l::text FROM kseg.dead_letter_entry l
    UNION ALL SELECT p::text FROM kseg.kafka_password p UNION ALL SELECT srvoptions::text FROM pg_foreign_server};

sub log_text { return slurp_file($node->logfile) }

# Everything a client was told, by all sessions of this test.
my $told = '';

sub say_to
{
    my ($session, $sql) = @_;
    my $result = $session->run($sql);
    $told .= "$result->{out}\n$result->{err}\n";
    return $result;
}

# The call with this password, for SASL on this machine unless something else is said.
sub connect_with
{
    my ($name, %more) = @_;
    my %said = (bootstrap_servers => 'localhost', sasl_mechanism => 'PLAIN', sasl_username => 'app', sasl_password => canary($name), %more);
    return 'SELECT kseg.connect_kafka(' . join(', ', map { "$_ => '$said{$_}'" } sort keys %said) . ')';
}

subtest 'every search finds what is planted' => sub { plant_everywhere($node, $psql, $watch, $statements, $of_kseg) };

# ---- passwords come in

# Somebody looks at this session while connect_kafka has done its work and its statement goes on.
subtest 'the statement of connect_kafka, while it runs and afterwards' => sub {
    $watch->run('SELECT pg_advisory_lock(1)');
    $psql->start(connect_with('good', for_role => 'public') . ', pg_advisory_lock(1)');
    my $seen = wait_for('connect_kafka waiting for a lock', sub {
        my ($row) = $watch->rows('SELECT query, wait_event FROM pg_stat_activity WHERE pid = ' . $psql->pid);
        return (($row->{wait_event} // '') eq 'advisory', $row);
    });
    is($seen->{query}, 'SELECT kseg.connect_kafka(...)', 'while it runs');
    $watch->run('SELECT pg_advisory_unlock(1)');
    my $result = $psql->finish;
    $told .= "$result->{out}$result->{err}";
    like($result->{out}, qr/^created server kafka \(localhost:9092, sasl_plaintext, PLAIN\), password set for every role/, 'what it says');
    is($result->{err}, '', 'without a warning');
    my ($row) = $watch->rows('SELECT query, state FROM pg_stat_activity WHERE pid = ' . $psql->pid);
    is("$row->{state} $row->{query}", 'idle SELECT kseg.connect_kafka(...)', 'when it is idle');
    $psql->run('SELECT pg_advisory_unlock_all()');
};

sub mapping_with { my ($name, $options) = @_; return "CREATE USER MAPPING FOR CURRENT_USER SERVER kafka OPTIONS ($options '" . canary($name) . "')" }
sub copied { my ($name, $how, $columns) = @_; return "COPY kseg.kafka_password $columns FROM STDIN $how;\n" . canary($name) . "\n\\.\n" }

# name => [ SQL with a password, the SQLSTATE of its failure ]
my %failing = (
    protocol  => [ connect_with('protocol', security_protocol => 'tls', server => 'x'), '22023' ],
    brokers   => [ connect_with('brokers', bootstrap_servers => 'localhost:1'), '42710' ],
    inside    => [ connect_with('good', bootstrap_servers => 'app:' . canary('inside') . '@localhost', server => 'x'), '22023' ],
    role      => [ connect_with('role', for_role => 'nobody_here'), '42704' ],
    control   => [ q{SELECT kseg.connect_kafka('localhost', sasl_username => 'app', sasl_password => E'} . canary('control') . q{\n')}, '22023' ],
    user      => [ q{SELECT kseg.connect_kafka('localhost', sasl_username => E'} . canary('user') . q{\n', sasl_password => 'p')}, '22023' ],
    block     => [ 'DO $do$ BEGIN PERFORM ' . (connect_with('block', server => 'x', sasl_mechanism => 'none') =~ s/^SELECT //r) . '; END $do$', '22023' ],
    readonly  => [ 'BEGIN READ ONLY; ' . connect_with('readonly') . '; ROLLBACK', '25006' ],
    option    => [ mapping_with('option', 'sasl_pasword'), 'HV00D' ],
    dotted    => [ mapping_with('dotted', '"sasl.password"'), 'HV00D' ],
    pem       => [ mapping_with('pem', '"ssl.key.pem"'), 'HV00D' ],
    alone     => [ mapping_with('alone', 'sasl_password'), 'HV00J' ],
    username  => [ mapping_with('username', 'sasl_username'), 'HV00J' ],
    key       => [ "CREATE USER MAPPING FOR CURRENT_USER SERVER kafka OPTIONS (ssl_key_password E'" . canary('key') . "\\n')", '22023' ],
    alter     => [ "ALTER USER MAPPING FOR PUBLIC SERVER kafka OPTIONS (SET sasl_password E'" . canary('alter') . "\\t')", '22023' ],
    server    => [ "CREATE SERVER x FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', sasl_password '" . canary('server') . "')", 'HV00D' ],
    beside    => [ "CREATE SERVER x FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'x', linger '-1', sasl_password '" . canary('beside') . "')", '22023' ],
    together  => [ "CREATE SERVER x FOREIGN DATA WRAPPER kseg_kafka OPTIONS (client_id '" . canary('together') . "')", 'HV00J' ],
    table     => [ "CREATE FOREIGN TABLE x (a int) SERVER kafka OPTIONS (topic 't', sasl_password '" . canary('table') . "')", 'HV00D' ],
    column    => [ "CREATE FOREIGN TABLE x (a int OPTIONS (sasl_password '" . canary('column') . "')) SERVER kafka OPTIONS (topic 't')", 'HV00D' ],
    insert    => [ "INSERT INTO kseg.kafka_password (sasl_password, sasl_mechanism) VALUES ('" . canary('insert') . "', 'none')", '42710' ],
    copy      => [ copied('copy', '', '(sasl_username)'), '22004' ],
    columns   => [ copied('columns', '', ''), '22P04' ],
    csv       => [ copied('csv', '(FORMAT csv)', '(sasl_password, server)'), '22P04' ],
);
for my $name (sort keys %failing)
{
    my ($sql, $code) = @{ $failing{$name} };
    subtest "a statement that fails: $name" => sub {
        # A session that has never seen kseg: nothing of it is loaded yet.
        my $session = run_session($node);
        # 18 tells at debug3 where it looks for a function's library when it is first called, and with that the statement of a
        # block around it: too early for kseg to prevent, and connect_kafka warns of it.
        $session->run(q{SELECT kseg.connect_kafka(NULL); CREATE SERVER x FOREIGN DATA WRAPPER kseg_kafka OPTIONS (nothing '1')})
          if $name eq 'block';
        my $before  = length log_text();
        my $result  = say_to($session, $sql);
        my $failure = failure($result) // {};
        is($failure->{code}, $code, 'fails') or diag($result->{err});
        is(leaked_in("$result->{out}$result->{err}"), '', 'the client is not told');
        # The log is written before the client gets its error.
        my $log = substr log_text(), $before;
        like($log, qr/ERROR: .*\Q$failure->{message}\E/, 'the log has the error');
        is(leaked_in($log), '', 'and not the password, nor the statement') or diag(leaking_lines($log));
        is(leaked_in(seen_in($watch, $activity)), '', 'pg_stat_activity') unless $name eq 'readonly';
    };
}

subtest 'COPY of passwords' => sub {
    my $result = say_to($psql, "COPY kseg.kafka_password (sasl_username, sasl_password, ssl_key_password, for_role) FROM STDIN;\n"
        . join("\t", 'copied', canary('copied'), canary('keycopied'), 'public') . "\n\\.\n");
    is(failure($result), undef, 'works') or diag($result->{err});
    my ($row) = $watch->rows(q{SELECT umoptions::text AS options FROM pg_user_mappings WHERE srvname = 'kafka' AND usename = 'public'});
    is($row->{options}, '{sasl_username=copied,sasl_password=' . canary('copied') . ',ssl_key_password=' . canary('keycopied') . '}', 'sets them');
    is(leaked_in(seen_in($watch, $activity)), '', 'pg_stat_activity');
    is(say_to($psql, 'SELECT count(*) FROM kseg.kafka_password')->{out}, 0, 'the view shows nothing');
    is(failure(say_to($psql, connect_with('good', for_role => 'public'))), undef, 'connect_kafka replaces the password');
};

# ---- and after all of that

subtest 'the places where it might have been left' => sub {
    is(leaked_in($told), '', 'what clients were told');
    is(leaked_in(log_text()), '', 'the log') or diag(leaking_lines(log_text()));
    like(log_text(), qr/DEBUG:  .*\n/, 'which tells everything');
    is(leaked_in(seen_in($watch, $activity)), '', 'pg_stat_activity');
    is(leaked_in(seen_in($watch, $statements)), '', 'pg_stat_statements');
    like(seen_in($watch, $statements), qr/kseg\.connect_kafka/, 'which knows the statements');
    is(leaked_in(seen_in($watch, $of_kseg)), '', 'kseg\'s tables and views');
    is(files_with_secrets($node, $watch), '', 'files of the cluster');
};

subtest 'another role finds it in nothing that it may read' => sub {
    $psql->run('CREATE ROLE colleague LOGIN; GRANT USAGE ON FOREIGN SERVER kafka TO colleague');
    is(relations_with_secret($node, 'colleague', 'good'), '', 'it finds nothing');
    my $super = $watch->row('SELECT current_user AS name')->{name};
    like(relations_with_secret($node, $super, 'good'), qr/pg_user_mapping\b.*pg_user_mappings/, 'where a superuser finds the catalog\'s own');
};

# ---- a server that logs statements; these passwords do get into its log

subtest 'connect_kafka warns where the server logs statements' => sub {
    my %logging = (
        q{log_statement = 'all'} => 1, 'log_min_duration_statement = 0' => 1, 'log_min_duration_sample = 0' => 1,
        'log_min_error_statement = debug5' => 1, q{log_statement = 'none'} => 0, q{log_statement = 'ddl'} => 0,
    );
    for my $setting (sort keys %logging)
    {
        my $session = run_session($node);
        $session->run("SET $setting");
        my $result  = $session->run(q{SELECT kseg.connect_kafka('localhost', sasl_username => 'app', sasl_password => 'thrown-away')});
        my $warning = warning_of($result) // { message => '', hint => '' };
        my $warned  = $warning->{message} =~ /logs statements/ ? 1 : 0;
        is($warned, $logging{$setting}, $setting . ($logging{$setting} ? ': warns' : ': does not'));
        like($warning->{hint}, qr/COPY kseg\.kafka_password/, 'and names the way that keeps a password out of the log') if $warned;
    }
    my $session = run_session($node);
    $session->run(q{SET log_statement = 'all'});
    is(warning_of($session->run(q{SELECT kseg.connect_kafka('localhost:19092', server => 'open')})), undef, 'no password, no warning');
};

done_testing();
