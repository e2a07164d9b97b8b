# needs: kafka
# Rows to a topic: what arrives is what was selected, in the partitions that Java would choose; what cannot arrive is kept, and
# the figures say so.
use strict;
use warnings;
use Encode qw(decode_utf8 encode_utf8);
use JSON::PP;
use KsegTest;
use KsegRun;
use KsegKafka;

my $node  = new_cluster('produce');
my $kafka = kafka_broker();
my $super = run_session($node);
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "', for_role => 'public')");

# The SQL of a run; it returns the row of figures as JSON. The pairs are further arguments, quoted here.
sub produce
{
    my ($query, %arguments) = @_;
    my $named = join ', ', map { "$_ => '$arguments{$_}'" } sort keys %arguments;
    return "SELECT row_to_json(r) FROM kseg.kafka_produce_from_query(\$kseg\$$query\$kseg\$" . ($named ? ", $named" : '') . ') r';
}

sub topic { my ($what, %options) = @_; return $kafka->create_topic($kafka->topic_unique($what), %options) }

# A run that must not fail; its figures.
sub produced { my ($query, %arguments) = @_; return figures($super->run(produce($query, %arguments))) }

sub counts { my ($run) = @_; return join ' ', @{$run}{qw(rows sent invalid rejected)} }

# How many messages a topic has.
sub arrived { my @messages = $kafka->consume($_[0]); return scalar @messages }

sub letters { my ($run) = @_; return $super->rows("SELECT * FROM kseg.dead_letter WHERE run = '$run->{run}' ORDER BY row") }

subtest 'what arrives is what was selected' => sub {
    my $topic = topic('parts', partitions => 2, config => { 'retention.ms' => -1 });
    my $run = produced(q{SELECT * FROM (VALUES
        (0, 'k1'::text, 'text "é"'::text, '{"a": "x", "b": ["1", null, {"base64": "AP8="}], "c": ""}'::jsonb, timestamptz '2020-01-02 03:04:05.6789Z'),
        (0, NULL, '', NULL, '2021-01-01Z'), (1, '', 'v', '{}', '1970-01-01 00:00:00.001Z'), (1, 'tombstone', NULL, '[["z", "1"], ["a", "2"], ["z", "3"]]', '2022-01-01Z'))
        v (partition, key, value, headers, "timestamp")}, topic => $topic);
    is(counts($run), '4 4 0 0', 'figures');
    is($run->{bytes}, length(encode_utf8('k1' . "text \"\x{e9}\"" . 'v' . 'tombstone')), 'bytes of keys and values');
    my @arrived = map { my $m = $_; [ @{$m}{qw(partition key value timestamp)}, $m->{headers} ] } $kafka->consume($topic);
    is_deeply(\@arrived, [
        [ 0, 'k1', encode_utf8("text \"\x{e9}\""), 1577934245678, [ [ 'a', 'x' ], [ 'b', '1' ], [ 'b', undef ], [ 'b', "\x00\xff" ], [ 'c', '' ] ] ],
        [ 0, undef, '', 1609459200000, [] ],
        [ 1, '', 'v', 1, [] ],
        [ 1, 'tombstone', undef, 1640995200000, [ [ 'z', '1' ], [ 'a', '2' ], [ 'z', '3' ] ] ] ], 'keys, values, times, headers, partitions, in order');

    $topic = topic('values');
    produced(q{SELECT '\x00ff7f'::bytea AS value, '\xff00'::bytea AS key}, topic => $topic);
    produced(q{SELECT '{ "b" : 1.50, "a" : 1 }'::json AS payload, 7 AS key}, topic => $topic, value => 'payload');
    produced(q{SELECT '{"a" : 1.50}'::jsonb AS value, '{"k": 1}'::jsonb AS key}, topic => $topic);
    is_deeply([ map { [ @{$_}{qw(key value)} ] } $kafka->consume($topic) ],
        [ [ "\xff\x00", "\x00\xff\x7f" ], [ 7, '{ "b" : 1.50, "a" : 1 }' ], [ '{"k":1}', '{"a":1.50}' ] ], 'value columns of bytea, json and jsonb, as they are');

    $topic = topic('json');
    my $before = int(time() * 1000);
    produced(q{SELECT 12345678901234567890::numeric AS big, NULL::int AS nothing, date '2024-01-02' AS day, 'x' AS "a.b", 'k' AS id, ARRAY[1, NULL] AS list},
        topic => $topic, key => 'id');
    my ($message) = $kafka->consume($topic);
    is($message->{value}, '{"big":12345678901234567890,"nothing":null,"day":"2024-01-02","a.b":"x","list":[1,null]}', 'an object of the other columns');
    is($message->{key}, 'k', 'and the key that an argument names is no part of it');
    cmp_ok(abs($message->{timestamp} - $before), '<', 60_000, 'without a time of its own it has the time of sending');
};

