# needs: kafka
# A stream puts its rows into a plain table many at a time, as COPY does, where nothing can look in between. Whatever the table does with
# rows, it then holds what a plain INSERT of the same messages makes of it; and of a batch with wrong rows just these become dead letters.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use JSON::PP;
use KsegTest;
use KsegKafka;
use KsegStream;

my $kafka = kafka_broker();
my $node  = stream_cluster('bulk', settings => { wal_keep_size => '1GB' });
my $json  = JSON::PP->new->canonical;
my $rows  = 6000;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub source
{
    my ($name) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name), partitions => 1);
    sql("CREATE FOREIGN TABLE ${name}_topic (id int, words text, at bigint OPTIONS (meta 'offset')) SERVER kafka OPTIONS (topic '$topic')");
    return $topic;
}

# Waits until a stream has settled so many messages.
sub wait_for_messages
{
    my ($name, $count) = @_;
    wait_for_answer($node, "SELECT next_offset FROM kseg.position_entry WHERE stream = (SELECT id FROM kseg.stream_entry WHERE name = '$name')", $count,
        timeout => 120);
    return;
}

sql("SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "')");
sql('CREATE EXTENSION pg_walinspect');
my $good = source('good');
$kafka->produce($good, map { { value => $json->encode({ id => $_,
    # Some are too long for a row, and do not compress.
    words => $_ % 500 == 0 ? join('', map { md5_hex($_) } 1 .. 200) : 'w' x ($_ % 300) }) } } 1 .. $rows);

# What is made of NAME before rows come. A table's name says what it is for; bulk: whether its rows may be gathered.
my %setup = (
    plain      => { bulk => 1, ddl => q{CREATE TABLE NAME (number bigint GENERATED ALWAYS AS IDENTITY, words text NOT NULL, gone int, id int CHECK (id > 0),
        few int DEFAULT 7, twice int GENERATED ALWAYS AS (id * 2) STORED); ALTER TABLE NAME DROP COLUMN gone} },
    keyed      => { bulk => 1, ddl => q{CREATE TABLE NAME (id int PRIMARY KEY, words text); CREATE INDEX ON NAME USING hash (id); CREATE INDEX ON NAME (length(words));
        CREATE INDEX ON NAME (id) WHERE id % 2 = 0; CREATE INDEX ON NAME USING gin ((ARRAY[id])); CREATE INDEX ON NAME USING brin (id)} },
    excluded   => { bulk => 1, ddl => q{CREATE TABLE NAME (id int, words text, EXCLUDE USING gist (int4range(id, id + 1) WITH &&))} },
    part       => { bulk => 1, ddl => q{CREATE TABLE NAME_root (id int, words text) PARTITION BY RANGE (id);
        CREATE TABLE NAME PARTITION OF NAME_root FOR VALUES FROM (0) TO (100000)} },
    unlogged   => { ddl => q{CREATE UNLOGGED TABLE NAME (id int PRIMARY KEY, words text)} },
    referring  => { bulk => 1, ddl => q{CREATE TABLE NAME_known (id int PRIMARY KEY); INSERT INTO NAME_known SELECT generate_series(1, 6000);
        CREATE TABLE NAME (id int REFERENCES NAME_known, words text, again int REFERENCES NAME_known DEFERRABLE INITIALLY DEFERRED DEFAULT 1)} },
    after_row  => { bulk => 1, log => 1, ddl => q{CREATE TRIGGER t AFTER INSERT ON NAME FOR EACH ROW WHEN (new.id % 3 = 0) EXECUTE FUNCTION NAME_note()} },
    new_table  => { bulk => 1, log => 1, ddl => q{CREATE FUNCTION NAME_all() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO NAME_log SELECT id FROM new_rows; RETURN NULL; END';
        CREATE TRIGGER t AFTER INSERT ON NAME REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION NAME_all()} },
    deferred   => { bulk => 1, log => 1, ddl => q{CREATE CONSTRAINT TRIGGER t AFTER INSERT ON NAME DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION NAME_note()} },
    # These see the table in the middle of the statement, or rows go elsewhere.
    before_row => { bulk => 0, log => 1, ddl => q{CREATE TRIGGER t BEFORE INSERT ON NAME FOR EACH ROW EXECUTE FUNCTION NAME_note()} },
    defaulted  => { bulk => 0, ddl => q{CREATE TABLE NAME (id int, words text, seen boolean); CREATE FUNCTION NAME_any() RETURNS boolean LANGUAGE plpgsql AS
        'BEGIN RETURN EXISTS (SELECT FROM NAME); END'; ALTER TABLE NAME ALTER seen SET DEFAULT NAME_any()} },
    checked    => { bulk => 0, ddl => q{CREATE TABLE NAME (id int, words text); CREATE FUNCTION NAME_next(int) RETURNS boolean LANGUAGE plpgsql AS
        'BEGIN RETURN $1 = 1 OR EXISTS (SELECT FROM NAME WHERE id = $1 - 1); END'; CREATE INDEX ON NAME (id); ALTER TABLE NAME ADD CHECK (NAME_next(id))} },
    parted     => { bulk => 0, ddl => q{CREATE TABLE NAME (id int, words text) PARTITION BY HASH (id); CREATE TABLE NAME_0 PARTITION OF NAME FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE NAME_1 PARTITION OF NAME FOR VALUES WITH (MODULUS 2, REMAINDER 1)} },
);

# NAME, and what the triggers of NAME note.
sub make_target
{
    my ($name, $setup) = @_;
    my $ddl = $setup->{ddl};
    $ddl = q{CREATE TABLE NAME (id int, words text); CREATE TABLE NAME_log (id int); CREATE FUNCTION NAME_note() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO NAME_log VALUES (new.id); RETURN new; END';} . $ddl if $setup->{log};
    sql($ddl =~ s/NAME/$name/gr);
    return;
}

sub content_of
{
    my ($name, $setup) = @_;
    my $content = sql("SELECT count(*), md5(string_agg(t::text, '|' ORDER BY id)) FROM $name t");
    $content .= ' ' . sql("SELECT count(*), count(DISTINCT id), sum(id) FROM ${name}_log") if $setup->{log};
    return $content;
}

my $begin = sql('SELECT pg_current_wal_insert_lsn()');
for my $name (sort keys %setup)
{
    make_target($_, $setup{$name}) for $name, "${name}_twin";
    sql("SELECT kseg.stream_to_table('$name', 'SELECT id, words FROM good_topic', 'public.$name', batch_rows => 2500)");
}
sql("INSERT INTO ${_}_twin (id, words) SELECT id, words FROM good_topic") for sort keys %setup;
for my $name (sort keys %setup)
{
    wait_for_messages($name, $rows);
    is(content_of($name, $setup{$name}), content_of("${name}_twin", $setup{$name}), "$name: rows are those of an INSERT");
}
is(sql('SELECT count(*) FROM kseg.dead_letter'), 0, 'none was refused');
is(sql('SET enable_seqscan = off; SELECT count(*) FROM keyed WHERE id BETWEEN 1 AND 6000'), $rows, 'an index has them all');
wait_for_answer($node, q{SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'plain'}, $rows);

# Which way they went is told by the WAL: the records are of another kind.
sql('SELECT txid_current()');      # its commit flushes what workers, which do not wait for the disk, have written
my $many = sql(qq{SELECT string_agg(DISTINCT c.relname, ' ' ORDER BY c.relname) FROM pg_class c JOIN
    (SELECT (regexp_match(block_ref, 'rel \\d+/\\d+/(\\d+)'))[1]::oid file FROM pg_get_wal_records_info('$begin', pg_current_wal_flush_lsn())
     WHERE resource_manager = 'Heap2' AND record_type LIKE 'MULTI_INSERT%') w ON w.file = pg_relation_filenode(c.oid)
    WHERE c.oid >= 16384 AND c.relkind = 'r' AND relnamespace = 'public'::regnamespace});
is($many, join(' ', sort grep { $setup{$_}{bulk} } keys %setup), 'many at a time where nothing looks, and nowhere else');
sql("SELECT kseg.drop_stream('$_')") for sort keys %setup;

# ---- wrong rows

# Of 3,000 messages some are wrong; id is the offset + 1 but where it says otherwise.
my $bad = source('bad');
$kafka->produce($bad, map { { value => $json->encode({ id => $_ == 1700 ? 1200 : $_, words => $_ == 2222 ? undef : $_ == 1500 ? 'x' x 5 : 'w' }) } } 1 .. 3000);
my %wrong = (
    unique_key   => ['1699 23505', 'CREATE TABLE NAME (id int PRIMARY KEY, words text)'],
    unique_late  => ['1699 23505', 'CREATE TABLE NAME (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, words text)'],
    not_null     => ['2221 23502', 'CREATE TABLE NAME (id int, words text NOT NULL)'],
    too_long     => ['1499 22001', 'CREATE TABLE NAME (id int, words varchar(4))'],
    check_late   => ['2900 23514', 'CREATE TABLE NAME (id int CHECK (id <> 2901), words text)'],
    generated    => ['2900 22012', 'CREATE TABLE NAME (id int, words text, g int GENERATED ALWAYS AS (1 / (id - 2901)) STORED)'],
    index_wrong  => ['999 22012',  'CREATE TABLE NAME (id int, words text); CREATE INDEX ON NAME ((1 / (id - 1000)))'],
    foreign_key  => ['999 23503|1999 23503', 'CREATE TABLE NAME_known AS SELECT id FROM generate_series(1, 3000) id WHERE id NOT IN (1000, 2000);
        ALTER TABLE NAME_known ADD PRIMARY KEY (id); CREATE TABLE NAME (id int REFERENCES NAME_known, words text)'],
    trigger      => ['41 22023', q{CREATE TABLE NAME (id int, words text); CREATE FUNCTION NAME_no() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN IF new.id = 42 THEN RAISE EXCEPTION 'not this' USING errcode = '22023'; END IF; RETURN NULL; END$$;
        CREATE TRIGGER t AFTER INSERT ON NAME FOR EACH ROW EXECUTE FUNCTION NAME_no()}],
);
for my $name (sort keys %wrong)
{
    sql($wrong{$name}[1] =~ s/NAME/w_$name/gr);
    sql("SELECT kseg.stream_to_table('$name', 'SELECT id, words FROM bad_topic', 'public.w_$name', batch_rows => 2000)");
}
for my $name (sort keys %wrong)
{
    wait_for_messages($name, 3000);
    my $letters = sql(qq{SELECT string_agg("offset" || ' ' || sqlstate, '|' ORDER BY "offset") FROM kseg.dead_letter WHERE stream = '$name'});
    is($letters, $wrong{$name}[0], "$name: the wrong ones are dead letters");
    is(sql("SELECT count(*) FROM w_$name"), 3000 - split(/\|/, $wrong{$name}[0]), "$name: and the others rows");
}

done_testing();
