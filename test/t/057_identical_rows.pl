# Rows that are the same event: sent once, counted exactly, in whatever memory there is; and what makes rows the same.
use strict;
use warnings;
use KsegTest;

my $node    = new_cluster('identical');
my $sandbox = start_sandbox();
my $psql    = session($node);
$psql->run("SELECT kseg.connect_segment(write_key => '" . $sandbox->key . "', endpoint => '" . $sandbox->url . "')");

sub send_rows
{
    my ($query, $more) = @_;
    my $arguments = "event => 'E'" . ($more ? ", $more" : '');
    return $psql->row("SELECT * FROM kseg.segment_track_from_query(\$\$$query\$\$, $arguments)");
}

# Every row of a run has become one of four things.
sub adds_up
{
    my ($run) = @_;
    my $sum = 0;
    $sum += $run->{$_} for qw(sent repeated invalid rejected);
    return is($sum, $run->{rows}, "rows = sent + repeated + invalid + rejected ($run->{rows})");
}

# Every id that the sandbox has came in how many events?
sub ids_of { return map { $_->{messageId} } $sandbox->events(limit => 10_000) }

sub temporary_files { return scalar(() = slurp_file($node->logfile) =~ /temporary file: path/g) }

subtest 'wholly equal rows are one event' => sub {
    my $run = send_rows(q{SELECT 'u1' AS user_id, 1.0 AS a FROM generate_series(1, 5)
                          UNION ALL SELECT 'u1', 2.0 UNION ALL SELECT 'u2', 1.0});
    is("$run->{rows} $run->{sent} $run->{repeated}", '7 3 4', 'rows, sent, repeated');
    adds_up($run);
    my $stats = $sandbox->stats;
    is("$stats->{received} $stats->{accepted}", '3 3', 'the repeats never left');
};

subtest 'a further column, or an own message id, makes them distinct' => sub {
    $sandbox->reset;
    my $run = send_rows(q{SELECT 'u1' AS user_id, 1 AS a, g AS copy FROM generate_series(1, 5) g});
    is("$run->{sent} $run->{repeated}", '5 0', 'a further column');
    $run = send_rows(q{SELECT 'u1' AS user_id, 1 AS a, 'own-' || g AS message_id FROM generate_series(1, 5) g});
    is("$run->{sent} $run->{repeated}", '5 0', 'a message id');
    is($sandbox->stats->{accepted}, 10, 'all of them arrived');
};

subtest 'the same message id with another content: the first one' => sub {
    $sandbox->reset;
    my $run = send_rows(q{SELECT 'u1' AS user_id, 'mine' AS message_id, g AS value FROM generate_series(1, 3) g});
    is("$run->{rows} $run->{sent} $run->{repeated}", '3 1 2', 'rows, sent, repeated');
    my @events = $sandbox->events;
    is_deeply([ map { $_->{event}{properties} } @events ], [ { value => 1 } ], 'the sandbox has the first');
    is($events[0]{messageId}, 'mine', 'under its own id');
};

# A table, because a set-returning function would spill by itself.
$psql->run(q{CREATE TABLE many AS SELECT 'u' || g % 1000 AS user_id, g AS n, repeat('x', 20) AS filler
             FROM generate_series(1, 30000) g});
my $twice = 'SELECT * FROM many UNION ALL SELECT * FROM many';

subtest 'in memory' => sub {
    $sandbox->reset;
    my $before = temporary_files();
    $psql->run(q{SET log_temp_files = 0; SET work_mem = '64MB'});
    my $run = send_rows($twice);
    is("$run->{rows} $run->{sent} $run->{repeated}", '60000 30000 30000', 'rows, sent, repeated');
    is(temporary_files(), $before, 'no temporary file');
    is($sandbox->stats->{received}, 30000, 'no repeat left');
};

subtest 'in a work_mem that they do not fit in' => sub {
    $sandbox->reset;
    my $before = temporary_files();
    $psql->run(q{SET work_mem = '64kB'});
    my $run = send_rows($twice);
    is("$run->{rows} $run->{sent} $run->{repeated}", '60000 30000 30000', 'rows, sent, repeated: exactly the same');
    adds_up($run);
    cmp_ok(temporary_files(), '>', $before, 'it spilled');
    my $stats = $sandbox->stats;
    cmp_ok($stats->{received}, '>', 30000, 'late repeats left again');
    is($stats->{accepted}, 30000, 'the sandbox has each event once');
    is($stats->{accepted} + $stats->{repeated}, $stats->{received}, 'and dropped the repeats by their ids');
    $psql->run('RESET work_mem');
};

