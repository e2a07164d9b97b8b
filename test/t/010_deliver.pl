# Rows arrive: all of them, once, in requests within Segment's limits, in each user's order, and the figures a run returns
# are those of the receiver.
use strict;
use warnings;
use KsegTest;
use KsegRun;

my $node = new_cluster('deliver');
my $sandbox = start_sandbox();
my $session = run_session($node);

# Runs a query against the sandbox and checks that receiver and sender agree; returns (figures, the sandbox's stats).
sub deliver
{
    my ($name, $options, $query, %arguments) = @_;
    connect_segment($node, $sandbox, %$options);
    $sandbox->reset;
    my $figures = figures($session->run(track($query, %arguments)));
    my $stats = $sandbox->stats;
    is_deeply(
        { map { $_ => $figures->{$_} } qw(sent batches bytes bytes_on_wire retries) },
        { sent => $stats->{accepted}, batches => $stats->{batches}, bytes => $stats->{bytes},
          bytes_on_wire => $stats->{bytes_on_wire}, retries => 0 },
        "$name: the figures are the receiver's");
    is($stats->{dropped_total} + $stats->{refused} + $stats->{pause_violations} + $stats->{broken_requests}, 0,
        "$name: the receiver has nothing to complain of");
    is_deeply($stats->{warnings}, {}, "$name: no warning either");
    return ($figures, $stats);
}

# ---- rows, figures, limits, connections

my $predictions = q{SELECT 'user ' || g AS user_id, g AS number, g / 7.0::float8 AS "chance", repeat('x', g % 200) AS note
    FROM generate_series(1, 12000) g};
my ($figures, $stats) = deliver('12,000 rows', {}, $predictions);
is("$figures->{rows} $figures->{sent} $figures->{repeated} $figures->{invalid} $figures->{rejected}", '12000 12000 0 0 0',
    'every row was sent');
