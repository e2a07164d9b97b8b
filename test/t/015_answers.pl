# Every answer, and every way not to answer: what is to be tried again is, what is one event's fault becomes a dead letter,
# what nobody can mend by waiting ends the run with the endpoint's own words.
use strict;
use warnings;
use IO::Socket::INET;
use KsegTest;
use KsegRun;

my $node = new_cluster('answers');
my $sandbox = start_sandbox();
my $session = run_session($node);
my $true = JSON::PP::true;
my $false = JSON::PP::false;
my ($figures, $stats, $failure, $result);

# Runs the query with these server options while these rules break the sandbox; sets the four above.
sub run_with
{
    my ($rules, $options, $query, %arguments) = @_;
    connect_segment($node, $sandbox, %$options);
    wait_until_idle($sandbox);
    $sandbox->reset;
    $sandbox->faults(@$rules);
    $result = $session->run(track($query, %arguments));
    $failure = failure($result);
    $figures = $failure ? undef : figures($result);
    $stats = $sandbox->stats;
    return;
}

sub rows { my ($count) = @_; return "SELECT 'u' || g AS user_id FROM generate_series(1, $count) g" }

sub letters
{
    my $letters = $node->safe_psql('postgres', 'SELECT json_agg(l ORDER BY row) FROM kseg.dead_letter l; SELECT kseg.discard_dead_letters()');
    $letters =~ s/\d+\z//;
    return length $letters > 1 ? @{ JSON::PP->new->utf8->decode($letters) } : ();
}

# ---- one event's fault

my $words = '{"success":false,"message":"event is malformed"}';
for my $case (
    [ 'the first', [ 1 ] ], [ 'the last', [ 100 ] ], [ 'several', [ 1, 49, 50, 51, 99, 100 ] ], [ 'every one', [ 1 .. 100 ] ])
{
    my ($name, $culprits) = @$case;
    my %bad = map { $_ => 1 } @$culprits;
    my $list = join ', ', @$culprits;
    run_with([ { culprit => '"bad":true', action => { body => $words } } ], { connections => 1 },
        "SELECT 'u' || g AS user_id, 'id/' || g AS message_id, CASE WHEN g IN ($list) THEN true END AS bad FROM generate_series(1, 100) g");
    my $count = @$culprits;
    is("$figures->{rows} $figures->{sent} $figures->{rejected} $figures->{invalid} $figures->{retries}",
        join(' ', 100, 100 - $count, $count, 0, 0), "400 for $name: figures");
    is($stats->{accepted}, 100 - $count, "400 for $name: the others arrived");
    is(join(' ', map { @{ [ $sandbox->order("u$_") ] } } 1 .. 100), join(' ', map { "id/$_" } grep { !$bad{$_} } 1 .. 100),
        "400 for $name: each of them once");
    my @letters = letters();
    is(join(' ', map { "$_->{row}/$_->{user_id}/$_->{message_id}/$_->{status}" } @letters),
        join(' ', map { "$_/u$_/id/$_/400" } @$culprits), "400 for $name: the culprits are dead letters");
    is($letters[0]{reason}, "row $culprits->[0], user \"u$culprits->[0]\": refused with HTTP status 400: event is malformed",
        "400 for $name: with the endpoint's words");
    is($letters[-1]{event}{messageId} . $letters[-1]{event}{properties}{bad}, "id/$culprits->[-1]1", "400 for $name: and their JSON");
    is($figures->{first_problem}, $letters[0]{reason}, "400 for $name: first_problem");
    my $warning = warning_of($result);
    is($warning->{message}, "$count of 100 rows were not delivered: 0 invalid, $count rejected", "400 for $name: warning");
    like($warning->{hint}, qr/kseg\.dead_letter WHERE run = '$figures->{run}'/, "400 for $name: hint");
}

run_with([ { culprit => '"u7"' } ], { connections => 1 }, rows(20), on_invalid => 'skip');
is("$figures->{sent} $figures->{rejected}", '19 1', 'on_invalid skip: the others are sent');
is(join(' ', map { $_->{user_id} } letters()), 'u7', 'on_invalid skip: what Segment refuses is kept all the same');
like(warning_of($result)->{hint}, qr/^They are kept/, 'on_invalid skip: and told');

