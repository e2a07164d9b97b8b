# needs: kafka
# long: brokers that go and come back
# What happens to a SELECT when something breaks on the way: a broker that is absent, killed, paused or back again, a courier that is
# killed, a topic that goes while it is read. Either every row comes, exactly once and in order, or there is an error that says
# why; never a wait without end, and never a courier that stays behind.
use strict;
use warnings;
use IO::Socket::INET;
use Time::HiRes qw(time);
use KsegTest;
use KsegRun;
use KsegKafka;

my $kafka = kafka_broker(nodes => 1);       # to be hurt
my $node = new_cluster('faults');
my $session = run_session($node);
my $watcher = run_session($node);

# Makes a server of these addresses, with options.
sub server
{
    my ($server, $addresses, %options) = @_;
    my $set = join ', ', map { "ADD $_ '$options{$_}'" } sort keys %options;
    $node->safe_psql('postgres', join ";\n", "SELECT kseg.connect_kafka(bootstrap_servers => '$addresses', server => '$server')",
        $set ? "ALTER SERVER $server OPTIONS ($set)" : ());
    return;
}

my $columns = q{n int, filler text, part int OPTIONS (meta 'partition'), off bigint OPTIONS (meta 'offset')};
sub table
{
    my ($table, $server, $topic) = @_;
    $node->safe_psql('postgres', "CREATE FOREIGN TABLE $table ($columns) SERVER $server OPTIONS (topic '$topic')");
    return;
}

# Produces messages numbered $from to $to, with a filler of so many bytes that no compression makes smaller.
sub fill
{
    my ($broker, $topic, $from, $to, $bytes) = @_;
    my @letters = ('a' .. 'z', 'A' .. 'Z', 0 .. 9);
    my $noise = join '', map { $letters[ rand @letters ] } 1 .. $bytes + 5000;
    my $said = $broker->kcat([ '-P', '-t', $topic, '-K', "\t", '-X', 'message.max.bytes=2000000' ],
        join('', map { sprintf qq(%d\t{"n":%d,"filler":"%s"}\n), $_, $_, substr $noise, $_ * 7 % 5000, $bytes } $from .. $to));
    die $said->{err} if $said->{status};
    return;
}

sub rows
{
    my ($sql) = @_;
    my $result = $session->run($sql);
    return $result->{err} ne '' ? $result->{err} : $result->{out};
}

sub couriers { my @found = couriers_of($session->pid); return scalar @found }

# Sum of 1 .. n.
sub sum { return $_[0] * ($_[0] + 1) / 2 }

# Reads a cursor to its end: rows, their sum, and how many were not the next offset of their partition after one that was read
# here before. "next" is what comes next after those that the test has fetched itself.
$node->safe_psql('postgres', q{
    CREATE FUNCTION rest(c refcursor) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE r record; rows int := 0; total bigint := 0; wrong int := 0; next bigint[] := '{}';
    BEGIN
        LOOP
            FETCH c INTO r;
            EXIT WHEN NOT FOUND;
            rows := rows + 1;
            total := total + r.n;
            IF next[r.part] <> r.off THEN wrong := wrong + 1; END IF;
            next[r.part] := r.off + 1;
        END LOOP;
        RETURN format('%s rows, sum %s, %s out of order', rows, total, wrong);
    END $$});

# Opens cursor c over a table and takes the first hundred rows; returns their sum.
sub open_cursor
{
    my ($table, $what) = @_;
    my $result = $session->run("BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT n, part, off FROM $table; FETCH 100 FROM c");
    die $result->{err} if $result->{err} ne '';
    my $sum = 0;
    $sum += (split /\|/)[0] for split /\n/, $result->{out};
    return $sum;
}
sub rest_of { my ($count, $sum) = @_; return sprintf '%d rows, sum %d, 0 out of order', $count - 100, sum($count) - $sum }

server('own', $kafka->bootstrap);
server('hasty', $kafka->bootstrap, request_timeout => '3s', connect_timeout => '2s');
my $lots = $kafka->create_topic($kafka->topic_unique('lots'), partitions => 3);
my $count = 150_000;
fill($kafka, $lots, 1, $count, 300);
table('lots', 'own', $lots);
table('lots_hasty', 'hasty', $lots);
is(rows('SELECT count(*), sum(n), count(DISTINCT n) FROM lots'), "$count|" . sum($count) . "|$count", 'a topic of 50 MB, undisturbed');