subtest 'the partition of a key is the Java client\'s' => sub {
    my @keys = ((map { "customer-$_" } 1 .. 300), 'a' .. 'z', '0', "\x{e9}\x{df}", "\x{6f22}\x{5b57}", "\x{1f600}", 'x' x 1000, ' ', '');
    my ($java, $ours) = (topic('java', partitions => 7), topic('ours', partitions => 7));
    $kafka->java_produce($java, map { [ encode_utf8($_), 'v' ] } @keys);
    my $list = join ', ', map { "('" . encode_utf8($_) . "')" } @keys;
    is(produced("SELECT k AS key, 'v' AS value FROM (VALUES $list) v (k)", topic => $ours)->{sent}, @keys, 'all are sent');
    my %partition = map { $_->{key} => $_->{partition} } $kafka->consume($java);
    is(keys %partition, @keys, 'Java has produced all keys');
    is_deeply({ map { $_->{key} => $_->{partition} } $kafka->consume($ours) }, \%partition, 'in the same partitions');
    is(keys %{ { reverse %partition } }, 7, 'which are all of the topic\'s');
};

subtest 'order is kept in each partition, and every row comes once' => sub {
    my $topic = topic('order', partitions => 3);
    my $run = produced('SELECT g % 50 AS key, g FROM generate_series(1, 200000) g', topic => $topic);
    is(counts($run), '200000 200000 0 0', 'figures');
    my (%last, $wrong, $count);
    for my $line (split /\n/, $kafka->kcat([ qw(-C -q -e -f), '%k %s\n', '-t', $topic ])->{out})
    {
        my ($key, $g) = $line =~ /^(\d+) \{"g":(\d+)\}$/ or die "arrived: $line";
        $wrong++ if $g <= ($last{$key} // 0);
        $last{$key} = $g;
        $count++;
    }
    is($wrong // 0, 0, 'each key\'s messages are in order');
    is($count, 200000, 'and all are there, once');
};

subtest 'topics of rows, a table, a limit' => sub {
    my @topics = (topic('first'), topic('second'));
    $super->run("CREATE TABLE routed AS SELECT g AS n, CASE g % 3 WHEN 0 THEN '$topics[1]' END AS topic FROM generate_series(1, 9) g");
    my $from_table = sub { figures($super->run("SELECT row_to_json(r) FROM kseg.kafka_produce_from_table('routed'" . ($_[0] // '') . ') r')) };
    is(counts($from_table->(", topic => '$topics[0]'")), '9 9 0 0', 'from_table: figures');
    is(join(' ', map { arrived($_) } @topics), '6 3', 'a row\'s own topic, else the run\'s');
    is(counts($from_table->()), '9 3 6 0', 'without a topic of the run a row needs its own');
    is(counts(produced('SELECT generate_series(1, 1000000000) AS g', topic => $topics[0], row_limit => 5)), '5 5 0 0', 'row_limit ends the query');
    is(arrived($topics[0]), 11, 'and no more arrives');
};

subtest 'what cannot arrive is kept with its reason' => sub {
    my $topic = topic('refused', partitions => 2, config => { 'max.message.bytes' => 2000 });
    my $result = $super->run(produce(q{SELECT * FROM (VALUES
        (1, 'fine', NULL::int, NULL::text, NULL::jsonb, 1::float8, 'x'), (2, 'large', NULL, NULL, '{"h": {"base64": "AP8="}}', 2, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)),
        (3, 'nowhere', 5, NULL, NULL, 3, 'x'), (4, 'no topic', NULL, 'there-is-none', NULL, 4, 'x'), (5, 'odd', NULL, 'not legal', NULL, 5, 'x'),
        (6, 'nan', 1, NULL, '{"h": 1}', 'NaN', 'x'), (7, 'fine', NULL, NULL, NULL, 7, 'x'))
        v (n, key, partition, topic, headers, f, filler)}, topic => $topic));
    my $run = figures($result);
    is(counts($run), '7 2 2 3', 'figures');
    is_deeply([ sort { $a <=> $b } map { decode_json($_->{value})->{n} } $kafka->consume($topic) ], [ 1, 7 ], 'the others have arrived');
    my $warning = warning_of($result);
    is($warning->{message}, '5 of 7 rows were not delivered: 2 invalid, 3 rejected', 'one warning');
    like($warning->{detail}, qr/^First problem: row \d, key "/, 'with the first problem');
    is($warning->{hint}, "They are kept: SELECT * FROM kseg.dead_letter WHERE run = '$run->{run}'.", 'and where they are');
    my %letter = map { $_->{row} => $_ } letters($run);
    is(join(' ', sort keys %letter), '2 3 4 5 6', 'one dead letter each');
    like($letter{2}{reason}, qr/^row 2, key "large": refused with Kafka error 10: .*large/i, 'too large for the topic');
    like($letter{3}{reason}, qr/^row 3, key "nowhere": refused with Kafka error -190: .*partition/i, 'a partition that there is not');
    like($letter{4}{reason}, qr/^row 4, key "no topic": refused with Kafka error (?:3|-188): .*topic/i, 'a topic that there is not');
    like($letter{5}{reason}, qr/^row 5, key "odd": column "topic": a topic's name has only/, 'a topic that there cannot be');
    is($letter{6}{reason}, 'row 6, key "nan": column "f": NaN has no JSON form', 'a value without JSON');
    is_deeply([ map { $letter{$_}{status} } 2 .. 6 ], [ 10, -190, $letter{4}{status}, undef, undef ], 'status is Kafka\'s error, NULL for what was never sent');
    is_deeply([ map { $letter{$_}{topic} } 2 .. 6 ], [ $topic, $topic, 'there-is-none', 'not legal', $topic ], 'topic');
    is_deeply([ map { $letter{$_}{partition} } 2 .. 6 ], [ undef, 5, undef, undef, 1 ], 'partition');
    is_deeply($letter{2}{headers}, [ [ 'h', { base64 => 'AP8=' } ] ], 'headers');
    is_deeply($letter{6}{event}, { n => 6, f => undef, filler => 'x' }, 'a value that is JSON is kept as the event, what is wrong as null');
    is($letter{6}{value}, '\\x' . unpack('H*', '{"n":6,"f":null,"filler":"x"}'), 'and as it is');
    is($letter{2}{key}, '\\x' . unpack('H*', 'large'), 'the key as bytes');
    is($letter{2}{call} . ' ' . $letter{2}{server} . ' ' . $letter{2}{run_by}, 'produce kafka postgres', 'what it was, and whose');
    my $entry = $super->row("SELECT * FROM kseg.run WHERE run = '$run->{run}'");
    is(join(' ', @{$entry}{qw(call server rows sent repeated invalid rejected open retries bytes)}), "produce kafka 7 2 0 2 3 0 $run->{retries} $run->{bytes}", 'kseg.run has it too');
    cmp_ok($entry->{batches}, '>=', 1, 'and how many requests it took');

    $run = produced("SELECT '\\xff00'::bytea AS key, '\\x00'::bytea AS value, 9 AS partition", topic => $topic);
    my ($letter) = letters($run);
    is($letter->{reason} =~ s/:.*//r, 'row 1, key "\\xff00"', 'a key that is no text is shown as bytes');
    is_deeply([ @{$letter}{qw(event value headers)} ], [ undef, '\\x00', undef ], 'a value that is not JSON is no event');
    $run = produced("SELECT '{\"a\": 1}'::text AS value, 9 AS partition", topic => $topic);
    is((letters($run))[0]{event}, undef, 'nor is a text that looks like it');
    $run = produced("SELECT '{\"a\": 1}'::json AS value, 9 AS partition", topic => $topic);
    is_deeply((letters($run))[0]{event}, { a => 1 }, 'a column of type json is');
};

subtest 'on_invalid' => sub {
    my $topic = topic('invalid');
    my $rows = q{SELECT * FROM (VALUES (1, 0, 1::float8), (2, 0, 'NaN'), (3, 7, 3)) v (n, partition, f)};
    my $run = produced($rows, topic => $topic, on_invalid => 'skip');
    is(counts($run), '3 1 1 1', 'skip: figures');
    is(join(' ', map { $_->{row} } letters($run)), '3', 'skip: what Kafka refused is kept, what was never sent is not');
    my $failure = failure($super->run(produce($rows, topic => $topic, on_invalid => 'error')));
    is("$failure->{code} $failure->{message}", '22000 row 2: column "f": NaN has no JSON form', 'error: the row ends the run');
    like($failure->{context}, qr/^kseg run \S+: 2 rows read, [01] events sent before$/m, 'error: how far it was');
};

subtest 'what is wrong with the run' => sub {
    my $failure = failure($super->run(produce('SELECT 1 AS a', topic => 'there-is-none')));
    is($failure->{code}, 'HV000', 'a topic that there is not: SQLSTATE');
    like($failure->{message} . $failure->{detail}, qr/there-is-none/, 'names it');
    like($failure->{detail}, qr/Run \S+: \d+ rows, 0 sent, 0 repeated, 0 invalid, 0 rejected, \d+ open/, 'with the figures');
    like($failure->{hint}, qr/create/i, 'and what to do');
    my $run = figures($super->run(produce('SELECT 1 AS a', topic => 'there-is-none', on_failure => 'report')));
    is("$run->{rows} $run->{sent}", '1 0', 'reported: figures');
    like($run->{first_problem}, qr/there-is-none/, 'reported: why');
    is($super->row("SELECT failure = '" . ($run->{first_problem} =~ s/'/''/gr) . "' AS same FROM kseg.run WHERE run = '$run->{run}'")->{same}, JSON::PP::true(), 'and recorded');
    is($super->row('SELECT count(*) AS n FROM kseg.dead_letter WHERE topic = \'there-is-none\' AND run = \'' . $run->{run} . "'")->{n}, 0, 'without dead letters');
    is(failure($super->run(produce('SELECT 1 AS a')))->{code}, '22023', 'no topic at all');
    is(failure($super->run(produce('SELECT 1 AS a', topic => 'a b')))->{code}, '22023', 'a name that cannot be one');
    is(failure($super->run(produce('DELETE FROM kseg.run', topic => 't')))->{code}, '0A000', 'a query that writes');
    is(failure($super->run(produce('SELECT 1 AS a', topic => 't', server => 'nowhere')))->{code}, '42704', 'no such server');
};

subtest 'progress, timeout, cancel, a lost courier' => sub {
    my $topic = topic('slow', config => { 'max.message.bytes' => 2000 });
    my $slow = q{SELECT g AS key, CASE WHEN g = 1 THEN (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i) ELSE 'x' END AS a FROM generate_series(1, 100000) g, LATERAL (SELECT pg_sleep(0.01 + g * 0)) s};
    $super->start(produce($slow, topic => $topic));
    my $progress = wait_for_phase($node, $super->pid, 'sending', sub { $_[0]{last_error} && $_[0]{sent} > 10 });
    is($progress->{last_error}, 'a message is too large for its topic (Kafka error 10)', 'progress says what happened last');
    is("$progress->{server} $progress->{rejected} $progress->{repeated}", 'kafka 1 0', 'and how far it is');
    kill 'INT', $super->pid;
    my $failure = failure($super->finish);
    is($failure->{code}, '57014', 'cancel: SQLSTATE');
    my ($sent) = $failure->{context} =~ /kseg run \S+: \d+ rows read, (\d+) events sent before/;
    cmp_ok($sent, '>=', 10, 'cancel: says how many were sent');
    cmp_ok(arrived($topic), '>=', $sent, 'which stay sent');
    wait_for('courier of a cancelled run gone', sub { my @left = couriers_of($super->pid); return (!@left, "@left") });

    my $run = figures($super->run(produce($slow, topic => $topic, timeout => '3 s', on_failure => 'report')));
    like($run->{first_problem}, qr/stopped by its timeout/, 'timeout: reported');
    cmp_ok($run->{sent}, '>', 0, 'timeout: with what was sent');

    $super->start(produce($slow, topic => $topic));
    wait_for_phase($node, $super->pid, 'sending', sub { $_[0]{sent} > 0 });
    kill 'KILL', couriers_of($super->pid);
    $failure = failure($super->finish);
    is("$failure->{code} $failure->{message}", "08006 kseg's courier was lost", 'a lost courier');
    is($failure->{hint}, 'Repeat the run: messages that had arrived are produced once more.', 'and what a repeat does');
};

subtest 'rights' => sub {
    my $topic = topic('rights');
    $super->run(qq{CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE carol LOGIN; GRANT USAGE ON FOREIGN SERVER kafka TO alice, bob;
        CREATE TABLE hidden (a int); CREATE SERVER unmapped FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '} . $kafka->bootstrap . q{');
        GRANT USAGE ON FOREIGN SERVER unmapped TO alice});
    my %session = map { $_ => run_session($node, user => $_) } qw(alice bob carol);
    my $rows = q{SELECT 1 AS a, p AS partition FROM unnest(ARRAY[0, 9]) p};
    is(counts(figures($session{alice}->run(produce($rows, topic => $topic)))), '2 1 0 1', 'USAGE and a mapping for everybody are enough to produce');
    my $failure = failure($session{carol}->run(produce($rows, topic => $topic)));
    is($failure->{code}, '42501', 'without USAGE nobody does');
    is(failure($session{alice}->run(produce($rows, topic => $topic, server => 'unmapped')))->{code}, '42704', 'nor without a mapping');
    is(failure($session{alice}->run(produce('TABLE hidden', topic => $topic)))->{code}, '42501', 'the query has its caller\'s rights');
    is(join(' ', map { $session{$_}->row('SELECT count(*) AS n FROM kseg.dead_letter WHERE topic IS NOT NULL')->{n} } qw(alice bob)), '1 0', 'dead letters are their owner\'s to see');
    is(arrived($topic), 1, 'and nothing else has arrived');
};

done_testing();
