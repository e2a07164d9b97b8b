# needs: kafka
# What a stream is made of becomes something else while it runs, by its name still there: a view, a foreign table, the type of a key, a password. What
# was checked when the stream was made is checked again; nothing is applied twice, left out, or held to be a message's fault.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;
use PostgreSQL::Test::Utils qw(slurp_file);

my $kafka = kafka_broker();
my $node  = stream_cluster('changed');

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A topic with messages 1 .. 3 that flows through the query, NAME standing for the name, into a table; all have come.
sub begin_stream
{
    my ($name, %options) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name));
    topic_table($node, $kafka, $topic, $name);
    sql($options{before} =~ s/NAME/$name/gr) if $options{before};
    my $query = ($options{query} // 'SELECT part, at, number FROM NAME_topic') =~ s/NAME/$name/gr;
    sql("SELECT kseg.stream_to_table('$name', '$query', 'public.$name'" . ($options{further} // '') . ')');
    $kafka->produce($topic, @{ $options{messages} // [ numbers(1 .. 3) ] });
    wait_for_end($node, $kafka, $name, $topic);
    return $topic;
}

subtest 'a view that reads another topic, too' => sub {
    my $other = $kafka->create_topic($kafka->topic_unique('second'));
    topic_table($node, $kafka, $other, 'second');
    $kafka->produce($other, numbers(1001 .. 1003));
    my $topic = begin_stream('viewed', before => 'CREATE VIEW NAME_view AS SELECT part, at, number FROM NAME_topic', query => 'SELECT part, at, number FROM NAME_view');
    sql('CREATE OR REPLACE VIEW viewed_view AS SELECT part, at, number FROM viewed_topic UNION ALL SELECT part, at, number FROM second_topic');
    $kafka->produce($topic, numbers(4));
    wait_for_state($node, 'viewed', 'failed');
    like(halt_of($node, 'viewed'), qr/^failed 0A000 .*(?:more than one Kafka topic|UNION)/, 'it halts, and says why');
    is(rows_of($node, 'viewed'), rows_are(1 .. 3), 'nothing of the other topic is in the table');
    sql('CREATE OR REPLACE VIEW viewed_view AS SELECT part, at, number FROM viewed_topic');
    sql(q{SELECT kseg.start_stream('viewed')});
    wait_for_end($node, $kafka, 'viewed', $topic);
    is(rows_of($node, 'viewed'), rows_are(1 .. 4), 'with the view as it was it goes on');
};

subtest 'a view that groups' => sub {
    my $topic = begin_stream('grouped', before => 'CREATE VIEW NAME_view AS SELECT part, at, number FROM NAME_topic', query => 'SELECT part, at, number FROM NAME_view');
    sql('CREATE OR REPLACE VIEW grouped_view AS SELECT part, max(at) AS at, max(number) AS number FROM grouped_topic GROUP BY part');
    $kafka->produce($topic, numbers(4));
    wait_for_state($node, 'grouped', 'failed');
    like(halt_of($node, 'grouped'), qr/^failed 0A000 the query /, 'it halts, as it would not have been made');
    is(rows_of($node, 'grouped'), rows_are(1 .. 3), 'and applies nothing');
};

for my $case ([ 'remade', '' ], [ 'remade_key', q{, key => '{number}', on_conflict => 'update'} ])
{
    my ($name, $further) = @$case;
    subtest "a foreign table that is dropped and made again, $name" => sub {
        my $topic = begin_stream($name, further => $further, before => 'ALTER TABLE NAME ADD UNIQUE (number)');
        sql("BEGIN; DROP FOREIGN TABLE ${name}_topic; CREATE FOREIGN TABLE ${name}_topic (part int OPTIONS (meta 'partition'), at bigint OPTIONS (meta 'offset'), number int)
            SERVER kafka_$name OPTIONS (topic '$topic'); COMMIT");
        $kafka->produce($topic, numbers(4 .. 6));
        wait_for_end($node, $kafka, $name, $topic);
        is(rows_of($node, $name), rows_are(1 .. 6), 'the stream goes on with the new one, by itself');
        is(state_of($node, $name), 'running', 'and runs');
    };
}

subtest 'the type of a key' => sub {
    my $name = 'typed';
    my $topic = $kafka->create_topic($kafka->topic_unique($name));
    topic_table($node, $kafka, $topic, $name);
    sql('CREATE TABLE prices (price numeric(10,2) PRIMARY KEY, gone boolean); ALTER FOREIGN TABLE typed_topic ADD price numeric, ADD gone boolean');
    sql(q{SELECT kseg.stream_to_table('typed', 'SELECT price, gone FROM typed_topic', 'prices', key => '{price}', on_conflict => 'update', delete_when => 'gone')});
    $kafka->produce($topic, '{"price": 1.5, "gone": false}');
    wait_for_end($node, $kafka, $name, $topic);
    sql('ALTER TABLE prices ALTER price TYPE numeric(12,4)');
    # In one batch: the stream is stopped while they come.
    sql(q{SELECT kseg.stop_stream('typed')});
    wait_for_state($node, 'typed', 'stopped');
    sql(q{SELECT kseg.start_stream('typed')});
    $kafka->produce($topic, map { qq({"price": $_, "gone": false}) } '1.001', '1.002');
    wait_for_end($node, $kafka, $name, $topic);
    sql('ALTER TABLE prices ALTER price TYPE numeric(14,6)');
    $kafka->produce($topic, map { qq({"price": $_, "gone": false}) } '2.00001', '2.00002', '2.00003');
    wait_for_end($node, $kafka, $name, $topic);
    is(sql(q{SELECT string_agg(trim_scale(price)::text, ' ' ORDER BY price) FROM prices}), '1.001 1.002 1.5 2.00001 2.00002 2.00003', 'keys are told apart by the type they have now');
    is(letters_of($node, $name), 0, 'no message was to blame');
};

subtest 'a scale that a message names' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('scale'));
    sql(q{CREATE SERVER scales FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '} . $kafka->bootstrap . q{'); CREATE USER MAPPING FOR PUBLIC SERVER scales;
        CREATE FOREIGN TABLE scale_topic (at bigint OPTIONS (meta 'offset'), amount numeric) SERVER scales OPTIONS (topic '} . $topic . q{', format 'debezium', on_error 'skip')});
    my $message = '{"schema": {"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": [{"field": "amount", "type": "bytes", '
      . '"name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "SCALE"}}]}]}, "payload": {"before": null, "after": {"amount": "AQ=="}, "op": "c"}}';
    $kafka->produce($topic, map { $message =~ s/SCALE/$_/r } 2, 1_000_000_000, '9' x 30, -1, '-1000000000');
    my ($status, $out, $err) = $node->psql('postgres', q{SELECT at, amount FROM scale_topic ORDER BY at});
    is($out, "0|0.01\n3|10", 'one beyond numeric\'s is refused, not written out; below zero it is a scale, too');
};

subtest 'a password' => sub {
    my $secure = kafka_broker(sasl_ssl => 1);
    my $topic = $secure->create_topic($secure->topic_unique('password'));
    my $ca = $secure->ca_file;
    # The broker has its users of PLAIN in its properties.
    my $set_password = sub {
        my ($password) = @_;
        my $file = $secure->{dir} . '/node1/server.properties';
        $secure->kill_node(1);
        my $properties = slurp_file($file);
        is($properties =~ s/(user_kseg=")[^"]*"/$1$password"/g, 1, 'Kafka has another password');
        open my $handle, '>', $file or die;
        print $handle $properties;
        close $handle;
        $secure->restart_node(1);
    };
    sql(qq{CREATE SERVER secure FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '} . $secure->bootstrap_sasl_ssl . qq{', security_protocol 'sasl_ssl', sasl_mechanism 'PLAIN', ssl_ca_file '$ca');
        CREATE USER MAPPING FOR PUBLIC SERVER secure OPTIONS (sasl_username 'kseg', sasl_password '$KsegKafka::PASSWORD');
        CREATE FOREIGN TABLE password_topic (part int OPTIONS (meta 'partition'), at bigint OPTIONS (meta 'offset'), number int) SERVER secure OPTIONS (topic '$topic');
        CREATE TABLE password (part int, at bigint, number int)});
    make_stream($node, 'password');
    $secure->produce($topic, numbers(1 .. 3));
    wait_for_end($node, $secure, 'password', $topic);
    sql(q{ALTER USER MAPPING FOR PUBLIC SERVER secure OPTIONS (SET sasl_password 'another-secret')});
    $set_password->('another-secret');
    $secure->produce($topic, numbers(4 .. 6));
    wait_for_end($node, $secure, 'password', $topic);
    is(rows_of($node, 'password'), rows_are(1 .. 6), 'the new one is taken from the user mapping when the old one is refused');
    $set_password->('a-third-secret');
    wait_for_state($node, 'password', 'failed');
    like(halt_of($node, 'password'), qr/^failed 28000 .*denied/, 'a password that is wrong halts it');
    $secure->stop;
};

done_testing();
