# needs: kafka
# long: brokers that go and come back
# The tests' own Kafka does what the other tests take for granted: it starts, serves, keeps to the last byte what is put in,
# refuses whom it should, loses nothing when a node is killed, and is gone afterwards. What our client writes kcat and Java read,
# and the other way round: two witnesses that are none of ours.
use strict;
use warnings;
use File::Basename qw(dirname);
use IPC::Run;
use KsegTest;
use KsegKafka;
use KsegRun qw(wait_until_ended);

my $kafka = kafka_broker();

# The messages of a topic as "partition/offset key=value", for comparing.
sub shown { return [ map { "$_->{partition}/$_->{offset} " . ($_->{key} // 'NULL') . '=' . ($_->{value} // 'NULL') } @_ ] }

sub values_of { return [ map { $_->{value} } @_ ] }

subtest 'what our client writes kcat reads, and the other way round' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('kcat'), partitions => 2);
    my @sent  = $kafka->produce($topic, { key => 'a', value => 'one', partition => 1 }, { key => 'b', partition => 1 });
    is_deeply(\@sent, [ { partition => 1, offset => 0 }, { partition => 1, offset => 1 } ], 'the reports tell where they are');
    my $said = $kafka->kcat([ '-C', '-t', $topic, '-e', '-q', '-Z', '-f', '%p/%o %k=%s\n' ]);
    is($said->{out}, "1/0 a=one\n1/1 b=NULL\n", 'kcat reads them');
    $kafka->kcat([ '-P', '-t', $topic, '-p', 0, '-K', ':', '-H', 'h=v' ], "c:three\n");
    my ($first) = $kafka->consume($topic);
    is_deeply([ @$first{qw(partition offset key value headers)} ], [ 0, 0, 'c', 'three', [ [ 'h', 'v' ] ] ], 'ours reads what kcat wrote');
    is_deeply($kafka->offsets($topic), { 0 => { low => 0, high => 1 }, 1 => { low => 0, high => 2 } }, 'offsets');
};

subtest 'a message comes back as it was, whatever bytes it is of' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('bytes'));
    my $every = join '', map { chr } 0 .. 255;
    my @messages = (
        { key => $every, value => $every, headers => [ [ "h\xff", $every ], [ 'again', undef ], [ 'again', '' ] ], timestamp => 1 },
        { key => '', value => '', headers => [] },
        { key => undef, value => undef, headers => [], timestamp => 1_700_000_000_123 },
        { key => undef, value => 'x' x 900_000, headers => [] });
    my $before = int(time() * 1000);
    $kafka->produce($topic, @messages);
    my @read = $kafka->consume($topic);
    is(scalar @read, 4, 'all of them');
    for my $i (0 .. 3)
    {
        is_deeply([ @{ $read[$i] }{qw(key value headers)} ], [ @{ $messages[$i] }{qw(key value headers)} ], "message $i");
    }
    is_deeply([ $read[0]{timestamp}, $read[2]{timestamp} ], [ 1, 1_700_000_000_123 ], 'timestamps that were given');
    cmp_ok($read[1]{timestamp}, '>=', $before - 1000, 'and of now where none was');
    is($read[1]{timestamp_type}, 'create', 'as the producer said');
};

subtest 'transactions: committed, aborted, left open' => sub {
    my $topic    = $kafka->create_topic($kafka->topic_unique('transactions'));
    my $producer = $kafka->producer($topic, transactional_id => $topic);
    for my $end (qw(commit abort))
    {
        $producer->begin;
        $producer->send("to $end");
        is(scalar(my @reports = $producer->$end), 1, "$end has one report");
    }
    $producer->begin;
    $producer->send('open');
    $producer->flush;
    is_deeply(values_of($kafka->consume($topic)), ['to commit'], 'committed messages only');
    is_deeply(values_of($kafka->consume($topic, isolation => 'read_uncommitted')), [ 'to commit', 'to abort', 'open' ], 'or all of them');
    $producer->kill;
    is_deeply(values_of($kafka->consume($topic)), ['to commit'], 'a producer that is killed leaves it open');
    # 0 message, 1 marker, 2 message, 3 marker, 4 message
    is($kafka->offsets($topic)->{0}{high}, 5, 'and markers take offsets');
};