run_with([ { culprit => '"u7"', action => { status => 422 } } ], { connections => 1 }, rows(20));
is("$figures->{sent} $figures->{rejected} " . (letters())[0]{status}, '19 1 422', '422 is a refusal of an event, too');

run_with([ { match => { event_contains => '"u7"' }, action => { status => 200, body => $words, accept => $false } } ],
    { connections => 1 }, rows(20));
is("$figures->{sent} $figures->{rejected} $stats->{accepted}", '19 1 19', 'so is a 200 that says success: false');
letters();

run_with([ { match => { min_bytes => 3000 }, action => { status => 413 } } ], { connections => 1 }, rows(200));
is("$figures->{sent} $figures->{rejected} $figures->{retries} $stats->{accepted}", '200 0 0 200', '413: what is too large goes in halves');
cmp_ok($stats->{by_status}{200}, '>', 4, '413: in several requests');
is($figures->{batches}, $stats->{by_status}{200}, '413: which are the batches');

run_with([ { match => { min_bytes => 3000 }, action => { status => 413, body => 'too much' } } ], { connections => 1 },
    q{SELECT g AS user_id, CASE WHEN g = 5 THEN repeat('x', 4000) END AS note FROM generate_series(1, 9) g});
is("$figures->{sent} $figures->{rejected}", '8 1', '413 for a single event: it is rejected');
is((letters())[0]{reason}, 'row 5, user "5": refused with HTTP status 413: too much', '413 for a single event: reason');

# ---- answers that end a run

for my $case (
    [ 401, '28000', qr/does not accept the write key/, qr/"write_key"/ ],
    [ 403, '28000', qr/does not accept the write key/, qr/"write_key"/ ],
    [ 301, 'HV000', qr/refused a request for good/, qr/does not follow redirects/ ],
    [ 307, 'HV000', qr/refused a request for good/, qr/does not follow redirects/ ],
    (map { [ $_, 'HV000', qr/refused a request for good/, qr/"endpoint".*\/v1\/batch/ ] } 402, 404, 405, 418, 499, 501, 505, 511))
{
    my ($status, $code, $message, $hint) = @$case;
    my $away = $sandbox->url . '/v1/batch?away=1';
    run_with([ { action => { status => $status, body => "these are the words", headers => { Location => $away } } } ], { connections => 1 }, rows(20));
    is($failure->{code}, $code, "$status: SQLSTATE");
    like($failure->{message}, $message, "$status: message");
    like($failure->{detail}, qr/^The endpoint answered HTTP status $status: these are the words\. Run [0-9a-f-]+: 20 rows, 0 sent, 0 repeated, 0 invalid, 0 rejected, 20 open, 0 retries\.$/, "$status: detail");
    like($failure->{hint}, $hint, "$status: hint");
    is($stats->{requests}, 1, "$status: asked once, and nowhere else");
}
$sandbox->faults;
$sandbox->settings(strict_auth => $true);
run_with([], { key => 'unknown-key' }, rows(3));
is($failure->{code}, '28000', 'an unknown key, where the endpoint tells: SQLSTATE');
$sandbox->settings(strict_auth => $false);

# What other lanes had delivered before is told.
run_with([ { match => { event_contains => '"u1999"' }, action => { status => 403 } } ], { upload_size => 100, connections => 1 }, rows(2000));
like($failure->{detail}, qr/: \d+ rows, 1900 sent, .* open, 0 retries\.$/, '403 at the end: what was sent before is told');
run_with([ { match => { event_contains => '"u1999"' }, action => { status => 403 } } ], { upload_size => 100, connections => 1 }, rows(2000),
    on_failure => 'report');
