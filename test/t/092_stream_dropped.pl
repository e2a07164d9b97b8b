# needs: kafka
# What a stream uses is dropped or forbidden while messages come: it halts, and says what is missing; when that is there again start_stream
# lets it go on, without loss or repetition. Another stream goes on all the time.
use strict;
use warnings;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('dropped');
my $other = $kafka->create_topic($kafka->topic_unique('other'));
my $other_sent = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

topic_table($node, $kafka, $other, 'other');
make_stream($node, 'other');

# What is taken away (STREAM is the name), how it comes again, what the halt says, and how the stream is made. What holds the rows that are
# counted is renamed: for whoever looks it up by its name that is the same.
my @cases = (
    { name => 'target', drop => 'ALTER TABLE STREAM RENAME TO STREAM_away', again => 'ALTER TABLE STREAM_away RENAME TO STREAM', says => qr/^failed 42P01 relation "public\.target" does not exist/ },
    { name => 'target_column', drop => 'ALTER TABLE STREAM RENAME number TO other', again => 'ALTER TABLE STREAM RENAME other TO number',
        says => qr/^failed 42703 column "number" of relation "target_column" does not exist/ },
    { name => 'foreign_table', drop => 'DROP FOREIGN TABLE STREAM_topic', again => 'FOREIGN', says => qr/^failed 42P01 relation "foreign_table_topic" does not exist/ },
    { name => 'foreign_column', drop => 'ALTER FOREIGN TABLE STREAM_topic DROP number', again => 'ALTER FOREIGN TABLE STREAM_topic ADD number int', says => qr/^failed 42703 column "number" does not exist/ },
    { name => 'server', drop => 'DROP SERVER kafka_STREAM CASCADE', again => 'SERVER', says => qr/^failed 42P01 relation "server_topic" does not exist/ },
    { name => 'mapping', drop => 'DROP USER MAPPING FOR PUBLIC SERVER kafka_STREAM', again => 'CREATE USER MAPPING FOR PUBLIC SERVER kafka_STREAM', restart => 1,
        says => qr/^failed \w{5} .*user mapping.*/ },
    { name => 'type', before => q{CREATE TYPE STREAM_t AS ENUM ('a')}, query => q{SELECT part, at, number FROM STREAM_topic WHERE 'a'::STREAM_t = 'a'::STREAM_t},
        drop => 'ALTER TYPE STREAM_t RENAME TO STREAM_away', again => 'ALTER TYPE STREAM_away RENAME TO STREAM_t', restart => 1, says => qr/^failed 42704 type "type_t" does not exist/ },
    { name => 'function', before => q{CREATE FUNCTION STREAM_f(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'}, query => q{SELECT part, at, STREAM_f(number) AS number FROM STREAM_topic},
        drop => 'DROP FUNCTION STREAM_f', again => q{CREATE FUNCTION STREAM_f(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'}, says => qr/^failed 42883 function function_f\(integer\) does not exist/ },
    { name => 'schema', before => 'CREATE SCHEMA aside; CREATE TABLE aside.joined AS SELECT 1 AS one', query => q{SELECT part, at, number FROM STREAM_topic, aside.joined}, drop => 'DROP SCHEMA aside CASCADE',
        again => 'CREATE SCHEMA aside; CREATE TABLE aside.joined AS SELECT 1 AS one', says => qr/^failed 42P01 relation "aside\.joined" does not exist/ },
    { name => 'key_index', before => 'CREATE UNIQUE INDEX STREAM_key ON STREAM (number)', further => q{, key => '{number}', on_conflict => 'update'}, drop => 'DROP INDEX STREAM_key',
        again => 'CREATE UNIQUE INDEX STREAM_key ON STREAM (number)', says => qr/^failed 42P10 .*(?:unique|constraint)/ },
    { name => 'target_right', role => 1, drop => 'REVOKE INSERT ON STREAM FROM reader', again => 'GRANT INSERT ON STREAM TO reader', says => qr/^failed 42501 permission denied for table target_right/ },
    { name => 'source_right', role => 1, drop => 'REVOKE SELECT ON STREAM_topic FROM reader', again => 'GRANT SELECT ON STREAM_topic TO reader',
        says => qr/^failed 42501 permission denied for foreign table source_right_topic/ },
    { name => 'schema_right', role => 1, before => 'CREATE SCHEMA closed; GRANT USAGE ON SCHEMA closed TO reader; CREATE TABLE closed.joined AS SELECT 1 AS one; GRANT SELECT ON closed.joined TO reader',
        query => q{SELECT part, at, number FROM STREAM_topic, closed.joined}, drop => 'REVOKE USAGE ON SCHEMA closed FROM reader', again => 'GRANT USAGE ON SCHEMA closed TO reader', restart => 1,
        says => qr/^failed 42501 permission denied for schema closed/ },
);

sql(q{CREATE ROLE reader LOGIN; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA kseg TO reader});

# The foreign table of a case, as topic_table makes it; its server, too.
sub foreign_table
{
    my ($name, $topic, $with_server) = @_;
    my $server = !$with_server ? '' : "CREATE SERVER kafka_$name FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers '" . $kafka->bootstrap . "');
        CREATE USER MAPPING FOR PUBLIC SERVER kafka_$name;";
    return "$server CREATE FOREIGN TABLE ${name}_topic (part int OPTIONS (meta 'partition'), at bigint OPTIONS (meta 'offset'), number int)
        SERVER kafka_$name OPTIONS (topic '$topic')";
}

sub words { my ($case, $text) = @_; return $text =~ s/STREAM/$case->{name}/gr }

# They are all made first: each halts by itself while the others run.
for my $case (@cases)
{
    my $name = $case->{name};
    $case->{topic} = $kafka->create_topic($kafka->topic_unique($name), partitions => 2);
    topic_table($node, $kafka, $case->{topic}, $name);
    sql(words($case, $case->{before})) if $case->{before};
    sql("GRANT SELECT, INSERT ON $name TO reader; GRANT SELECT ON ${name}_topic TO reader") if $case->{role};
    my $query = words($case, $case->{query} // 'SELECT part, at, number FROM STREAM_topic') =~ s/'/''/gr;
    sql(($case->{role} ? 'SET ROLE reader; ' : '') . "SELECT kseg.stream_to_table('$name', '$query', 'public.$name'" . ($case->{further} // '') . ')');
    $kafka->produce($case->{topic}, map { { value => $_, partition => $_ =~ /[02468]\}/ ? 0 : 1 } } numbers(1 .. 100));
}
wait_for_end($node, $kafka, $_->{name}, $_->{topic}) for @cases;

for my $case (@cases)
{
    my ($name, $topic) = @$case{qw(name topic)};
    subtest "gone: $name" => sub {
        # What a plan that is there does not look up again is missed when the worker opens all anew.
        sql("SELECT kseg.stop_stream('$name')") if $case->{restart};
        wait_for_state($node, $name, 'stopped') if $case->{restart};
        sql(words($case, $case->{drop}));
        $kafka->produce($topic, map { { value => $_, partition => $_ =~ /[02468]\}/ ? 0 : 1 } } numbers(101 .. 200));
        sql("SELECT kseg.start_stream('$name')") if $case->{restart};
        wait_for_state($node, $name, 'failed');
        like(halt_of($node, $name), $case->{says}, 'it halts, and says what is missing');
        is(sql("SELECT sum(\"offset\") FROM kseg.position WHERE stream = '$name'"), 100, 'where it was');
        $kafka->produce($other, numbers($other_sent + 1 .. $other_sent + 10));
        $other_sent += 10;
        sql($case->{again} =~ /^(FOREIGN|SERVER)$/ ? foreign_table($name, $topic, $1 eq 'SERVER') : words($case, $case->{again}));
        sql("SELECT kseg.start_stream('$name')");
        wait_for_end($node, $kafka, $name, $topic);
        is(rows_of($node, $name), rows_are(1 .. 200), 'when it is there again all comes, once');
        is(letters_of($node, $name), 0, 'no message was to blame');
        wait_for_end($node, $kafka, 'other', $other);
        is(rows_of($node, 'other'), rows_are(1 .. $other_sent), 'another stream has gone on');
    };
}

subtest 'gone: the owner\'s right to the server, and the owner' => sub {
    my $topic = $kafka->create_topic($kafka->topic_unique('owner'));
    topic_table($node, $kafka, $topic, 'owned');
    sql(q{CREATE ROLE goes LOGIN; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA kseg TO goes; GRANT SELECT, INSERT ON owned TO goes; GRANT SELECT ON owned_topic TO goes});
    make_stream($node, 'owned', role => 'goes');
    $kafka->produce($topic, numbers(1 .. 100));
    wait_for_end($node, $kafka, 'owned', $topic);
    sql(q{DROP OWNED BY goes; DROP ROLE goes});
    $kafka->produce($topic, numbers(101 .. 200));
    wait_for('the worker gone or halted', sub { my $state = state_of($node, 'owned'); return ($state ne 'running', $state) });
    sql(q{SELECT kseg.alter_stream('owned', owner => current_user)});
    sql(q{SELECT kseg.start_stream('owned')});
    wait_for_end($node, $kafka, 'owned', $topic);
    is(rows_of($node, 'owned'), rows_are(1 .. 200), 'with another owner it goes on');
};

done_testing();