subtest 'topics: grown, emptied from the front, compacted, gone and back' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('topics'), config => { 'max.message.bytes' => 2000 });
    $kafka->produce($topic, map { "v$_" } 1 .. 5);
    eval { $kafka->produce($topic, 'x' x 3000) };
    like($@ || $kafka->offsets($topic)->{0}{high}, qr/produce/, 'a topic\'s property holds: too big');
    $kafka->configure_topic($topic, 'retention.bytes' => -1);
    $kafka->produce($topic, 'x' x 3000);
    is($kafka->offsets($topic)->{0}{high}, 6, 'and what is not set again is gone');
    $kafka->delete_records($topic, 0, 4);
    is_deeply($kafka->offsets($topic), { 0 => { low => 4, high => 6 } }, 'records before an offset are deleted');
    $kafka->grow_topic($topic, 3);
    is(scalar keys %{ $kafka->offsets($topic) }, 3, 'it grows');
    $kafka->delete_topic($topic);
    isnt($kafka->kcat([ '-P', '-t', $topic, '-X', 'message.timeout.ms=2000' ], 'x')->{status}, 0, 'gone, and not made by itself again');
    $kafka->create_topic($topic);
    is($kafka->offsets($topic)->{0}{high}, 0, 'back, and empty');

    my $compacted = $kafka->create_topic($kafka->topic_unique('compacted'),
        config => { 'cleanup.policy' => 'compact', 'segment.ms' => 100, 'min.cleanable.dirty.ratio' => 0.01,
            'max.compaction.lag.ms' => 100 });
    $kafka->produce($compacted, map { { key => $_ % 3, value => $_ } } 1 .. 9);
    # The newest segment is never compacted; a message that comes later makes a new one.
    my @left = @{ wait_for('compaction', sub {
        $kafka->produce($compacted, { key => 'later', value => 'x' });
        my @read = grep { $_->{key} ne 'later' } $kafka->consume($compacted);
        return (@read == 3, \@read);
    }) };
    is_deeply(shown(@left), [ '0/6 1=7', '0/7 2=8', '0/8 0=9' ], 'compaction leaves the last of each key, and gaps');
};

subtest 'Java\'s clients' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('java'), partitions => 7);
    my @keys  = map { "key $_ \xc3\xa4" } 1 .. 20;
    $kafka->java_produce($topic, map { [ $_, 'java' ] } @keys);
    $kafka->produce($topic, map { { key => $_, value => 'librdkafka' } } @keys);
    my @read = $kafka->consume($topic);
    is(scalar @read, 40, 'both have written');
    my %where;
    push @{ $where{ $_->{key} }{ $_->{partition} } }, $_->{value} for @read;
    is_deeply([ map { scalar keys %{ $where{$_} } } @keys ], [ (1) x 20 ], 'a key has one partition, whoever chooses it');
    cmp_ok(keys %{ { map { $_->{partition} => 1 } @read } }, '>', 3, 'keys are spread');
    is_deeply(shown($kafka->java_consume($topic, 40)), shown(@read), 'Java reads the same');
};

# Takes some seconds to start, so it serves for both of the following.
my $secure = kafka_broker(sasl_ssl => 1, set => { 'auto.create.topics.enable' => 'true' });