is("$figures->{rows} $figures->{sent}", '2000 1900', 'and reported with on_failure report');
is($figures->{first_problem}, 'could not deliver events: the endpoint does not accept the write key', 'with what the problem was');
is($node->safe_psql('postgres', "SELECT open, failure FROM kseg.run WHERE run = '$figures->{run}'"),
    '100|could not deliver events: the endpoint does not accept the write key', 'and recorded');

# ---- 429

for my $case (
    [ 'Retry-After in seconds', { retry_after => 1 }, 1 ],
    [ 'Retry-After as a date', { retry_after_date => 1 }, 1 ],
    [ 'X-RateLimit-Reset', { rate_limit_reset => 1 }, 1 ],
    [ 'no word of how long', {}, 0 ])
{
    my ($name, $action, $seconds) = @$case;
    # The tenth request, so that every lane is at work.
    run_with([ { match => { nth => 10 }, action => { status => 429, %$action } } ], { upload_size => 10, connections => 4 }, rows(1000));
    is("$figures->{sent} $stats->{accepted} $figures->{retries}", '1000 1000 0', "429, $name: everything is sent, and no retry is counted");
    # What a date says is known to the sandbox only as well as its threads take turns.
    my $blur = $action->{retry_after_date} ? 0.1 : 0;
    is_deeply([ grep { $_ > $blur } map { $_->{early_seconds} // () } $sandbox->requests(limit => 1000) ], [], "429, $name: every lane pauses");
    cmp_ok($result->{seconds}, '>=', $seconds, "429, $name: as long as it was told");
}

run_with([ { match => { first => 2 }, action => { status => 429, retry_after => 0 } } ], { connections => 1, max_retries => 0 }, rows(5));
is($figures->{sent}, 5, '429 is no retry: max_retries does not count it');

run_with([ { action => { status => 429, retry_after => 60, body => 'slow down' } } ], { connections => 1, max_retry_age => '30s' }, rows(5));
is($failure->{code}, '08006', '429 for longer than max_retry_age: SQLSTATE');
like($failure->{detail}, qr/^The endpoint answered HTTP status 429: slow down\. Run .* 5 open/, '429 for longer than max_retry_age: detail');
like($failure->{hint}, qr/"max_retry_age"/, '429 for longer than max_retry_age: hint');
cmp_ok($result->{seconds}, '<', 20, '429 for longer than max_retry_age: the end of the wait is not waited for');

# ---- answers to try again after

my @again = (500, 502, 503, 504, 408, 410, 460, 599);
run_with([ map { { match => { event_contains => "\"u$_\"", first => 1 }, action => { status => $again[$_ - 1] } } } 1 .. @again ],
    { upload_size => 1, connections => 8 }, rows(20));
is("$figures->{sent} $figures->{retries} $figures->{rejected}", '20 ' . @again . ' 0', "@again: tried again");
is_deeply($stats->{by_retry_count}, { none => 20, 1 => scalar @again }, "@again: and each second attempt says so");
is_deeply($stats->{by_status}, { 200 => 20, map { $_ => 1 } @again }, "@again: each came once");

# The delay: a second attempt may follow at once, and sentAt has milliseconds.
run_with([ { action => { status => 503, body => 'closed today', delay_ms => 5 } } ], { connections => 1, max_retries => 1 }, rows(5));
is($failure->{code}, '08006', 'retries exhausted: SQLSTATE');
is($failure->{message}, 'could not deliver events: gave up after 2 attempts of a request', 'retries exhausted: message');
like($failure->{detail}, qr/^The endpoint answered HTTP status 503: closed today\. Run [0-9a-f-]+: 5 rows, 0 sent, 0 repeated, 0 invalid, 0 rejected, 5 open, 1 retries\.$/, 'retries exhausted: detail');
like($failure->{hint}, qr/"max_retries" ended the attempts/, 'retries exhausted: hint');
is($stats->{requests}, 2, 'retries exhausted: attempts');
my @sent_at = map { $_->{sentAt} } $sandbox->requests;
isnt($sent_at[0], $sent_at[1], 'each attempt has a sentAt of its own');

run_with([ { action => { status => 503 } } ], { connections => 1, max_retries => 0 }, rows(5), on_failure => 'report');
is("$figures->{rows} $figures->{sent} $figures->{retries} $stats->{requests}", '5 0 0 1', 'max_retries 0: one attempt');
is($figures->{first_problem}, 'could not deliver events: gave up after 1 attempts of a request', 'max_retries 0: reported');

run_with([ { action => { status => 503 } } ], { connections => 1, max_retries => 1000, max_retry_age => '0.3s' }, rows(5));
is($failure->{code}, '08006', 'max_retry_age: SQLSTATE');
like($failure->{hint}, qr/"max_retry_age" ended the attempts/, 'max_retry_age: hint');

# ---- the network

for my $case (
    # name, what is done to the first request; is its content taken all the same (and the repeat harmless), is it tried again
    [ 'reset at once', { how => 'reset', cut => 'nothing' }, 0, 1 ],
    [ 'reset in the status line', { how => 'reset', cut => 'half_status' }, 0, 1 ],
    [ 'reset in the headers', { how => 'reset', cut => 'status' }, 0, 1 ],
    [ 'reset in the body', { how => 'reset', cut => 'half_body' }, 0, 1 ],
    [ 'closed at once', { how => 'close', cut => 'nothing' }, 0, 1 ],
    [ 'closed in the status line', { how => 'close', cut => 'half_status' }, 0, 1 ],
    [ 'closed after the status line', { how => 'close', cut => 'status' }, 0, 1 ],
    [ 'closed after the headers', { how => 'close', cut => 'headers' }, 0, 1 ],
    [ 'closed in the body', { how => 'close', cut => 'half_body' }, 0, 1 ],
    [ 'half-closed without an answer', { how => 'half_close', cut => 'nothing' }, 0, 1 ],
    [ 'half-closed after the answer', { how => 'half_close', cut => 'all' }, 1, 0 ],
    [ 'closed after the answer', { status => 200, close => $true }, 1, 0 ],
    [ 'taken, and not told', { how => 'reset', cut => 'nothing', accept => $true }, 1, 1 ],
    [ 'taken, and told to half', { how => 'close', cut => 'half_body', accept => $true }, 1, 1 ],
    [ 'answered with garbage', { how => 'garbage' }, 0, 1 ],
    [ 'answered with words of another protocol', { how => 'garbage', garbage => "220 mail.example.com ESMTP\r\n" }, 0, 1 ],
    [ 'answered slowly', { how => 'drip', drip_ms => 2 }, 1, 0 ],
    [ 'answered with 200 MB', { how => 'huge' }, 1, 0 ],
    [ 'answered with 200 MB in chunks', { how => 'huge', chunked => $true }, 1, 0 ],
    [ 'answered late', { delay_ms => 150 }, 1, 0 ],
    [ 'answered with nothing but 200', { status => 200, body => '' }, 1, 0 ],
    [ 'answered with OK', { status => 200, body => 'OK' }, 1, 0 ])
{
    my ($name, $action, $taken, $again) = @$case;
    run_with([ { match => { first => 1 }, action => $action } ], { connections => 1, upload_size => 10 }, rows(30));
    ok($figures, "$name: the run succeeds") or diag $result->{err};
    is("$figures->{sent} $stats->{accepted} $figures->{retries}", "30 30 $again", "$name: everything arrives");
    is($stats->{repeated}, $taken && $again ? 10 : 0, "$name: repeats are harmless");
}

# An answer that comes before the body has been read: 400 kB are on their way, and the connection is closed on them.
for my $early ([ 401, '28000' ], [ 404, 'HV000' ], [ 503, '08006' ])
{
    my ($status, $code) = @$early;
    run_with([ { match => { at => 'headers' }, action => { status => $status } } ], { connections => 1, compression => 'none', max_retries => 1 },
        q{SELECT g AS user_id, repeat('x', 20000) AS note FROM generate_series(1, 22) g});
    is($failure->{code}, $code, "$status before the body was read: SQLSTATE");
    like($failure->{detail}, qr/HTTP status $status/, "$status before the body was read: is heard");
}

# Answers as other servers write them: read in a request, answer with these bytes, close.
for my $case (
    [ 'HTTP/1.0', "HTTP/1.0 200 OK\r\n\r\nOK", undef ],
    [ 'bare line ends', "HTTP/1.1 200 OK\nContent-Length: 2\n\nOK", undef ],
    [ 'chunks', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n", undef ],
    [ '100 Continue before the answer', "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", undef ],
    [ '103 Early Hints before the answer', "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", undef ],
    [ '204', "HTTP/1.1 204 No Content\r\n\r\n", undef ],
    [ 'nothing after 100 Continue', "HTTP/1.1 100 Continue\r\n\r\n", '08006' ],
    [ 'headers after 100 Continue that break off', "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-", '08006' ],
    [ 'chunks that break off', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n", '08006' ],
    [ 'nothing but an empty line', "\r\n\r\n", '08006' ])
{
    my ($name, $bytes, $code) = @$case;
    my $server = raw_server(sub {
        my ($socket) = @_;
        my $read = '';
        1 while $read !~ /\r\n\r\n/ && sysread $socket, $read, 65536, length $read;
        my ($head) = $read =~ /\A(.*?\r\n\r\n)/s;
        my ($length) = $head =~ /^Content-Length: (\d+)\r$/m;
        1 while length($read) < length($head) + $length && sysread $socket, $read, 65536, length $read;
        syswrite $socket, $bytes;
    });
    connect_segment($node, $server, connections => 1, max_retries => 0);
    $result = $session->run(track(rows(3)));
    is(failure($result) && failure($result)->{code}, $code, "$name: " . ($code // 'taken'));
    is(figures($result)->{sent}, 3, "$name: figures") unless $code;
}

# ---- nobody there

my $closed = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', Proto => 'tcp');
my $port = $closed->sockport;
close $closed;
my $plain = raw_server(sub { my ($socket) = @_; sysread $socket, my $read, 65536; syswrite $socket, "HTTP/1.1 400 Bad Request\r\n\r\n" });
for my $case (
    [ 'refused connections', "http://127.0.0.1:$port", qr/^libcurl says: Failed to connect to 127\.0\.0\.1(?: port |:)$port/ ],
    [ 'a name that nobody has', 'https://nobody.invalid', qr/^libcurl says: (?:Could not resolve host: nobody\.invalid|Resolving timed out|Connection timed out)/ ],
    [ 'a server without TLS', $plain->url =~ s/^http:/https:/r, qr/^libcurl says: .*(?:SSL|TLS|wrong version number)/ ])
{
    my ($name, $url, $detail) = @$case;
    connect_segment($node, $url, connections => 1, max_retries => 1, request_timeout => '5s');
    $failure = failure($session->run(track(rows(3))));
    is($failure->{code}, '08006', "$name: SQLSTATE");
    is($failure->{message}, 'could not deliver events: gave up after 2 attempts of a request', "$name: message");
    like($failure->{detail}, $detail, "$name: detail");
    like($failure->{detail}, qr/ 3 rows, 0 sent, .* 3 open, 1 retries\.$/, "$name: figures");
    like($failure->{hint}, qr/kseg\.test_server\(\)/, "$name: hint");
}

my $silent = silent_server();
connect_segment($node, $silent, max_retries => 1, request_timeout => '0.3s');
$result = $session->run(track(rows(3)));
$failure = failure($result);
is($failure->{code}, '08006', 'a server that never answers: SQLSTATE');
like($failure->{detail}, qr/timed out/i, 'a server that never answers: detail');
like($failure->{hint}, qr/"request_timeout" is how long/, 'a server that never answers: hint');
cmp_ok($result->{seconds}, '>=', 0.6, 'a server that never answers: it was given its time, twice');
# One connection for each attempt of each lane that had an event.
cmp_ok($silent->connections, '>=', 2, 'a server that never answers: on a connection of its own each time');
is_deeply([ couriers_of($session->pid) ], [], 'no courier is left');
done_testing();