subtest 'the figures add up when everything happens at once' => sub {
    $sandbox->reset;
    $sandbox->faults({ culprit => '"culprit":true' });
    my $run = send_rows(q{
        SELECT 'u' || g AS user_id, g AS n, NULL::bool AS culprit FROM generate_series(1, 500) g
        UNION ALL SELECT 'u' || g, g, NULL FROM generate_series(101, 150) g
        UNION ALL SELECT NULL, g, NULL FROM generate_series(1, 7) g
        UNION ALL SELECT 'bad' || g, g, true FROM generate_series(1, 3) g}, q{exclude => '{}'});
    $sandbox->faults;
    is(join(' ', @$run{qw(rows sent repeated invalid rejected)}), '560 500 50 7 3', 'rows, sent, repeated, invalid, rejected');
    adds_up($run);
    is($sandbox->stats->{accepted}, 500, 'the sandbox has what was sent');
    my $kept = $psql->row("SELECT count(*) FILTER (WHERE status IS NULL) AS invalid, count(*) FILTER (WHERE status = 400) AS rejected
        FROM kseg.dead_letter WHERE run = '$run->{run}'");
    is("$kept->{invalid} $kept->{rejected}", '7 3', 'the others are kept');
};

subtest 'a second run changes nothing at the receiver' => sub {
    $sandbox->reset;
    my $query = q{SELECT 'u' || g AS user_id, g AS n, g / 7.0 AS ratio, timestamptz '2026-01-01' + g * interval '1 s' AS "timestamp"
                  FROM generate_series(1, 2000) g};
    my $first = send_rows($query);
    my %ids = map { $_ => 1 } ids_of();
    my $second = send_rows($query);
    my $stats = $sandbox->stats;
    is("$first->{sent} $second->{sent}", '2000 2000', 'both were delivered');
    is("$stats->{accepted} $stats->{repeated}", '2000 2000', 'the second was dropped, event by event');
    is_deeply({ map { $_ => 1 } ids_of() }, \%ids, 'the same ids');
};

# Without sending: the ids of a preview are those of a run.
sub previewed_ids
{
    my ($session, $query, $more) = @_;
    my $arguments = "event => 'E'" . ($more ? ", $more" : '');
    return [ map { $_->{message_id} } $session->rows(
        "SELECT message_id FROM kseg.segment_preview(\$\$$query\$\$, $arguments)") ];
}

subtest 'what an id depends on' => sub {
    $sandbox->reset;
    my $query = q{SELECT 'u1' AS user_id, 1.5::float8 AS a, timestamptz '2026-03-04 05:06:07.123456+00' AS seen, '{"k": [1, 2]}'::jsonb AS doc};
    my $ids = previewed_ids($psql, $query);
    like($ids->[0], qr/^kseg-[0-9a-f]{32}$/, 'it has 128 bits');
    send_rows($query);
    is_deeply([ ids_of() ], $ids, 'a preview shows the ids of a run');
    is_deeply(previewed_ids($psql, q{SELECT '{"k": [1, 2]}'::jsonb AS doc, timestamptz '2026-03-04 05:06:07.123456+00' AS seen,
        'u1' AS user_id, 1.5::float8 AS a}), $ids, 'not on the order of the columns');
    my $other = session($node);
    $other->run(q{SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'German'; SET extra_float_digits = -5; SET IntervalStyle = 'sql_standard';
        SET bytea_output = 'escape'; SET lc_numeric = 'C'; SET search_path = ''});
    is_deeply(previewed_ids($other, $query), $ids, 'not on the session\'s settings');
    is_deeply(previewed_ids($psql, "$query UNION ALL $query")->[1], $ids->[0], 'not on the row\'s place');
    isnt(previewed_ids($psql, $query =~ s/'u1'/'u2'/r)->[0], $ids->[0], 'on the user');
    isnt(previewed_ids($psql, $query =~ s/123456/123457/r)->[0], $ids->[0], 'on a microsecond, which the JSON does not show');
    isnt(previewed_ids($psql, $query =~ s/AS a,/AS b,/r)->[0], $ids->[0], 'on a column\'s name');
    my %of_call = map { $psql->row("SELECT message_id FROM kseg.segment_preview(\$\$$query\$\$, call => '$_')")->{message_id} => $_ }
      qw(identify page screen);
    is(keys %of_call, 3, 'on the call');
};

subtest 'another database or another key has other ids' => sub {
    my $query = q{SELECT 'u1' AS user_id, 1 AS a};
    my $ids   = previewed_ids($psql, $query);
    my $connect = "SELECT kseg.connect_segment(write_key => '" . $sandbox->key . "', endpoint => '" . $sandbox->url . "'";
    $psql->run("SELECT kseg.connect_segment(write_key => 'another-key', server => 'other')");
    isnt(previewed_ids($psql, $query, q{server => 'other'})->[0], $ids->[0], 'another key');
    $psql->run("$connect, server => 'again')");
    is(previewed_ids($psql, $query, q{server => 'again'})->[0], $ids->[0], 'the same key by another name: the same');
    $psql->run('CREATE DATABASE elsewhere');
    my $elsewhere = session($node, dbname => 'elsewhere');
    $elsewhere->run("CREATE EXTENSION kseg; $connect)");
    my $others = previewed_ids($elsewhere, $query);
    like($others->[0], qr/^kseg-/, 'another database has ids');
    isnt($others->[0], $ids->[0], 'and they are others');
};

done_testing();
