# needs: kafka
# One failing stream never disturbs another, and nothing that ends a worker loses or repeats a message: a table that is dropped, a worker
# that is killed, a server that is, a schema that goes with the target. Rows = distinct offsets, sums equal.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $topic = $kafka->create_topic($kafka->topic_unique, partitions => 4);
my $node  = stream_cluster('primary');
my $sent  = 0;

# Sends so many more messages.
sub send_more
{
    my ($count) = @_;
    $kafka->produce($topic, map { { value => $_ } } numbers($sent + 1 .. $sent + $count));
    $sent += $count;
    return;
}

# Waits until all that was sent is in a table, and makes sure that each message is there once.
sub all_there
{
    my ($name, $table) = @_;
    $table //= 'good';
    wait_for_answer($node, "SELECT count(*) >= $sent FROM $table", 't');
    return is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT (part, at)), sum(number) FROM $table"),
        join('|', $sent, $sent, $sent * ($sent + 1) / 2), $name);
}

topic_table($node, $kafka, $topic, $_) for qw(good dropped);
$node->safe_psql('postgres', 'CREATE SCHEMA aside; CREATE TABLE aside.target (LIKE good)');
make_stream($node, $_) for qw(good dropped);
$node->safe_psql('postgres', q{SELECT kseg.stream_to_table('aside', 'SELECT part, at, number FROM good_topic', 'aside.target')});
send_more(1000);
all_there('both run');
all_there('into their tables', 'dropped');
all_there('of any schema', 'aside.target');
my ($good) = $node->safe_psql('postgres', q{SELECT pid FROM kseg.stream_status WHERE stream = 'good'});

subtest 'what a stream writes to is dropped' => sub {
    $node->safe_psql('postgres', 'DROP TABLE dropped');
    $node->safe_psql('postgres', 'DROP SCHEMA aside CASCADE');
    send_more(500);
    like(wait_for_state($node, 'dropped', 'failed')->{last_error}, qr/public\.dropped/, 'the stream halts, and says why');
    wait_for_state($node, 'aside', 'failed');
    all_there('another runs on');
    is($node->safe_psql('postgres', q{SELECT pid FROM kseg.stream_status WHERE stream = 'good'}), $good, 'in the same process');
    wait_for_workers($node, 'postgres', 1);
};

subtest 'and comes back' => sub {
    $node->safe_psql('postgres', q{CREATE TABLE dropped (LIKE good); SELECT kseg.start_stream('dropped')});
    wait_for_answer($node, 'SELECT count(*) FROM dropped', 500);
    pass('the stream goes on where it was');
};

subtest 'a worker is killed, again and again' => sub {
    for my $round (1 .. 3)
    {
        my $from = -s $node->logfile;
        my $pid = wait_for('a worker', sub { (grep { defined } workers_of($node, 'postgres'))[0] });
        send_more(300);
        kill 'KILL', $pid;
        wait_for_log($node, qr/database system is ready to accept connections/, $from);
        wait_for_state($node, 'good', 'running');
    }
    all_there('each message once');
};

subtest 'the server is killed' => sub {
    send_more(300);
    my @children = processes_of($node->{_pid});
    $node->kill9;
    wait_until_gone('the server', \@children);
    $node->start;
    send_more(300);
    all_there('each message once');
};

subtest 'the database is copied meanwhile' => sub {
    send_more(300);
    $node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
    send_more(300);
    all_there('each message once');
    my $rows = $node->safe_psql('copy', 'SELECT count(*) FROM good');
    $node->safe_psql('copy', q{SELECT kseg.start_stream('good')});
    wait_for_answer($node, 'SELECT count(*) FROM good', $sent, dbname => 'copy');
    is($node->safe_psql('copy', 'SELECT count(DISTINCT (part, at)) FROM good'), $sent, "and once in the copy, from its own position on (it had $rows rows)");
};

done_testing();
