# The write key appears nowhere: not in the server's log at its most talkative, not in what other sessions and roles see,
# not in statistics, errors, dead letters, files or a process's arguments; whatever goes wrong, and whatever a server answers.
#
# A test that finds nothing proves little, so each search first finds a key that was planted where it looks.
use strict;
use warnings;
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use KsegTest;
use KsegRun;
use KsegSecrets;

my $node = new_cluster('secrets', start => 0, config => q{
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

my $sandbox = start_sandbox(key => canary('good'), args => ['--strict-auth']);
my $psql    = run_session($node);
my $watch   = run_session($node);
$psql->run('\set SHOW_CONTEXT always');

# Everything a client was told, by all sessions of this test.
my $told = '';

sub say_to
{
    my ($session, $sql) = @_;
    my $result = $session->run($sql);
    $told .= "$result->{out}\n$result->{err}\n";
    return $result;
}
sub ask { return say_to($psql, @_) }

sub connect_with
{
    my ($name, %more) = @_;
    my $arguments = join ', ', "write_key => '" . canary($name) . "'", map { "$_ => '$more{$_}'" } sort keys %more;
    return "SELECT kseg.connect_segment($arguments)";
}

# ---- the places where a key might turn up, each with how to plant one there

sub log_text { return slurp_file($node->logfile) }

my $activity   = 'SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()';
my $statements = 'SELECT query FROM pg_stat_statements';
my $of_kseg    = q{SELECT r::text FROM kseg.run_entry r UNION ALL SELECT l::text FROM kseg.dead_letter_entry l
    UNION ALL SELECT r::text FROM kseg.run r UNION ALL SELECT l::text FROM kseg.dead_letter l UNION ALL SELECT k::text FROM kseg.write_key k
    UNION ALL SELECT p::text FROM kseg.progress p UNION ALL SELECT srvoptions::text FROM pg_foreign_server};

subtest 'every search finds what is planted' => sub { plant_everywhere($node, $psql, $watch, $statements, $of_kseg) };

# ---- keys come in

# Somebody looks at this session while connect_segment has done its work and its statement goes on.
subtest 'the statement of connect_segment, while it runs and afterwards' => sub {
    $watch->run('SELECT pg_advisory_lock(1)');
    $psql->start(connect_with('good', endpoint => $sandbox->url, for_role => 'public') . ', pg_advisory_lock(1)');
    my $seen = wait_for('connect_segment waiting for a lock', sub {
        my ($row) = $watch->rows('SELECT query, wait_event FROM pg_stat_activity WHERE pid = ' . $psql->pid);
        return (($row->{wait_event} // '') eq 'advisory', $row);
    });
    is($seen->{query}, 'SELECT kseg.connect_segment(...)', 'while it runs');
    $watch->run('SELECT pg_advisory_unlock(1)');
    my $result = $psql->finish;
    $told .= "$result->{out}$result->{err}";
    like($result->{out}, qr/^created server segment \(\Q@{[$sandbox->url]}\E\), write key set for every role/, 'what it says');
    is($result->{err}, '', 'without a warning');
    my ($row) = $watch->rows('SELECT query, state FROM pg_stat_activity WHERE pid = ' . $psql->pid);
    is("$row->{state} $row->{query}", 'idle SELECT kseg.connect_segment(...)', 'when it is idle');
    $psql->run('SELECT pg_advisory_unlock_all()');
};

# name => [ SQL with a key, the SQLSTATE of its failure ]
my %failing = (
    region   => [ connect_with('region', region => 'mars', server => 'x'), '22023' ],
    address  => [ connect_with('address', endpoint => 'http://127.0.0.1:9'), '42710' ],
    role     => [ connect_with('role', for_role => 'nobody_here'), '42704' ],
    colon    => [ 'SELECT kseg.connect_segment($$' . canary('colon') . ':$$)', '22023' ],
    block    => [ 'DO $do$ BEGIN PERFORM kseg.connect_segment($$' . canary('block') . ':$$); END $do$', '22023' ],
    readonly => [ 'BEGIN READ ONLY; ' . connect_with('readonly') . '; ROLLBACK', '25006' ],
    option   => [ "CREATE USER MAPPING FOR CURRENT_USER SERVER segment OPTIONS (write_kye '" . canary('option') . "')", 'HV00D' ],
    value    => [ "CREATE USER MAPPING FOR CURRENT_USER SERVER segment OPTIONS (write_key '" . canary('value') . ":')", '22023' ],
    second   => [ "CREATE USER MAPPING FOR CURRENT_USER SERVER segment OPTIONS (write_key '" . canary('second') . "', write_key_file 'here')", '22023' ],
    alter    => [ "ALTER USER MAPPING FOR PUBLIC SERVER segment OPTIONS (SET write_key '" . canary('alter') . " ')", '22023' ],
    server   => [ "CREATE SERVER x FOREIGN DATA WRAPPER kseg_segment OPTIONS (write_key '" . canary('server') . "')", 'HV00D' ],
    beside   => [ "CREATE SERVER x FOREIGN DATA WRAPPER kseg_segment OPTIONS (upload_size '0', write_key '" . canary('beside') . "')", '22023' ],
    address2 => [ "CREATE SERVER x FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint 'https://" . canary('address2') . ":@ example.com')", '22023' ],
    insert   => [ "INSERT INTO kseg.write_key (write_key) VALUES ('" . canary('insert') . ":')", '22023' ],
    blank    => [ "COPY kseg.write_key (write_key) FROM STDIN;\n" . canary('blank') . " \n\\.\n", '22023' ],
    columns  => [ "COPY kseg.write_key FROM STDIN;\n" . canary('columns') . "\n\\.\n", '22P04' ],
    tab      => [ "COPY kseg.write_key (write_key) FROM STDIN;\n" . canary('tab') . "\tsegment\n\\.\n", '22P04' ],
    csv      => [ "COPY kseg.write_key (write_key, server) FROM STDIN (FORMAT csv);\n" . canary('csv') . "\n\\.\n", '22P04' ],
);
for my $name (sort keys %failing)
{
    my ($sql, $code) = @{ $failing{$name} };
    subtest "a call that fails: $name" => sub {
        # A session that has never seen kseg: nothing of it is loaded yet.
        my $session = run_session($node);
        # 18 tells at debug3 where it looks for a function's library when it is first called, and with that the statement of a
        # block around it: too early for kseg to prevent, and connect_segment warns of it.
        $session->run('SELECT kseg.connect_segment(NULL)') if $name eq 'block';
        my $before  = length log_text();
        my $result  = say_to($session, $sql);
        my $failure = failure($result) // {};
        is($failure->{code}, $code, 'fails') or diag($result->{err});
        is(leaked_in("$result->{out}$result->{err}"), '', 'the client is not told');
        # The log is written before the client gets its error.
        my $log = substr log_text(), $before;
        like($log, qr/ERROR: .*\Q$failure->{message}\E/, 'the log has the error');
        is(leaked_in($log), '', 'and not the key, nor the statement') or diag(leaking_lines($log));
        is(leaked_in(seen_in($watch, $activity)), '', 'pg_stat_activity') unless $name eq 'readonly';
    };
}

subtest 'COPY of a key' => sub {
    my $result = ask("COPY kseg.write_key (write_key, server, for_role) FROM STDIN;\n" . canary('good') . "\tsegment\tpublic\n\\.\n");
    is(failure($result), undef, 'works') or diag($result->{err});
    my ($row) = $watch->rows(q{SELECT umoptions[1] AS option FROM pg_user_mappings WHERE srvname = 'segment' AND usename = 'public'});
    is($row->{option}, 'write_key=' . canary('good'), 'sets it');
    is(leaked_in(seen_in($watch, $activity)), '', 'pg_stat_activity');
    is(ask('SELECT count(*) FROM kseg.write_key')->{out}, 0, 'the view shows nothing');
};

# ---- runs

my $rows = q{SELECT 'u' || g AS user_id, g AS n FROM generate_series(1, 5) g UNION ALL SELECT NULL, 0};
sub run_of { my ($server, %more) = @_; return track($rows, server => $server, %more) }

# A server with a key of its own that nobody knows, at this address.
sub server_with
{
    my ($name, $url, %options) = @_;
    my $set = join ', ', 'ADD max_retries \'0\'', map { "ADD $_ '$options{$_}'" } sort keys %options;
    my $failure = failure(ask(connect_with($name, server => "s_$name", endpoint => $url) . "; ALTER SERVER s_$name OPTIONS ($set)"));
    die "$failure->{code} $failure->{message}" if $failure;
    return "s_$name";
}

my $closed = do { my $server = raw_server(); my $url = $server->url; $server->stop; $url };

# name => [ server, SQLSTATE or undef, what is set at the sandbox ]
my %runs = (
    works       => [ 'segment', undef ],
    wrong       => [ server_with('wrong', $sandbox->url), '28000' ],
    unreachable => [ server_with('unreachable', $closed), '08006' ],
    refused     => [ 'segment', undef, { action => { status => 400 } } ],
    gone        => [ 'segment', 'HV000', { action => { status => 404 } } ],
);
for my $name (sort keys %runs)
{
    my ($server, $code, @faults) = @{ $runs{$name} };
    subtest "a run: $name" => sub {
        $sandbox->faults(@faults);
        my $result  = ask(run_of($server));
        my $failure = failure($result);
        is($failure ? $failure->{code} : undef, $code, 'ends as it should') or diag($result->{err});
        ask(run_of($server, on_failure => 'report')) if $code;
        ask("SELECT * FROM kseg.test_server('$server')");
        $sandbox->faults;
        is(leaked_in($told), '', 'clients are not told');
        is(leaked_in(seen_in($watch, "$activity UNION ALL $of_kseg")), '', 'nothing is to be seen');
    };
}

subtest 'a run: the wrong key, silently dropped' => sub {
    $sandbox->settings(strict_auth => JSON::PP::false());
    my $result = ask(run_of('s_wrong'));
    is(figures($result)->{sent}, 5, 'ends well');
    ask(q{SELECT * FROM kseg.test_server('s_wrong')});
    $sandbox->settings(strict_auth => JSON::PP::true());
    is(leaked_in($told), '', 'clients are not told');
};

subtest 'while a run is under way, and when its courier is killed' => sub {
    $sandbox->faults({ action => { how => 'hang' } });
    $psql->start(run_of('segment'));
    wait_for_phase($node, $psql->pid, 'finishing', sub { $_[0]{in_flight} == 5 });
    is(leaked_in(seen_in($watch, "$activity UNION ALL $of_kseg")), '', 'nothing is to be seen');
    my ($courier) = couriers_of($psql->pid);
    ok($courier, 'there is a courier');
    like(process_text($courier), qr/kseg-courier/, 'what is to be seen of its process');
    is(leaked_in(process_text($courier)), '', 'has no key');
    is(leaked_in(process_text($psql->pid)), '', 'nor has the backend\'s');
    kill 'KILL', $courier;
    my $result = $psql->finish;
    $told .= $result->{err};
    is(failure($result)->{code}, '08006', 'a killed courier fails the run');
    is(leaked_in($result->{err}), '', 'and the error has no key');
    $sandbox->faults;
};

subtest 'a preview' => sub {
    my $result = ask("SELECT * FROM kseg.segment_preview(\$\$$rows\$\$, event => 'E')");
    like($result->{out}, qr/kseg-[0-9a-f]{32}/, 'shows message ids, which depend on the key');
    is(leaked_in($result->{out} . $result->{err}), '', 'and not the key');
};

# ---- servers that say what they were told

# Reads one request; returns its Authorization header, or nothing at the end.
sub read_request
{
    my ($socket) = @_;
    my ($head, $authorization, $length) = ('', '', 0);
    while (defined(my $line = <$socket>))
    {
        $authorization = $1 if $line =~ /^authorization:\s*(.*?)\r?$/i;
        $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
        if ($line =~ /^\r?$/)
        {
            read $socket, my $body, $length if $length;
            return $authorization;
        }
    }
    return;
}

my %echoes = (
    'plain text'   => sub { "you sent $_[0], that is $_[1]" },
    'JSON'         => sub { qq({"message": "bad key $_[1]", "error": "$_[0]"}) },
    'JSON inside'  => sub { qq({"errors": [{"error": {"message": "key=$_[1]&auth=$_[0]"}}]}) },
    'no success'   => sub { qq({"success": false, "message": "$_[1]"}) },
    'JSON escapes' => sub { '{"message": "' . join('', map { sprintf '\\u%04x', ord } split //, "$_[1] $_[0]") . '"}' },
    'a long page'  => sub { '<html>' . (' ' x 300) . ("x" x 350) . " $_[1] $_[0] " . ('y' x 70000) },
    'many times'   => sub { "$_[1]$_[1]$_[0]" x 100 },
    'percent'      => sub { '%' . join('%', map { sprintf '%02X', ord } split //, "$_[1]:") . " $_[1]%3A" },
);
for my $echo (sort keys %echoes)
{
    for my $status (200, 302, 400, 401, 413, 500)
    {
        next if $status =~ /^(?:302|413|500)$/ && $echo ne 'plain text';
        subtest "a server that answers $status with the key: $echo" => sub {
            my $server = raw_server(sub {
                my ($socket) = @_;
                while (defined(my $authorization = read_request($socket)))
                {
                    my ($basic) = $authorization =~ /^Basic (.*)/;
                    (my $key = decode_base64($basic // '')) =~ s/:$//;
                    my $body = $echoes{$echo}->($authorization, $key);
                    # In the status line and in headers too.
                    print {$socket} "HTTP/1.1 $status $key\r\nX-Key: $key\r\nLocation: https://example.com/$key\r\n",
                        'Content-Length: ' . length($body) . "\r\n\r\n$body";
                    $socket->flush;
                }
            });
            my $name = 'echo';
            server_with($name, $server->url) unless $watch->row("SELECT count(*) AS n FROM pg_foreign_server WHERE srvname = 's_$name'")->{n};
            ask("ALTER SERVER s_$name OPTIONS (SET endpoint '" . $server->url . "')");
            my $before = $server->connections;
            my $said = '';
            for my $sql (run_of("s_$name", on_failure => 'report'), run_of("s_$name"), "SELECT * FROM kseg.test_server('s_$name')")
            {
                my $result = ask($sql);
                $said .= "$result->{out}$result->{err}";
            }
            cmp_ok($server->connections, '>', $before, 'it was asked');
            is(leaked_in($said), '', 'clients are not told');
            like($said, qr/\*{16}/, 'but that something was left out') if $status == 401 && $echo ne 'percent';
            is(leaked_in(seen_in($watch, $of_kseg)), '', 'no dead letter and no run has it');
            $server->stop;
        };
    }
}

# ---- and after all of that

subtest 'the places where it might have been left' => sub {
    is(leaked_in($told), '', 'what clients were told');
    is(leaked_in(log_text()), '', 'the log') or diag(leaking_lines(log_text()));
    like(log_text(), qr/DEBUG:  .*\n/, 'which tells everything');
    is(leaked_in(seen_in($watch, $activity)), '', 'pg_stat_activity');
    is(leaked_in(seen_in($watch, $statements)), '', 'pg_stat_statements');
    like(seen_in($watch, $statements), qr/kseg\.connect_segment/, 'which knows the statements');
    is(leaked_in(seen_in($watch, $of_kseg)), '', 'kseg\'s tables and views');
    cmp_ok($watch->row('SELECT count(*) AS n FROM kseg.dead_letter')->{n}, '>', 50, 'which are not empty');
    is(files_with_secrets($node, $watch), '', 'files of the cluster');
};

subtest 'another role finds it in nothing that it may read' => sub {
    ask('CREATE ROLE colleague LOGIN; GRANT USAGE ON FOREIGN SERVER segment TO colleague');
    my $colleague = run_session($node, user => 'colleague');
    is(figures(say_to($colleague, run_of('segment')))->{sent}, 5, 'it sends with it');
    is(relations_with_secret($node, 'colleague', 'good'), '', 'and finds nothing');
    my $super = $watch->row('SELECT current_user AS name')->{name};
    like(relations_with_secret($node, $super, 'good'), qr/pg_user_mapping\b.*pg_user_mappings/, 'where a superuser finds the catalog\'s own');
};

# ---- a server that logs statements; these keys do get into its log

subtest 'connect_segment warns where the server logs statements' => sub {
    my %logging = (
        q{log_statement = 'all'} => 1, 'log_min_duration_statement = 0' => 1, 'log_min_duration_statement = 1000000' => 1,
        'log_min_duration_sample = 0' => 1, 'log_transaction_sample_rate = 1' => 1, 'debug_print_parse = on' => 1,
        'log_min_error_statement = debug5' => 1,
        q{log_statement = 'none'} => 0, q{log_statement = 'ddl'} => 0, 'log_duration = on' => 0,
    );
    for my $setting (sort keys %logging)
    {
        my $session = run_session($node);
        $session->run("SET $setting");
        my $warning = warning_of($session->run(q{SELECT kseg.connect_segment(write_key => 'thrown-away', server => 'logged')})) // { message => '', hint => '' };
        my $warned = $warning->{message} =~ /logs statements/ ? 1 : 0;
        is($warned, $logging{$setting}, $setting . ($logging{$setting} ? ': warns' : ': does not'));
        like($warning->{hint}, qr/COPY kseg\.write_key.*write_key_file/s, 'and names the ways that keep a key out of the log') if $warned;
    }
    my $result = run_session($node)->run(q{DO $$BEGIN PERFORM kseg.connect_segment(write_key => 'thrown-away', server => 'logged'); END$$});
    like($result->{err}, qr/this server logs statements/, 'a function at debug5: warns, for messages tell what it calls');
};

# ---- a key in a file

subtest 'write_key_file' => sub {
    my $file = PostgreSQL::Test::Utils::tempdir() . '/key';
    my $write = sub { open my $out, '>', $file or die "could not write $file: $!"; print {$out} $_[0]; close $out; };
    ask("CREATE SERVER filed FOREIGN DATA WRAPPER kseg_segment OPTIONS (endpoint '" . $sandbox->url . "', max_retries '0');
        CREATE USER MAPPING FOR CURRENT_USER SERVER filed OPTIONS (write_key_file '$file')");
    my ($first, $second) = (canary('filed'), canary('changed'));

    $write->("$first\n");
    $sandbox->settings(write_keys => [$first]);
    is(figures(ask(run_of('filed')))->{sent}, 5, 'the key of the file is used');
    $sandbox->settings(write_keys => [$second]);
    is(failure(ask(run_of('filed')))->{code}, '28000', 'and no other');
    $write->("  $second \r\nsecond line\n");
    is(figures(ask(run_of('filed')))->{sent}, 5, 'a changed file: the next run uses it, without the blanks around it');

    my %broken = (
        'empty'            => [ sub { $write->('') }, '22023' ],
        'an empty line'    => [ sub { $write->("\n$second\n") }, '22023' ],
        'blanks inside'    => [ sub { $write->(substr($second, 0, 20) . ' ' . substr($second, 20)) }, '22023' ],
        'binary'           => [ sub { $write->("$second\x00\x00") }, '22023' ],
        'a long line'      => [ sub { $write->($second x 20) }, '22023' ],
        'not to be read'   => [ sub { $write->($second); chmod 0, $file }, '42501' ],
        'a folder'         => [ sub { unlink $file; mkdir $file }, undef ],
        'missing'          => [ sub { rmdir $file }, '58P01' ],
    );
    for my $name ('empty', 'an empty line', 'blanks inside', 'binary', 'a long line', 'not to be read', 'a folder', 'missing')
    {
        my ($break, $code) = @{ $broken{$name} };
        $break->();
        for my $sql (run_of('filed'), q{SELECT * FROM kseg.test_server('filed')})
        {
            my $result  = ask($sql);
            my $failure = failure($result) // { code => 'none', message => '' };
            is($failure->{code}, $code, "$name: fails") if defined $code;
            isnt($failure->{code}, 'none', "$name: fails");
            like($failure->{message}, qr/\Q$file\E/, "$name: names the file") or diag($result->{err});
            is(leaked_in($result->{err}), '', "$name: shows nothing of it");
        }
    }
    is(leaked_in(log_text(), 'filed', 'changed'), '', 'nor does the log');
};

done_testing();
