# needs: kafka
# kafka_produce with transactional => true: all of a run's messages become visible at once, or none, however the run ends.
use strict;
use warnings;
use KsegTest;
use KsegRun;
use KsegKafka;

my $node  = new_cluster('transaction');
my $kafka = kafka_broker();
my $super = run_session($node);
my $other = run_session($node);
$node->safe_psql('postgres', "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "', for_role => 'public')");

sub produce
{
    my ($query, %arguments) = @_;
    my $named = join ', ', map { "$_ => '$arguments{$_}'" } sort keys %arguments;
    return "SELECT row_to_json(r) FROM kseg.kafka_produce_from_query(\$kseg\$$query\$kseg\$, transactional => true, $named) r";
}

sub topic { my ($what, %options) = @_; return $kafka->create_topic($kafka->topic_unique($what), %options) }
sub counts { my ($run) = @_; return join ' ', @{$run}{qw(rows sent invalid rejected)} }

# How many messages a reader of what is committed sees, and one of everything.
sub seen
{
    my ($topic) = @_;
    return join ' ', map { my @messages = $kafka->consume($topic, isolation => $_); scalar @messages } qw(read_committed read_uncommitted);
}

# The same, when a reader of what is committed sees so many: Kafka answers a commit when it is decided, and its markers come to the partitions
# a little later. What has come too often never becomes right.
sub seen_at_last
{
    my ($topic, $wanted) = @_;
    return wait_for("$wanted messages that are committed in $topic", sub {
        my $said = seen($topic);
        return (scalar($said =~ /^$wanted /), $said);
    });
}

# 2001 rows: more than one frame to the courier (64 kB), of which the last waits for a lock that another session holds, and
# what it then is.
sub held
{
    my ($then) = @_;
    return "SELECT g AS key, g AS a, g AS b FROM generate_series(1, 2000) g UNION ALL
            SELECT 2001, 1, $then FROM (SELECT pg_advisory_lock(72)) l, generate_series(1, 1) g";
}

# Starts a run that is held, waits until all before has been acknowledged, and calls $meanwhile; returns the run's result.
sub run_held
{
    my ($sql, $meanwhile) = @_;
    $other->run('SELECT pg_advisory_lock(72)');
    $super->start($sql);
    wait_for('a run that waits for the lock', sub {
        my $event = $node->safe_psql('postgres', 'SELECT wait_event FROM pg_stat_activity WHERE pid = ' . $super->pid);
        return ($event eq 'advisory', $event);
    });
    $meanwhile->();
    $other->run('SELECT pg_advisory_unlock(72)');
    my $result = $super->finish;
    $super->run('SELECT pg_advisory_unlock_all()');
    wait_for('its courier gone', sub { my @left = couriers_of($super->pid); return (!@left, "@left") });
    return $result;
}

# Waits until the broker has the first frame's messages of a topic, committed or not: at least 1,000.
sub wait_until_there
{
    my ($topic) = @_;
    wait_for("messages in $topic", sub {
        my $there = 0;
        $there += $_->{high} for values %{ $kafka->offsets($topic) };
        return ($there >= 1000, $there);
    });
    return;
}

subtest 'nothing is visible before the end, and then all is' => sub {
    my $topic = topic('commit', partitions => 3);
    my $result = run_held(produce(held('1'), topic => $topic), sub {
        wait_until_there($topic);
        is((split ' ', seen($topic))[0], 0, 'before the end a reader of what is committed sees nothing');
        is(progress_of($node, $super->pid)->{sent}, 0, 'and nothing counts as sent');
    });
    is(counts(figures($result)), '2001 2001 0 0', 'figures');
    is(seen_at_last($topic, 2001), '2001 2001', 'all are visible');
    my @java = $kafka->java_consume($topic, 2001);
    is(scalar @java, 2001, 'to Java too');
    is(counts(figures($super->run(produce('SELECT 1 AS a WHERE false', topic => $topic)))), '0 0 0 0', 'a run without rows commits too');
};

subtest 'rows that break a rule are left out, and the others are committed' => sub {
    my $topic = topic('invalid');
    my $run = figures($super->run(produce(q{SELECT f FROM unnest(ARRAY[1, 'NaN', 3]::float8[]) f}, topic => $topic)));
    is(counts($run), '3 2 1 0', 'dead_letter: figures');
    is($super->row("SELECT count(*) AS n FROM kseg.dead_letter WHERE run = '$run->{run}'")->{n}, 1, 'dead_letter: kept');
    is(seen_at_last($topic, 2), '2 2', 'dead_letter: committed');
    is(counts(figures($super->run(produce(q{SELECT f FROM unnest(ARRAY[1, 'NaN', 3]::float8[]) f}, topic => $topic, on_invalid => 'skip')))), '3 2 1 0', 'skip: figures');
    is(seen_at_last($topic, 4), '4 4', 'skip: committed');
    is(failure($super->run(produce(q{SELECT f FROM unnest(ARRAY[1, 'NaN', 3]::float8[]) f}, topic => $topic, on_invalid => 'error')))->{code}, '22000', 'error: fails');
    is((split ' ', seen($topic))[0], 4, 'error: and nothing of it is visible');
};

subtest 'whatever ends a run before its end, nothing of it is visible' => sub {
    my $topic = topic('aborted');
    my $failure = failure(run_held(produce(held('1 / (g - g)'), topic => $topic), sub { wait_until_there($topic) }));
    is($failure->{code}, '22012', 'an error of the query');
    like($failure->{context}, qr/kseg run \S+: \d+ rows read, 0 events sent before/, 'nothing was sent');
    is((split ' ', seen($topic))[0], 0, 'an error of the query: nothing is visible');

    $topic = topic('cancelled');
    $failure = failure(run_held(produce(held('1'), topic => $topic), sub { wait_until_there($topic); kill 'INT', $super->pid }));
    is($failure->{code}, '57014', 'cancel');
    is((split ' ', seen($topic))[0], 0, 'cancel: nothing is visible');

    $topic = topic('late');
    my $run = figures(run_held(produce(held('1'), topic => $topic, timeout => '5 s', on_failure => 'report'), sub {
        wait_for('the timeout', sub { my @left = couriers_of($super->pid); return (!@left, "@left") });
    }));
    like($run->{first_problem}, qr/stopped by its timeout/, 'timeout');
    is($run->{sent}, 0, 'timeout: nothing counts as sent');
    is((split ' ', seen($topic))[0], 0, 'timeout: nothing is visible');

    # A transaction that was aborted holds nobody up: what is committed behind it is seen at once.
    is(counts(figures($super->run(produce('SELECT 1 AS a', topic => $topic)))), '1 1 0 0', 'the next run commits');
    is((split ' ', seen_at_last($topic, 1))[0], 1, 'and is all there is to see');
};

subtest 'a message that Kafka refuses fails the run' => sub {
    my $topic = topic('refused', config => { 'max.message.bytes' => 2000 });
    my $rows = q{SELECT CASE WHEN g = 3 THEN (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i) ELSE 'x' END AS a, g FROM generate_series(1, 10) g};
    my $failure = failure($super->run(produce($rows, topic => $topic)));
    ok($failure, 'the run fails') or return;
    like("$failure->{message} $failure->{detail}", qr/row 3\b/, 'and says which row it was');
    is((split ' ', seen($topic))[0], 0, 'nothing is visible');
    my $run = figures($super->run(produce($rows, topic => $topic, on_failure => 'report')));
    is($run->{sent}, 0, 'reported: nothing counts as sent');
    my $result = $super->run("BEGIN; " . produce("SELECT 1 AS a", topic => $topic) . "; ROLLBACK");
    is(figures($result)->{sent}, 1, 'in a transaction of PostgreSQL that is rolled back');
    is((split ' ', seen_at_last($topic, 1))[0], 1, 'what Kafka has committed stays');
};

subtest 'a lost courier' => sub {
    my $topic = topic('lost');
    my $failure = failure(run_held(produce(held('1'), topic => $topic), sub {
        wait_until_there($topic);
        my @couriers = couriers_of($super->pid);
        kill 'KILL', @couriers;
        wait_until_ended('the courier', \@couriers);
    }));
    is($failure->{code}, '08006', 'SQLSTATE');
    like($failure->{hint}, qr/^Repeat the run: nothing of it becomes visible/, 'what to do');
    is((split ' ', seen($topic))[0], 0, 'nothing is visible');
};

done_testing();