subtest 'TLS and passwords' => sub {
    my $scram  = KsegKafka::client_version() ge '02.06.01';
    my @sasl   = (-b => $secure->bootstrap_sasl_ssl, -X => 'security.protocol=SASL_SSL', -X => "sasl.username=$KsegKafka::USER");
    my @right  = (-X => 'ssl.ca.location=' . $secure->ca_file);
    my @wrong  = (-X => 'ssl.ca.location=' . $secure->other_ca_file);
    my $word   = "sasl.password=$KsegKafka::PASSWORD";
    my @ssl    = (-b => $secure->bootstrap_ssl, -X => 'security.protocol=SSL', @right);
    my $let_in = sub {
        my ($name, @arguments) = @_;
        my $said = KsegKafka::run_program('', 'kcat', '-L', '-m', 60, @arguments);
        is($said->{status}, 0, $name) or diag($said->{err});
    };
    my $refused = sub {
        my ($name, $why, @arguments) = @_;
        my ($out, $err) = ('', '');
        my $kcat = IPC::Run::start([ 'kcat', '-L', '-m', 60, @arguments ], '<', \'', '>', \$out, '2>', \$err);
        eval { wait_for("kcat refused: $name", sub { $kcat->pump_nb if $kcat->pumpable; return (scalar($err =~ $why), $err) }) };
        my $failure = $@;
        $kcat->signal('KILL');       # asked for metadata it does not hear TERM
        $kcat->finish;
        is($failure, '', "refused: $name");
        is($out, '', '... and told nothing');
    };
    for my $mechanism ('PLAIN', $scram ? ('SCRAM-SHA-256', 'SCRAM-SHA-512') : ())
    {
        $let_in->("$mechanism with the right password", @sasl, @right, -X => $word, -X => "sasl.mechanism=$mechanism");
        $refused->("$mechanism with a wrong password", qr/Authentication failed/,
            @sasl, @right, -X => 'sasl.password=wrong', -X => "sasl.mechanism=$mechanism");
    }
    # librdkafka before 2.6.1 sends its nonce twice, which Kafka refuses since 3.8.1: the broker is all right, as Java shows.
    unless ($scram)
    {
        my $file = PostgreSQL::Test::Utils::tempdir() . '/client.properties';
        append_to_file($file, join "\n", 'security.protocol=SASL_SSL', 'sasl.mechanism=SCRAM-SHA-256', 'ssl.truststore.type=PEM',
            'ssl.truststore.location=' . $secure->ca_file, 'sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule '
            . "required username=\"$KsegKafka::USER\" password=\"$KsegKafka::PASSWORD\";\n");
        my $said = $secure->java_tool('kafka.admin.ConfigCommand', [ '--bootstrap-server', $secure->bootstrap_sasl_ssl,
                '--command-config', $file, '--describe', '--entity-type', 'users' ]);
        like($said->{out}, qr/SCRAM-SHA-256=iterations/, 'SCRAM with the right password') or diag($said->{err});
    }
    $refused->('an authority that did not sign', qr/certificate verify failed/, @sasl, @wrong, -X => $word, -X => 'sasl.mechanism=PLAIN');
    $refused->('plaintext where TLS is spoken', qr/Disconnected|disconnected/, -b => $secure->bootstrap_sasl_ssl);
    $refused->('no certificate where one is wanted', qr/SSL alert|disconnected|Disconnected/i, @ssl);
    $let_in->('a client certificate', @ssl, -X => 'ssl.certificate.location=' . $secure->certificate_file,
        -X => 'ssl.key.location=' . $secure->key_file);
    $let_in->('a client certificate whose key has a password', @ssl, -X => 'ssl.certificate.location=' . $secure->certificate_file,
        -X => 'ssl.key.location=' . $secure->encrypted_key_file, -X => "ssl.key.password=$KsegKafka::KEY_PASSWORD");
};

subtest 'one of the test\'s own: set, killed, back, and gone' => sub {
    is($secure->kcat([ '-P', '-t', 'by-itself' ], "kept\n")->{status}, 0, 'a property is set: topics are made by themselves');
    $secure->kill_node(1);
    $secure->restart_node(1);
    is_deeply(values_of($secure->consume('by-itself')), ['kept'], 'killed and started again it has what it had, at the same address');
    my $dir = $secure->{dir};
    is_deeply([ glob dirname(dirname($dir)) . '/broker_*/*' ], [$dir], 'its files are in one folder');
    $secure->stop;
    ok(!-e $dir, 'stopped, it has left none');

    eval { kafka_broker(set => { 'log.segment.bytes' => 'many' }) };
    like($@, qr/log\.segment\.bytes/, 'a broker that cannot start says why');
    is_deeply([ glob dirname(dirname($dir)) . '/broker_*/*' ], [], '... and leaves nothing');
    eval { $kafka->kill_node(1) };
    like($@, qr/shared/, 'the shared one is not to be killed');
};

subtest 'three nodes, one killed, one paused' => sub {
    my $three = kafka_broker(nodes => 3);
    my $topic = $three->create_topic($three->topic_unique('three'), partitions => 3);
    $three->produce($topic, map { { value => "before $_", partition => $_ } } 0 .. 2);
    $three->kill_node(2);
    $three->produce($topic, map { { value => "without 2 $_", partition => $_ } } 0 .. 2);
    $three->restart_node(2);
    $three->pause_node(3);
    $three->produce($topic, map { { value => "without 3 $_", partition => $_ } } 0 .. 2);
    $three->resume_node(3);
    is_deeply(shown($three->consume($topic)),
        [ map { ("$_/0 NULL=before $_", "$_/1 NULL=without 2 $_", "$_/2 NULL=without 3 $_") } 0 .. 2 ],
        'nothing is lost, and the order is kept');
    my @nodes = map { $three->node_pid($_) } 1 .. 3;
    $three->stop;
    wait_until_ended('nodes', \@nodes, 1);
};

done_testing();