# ---- nobody there

my $closed = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "could not listen: $!";
my $port = $closed->sockport;
close $closed;
my $silent = silent_server();
for my $absent ([ 'nobody listens', 'nobody', $port, qr/refused/i ], [ 'somebody listens who never says a word', 'silent', $silent->port, qr/./ ])
{
    my ($name, $server, $address, $why) = @$absent;
    server($server, "127.0.0.1:$address", connect_timeout => '2s');
    table("at_$server", $server, $lots);
    my $result;
    my $seconds = quickest(5, sub { $result = $session->run("SELECT n FROM at_$server"); return $result->{seconds} });
    my $failure = failure($result);
    is($failure->{code}, '08006', "$name: SQLSTATE");
    is($failure->{message}, 'could not reach a Kafka broker within 2000 ms', "$name: message");
    like($failure->{detail}, qr/^librdkafka says: .*$why/, "$name: detail");
    like($failure->{hint}, qr/"bootstrap_servers".*"connect_timeout"/, "$name: hint");
    cmp_ok($seconds, '<', 5, "$name: in the time that connect_timeout says");
    is(couriers(), 0, "$name: no courier is left");
    like(rows("EXPLAIN (COSTS OFF) SELECT n FROM at_$server WHERE part = 1 AND off > 5"), qr/Kafka Topic: \Q$lots\E\n\s*Kafka Partitions: = 1/, "$name: EXPLAIN asks nobody");
    is(rows("PREPARE absent AS SELECT n FROM at_$server WHERE part = \$1; DEALLOCATE absent; SELECT count(*) FROM at_$server WHERE part = 1 AND part = 2"), '0', "$name: nor does who has no row to expect");
    $session->start("SELECT n FROM at_$server");
    wait_until_held($node, $session->pid);
    $watcher->run('SELECT pg_cancel_backend(' . $session->pid . ')');
    is(failure($session->finish)->{code}, '57014', "$name: a cancel ends the wait");
    is(couriers(), 0, "$name: ... and the courier");
}

# ---- the broker is killed, and comes back

my $sum = open_cursor('lots');
$kafka->kill_node(1);
$session->start(q{SELECT rest('c')});
$kafka->restart_node(1);
is($session->finish->{out}, rest_of($count, $sum), 'killed and back again: the rest comes, each row once and in order');
rows('COMMIT');

# Again and again, while the query reads.
$session->start('SELECT count(*), sum(n), count(DISTINCT n), sum(off) FROM lots a');
my $once = $session->finish->{out};
for my $turn (1 .. 3)
{
    my $sum = open_cursor('lots');
    $kafka->kill_node(1);
    # What is left in the courier is read, and then it waits.
    $session->start(q{SELECT rest('c')});
    wait_until_held($node, $session->pid);
    $kafka->restart_node(1);
    is($session->finish->{out}, rest_of($count, $sum), "killed while it is read, turn $turn");
    rows('COMMIT');
}
is(couriers(), 0, '... no courier is left');
is(rows('SELECT count(*), sum(n), count(DISTINCT n), sum(off) FROM lots a'), $once, '... and the topic is what it was');

open_cursor('lots_hasty');
$kafka->kill_node(1);
my $result = $session->run(q{SELECT rest('c')});
my $failure = failure($result);
is($failure->{code}, '08006', 'gone for good: SQLSTATE');
is($failure->{message}, qq{could not read on in topic "$lots": nothing has come for 3000 ms}, 'gone for good: message');
like($failure->{detail}, qr/^[1-3] partitions are not read to their end\. librdkafka says: /, 'gone for good: detail');
like($failure->{hint}, qr/"request_timeout"/, 'gone for good: hint');
cmp_ok($result->{seconds}, '>=', 3, '... not before request_timeout is over');
cmp_ok($result->{seconds}, '<', 30, '... and soon after');
is(couriers(), 0, '... and no courier is left');
rows('ROLLBACK');
is(failure($session->run('SELECT count(*) FROM lots_hasty'))->{message}, 'could not reach a Kafka broker within 2000 ms', '... the next query does not get so far');
like(rows('EXPLAIN SELECT n FROM lots JOIN lots_hasty USING (n)'), qr/Foreign Scan on lots_hasty/, '... but EXPLAIN does');