is($figures->{first_problem}, undef, 'no problem');
cmp_ok($stats->{max_events_in_batch}, '<=', 2500, 'at most 2,500 events in a request');
cmp_ok($stats->{max_body_bytes}, '<=', 475_000, 'at most 475,000 bytes in a request');
cmp_ok($stats->{connections_total}, '<=', 4, 'a lane keeps its connection');
cmp_ok($stats->{bytes_on_wire} * 3, '<', $stats->{bytes}, 'gzip is at work');
is_deeply([ grep { ($_->{headers}{'content-encoding'} // '') ne 'gzip' } $sandbox->requests ], [], 'and every request says so');
is_deeply([ $sandbox->order('user 7000') ], [ map { $_->{messageId} } $sandbox->events(user_id => 'user 7000') ],
    'a user is found by his id');

my $again = figures($session->run(track($predictions)));
my $repeats = $sandbox->stats;
is("$again->{sent} $again->{repeated}", '12000 0', 'a second run sends everything');
is("$repeats->{accepted} $repeats->{repeated}", '12000 12000', 'and the receiver knows all of it');

($figures, $stats) = deliver('not compressed', { compression => 'none' }, $predictions);
is($figures->{bytes_on_wire}, $figures->{bytes}, 'bytes travel as they are');
is_deeply([ grep { exists $_->{headers}{'content-encoding'} } $sandbox->requests ], [], 'and no request says otherwise');

($figures, $stats) = deliver('events of 20 kB', { connections => 2 },
    q{SELECT g AS user_id, repeat(chr(97 + g % 26), 20000) AS note FROM generate_series(1, 300) g});
is($stats->{accepted}, 300, 'large events arrive');
cmp_ok($stats->{max_body_bytes}, '<=', 475_000, 'their requests keep to 475,000 bytes');
cmp_ok($stats->{max_body_bytes}, '>', 440_000, 'and are filled as far as another event would fit');

($figures, $stats) = deliver('no rows', {}, 'SELECT 1 AS user_id WHERE false');
is("$figures->{rows} $figures->{sent} $stats->{requests}", '0 0 0', 'no rows, no request');

($figures, $stats) = deliver('row_limit', {}, $predictions, row_limit => 1234);
is("$figures->{rows} $figures->{sent}", '1234 1234', 'row_limit ends a run in order');

($figures, $stats) = deliver('equal rows', {}, 'SELECT g % 10 AS user_id FROM generate_series(1, 1000) g');
is("$figures->{rows} $figures->{sent} $figures->{repeated}", '1000 10 990', 'rows that are equal are one event');

# ---- small bounds

for my $upload (1, 7)
{
    for my $queue (1, 5)
    {
        for my $lanes (1, 3)
        {
            my $name = "upload_size $upload, max_queue_size $queue, connections $lanes";
            ($figures, $stats) = deliver($name, { upload_size => $upload, max_queue_size => $queue, connections => $lanes,
                upload_interval => '0.001' }, 'SELECT g AS user_id FROM generate_series(1, 60) g');
            is($stats->{accepted}, 60, "$name: everything arrives");
            cmp_ok($stats->{max_events_in_batch}, '<=', $upload < $queue ? $upload : $queue, "$name: as many in a request");
            cmp_ok($stats->{connections_total}, '<=', $lanes, "$name: as many connections");
            cmp_ok($stats->{max_concurrent_requests}, '<=', $lanes, "$name: one request in flight a lane");
        }
    }
}

# ---- order

# Twelve users whose rows come in turns; the message id says which of the user's rows it is.
my $turns = q{SELECT 'u' || g % 12 AS user_id, 'u' || g % 12 || '/' || lpad((g / 12)::text, 3, '0') AS message_id
    FROM generate_series(0, 12 * 40 - 1) g};

sub order_ok
{
    my ($name) = @_;
    my @wrong = grep {
        my $user = "u$_";
        join(' ', $sandbox->order($user)) ne join(' ', map { sprintf '%s/%03d', $user, $_ } 0 .. 39)
    } 0 .. 11;
    is("@wrong", '', "$name: every user's events arrived in order");
    return;
}

for my $upload (1 .. 7)
{
    my $lanes = 1 + $upload % 4;
    my $name = "upload_size $upload, connections $lanes";
    deliver($name, { upload_size => $upload, connections => $lanes }, $turns);
    order_ok($name);
}

# The last is one that libcurl may try again by itself, on a fresh connection: nobody counts that as a retry.
for my $trouble (
    [ 'answers 500', { status => 500 }, 5, 0 ],
    [ 'resets in mid-answer, having taken the events', { how => 'reset', cut => 'status', accept => JSON::PP::true }, 5, 25 ],
    [ 'closes in mid-answer', { how => 'close', cut => 'status' }, 5, 0 ],
    [ 'resets before the answer, having taken the events', { how => 'reset', cut => 'nothing', accept => JSON::PP::true }, undef, 25 ])
{
    my ($name, $action, $retries, $repeats) = @$trouble;
    connect_segment($node, $sandbox, upload_size => 5, connections => 3);
    $sandbox->reset;
    # The seventh request and every seventh after it, five times: retries of one lane while the others go on.
    $sandbox->faults({ name => 'trouble', match => { every => 7, first => 35 }, action => $action });
    $figures = figures($session->run(track($turns)));
    $stats = $sandbox->stats;
    is("$figures->{sent} $stats->{accepted} $stats->{repeated} $stats->{faults_fired}{trouble}", "480 480 $repeats 5",
        "a server that $name: every event arrived");
    order_ok("a server that $name");
    next unless defined $retries;
    is($figures->{retries}, $retries, 'each time it was tried again');
    is($stats->{requests} - $stats->{by_retry_count}{none}, $retries, 'and says so');
    is($figures->{bytes_on_wire}, $stats->{bytes_on_wire}, 'what was sent again counts as bytes on the wire');
    is($figures->{batches}, $stats->{by_status}{200}, 'and batches are those that were answered 200');
}
$sandbox->faults;

# ---- a slow query

# Three rows, 150 ms apart; then the query waits for a lock that the test holds. Its first events are there before that.
connect_segment($node, $sandbox);
$sandbox->reset;
$session->run(q{CREATE FUNCTION slow(g int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        IF g <= 3 THEN PERFORM pg_sleep(0.15); ELSE PERFORM pg_advisory_xact_lock_shared(10); END IF;
        RETURN g;
    END $$});
my $holder = run_session($node);
$holder->run('SELECT pg_advisory_lock(10)');
$session->start(track('SELECT slow(g) AS user_id FROM generate_series(1, 5) g'));
is($sandbox->wait('accepted', 3)->{accepted}, 3, "a slow query's events arrive while it runs");
is(wait_for_phase($node, $session->pid, 'sending')->{rows}, 3, 'and it does run');
$holder->run('SELECT pg_advisory_unlock(10)');
is(figures($session->finish)->{sent}, 5, 'and the others when it has ended');

is_deeply([ couriers_of($session->pid) ], [], 'no courier is left');
done_testing();
