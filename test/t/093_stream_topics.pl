# needs: kafka
# long: brokers that go and come back
# What topics can be while a stream follows them: not there yet, empty, compacted, with transactions that are open or aborted, with large
# messages, with more partitions than before, and ever more of them.
use strict;
use warnings;
use JSON::PP;
use KsegTest;
use KsegKafka;
use KsegStream;

# A broker whose log cleaner does not wait.
my $kafka = kafka_broker(set => { 'log.cleaner.backoff.ms' => 100, 'log.cleaner.min.cleanable.ratio' => '0.01' });
my $node  = stream_cluster('topics');
my $json  = JSON::PP->new->canonical;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub trouble_of { return stream_of($node, $_[0])->{trouble} // '' }

subtest 'a topic that is not there yet' => sub {
    topic_table($node, $kafka, 'later', 'later');
    make_stream($node, 'later', start => q{'latest'});
    wait_for('trouble', sub { my $said = trouble_of('later'); return (scalar($said =~ /^topic "later" does not exist\. /), $said) });
    $kafka->create_topic('later', partitions => 2);
    wait_for_state($node, 'later', 'running');
    wait_for_answer($node, q{SELECT count(*) FROM kseg.position WHERE stream = 'later'}, 2);
    is(trouble_of('later'), '', 'it is followed when it is there');
    is(stream_of($node, 'later')->{lag_messages}, 0, 'and nothing is in it');
    $kafka->produce('later', map { { value => $_ } } numbers(1 .. 20));
    wait_for_end($node, $kafka, 'later', 'later');
    is(rows_of($node, 'later'), rows_are(1 .. 20), 'all its messages come');
};

subtest 'a stream is reset while it looks for its first positions' => sub {
    topic_table($node, $kafka, 'reset', 'reset_early');
    make_stream($node, 'reset_early');
    wait_for('trouble', sub { my $said = trouble_of('reset_early'); return ($said =~ /does not exist/, $said) });
    # What it finds is by the start of before, and has to wait for whoever resets it.
    my $resetter = session($node);
    $resetter->run(q{BEGIN; SELECT kseg.reset_stream('reset_early', 'latest')});
    my $pid = stream_of($node, 'reset_early')->{pid};
    $kafka->create_topic('reset');
    $kafka->produce('reset', numbers(1 .. 10));
    wait_for_answer($node, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid", 'Lock');
    $resetter->run('COMMIT');
    wait_for_answer($node, q{SELECT "offset" FROM kseg.position WHERE stream = 'reset_early'}, 10);
    $kafka->produce('reset', numbers(11 .. 15));
    wait_for_end($node, $kafka, 'reset_early', 'reset');
    is(rows_of($node, 'reset_early'), rows_are(11 .. 15), 'it begins where the reset says');
};

subtest 'partitions that are added, topics that appear' => sub {
    my @topics = map { $kafka->create_topic("found-$_", partitions => 2) } 1 .. 2;
    topic_table($node, $kafka, 'found', 'found');
    sql(q{ALTER FOREIGN TABLE found_topic ADD topic text OPTIONS (meta 'topic'); ALTER TABLE found ADD topic text;
        SELECT kseg.stream_to_table('found', 'SELECT part, at, number, topic FROM found_topic', 'public.found', topics => '{^found-[0-9]$}', start => 'latest', workers => 2)});
    wait_for_answer($node, q{SELECT count(*) FROM kseg.position WHERE stream = 'found'}, 4);
    $kafka->create_topic('found-x', partitions => 1);
    $kafka->produce('found-x', numbers(1 .. 5));
    $kafka->produce($topics[0], map { { value => "{\"number\": $_}", partition => $_ % 2 } } 1 .. 100);
    $kafka->grow_topic($topics[1], 5);
    $kafka->produce($topics[1], map { { value => "{\"number\": $_}", partition => $_ % 5 } } 101 .. 200);
    push @topics, $kafka->create_topic('found-3', partitions => 3);
    $kafka->produce($topics[2], map { { value => "{\"number\": $_}", partition => $_ % 3 } } 201 .. 300);
    wait_for_end($node, $kafka, 'found', \@topics);
    is(sql('SELECT count(*), count(DISTINCT (topic, part, at)), sum(number) FROM found'), '300|300|45150', 'all that they have, from their first message on');
    is(sql(q{SELECT topic, count(*), count(DISTINCT part) FROM found GROUP BY 1 ORDER BY 1}), "found-1|100|2\nfound-2|100|5\nfound-3|100|3", 'each from its topic');
};

subtest 'a compacted topic' => sub {
    my $topic = $kafka->create_topic('compacted', config => { 'cleanup.policy' => 'compact', 'segment.ms' => 100, 'min.cleanable.dirty.ratio' => '0.01' });
    topic_table($node, $kafka, $topic, 'compacted');
    # Keys come again; the last one of each key stays, and what is in the segment that is being written. What is deleted once more
    # while the stream reads may be seen or not: so nothing is, then.
    my ($round, $high) = (0, 0);
    wait_for('compaction', sub {
        $round++;
        ($high) = map { $_->{offset} + 1 } ($kafka->produce($topic, map { { key => $_ % 50, value => "{\"number\": $_}" } } 1 .. 500))[-1];
        my $left = () = $kafka->consume($topic);
        return ($left < $high - 500, "$left of $high");
    });
    $kafka->configure_topic($topic, 'cleanup.policy' => 'delete');
    my %there = map { $_->{offset} => 1 } $kafka->consume($topic);
    make_stream($node, 'compacted');
    wait_for_end($node, $kafka, 'compacted', $topic);
    is(sql('SELECT count(*), count(DISTINCT at) FROM compacted'), join('|', (scalar keys %there) x 2), 'what compaction has left: ' . scalar keys %there);
    is(join(' ', sql('SELECT at FROM compacted ORDER BY at')), join("\n", sort { $a <=> $b } keys %there), 'at its offsets');
    is(stream_of($node, 'compacted')->{lag_messages}, 0, 'and the lag is 0');

    # The message that was read last is compacted away while the stream is stopped: that is no gap.
    sql(q{SELECT kseg.stop_stream('compacted')});
    wait_for_state($node, 'compacted', 'stopped');
    my $position = $kafka->offsets($topic)->{0}{high};
    $kafka->configure_topic($topic, 'cleanup.policy' => 'compact', 'segment.ms' => 100, 'min.cleanable.dirty.ratio' => '0.01');
    wait_for('the message that was read last to be compacted away', sub {
        $kafka->produce($topic, map { { key => $_ % 50, value => '{"number": 7}' } } 1 .. 100);
        return !grep { $_->{offset} == $position - 1 } $kafka->consume($topic);
    });
    sql(q{SELECT kseg.start_stream('compacted')});
    wait_for_end($node, $kafka, 'compacted', $topic);
    my %after = map { $_->{offset} => 1 } grep { $_->{offset} >= $position } $kafka->consume($topic);
    my %read = map { $_ => 1 } split /\n/, sql("SELECT at FROM compacted WHERE at >= $position");
    is(scalar(grep { !$read{$_} } keys %after), 0, 'all that is there now has come');
    is(sql("SELECT count(*) FILTER (WHERE at < $position), count(*) = count(DISTINCT at) FROM compacted"), keys(%there) . '|t', 'and nothing twice');
    is(state_of($node, 'compacted'), 'running', 'no gap');
};

subtest 'transactions' => sub {
    my $topic = $kafka->create_topic('exact', partitions => 2);
    topic_table($node, $kafka, $topic, 'exact');
    make_stream($node, 'exact', workers => 2);
    my $producer = $kafka->producer($topic, transactional_id => "exact-$$");
    my @kept;
    for my $round (1 .. 12)
    {
        my @numbers = 100 * $round .. 100 * $round + 49;
        $producer->begin;
        $producer->send(map { { value => $_ } } numbers(@numbers));
        $producer->flush;
        $round % 3 ? $producer->commit : $producer->abort;
        push @kept, @numbers if $round % 3;
    }
    wait_for_end($node, $kafka, 'exact', $topic);
    is(rows_of($node, 'exact'), rows_are(@kept), 'what was aborted does not come');
    is(stream_of($node, 'exact')->{lag_messages}, 0, 'the lag is 0 behind the last marker');

    # While one is open, nothing behind its first message comes; of others' messages neither.
    $producer->begin;
    $producer->send(map { { value => $_, partition => 0 } } numbers(5001 .. 5010));
    $producer->flush;
    $kafka->produce($topic, map { { value => $_, partition => $_ =~ /7/ ? 0 : 1 } } numbers(6000 .. 6009));
    wait_for_answer($node, 'SELECT count(*) FROM exact WHERE number >= 6000', 9);
    is(sql('SELECT count(*) FROM exact WHERE number > 5000 AND part = 0'), 0, 'an open transaction holds up its partition alone');
    is(state_of($node, 'exact') . trouble_of('exact'), 'running', 'which is no trouble');
    $producer->commit;
    wait_for_end($node, $kafka, 'exact', $topic);
    is(rows_of($node, 'exact'), rows_are(@kept, 5001 .. 5010, 6000 .. 6009), 'with its end all of it comes');

    # One whose producer has gone is aborted by the broker.
    my $lost = $kafka->producer($topic, transactional_id => "lost-$$", properties => { 'transaction.timeout.ms' => 2000 });
    $lost->begin;
    $lost->send(map { { value => $_, partition => 0 } } numbers(7001 .. 7010));
    $lost->flush;
    $lost->kill;
    $kafka->produce($topic, map { { value => $_, partition => 0 } } numbers(8001 .. 8010));
    wait_for_answer($node, 'SELECT count(*) FROM exact WHERE number > 8000', 10);
    is(rows_of($node, 'exact'), rows_are(@kept, 5001 .. 5010, 6000 .. 6009, 8001 .. 8010), 'or with the broker\'s patience');
};

subtest 'large messages' => sub {
    my $topic = $kafka->create_topic('large', config => { 'max.message.bytes' => 40_000_000 });
    topic_table($node, $kafka, $topic, 'large');
    sql(q{ALTER FOREIGN TABLE large_topic ADD words text; ALTER TABLE large ADD words text});
    sql(q{SELECT kseg.stream_to_table('large', 'SELECT part, at, number, words FROM large_topic', 'public.large')});
    # Up to what a column and the message's value together may come to in a frame (17 MB); batches are bound to 16 MB, what is read
    # ahead to 16, what is held ready to 8. One is larger than a frame.
    my @sizes = (1, 3_000_000, 8_200_000, 10, 18_000_000, 5_000_000, (2_000_000) x 12, 7_000_000, 20);
    my $producer = $kafka->producer($topic, properties => { 'message.max.bytes' => 50_000_000 });
    for my $i (0 .. $#sizes)
    {
        $producer->send({ key => "k$i", value => $json->encode({ number => $i, words => chr(97 + $i % 26) x $sizes[$i] }) });
        $producer->flush;
    }
    wait_for_end($node, $kafka, 'large', $topic);
    is(sql('SELECT string_agg(length(words)::text, \' \' ORDER BY at) FROM large'), join(' ', grep { $_ < 10_000_000 } @sizes), 'each comes whole');
    # It must not look like a tombstone, which replay would apply.
    is(sql(q{SELECT concat_ws(' ', "offset", value IS NULL, incomplete) FROM kseg.dead_letter}), '4 t t', 'what no frame can hold is a dead letter, which says that it is not complete');
    is(sql(q{SELECT replayed || ' ' || failed FROM kseg.replay_dead_letters(stream => 'large')}), '0 1', 'and is not replayed as it is');
    sql(q{SELECT kseg.discard_dead_letters(stream => 'large')});
    is(sql('SELECT count(*) FROM large WHERE words <> repeat(left(words, 1), length(words))'), 0, 'as it was');
    my ($pid) = sql(q{SELECT pid FROM kseg.stream_status WHERE stream = 'large'});
    my $memory = memory_of($pid)->{peak};
    cmp_ok($memory, '<', 200_000, "in $memory kB");
};

is(sql('SELECT count(*) FROM kseg.dead_letter'), 0, 'no message was to blame for anything');
is(sql(q{SELECT string_agg(stream || ' ' || state, ', ') FROM kseg.stream_status WHERE state <> 'running'}), '', 'and all run at the end');

done_testing();