# A prepared statement outlives its broker.
rows(q{SET plan_cache_mode = force_generic_plan; PREPARE slice(int, bigint) AS SELECT count(*), max(off) - min(off) FROM lots_hasty WHERE part = $1 AND off >= $2 AND off < $2 + 100});
is(failure($session->run('EXECUTE slice(1, 50)'))->{code}, '08006', 'prepared while the broker is gone');
$kafka->restart_node(1);
is(rows('EXECUTE slice(1, 50)'), '100|99', '... it reads when that is back');
is(rows('EXECUTE slice(2, 1000)'), '100|99', '... with other parameters');
is(rows('EXECUTE slice(NULL, 1)'), '0|', '... or none');
is(rows(qq{EXPLAIN (COSTS OFF) EXECUTE slice(1, 50)}) =~ /Kafka Partitions: = \$1\n\s*Kafka Offsets: >= \$2, < \(\$2 \+ 100\)/, 1, '... by one plan');
my $few = $kafka->create_topic($kafka->topic_unique('few'), partitions => 3);
$kafka->produce($few, map { { value => qq({"n":$_}), partition => 1 } } 1 .. 60);
rows("ALTER FOREIGN TABLE lots_hasty OPTIONS (SET topic '$few')");
is(rows('EXECUTE slice(1, 50)'), '10|9', '... which forgets a topic that is not the table\'s any more');
rows("ALTER FOREIGN TABLE lots_hasty OPTIONS (SET topic '$lots')");
rows("ALTER SERVER hasty OPTIONS (SET bootstrap_servers '127.0.0.1:$port')");
is(failure($session->run('EXECUTE slice(1, 50)'))->{code}, '08006', '... and a server that is elsewhere now');
rows("ALTER SERVER hasty OPTIONS (SET bootstrap_servers '${\$kafka->bootstrap}')");
is(rows('EXECUTE slice(1, 50)'), '100|99', '... and back');
rows('DEALLOCATE slice; RESET plan_cache_mode');

# ---- the broker is paused: nothing comes, and nothing says so

for my $end ('pg_cancel_backend', 'statement_timeout', 'pg_terminate_backend')
{
    my ($code, @couriers, $victim);
    my $seconds = quickest(1, sub {
        $victim = run_session($node);
        $victim->run('BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT n, part, off FROM lots; FETCH 100 FROM c');
        @couriers = couriers_of($victim->pid);
        $kafka->pause_node(1);
        $victim->run(q{SET statement_timeout = '1500ms'}) if $end eq 'statement_timeout';
        $victim->start(q{SELECT rest('c')});
        my $began = time();
        if ($end ne 'statement_timeout')
        {
            wait_until_held($node, $victim->pid);
            $began = time();
            $watcher->run("SELECT $end(" . $victim->pid . ')');
        }
        my $result = $victim->finish;
        my $took = time() - $began - ($end eq 'statement_timeout' ? 1.5 : 0);
        $code = failure($result)->{code};
        wait_until_ended('courier', \@couriers, 5);
        $kafka->resume_node(1);
        return $took;
    });
    is($code, $end eq 'pg_terminate_backend' ? '57P01' : '57014', "paused, $end: SQLSTATE");
    cmp_ok($seconds, '<', 1, "paused, $end: at once");
    is(scalar @couriers, 1, "paused, $end: and the courier with it");
    $victim->run('ROLLBACK') unless $end eq 'pg_terminate_backend';
}
$sum = open_cursor('lots');
$kafka->pause_node(1);
$session->start(q{SELECT rest('c')});
wait_until_held($node, $session->pid);
$kafka->resume_node(1);
is($session->finish->{out}, rest_of($count, $sum), 'paused and resumed: the rest comes');
rows('COMMIT');
open_cursor('lots_hasty');
$kafka->pause_node(1);
$failure = failure($session->run(q{SELECT rest('c')}));
is("$failure->{code} $failure->{message}", qq{08006 could not read on in topic "$lots": nothing has come for 3000 ms}, 'paused for longer than request_timeout');
rows('ROLLBACK');
$failure = failure($session->run('SELECT n FROM lots_hasty LIMIT 1'));
is("$failure->{code} $failure->{message}", '08006 could not reach a Kafka broker within 2000 ms', '... from the beginning: longer than connect_timeout');
$kafka->resume_node(1);

# ---- the courier

for my $signal (qw(KILL SEGV TERM))
{
    my %number = (KILL => 9, SEGV => 11, TERM => 15);
    open_cursor('lots');
    my ($courier) = couriers_of($session->pid);
    kill $signal, $courier;
    # What it had written is read; then it is missed.
    my $failure = failure($session->run(q{SELECT rest('c')}));
    is($failure->{code}, '08006', "courier killed by $signal: SQLSTATE");
    is($failure->{message}, q{kseg's courier was lost}, "courier killed by $signal: message");
    like($failure->{detail}, qr/^The process ended by signal $number{$signal}\b/, "courier killed by $signal: detail");
    is($failure->{hint}, 'Repeat the query.', "courier killed by $signal: hint");
    is(failure($session->run('FETCH 1 FROM c'))->{code}, '25P02', "courier killed by $signal: the transaction has failed");
    rows('ROLLBACK');
}
$sum = open_cursor('lots');
my ($courier) = couriers_of($session->pid);
kill 'STOP', $courier;
$session->start(q{SELECT rest('c')});
wait_until_held($node, $session->pid);
kill 'CONT', $courier;
is($session->finish->{out}, rest_of($count, $sum), 'a courier that stands still for a while');
rows('COMMIT');
open_cursor('lots');
($courier) = couriers_of($session->pid);
kill 'STOP', $courier;
$session->start(q{SELECT rest('c')});
wait_until_held($node, $session->pid);
$watcher->run('SELECT pg_cancel_backend(' . $session->pid . ')');
$result = $session->finish;
is(failure($result)->{code}, '57014', 'one that stands still is cancelled');
wait_until_ended('courier', [$courier], 5);
rows('ROLLBACK');

# ---- blocks, savepoints, cursors

my $before = connections_of($session->pid);
$node->safe_psql('postgres', q{
    CREATE FUNCTION tried(times int) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE r record; seen int := 0; caught int := 0; lost int := 0;
    BEGIN
        FOR i IN 1 .. times LOOP
            BEGIN
                FOR r IN SELECT n, off FROM lots WHERE part = i % 3 LOOP
                    seen := seen + 1;
                    IF r.off = 150 THEN
                        PERFORM 1 / (r.n - r.n);
                    END IF;
                END LOOP;
            EXCEPTION WHEN division_by_zero THEN caught := caught + 1;
            END;
            BEGIN
                PERFORM n FROM lots_nowhere;
            EXCEPTION WHEN fdw_error THEN lost := lost + 1;
            END;
            FOR r IN SELECT n FROM lots LOOP EXIT; END LOOP;
        END LOOP;
        RETURN format('%s seen, %s caught, %s lost', seen, caught, lost);
    END $$});
table('lots_nowhere', 'own', 'nowhere');
is(rows('SELECT tried(12)'), 12 * 151 . ' seen, 12 caught, 12 lost', 'a loop in PL/pgSQL with EXCEPTION blocks around scans');
is(couriers(), 0, '... has left no courier');
is_deeply(connections_of($session->pid), $before, '... and no descriptor');
rows('BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT n, part, off FROM lots; SAVEPOINT s; FETCH 1 FROM c');
is(couriers(), 1, 'a cursor from before a savepoint, read within');
rows('ROLLBACK TO s');
like(rows(q{SELECT rest('c')}), qr/^${\($count - 1)} rows, sum \d+, 0 out of order$/, '... goes on when that is rolled back');
rows('COMMIT');
rows(q{BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT n, part, off FROM lots; FETCH 1 FROM c; SAVEPOINT s; DECLARE d NO SCROLL CURSOR FOR SELECT n, part, off FROM lots; FETCH 1 FROM d});
is(couriers(), 2, 'a second one within');
rows('SELECT 1/0');
is(couriers(), 1, '... goes with an error there');
rows('ROLLBACK TO s');
like(rows(q{SELECT rest('c')}), qr/^${\($count - 1)} rows, sum \d+, 0 out of order$/, '... and leaves the first alone');
rows('ROLLBACK');
is(couriers(), 0, '... which goes with the transaction');
is(rows(q{BEGIN; DECLARE h NO SCROLL CURSOR WITH HOLD FOR SELECT n, part, off FROM lots WHERE off < 1000; FETCH 1 FROM h; COMMIT}) =~ /^\d+\|/, 1, 'a cursor WITH HOLD');
is(couriers(), 0, '... is read to its end when the transaction ends');
like(rows(q{SELECT rest('h')}), qr/^2999 rows, sum \d+, 0 out of order$/, '... and all there');
rows('CLOSE h');
# Turn and turn about.
rows('BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT n, part, off FROM lots; DECLARE d NO SCROLL CURSOR FOR SELECT n, part, off FROM lots');
rows("FETCH $_ FROM c; FETCH $_ FROM d") for 10, 20, 30;
is(couriers(), 2, 'two cursors over one topic');
like(rows(q{SELECT rest('c')}), qr/^${\($count - 60)} rows, .* 0 out of order$/, '... do not disturb each other');
like(rows(q{SELECT rest('d')}), qr/^${\($count - 60)} rows, .* 0 out of order$/, '... neither of them');
rows('COMMIT');
is(rows('SELECT count(*), count(DISTINCT n), sum(a.off - b.off) FROM lots a JOIN lots b USING (n)'), "$count|$count|0", 'two scans in one query');

# ---- a scan that waits for its reader, and one that ends early

open_cursor('lots');
($courier) = couriers_of($session->pid);
# Time that it has run, in clock ticks, until it is the same for a second.
my ($ticks, $since) = (-1, time());
wait_for('courier at rest', sub {
    my ($now) = slurp_file("/proc/$courier/stat") =~ /^\d+ \(.*\) \S(?: \S+){10} (\d+ \d+) / or die 'no stat';
    my $total = eval join '+', split / /, $now;
    ($ticks, $since) = ($total, time()) if $total != $ticks;
    return (time() - $since > 1, $total);
});
my $held = anonymous_memory_of($courier);
cmp_ok($held, '<', 24 * 1024, 'a cursor that stands: its courier rests, and holds a part of the topic (kB), not all of it');
like(rows('FETCH 1 FROM c'), qr/^\d+\|/, '... until it is asked for more');
rows('ROLLBACK');
my ($read) = rows('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, VERBOSE) SELECT n FROM lots LIMIT 10') =~ /Kafka Messages Read: (\d+)/;
is($read, 10, 'LIMIT: what is not asked for is not taken apart');
is(couriers(), 0, '... and the courier has ended');
is(rows('SELECT EXISTS (SELECT FROM lots), (SELECT n > 0 FROM lots LIMIT 1)'), 't|t', 'so with EXISTS');

# ---- beside workers

rows('CREATE TABLE here AS SELECT g AS n, g % 7 AS m FROM generate_series(1, 200000) g; ANALYZE here');
rows('SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2');
my $parallel = 'SELECT count(*), sum(l.n), count(DISTINCT l.n) FROM lots l JOIN (SELECT n, count(*) FROM here GROUP BY n) h USING (n)';
like(rows("EXPLAIN (COSTS OFF) $parallel"), qr/Gather/, 'a query with parallel workers');
is(rows($parallel), "$count|" . sum($count) . "|$count", '... and a topic');
is(rows('SELECT count(*) FROM (SELECT n FROM lots WHERE off < 500 UNION ALL SELECT n FROM here) u'), 200_000 + 1500, '... appended');
is(rows('SELECT count(*) FROM here WHERE n IN (SELECT n FROM lots) AND m = 3'), scalar(grep { $_ % 7 == 3 } 1 .. $count), '... looked up in');
rows('RESET ALL; DROP TABLE here');

# ---- many messages of a megabyte

my $heavy = $kafka->create_topic($kafka->topic_unique('heavy'), partitions => 4, config => { 'max.message.bytes' => 2_000_000 });
fill($kafka, $heavy, 1, 60, 1_000_000);
table('heavy', 'own', $heavy);
rows('BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT n, part, off, filler FROM heavy');
is(rows('MOVE 55 FROM c'), '', 'messages of a megabyte');
($courier) = couriers_of($session->pid);
# 16 MB of max_queue_bytes, and 64 MB for all else.
cmp_ok(memory_of($courier)->{peak}, '<', 80 * 1024, '... are never all in the courier: its peak (kB)');
like(rows(q{SELECT rest('c')}), qr/^5 rows, sum \d+, 0 out of order$/, '... and the rest');
rows('COMMIT');
# Whatever is in whose buffer when: each frame is one message, and larger than what may be pending.
is(rows('SELECT count(*), sum(n), min(length(filler)), max(length(filler)), count(DISTINCT md5(filler)) FROM heavy'), '60|1830|1000000|1000000|60', "... read whole, turn $_") for 1 .. 10;

# ---- a topic that goes while it is read

my $number = 0;
for my $case ([ 'gone', undef ], [ 'made anew, with fewer messages', 50 ], [ 'made anew, with as many', 40_000 ], [ 'made anew, with more', 60_000 ])
{
    my ($name, $anew) = @$case;
    my $topic = $kafka->create_topic($kafka->topic_unique('fickle'));
    fill($kafka, $topic, 1, 40_000, 500);
    my $table = 'fickle' . ++$number;
    table($table, 'hasty', $topic);
    open_cursor($table);
    $kafka->delete_topic($topic);
    if ($anew)
    {
        $kafka->create_topic($topic);
        fill($kafka, $topic, 1_000_001, 1_000_000 + $anew, 500);
    }
    my $result = $session->run(q{SELECT rest('c')});
    my $failure = failure($result) // { code => 'none', message => $result->{out}, hint => '' };
    is($failure->{message}, qq{could not read on in topic "$topic"}, "$name: message");
    is($failure->{code}, '55000', "$name: SQLSTATE");
    like($failure->{hint}, qr/a topic made anew.*Run it again/, "$name: hint");
    rows('ROLLBACK');
    is(couriers(), 0, "$name: no courier is left");
    is(rows("SELECT count(*), min(n) FROM $table"), "$anew|1000001", "$name: the next query reads what is there now") if $anew;
}

# Messages of a time to come, by their producer's clock, are no sign of another topic; nor is what comes meanwhile.
my $early = $kafka->create_topic($kafka->topic_unique('early'), partitions => 2);
my $later = int(time() * 1000) + 600_000;
$kafka->produce($early, map { { value => qq({"n":$_}), partition => $_ % 2, timestamp => $later + $_ } } 1 .. 10);
fill($kafka, $early, 11, 40_000, 500);
table('early', 'own', $early);
for my $turn (1 .. 2)
{
    my $sum = open_cursor('early');
    $kafka->produce($early, map { { value => '{"n":-1}', partition => $_ % 2, timestamp => $later } } 1 .. 10) if $turn == 1;
    $kafka->delete_records($early, $_, 20) for grep { $turn == 2 } 0, 1;
    # The ten that came in turn 1 are -1 each.
    my $expected = $turn == 1 ? rest_of(40_000, $sum) : sprintf '%d rows, sum %d, 0 out of order', 39_910, sum(40_000) - 10 - $sum;
    is(rows(q{SELECT rest('c')}), $expected, "messages of a time to come, turn $turn");
    rows('COMMIT');
}

# Retention takes what was still to be read.
my $short = $kafka->create_topic($kafka->topic_unique('short'), partitions => 2);
fill($kafka, $short, 1, 60_000, 500);
table('short', 'hasty', $short);
open_cursor('short');
my $ends = $kafka->offsets($short);
$kafka->delete_records($short, $_, $ends->{$_}{high} - 10) for 0, 1;
$failure = failure($session->run(q{SELECT rest('c')})) // { code => 'none', message => '', hint => '', detail => '' };
is("$failure->{code} $failure->{message}", qq{55000 could not read on in topic "$short"}, 'retention took what was still to be read');
like($failure->{detail}, qr/^Partition [01] at offset \d+: /, '... where');
like($failure->{hint}, qr/^Retention, /, '... why');
rows('ROLLBACK');
is(rows('SELECT count(*) FROM short'), '20', '... and the next query reads what is left');

# ---- three nodes

$kafka->stop;
my $three = kafka_broker(nodes => 3);
server('three', $three->bootstrap);
my $spread = $three->create_topic($three->topic_unique('spread'), partitions => 6);
fill($three, $spread, 1, 120_000, 300);
table('spread', 'three', $spread);
for my $victim (1 .. 3)
{
    my $sum = open_cursor('spread');
    $three->kill_node($victim);
    is(rows(q{SELECT rest('c')}), rest_of(120_000, $sum), "three nodes, $victim killed while the topic is read: every row, once and in order");
    rows('COMMIT');
    is(rows('SELECT count(*), sum(n) FROM spread'), '120000|' . sum(120_000), '... and again from the beginning, while it is gone');
    $three->restart_node($victim);
}
is(couriers(), 0, 'no courier is left');

done_testing();
