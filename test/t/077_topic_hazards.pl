# needs: kafka
# What a topic can hold that nobody would wish for: values that are no JSON, or none that fits; keys and headers of any bytes; huge
# and hostile names; gaps, transactions, a hundred partitions. Each is a row, an error of its row, or a clear refusal; never a crash,
# and never a wrong row. Two witnesses: PostgreSQL's own JSON, and the tests' own client.
use strict;
use warnings;
use utf8;
use Encode qw(encode);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use KsegTest;
use KsegRun;
use KsegKafka;
use KsegStream qw(wait_for_answer);

my $kafka = kafka_broker();
my $node = new_cluster('hazards');
my $connect = "SELECT kseg.connect_kafka(bootstrap_servers => '" . $kafka->bootstrap . "'";
$node->safe_psql('postgres', "$connect)");
$node->safe_psql('postgres', "$connect, server => 'dirty')");
$node->safe_psql('postgres', "ALTER SERVER dirty OPTIONS (ADD isolation_level 'read_uncommitted')");
my $session = run_session($node);
my $json = JSON::PP->new->utf8->allow_nonref;

# What columns of these names show of a message's head.
my %meta = (off => q{off bigint OPTIONS (meta 'offset')}, part => q{part int OPTIONS (meta 'partition')}, key => q{key bytea OPTIONS (meta 'key')},
    value => q{value bytea OPTIONS (meta 'value')}, headers => q{headers jsonb OPTIONS (meta 'headers')}, problem => q{problem text OPTIONS (meta 'error')});
sub meta { return join ', ', map { $meta{$_} } @_ }

# A topic whose messages stay however old they are.
sub topic
{
    my ($what, %options) = @_;
    return $kafka->create_topic($kafka->topic_unique($what), partitions => $options{partitions} // 1,
        config => { 'retention.ms' => -1, %{ $options{config} // {} } });
}

sub table
{
    my ($table, $topic, $columns, $options, $server) = @_;
    $options = join ', ', "topic '$topic'", $options || ();
    $node->safe_psql('postgres', "CREATE FOREIGN TABLE $table ($columns) SERVER " . ($server // 'kafka') . " OPTIONS ($options)");
    return $table;
}

sub rows
{
    my ($sql) = @_;
    my $result = $session->run($sql);
    return $result->{err} ne '' ? $result->{err} : $result->{out};
}

sub refused { return failure($session->run($_[0])) // { code => 'none', message => '', detail => '', hint => '', context => '' } }

# Rows as lists of hashes, without psql's formatting between.
sub hashes { return $session->rows($_[0]) }

# ---- values that are no JSON

my $pair = '\ud83d\ude00';
my @values = (
    # what the message is, its value, what is wrong with it: nothing, or the reader's words
    [ 'an object', '{"n":"good"}' ],
    [ 'blanks around everything', " \t\r\n{ \"n\" :\n\"good\" } \r\n" ],
    [ 'an empty object', '{}' ],
    [ 'null', 'null' ],
    [ 'true', 'true' ],
    [ 'a number', '-0.5e+3' ],
    [ 'a string', '"n"' ],
    [ 'an array', '[{"n":1},null,"n"]' ],
    [ 'an empty array', '[]' ],
    [ 'every escape', qq({"n":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9$pair"}) ],
    [ 'a key that is written with escapes', '{"\u006e":"good"}' ],
    [ 'a key that comes twice', '{"n":"first","n":"good"}' ],
    [ 'a key that comes twice, null at last', '{"n":"first","n":null}' ],
    [ 'the empty key', '{"":"x","n":"good"}' ],
    [ 'the highest character of all', qq({"n":"\xf4\x8f\xbf\xbf"}) ],
    [ 'nothing', '', qr/at byte 1: it ends too early/ ],
    [ 'blanks only', "  \n", qr/at byte 4: it ends too early/ ],
    [ 'words', 'hello', qr/at byte 1: expected a value/ ],
    [ 'a word that is cut off', '{"n":tru', qr/./ ],
    [ 'a word with capitals', '{"n":True}', qr/at byte 6: expected a value/ ],
    [ 'NaN', '{"n":NaN}', qr/at byte 6: expected a value/ ],
    [ 'Infinity', '{"n":-Infinity}', qr/at byte 7: expected a digit/ ],
    [ 'a value that is cut off', '{"n":"go', qr/at byte 9: it ends too early/ ],
    [ 'an object without end', '{"n":"good"', qr/at byte 12: it ends too early/ ],
    [ 'an array without end', '[1,2', qr/at byte 5: it ends too early/ ],
    [ 'a comma too many', '{"n":"good",}', qr/at byte 13: expected a key/ ],
    [ 'a comma too many in an array', '{"n":[1,]}', qr/at byte 9: expected a value/ ],
    [ 'a comma missing', '{"n":1 "m":2}', qr/at byte 8: expected "," or "}"/ ],
    [ 'a colon missing', '{"n" 1}', qr/at byte 6: expected ":"/ ],
    [ 'the wrong bracket', '{"n":[1}}', qr/at byte 8: expected "," or "]"/ ],
    [ 'two values', '{"n":1}{"n":2}', qr/at byte 8: something behind the value/ ],
    [ 'a bracket too many', '{"n":1}}', qr/at byte 8: something behind the value/ ],
    [ 'single quotes', q({'n':'x'}), qr/at byte 2: expected a key/ ],
    [ 'a key without quotes', '{n:1}', qr/at byte 2: expected a key/ ],
    [ 'a comment', '{"n":1/*x*/}', qr/at byte 7/ ],
    [ 'a plus sign', '{"n":+1}', qr/at byte 6: expected a value/ ],
    [ 'a leading zero', '{"n":012}', qr/at byte 6: a number may not begin with zero/ ],
    [ 'a point without digits', '{"n":1.}', qr/at byte 8: expected a digit/ ],
    [ 'an exponent without digits', '{"n":1e}', qr/at byte 8: expected a digit/ ],
    [ 'a hexadecimal number', '{"n":0x10}', qr/at byte 7/ ],
    [ 'a line end in a string', qq({"n":"a\nb"}), qr/at byte 8: control character in a string/ ],
    [ 'a zero byte in a string', qq({"n":"a\0b"}), qr/at byte 8: control character in a string/ ],
    [ 'a zero byte behind it', qq({"n":"a"}\0), qr/at byte 10: something behind the value/ ],
    [ 'a zero byte and nothing else', "\0", qr/at byte 1: expected a value/ ],
    [ 'an escape that there is not', '{"n":"\x41"}', qr/at byte 7: unknown escape/ ],
    [ 'half an escape', '{"n":"\u00e"}', qr/at byte 7: expected four hexadecimal digits/ ],
    [ '\u0000', '{"n":"a\u0000b"}', qr/at byte 8: "\\u0000" cannot be kept/ ],
    [ '\u0000 where nobody looks', '{"m":"a\u0000b","n":"good"}', qr/"\\u0000" cannot be kept/ ],
    [ '\u0000 in a key', '{"\u0000":1,"n":"good"}', qr/"\\u0000" cannot be kept/ ],
    [ 'the first half of a pair', '{"n":"\ud83d"}', qr/at byte 7: half of a surrogate pair/ ],
    [ 'the second half of a pair', '{"n":"\ude00"}', qr/half of a surrogate pair/ ],
    [ 'a pair the wrong way round', '{"n":"\ude00\ud83d"}', qr/half of a surrogate pair/ ],
    [ 'half a pair and a letter', '{"n":"\ud83dx"}', qr/half of a surrogate pair/ ],
    [ 'a byte order mark', qq(\xef\xbb\xbf{"n":1}), qr/at byte 1/ ],
    [ 'UTF-16', join('', map { "$_\0" } split //, '{"n":1}'), qr/at byte 2/ ],
    [ 'a byte that is no UTF-8', qq({"n":"\xff"}), qr/at byte 7: invalid UTF-8/ ],
    [ 'a byte of LATIN1', qq({"n":"\xe9t\xe9"}), qr/at byte 7: invalid UTF-8/ ],
    [ 'no UTF-8 where nobody looks', qq({"m":"\xc3","n":1}), qr/at byte 7: invalid UTF-8/ ],
    [ 'no UTF-8 in a key', qq({"\x80":1}), qr/at byte 3: invalid UTF-8/ ],
    [ 'an overlong form', qq({"n":"\xc0\xaf"}), qr/at byte 7: invalid UTF-8/ ],
    [ 'a surrogate as bytes', qq({"n":"\xed\xa0\xbd\xed\xb8\x80"}), qr/at byte 7: invalid UTF-8/ ],
    [ 'above the highest character', qq({"n":"\xf4\x90\x80\x80"}), qr/at byte 7: invalid UTF-8/ ],
    [ 'a character that is cut off', qq({"n":"\xe2\x82"}), qr/at byte 7: invalid UTF-8/ ],
    [ 'any bytes', join('', map { chr } 0 .. 255), qr/./ ]);
my $kinds = topic('kinds');
$kafka->produce($kinds, map { $_->[1] } @values);
table('kinds', $kinds, "n text, whole jsonb OPTIONS (path 'n'), " . meta(qw(off value problem)), q{on_error 'null'});
table('kinds_strict', $kinds, 'n text, ' . meta('off'));
table('kinds_good', $kinds, 'n text, ' . meta('off'), q{on_error 'skip'});

my @shown = hashes('SELECT n, off, encode(value, \'hex\') AS value, problem FROM kinds');
is(scalar @shown, scalar @values, 'every message is a row');
for my $i (0 .. $#values)
{
    my ($name, $value, $wrong) = @{ $values[$i] };
    my $row = $shown[$i];
    is("$row->{off} $row->{value}", "$i " . unpack('H*', $value), "$name: in its place, with its bytes");
    if (!$wrong)
    {
        is($row->{problem}, undef, "$name: nothing is wrong");
        next;
    }
    is($row->{n}, undef, "$name: NULL");
    like($row->{problem}, qr/^malformed JSON .*$wrong/, "$name: what is wrong");
}
my @good = grep { !$values[$_][2] } 0 .. $#values;
is(rows('SELECT off FROM kinds_good'), join("\n", @good), 'skip: those that are right, and no others');
my @said = ('good', 'good', (undef) x 7, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80", 'good', 'good', undef, 'good', "\xf4\x8f\xbf\xbf");
is(rows(q{SELECT encode(convert_to(n, 'UTF8'), 'hex') FROM kinds_good}), join("\n", map { defined $_ ? unpack 'H*', $_ : '' } @said),
    '... and what they say: of what is no object nothing');
for my $i (grep { $values[$_][2] } 0 .. $#values)
{
    my $problem = refused("SELECT n FROM kinds_strict WHERE off >= $i");
    my $words = $shown[$i]{problem};
    is("$problem->{code} $problem->{message}", "22P02 topic \"$kinds\", partition 0, offset $i: $words", "error: $values[$i][0], where and why");
}
is(rows('SELECT count(*), sum(off) FROM kinds_strict'), scalar(@values) . '|' . $#values * @values / 2, 'what nobody asks for is not read');

# PostgreSQL's own JSON, of the same values and of thousands that somebody has scribbled on.
$node->safe_psql('postgres', q{
    CREATE FUNCTION document(bytes bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        RETURN convert_from(bytes, 'UTF8')::jsonb;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN RETURN NULL;
    END $$});
sub different
{
    my ($table) = @_;
    return $node->safe_psql('postgres', qq{
        WITH read AS MATERIALIZED (SELECT off, problem, whole, n, value, document(value) AS said FROM $table)
        SELECT string_agg(format('%s: %s: %L, %L', off, problem, whole, encode(value, 'escape')), '; ') FROM read
        WHERE (problem IS NULL) <> (said IS NOT NULL) OR whole IS DISTINCT FROM nullif(said->'n', 'null') OR
            (jsonb_typeof(whole) NOT IN ('object', 'array', 'number') AND n IS DISTINCT FROM said->>'n')});
}
is(different('kinds'), '', 'PostgreSQL says the same of each');
srand 4711;
my @documents = ('{"n":[{"a":1.5e3,"b":[true,false,null]},"x"],"m":{"n":2}}', qq({"a":"\\u00e9$pair\\n","n":"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80","n":{"n":-0.25}}),
    '{"m":[[[[]]],{"":{}}],"n":123456789012345678901234567890}', '[{"n":1},{"n":2}]', '{"n":"\\\\\"\/","\u006e":true}');
my @pieces = ('"', '\\', '{', '}', '[', ']', ',', ':', '\u', '\u0000', '\ud83d', '0', '-', '.', 'e', 'n', 'null', ' ', "\n", "\0", "\x80", "\xc3", "\xed\xa0\x80", "\xff", '"n":', "\x1f", "\x7f");
my @scribbled;
for (1 .. 4000)
{
    my $document = $documents[ rand @documents ];
    for (0 .. rand 3)
    {
        my $at = int rand 1 + length $document;
        substr $document, $at, rand() < .5 ? int rand 3 : 0, rand() < .7 ? $pieces[ rand @pieces ] : '';
    }
    # A number with such an exponent is JSON, but none of jsonb's.
    redo if $document =~ /\de[-+]?\d{4}/i;
    push @scribbled, $document;
}
my $scribbled = topic('scribbled');
$kafka->produce($scribbled, @scribbled);
table('scribbled', $scribbled, "n text, whole jsonb OPTIONS (path 'n'), " . meta(qw(off value problem)), q{on_error 'null'});
my ($right, $wrong) = split /\|/, rows('SELECT count(*) FILTER (WHERE problem IS NULL), count(problem) FROM scribbled');
is($right + $wrong, 4000, 'thousands of documents that somebody has scribbled on');
cmp_ok($_, '>', 200, '... right ones and wrong ones') for $right, $wrong;
is(different('scribbled'), '', '... of which PostgreSQL says the same');

# ---- nesting

sub nested { my ($open, $close, $depth) = @_; return $open x $depth . $close x $depth }
my @deep = (
    # value, is it right?
    [ '{"d":' . nested('[', ']', 63) . '}', 1 ],
    [ '{"d":' . nested('[', ']', 64) . '}', 0 ],
    [ '{"other":' . nested('[', ']', 64) . '}', 0 ],
    [ '{"d":' . ('{"d":' x 62) . '{}' . '}' x 63, 1 ],
    [ '{"d":' . ('{"d":' x 63) . '{}' . '}' x 64, 0 ],
    [ nested('[', ']', 64), 1 ],
    [ nested('[', ']', 65), 0 ],
    [ nested('[', ']', 100_000), 0 ],
    [ '[' x 500_000, 0 ],
    [ '{"d":' x 100_000, 0 ],
    [ '{"other":' . nested('[', ']', 100_000) . '}', 0 ],
    [ '{"d":' . join(',', ('[') x 100_000) . '}', 0 ],
    [ '[' . join(',', ('[[]]') x 100_000) . ']', 1 ]);
my $deep = topic('deep');
$kafka->produce($deep, map { $_->[0] } @deep);
table('deep', $deep, "d jsonb, grid int[] OPTIONS (path 'd'), " . meta(qw(off problem)), q{on_error 'null'});
is(rows('SELECT off FROM deep WHERE problem IS NULL OR problem NOT LIKE \'malformed%\''), join("\n", grep { $deep[$_][1] } 0 .. $#deep), '64 deep is right, 65 is not');
is(rows(q{SELECT count(*) FROM deep WHERE problem ~ '^malformed JSON at byte \d+: (nested too deep|expected a value)$'}), scalar(grep { !$_->[1] } @deep), '... and told so');
is(rows('SELECT octet_length(d::text) FROM deep WHERE off IN (0, 3) ORDER BY off'), "126\n" . (length($deep[3][0]) - 6 + 62), '64 deep arrives whole');
like(rows('SELECT problem FROM deep WHERE off = 0'), qr/^column "grid": /, '... and what an array cannot take of it is that column\'s');
is(rows('SELECT count(*) FROM deep'), scalar @deep, 'however deep');
table('deep_strict', $deep, 'd json, ' . meta('off'));
like(refused('SELECT d FROM deep_strict WHERE off = 7')->{message}, qr/^topic "$deep", partition 0, offset 7: malformed JSON at byte 65: nested too deep$/, 'error: where it is too deep');

# ---- any JSON into any type, as json_to_record has it

my @fields = ('0', '1', '-1.5', '1e400', '-1e-400', '1e5', '1e140000', '9223372036854775808', '9' x 30, '-' . '9' x 30, '0.' . '3' x 30, '9' x 131_072, '9' x 131_073, 'true', 'false', 'null',
    '""', '" "', '"x"', '"1"', '" 1 "', '"t"', '"null"', '"NaN"', '"Infinity"', '"1,5"', '"2026-01-02"', '"2026-02-30"', '"2026-01-02T03:04:05Z"', '"24:00"', '"1 day -2 hours"', '"P1Y"', '"red"', '"Red"',
    '"{}"', '"{1,2}"', '"{1,x}"', '"{{1},{2}}"', '"(1,x)"', '"(x,1)"', '"(1)"', '"[1,2)"', '"[2,1)"', '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"', '"\\\\x00ff"', '"\\\\x0"', '"10.0.0.1/8"',
    '"' . 'x' x 1000 . '"', '"\u00e9"', '"a\nb"', '"<a/>"', '"<a>"', '[]', '[1,2]', '[1,"x"]', '[null]', '[[1],[2]]', '[[1],[2,3]]', '[[1],2]', '["red"]', '{}', '{"a":1}', '{"a":1,"b":"x"}', '{"a":"x"}',
    '{"a":null,"b":[1]}', '[{"a":1}]', '[{"a":"x"}]', '{"a":{"a":1}}');
my %types = (i2 => 'smallint', i4 => 'integer', i8 => 'bigint', f4 => 'real', f8 => 'double precision', nu => 'numeric', nu2 => 'numeric(5,2)', b => 'boolean', t => 'text', v => 'varchar(3)', c => 'char(3)',
    by => 'bytea', u => 'uuid', d => 'date', ti => 'time', ts => 'timestamp', tz => 'timestamptz(0)', iv => 'interval', ip => 'inet', r => 'int4range', x => 'xml', j => 'json', jb => 'jsonb', en => 'colour',
    ar => 'int[]', arv => 'varchar(3)[]', ae => 'colour[]', co => 'place', coa => 'place[]', dp => 'positive', dn => 'never_null', da => 'short_list', dc => 'real_place', dj => 'small_document', bi => 'bit(4)', na => 'name');
$node->safe_psql('postgres', q{
    CREATE TYPE colour AS ENUM ('red', 'green');
    CREATE TYPE place AS (a int, b varchar(2));
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE DOMAIN never_null AS text NOT NULL;
    CREATE DOMAIN short_list AS int[] CHECK (array_length(VALUE, 1) < 2);
    CREATE DOMAIN real_place AS place CHECK ((VALUE).a > 0);
    CREATE DOMAIN small_document AS jsonb CHECK (octet_length(VALUE::text) < 10)});
my $fields = topic('fields');
$kafka->produce($fields, map { qq({"v":$_}) } @fields);
table('fields', $fields, join(', ', map { "$_ $types{$_} OPTIONS (path 'v')" } sort keys %types) . ', ' . meta(qw(off value problem)), q{on_error 'null'});
$node->safe_psql('postgres', q{
    CREATE FUNCTION reading(document json, type text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE result text;
    BEGIN
        EXECUTE format('SELECT v::text FROM json_to_record(%L) AS r(v %s)', document, type) INTO result;
        RETURN result;
    EXCEPTION WHEN OTHERS THEN RETURN 'wrong: ' || SQLERRM;
    END $$});
for my $column (sort keys %types)
{
    # json is as it stands in the message, where json_to_record writes strings anew.
    my ($got, $want) = $column eq 'j' ? (q(j #>> '{}'), q(reading(document, 'json')::json #>> '{}')) : ("$column\::text", "reading(document, '$types{$column}')");
    my $different = $node->safe_psql('postgres', qq{
        WITH read AS MATERIALIZED (SELECT $got AS got, problem, convert_from(value, 'UTF8')::json AS document FROM fields),
            said AS MATERIALIZED (SELECT *, $want AS want FROM read)
        SELECT string_agg(format('%s: %s instead of %s', left(document::text, 99), left(got, 99), left(want, 99)), '; ') FROM said
        WHERE CASE WHEN want LIKE 'wrong: %' THEN got IS NOT NULL OR strpos(problem, format('column "%s": ', '$column')) = 0
            ELSE got IS DISTINCT FROM want OR strpos(coalesce(problem, ''), format('column "%s": ', '$column')) > 0 END});
    is($different, '', "$types{$column}: any JSON is read as PostgreSQL reads it, or wrong as it says");
}
is(rows('SELECT count(*) FROM fields'), scalar @fields, 'all of them are rows');
is(rows('BEGIN; SELECT count(problem) > 50 FROM fields; SELECT pg_current_xact_id_if_assigned() IS NULL; COMMIT'), "t\nt", 'thousands of errors that are caught take no transaction id');

# on_error 'error': of each type the first field that it cannot take is told, with its place; a code of the data's own.
table('fields_strict', $fields, join(', ', map { "$_ $types{$_} OPTIONS (path 'v')" } sort keys %types) . ', ' . meta('off'));
for my $column (sort keys %types)
{
    my $first = $node->safe_psql('postgres', qq{SELECT min(off) FROM fields WHERE problem LIKE '%column "$column": %'});
    if ($first eq '')
    {
        is(rows("SELECT count($column) > 0 FROM fields_strict"), 't', "$types{$column} takes anything");
        next;
    }
    my $problem = refused("SELECT $column FROM fields_strict");
    like("$problem->{code} $problem->{message}", qr/^2[0-9A-Z]{4} topic "$fields", partition 0, offset $first, column "$column": \S/s, "$types{$column}: error names topic, partition, offset and column")
      unless $column eq 'rc';
    like($problem->{hint}, qr/on_error of foreign table "fields_strict"/, '... and the way on');
}
is(rows('SELECT 1'), '1', 'the session is as it was');

# ---- big ones

my $big = topic('big', config => { 'max.message.bytes' => 40_000_000 });
my $letters = join '', map { chr(97 + $_ % 26) } 0 .. 1_000_003;
my $bytes = join('', map { chr } 0 .. 255) x 4000;
$kafka->produce($big, qq({"t":"$letters","n":1}), { key => $bytes, value => '{"n":2}', headers => [ [ $letters, $letters ], [ 'b', $bytes ] ] },
    qq({"t":"$letters","n":3,"x":{"t":"$letters","y":[) . join(',', ('"\u00e9\\\\"') x 100_000) . ']}}');
table('big', $big, 't text, n int, x jsonb, ' . meta(qw(key headers)));
my $md5 = sub { return $node->safe_psql('postgres', "SELECT md5('$_[0]')") };
is(rows('SELECT n, octet_length(t), md5(t), octet_length(key), md5(key), jsonb_array_length(headers) FROM big'), join("\n", "1|1000004|${\$md5->($letters)}|||0",
    '2|||1024000|' . $node->safe_psql('postgres', q{SELECT md5(string_agg(set_byte('\x00', 0, g % 256), '' ORDER BY g)) FROM generate_series(0, 1023999) g}) . '|2',
    "3|1000004|${\$md5->($letters)}|||0"), 'texts and keys of a megabyte');
is(rows(q{SELECT octet_length(headers->0->>0), md5(headers->0->>1) = md5(headers->0->>0), octet_length(decode(headers->1->1->>'base64', 'base64')), md5(decode(headers->1->1->>'base64', 'base64')) = md5(key) FROM big WHERE n = 2}),
    '1000004|t|1024000|t', 'so headers');
is(rows(q{SELECT jsonb_array_length(x->'y'), x->'y'->>99999, md5(x->>'t') = md5(t) FROM big WHERE n = 3}), encode('UTF-8', '100000|é\|t'), 'so documents');
# A record holds 17 MB: a message of 2 MB, nine times; and a message that is larger by itself.
table('many_times', $big, join(', ', map { "c$_ json OPTIONS (path 'x')" } 1 .. 25) . ', n int, ' . meta('problem'), q{on_error 'null'});
is(rows('SELECT n, problem FROM many_times'), "1|\n2|\n|the wanted fields come to more than 17 MB", 'what no frame can hold is that row\'s error');
is(rows('SELECT n, octet_length(c1::text) > 1000000 FROM many_times WHERE n = 3'), '3|t', '... for those who ask for so much');
my $huge = topic('huge', config => { 'max.message.bytes' => 40_000_000 });
$kafka->produce($huge, '{"n":1}', '{"n":2,"t":"' . 'x' x 18_000_000 . '"}', '{"n":3}');
table('huge', $huge, 'n int, t text, ' . meta(qw(off value)));
is(rows('SELECT n FROM huge'), "1\n2\n3", 'a field of a message of 18 MB');
like(refused('SELECT value FROM huge')->{message}, qr/offset 1: the wanted fields come to more than 17 MB$/, '... the whole of which is too much');
is(rows('SELECT off FROM huge WHERE off <> 1 ORDER BY 1'), "0\n2", 'who does not ask has no error');

# ---- keys and headers of any bytes

my $heads = topic('heads');
my @heads;
for my $i (1 .. 400)
{
    my $some = sub { return rand() < .15 ? '' : join '', map { chr(rand() < .7 ? 32 + rand 95 : rand 256) } 1 .. 1 + rand 12 };
    push @heads, { key => rand() < .2 ? undef : $some->(), value => rand() < .2 ? undef : $some->(),
        headers => [ map { [ $some->() =~ s/\0//gr, rand() < .2 ? undef : $some->() ] } 1 .. rand 6 ] };
}
# Names that repeat, that are empty, and quotes that must not end a string.
push @heads, { key => "\0", value => 'v', headers => [ map { [ 'again', $_ ] } 1 .. 500 ] }, { key => '', value => '', headers => [ [ '', undef ], [ '', '' ], [ '"', '\\' ], [ "\xff", "\x1f" ], [ '{"base64": "eA=="}', 'x' ] ] };
$kafka->produce($heads, @heads);
table('heads', $heads, 'value bytea, ' . meta(qw(key headers off)), q{format 'bytea'});
my @read = hashes(q{SELECT off, encode(key, 'hex') AS key, encode(value, 'hex') AS value, headers FROM heads});
# What is text (UTF-8 without a zero byte) is shown as it is, other bytes in base64: so every list of bytes has one look.
sub shown_header
{
    my ($part) = @_;
    return undef unless defined $part;    ## no critic: undef in a list too
    my $text = eval { Encode::decode('UTF-8', my $copy = $part, Encode::FB_CROAK) };
    return defined $text && $part !~ /\0/ ? $text : { base64 => encode_base64($part, '') };
}
my $hex = sub { return defined $_[0] ? unpack 'H*', $_[0] : undef };
is_deeply(\@read, [ map { { off => $_, key => $hex->($heads[$_]{key}), value => $hex->($heads[$_]{value}),
        headers => [ map { [ shown_header($_->[0]), shown_header($_->[1]) ] } @{ $heads[$_]{headers} } ] } } 0 .. $#heads ], 'keys, values and headers of any bytes');
# Where they are to be text, what is none is that row's.
my $none = 'are no text in UTF-8';
table('heads_text', $heads, q{value text, key text OPTIONS (meta 'key'), } . meta(qw(off problem)), q{format 'text', on_error 'null'});
is(rows('SELECT count(*) FILTER (WHERE problem IS NULL), count(*) FILTER (WHERE problem IS NULL AND key IS NOT NULL) > 0 FROM heads_text'),
    scalar(grep { my $head = $_; !grep { defined $head->{$_} && ref shown_header($head->{$_}) } qw(key value) } @heads) . '|t', 'as text: those that are');
is(rows(q{SELECT DISTINCT problem FROM heads_text WHERE problem IS NOT NULL ORDER BY 1}),
    qq(column "key": the bytes $none\ncolumn "value": the bytes $none\ncolumn "value": the bytes $none; column "key": the bytes $none), '... and of the others which column is none');

# ---- names

for my $name ('', '.', '..', 'a' x 250, 'a b', "a'b", 'a"b', 'a/b', 'a;b', "a\tb", encode('UTF-8', 'ä'), 'a:b', '$a', 'a,b')
{
    my $quoted = $name =~ s/'/''/gr;
    my $problem = refused("CREATE FOREIGN TABLE none (n int) SERVER kafka OPTIONS (topic '$quoted')");
    is($problem->{code}, '22023', 'a foreign table for an illegal name is refused: ' . substr encode('UTF-8', $name), 0, 20);
    like($problem->{detail}, qr/name/, '... with the reason');
}
my $long = 'L' . substr($kafka->topic_unique('long') . '-' . 'x' x 249, 0, 248);
my @names = ($long, map { s/UNIQUE/$kafka->topic_unique('n')/er } 'DROP-TABLE-pg_class-UNIQUE', '...UNIQUE...', '--UNIQUE', '-UNIQUE', '_UNIQUE_', '.hidden.UNIQUE', '1.0e5-UNIQUE', 'NULL-UNIQUE', 'select.UNIQUE');
for my $name (@names)
{
    $kafka->create_topic($name);
    $kafka->produce($name, { key => 'k', value => '{"n":5}' });
    table('named', $name, q{n int, topic text OPTIONS (meta 'topic')});
    is(rows('SELECT n, topic FROM named'), "5|$name", 'read by its name: ' . substr $name, 0, 40);
    $node->safe_psql('postgres', 'DROP FOREIGN TABLE named');
}
table('nowhere', 'x' x 249, 'n int');
my $nowhere = refused('SELECT * FROM nowhere');
is($nowhere->{code}, 'HV000', 'a topic that there is not, of the longest name');
like("$nowhere->{message} $nowhere->{hint}", qr/x{200}.*(?:Create the topic first|Perhaps you meant)/s, '... is named, with a hint');

# ---- a hundred partitions, and memory

my $hundred = topic('hundred', partitions => 100);
$kafka->kcat([ '-P', '-t', $hundred, '-z', 'lz4', '-K', "\t" ], join('', map { sprintf qq(%d\t{"n":%d,"filler":"%s"}\n), $_, $_, 'x' x 300 } 1 .. 200_000));
table('hundred', $hundred, 'n int, filler text, ' . meta(qw(part off)));
my $ends = $kafka->offsets($hundred);
is(rows('SELECT count(*), sum(n), count(DISTINCT n), count(DISTINCT part) FROM hundred'), '200000|20000100000|200000|100', 'every message of a hundred partitions, once');
is(rows('SELECT part, count(*), min(off), max(off) + 1 FROM hundred GROUP BY 1 ORDER BY 1'), join("\n", map { "$_|$ends->{$_}{high}|0|$ends->{$_}{high}" } 0 .. 99), '... each of its own whole');
my ($most) = sort { $ends->{$b}{high} <=> $ends->{$a}{high} } keys %$ends;
is(rows("SELECT count(*) FROM hundred WHERE part = $most AND off >= 10"), $ends->{$most}{high} - 10, '... and one of them alone');
rows('BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT n, filler FROM hundred');
like(rows('FETCH 1 FROM c; MOVE 199989 FROM c'), qr/^\d+\|x{300}$/, 'nearly all of it, 60 MB');
my ($courier) = couriers_of($session->pid);
# 16 MB are max_queue_bytes; 64 MB everything else, of which librdkafka and the libraries that it loads are a good part.
cmp_ok(memory_of($courier)->{peak}, '<', (64 + 16) * 1024, 'the courier has never held more memory (kB) than its budget');
is(scalar(split /\n/, rows('FETCH ALL FROM c')), 10, '... and the rest');
rows('COMMIT');

# ---- gaps: compaction, retention, nothing at all

my $compacted = topic('compacted', partitions => 2,
    config => { 'cleanup.policy' => 'compact', 'segment.ms' => 100, 'min.cleanable.dirty.ratio' => 0.01, 'max.compaction.lag.ms' => 100 });
# The end of partition 1 is a gap: its last key is written again, and then goes as a tombstone does.
$kafka->produce($compacted, map { { key => "k" . $_ % 5, value => qq({"n":$_}), partition => 0 } } 1 .. 500);
# The newest segment is never compacted; a message that comes later makes a new one.
wait_for('compaction', sub {
    $kafka->produce($compacted, { key => 'later', value => '{"n":0}', partition => 0 });
    my $read = grep { $_->{key} ne 'later' } $kafka->consume($compacted);
    return ($read == 5, $read);
});
table('compacted', $compacted, 'n int, key text OPTIONS (meta \'key\'), ' . meta(qw(part off)));
is(rows(q{SELECT key, n, off FROM compacted WHERE key <> 'later' ORDER BY off}), join("\n", map { "k" . $_ % 5 . "|$_|" . ($_ - 1) } 496 .. 500), 'a compacted topic: the last of each key, after a gap');
is(rows(q{SELECT min(off), count(*) FROM compacted WHERE off >= 100 AND off < 499 AND key <> 'later'}), '495|4', '... from within the gap');
is(rows('SELECT count(*) FROM compacted WHERE off >= 100 AND off < 400'), '0', '... and nothing but gap');
is(rows('SELECT count(*) FROM compacted WHERE off < 400'), '0', '... up to its middle');

my $cut = topic('cut', partitions => 2);
$kafka->produce($cut, map { { value => qq({"n":$_}), partition => $_ % 2 } } 1 .. 200);
table('cut', $cut, 'n int, ' . meta(qw(part off)));
$kafka->delete_records($cut, 0, 70);
is(rows('SELECT part, min(off), count(*) FROM cut WHERE off >= 10 GROUP BY 1 ORDER BY 1'), "0|70|30\n1|10|90", 'retention has passed the asked offset: what is left');
is(rows('SELECT count(*) FROM cut WHERE off >= 10 AND off < 60 AND part = 0'), '0', '... also when that is nothing');
is(rows('SELECT count(*) FROM cut WHERE off = 69 AND part = 0'), '0', '... or just gone');
is(rows('SELECT n FROM cut WHERE off = 70 AND part = 0'), '142', '... or just there');
$kafka->delete_records($cut, 0, 100);
is(rows('SELECT part, count(*) FROM cut GROUP BY 1'), '1|100', 'a partition of which nothing is left');
$kafka->produce($cut, { value => '{"n":7}', partition => 0 });
is(rows('SELECT n, off FROM cut WHERE part = 0'), '7|100', '... and what comes then');

my $empty = topic('empty', partitions => 3);
table('empty', $empty, 'n int NOT NULL, ' . meta(qw(part off)));
is(rows('SELECT * FROM empty'), '', 'an empty topic has no rows');
is(rows('SELECT count(*), max(n) FROM empty WHERE off > 5 AND part = 2'), '0|', '... whatever is asked of it');
is(rows('SELECT count(*) FROM empty a FULL JOIN empty b USING (n)'), '0', '... also with itself');
$kafka->grow_topic($empty, 7);
$kafka->produce($empty, map { { value => undef, partition => $_ } } 0, 6);
is(rows('SELECT part, off, n FROM empty ORDER BY 1'), "0|0|\n6|0|", 'a topic that has grown; tombstones are rows of NULLs, whatever the table says of NOT NULL');
table('gone', 'hazards-gone-' . $$, 'n int');
my $gone = refused('SELECT * FROM gone');
is("$gone->{code}", 'HV000', 'a topic that is not there is an error');
like($gone->{message}, qr/"hazards-gone-$$"/, '... that names it');

# ---- transactions

my $transactions = topic('transactions', partitions => 2);
table('committed', $transactions, 'n int, ' . meta(qw(part off)));
table('uncommitted', $transactions, 'n int, ' . meta(qw(part off)), undef, 'dirty');
sub numbers { my ($partition, @numbers) = @_; return map { { value => qq({"n":$_}), partition => $partition } } @numbers }
my $producer = $kafka->producer($transactions, transactional_id => "$transactions-a");
$producer->begin; $producer->send(numbers(0, 1 .. 5), numbers(1, 6 .. 10)); $producer->abort;
is(rows('SELECT count(*) FROM committed'), '0', 'a topic of nothing but an aborted transaction is empty, and comes to an end');
$producer->begin; $producer->send(numbers(0, 11 .. 15), numbers(1, 16 .. 20)); $producer->commit;
my $all = q{SELECT string_agg(n::text, ',' ORDER BY n) FROM committed};
# Kafka answers a commit when it is decided, and its markers come to the partitions a little later.
is(wait_for_answer($node, $all, join(',', 11 .. 20)), join(',', 11 .. 20), 'aborted messages are hidden, committed ones are there');
is(rows('SELECT n FROM committed WHERE off >= 8 ORDER BY 1'), "13\n14\n15\n18\n19\n20", '... by their offsets, between which there are markers');
$producer->begin; $producer->send(numbers(0, 1 .. 3000)); $producer->abort;
is(rows('SELECT count(*), max(n) FROM committed'), '10|20', 'thousands of aborted messages at the end');
$producer->begin; $producer->send(numbers(0, 21 .. 22)); $producer->flush;
$kafka->produce($transactions, numbers(0, 23), numbers(1, 24));
my $look = $session->run($all);
is($look->{out}, join(',', 11 .. 20, 24), 'an open transaction hides itself, and what comes after it in its partition');
cmp_ok($look->{seconds}, '<', 30, '... and nobody waits for its end');
is(rows('SELECT count(*), count(*) FILTER (WHERE n IN (21, 22, 23)) FROM uncommitted'), 10 + 10 + 3000 + 4 . '|6', 'read_uncommitted shows everything');
is(rows('BEGIN; DECLARE c CURSOR FOR SELECT n FROM committed WHERE part = 0 ORDER BY off; FETCH 2 FROM c'), "11\n12", 'a query under way');
$producer->commit;
is(rows('FETCH ALL FROM c; COMMIT'), "13\n14\n15", '... does not see what is committed meanwhile');
is(wait_for_answer($node, $all, join(',', 11 .. 24)), join(',', 11 .. 24), 'the next one does');
my @witness = map { $json->decode($_->{value})->{n} } $kafka->consume($transactions);
is(rows('SELECT n FROM committed ORDER BY part, off'), join("\n", @witness), '... as another client does');

# ---- a database of another encoding: what it has no letter for is an error of that row

$node->safe_psql('postgres', "CREATE DATABASE latin ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
$node->safe_psql('latin', "CREATE EXTENSION kseg; $connect)");
my $foreign = topic('foreign');
$kafka->produce($foreign, map { encode('UTF-8', $_) } '{"t":"é","j":{"é":"\u00e9"}}', '{"t":"€","j":1}', '{"t":"\u20ac","j":{"€":1}}', '{"x":"€","t":"x","j":["é"]}');
my $latin = run_session($node, dbname => 'latin');
$latin->run(qq{CREATE FOREIGN TABLE letters (t text, j jsonb, ${\meta(qw(off))}) SERVER kafka OPTIONS (topic '$foreign');
    CREATE FOREIGN TABLE lenient (t text, j jsonb, ${\meta(qw(off problem))}) SERVER kafka OPTIONS (topic '$foreign', on_error 'null')});
my $problem = failure($latin->run('SELECT t FROM letters'));
is("$problem->{code} $problem->{message}", qq{22P05 topic "$foreign", partition 0, offset 1, column "t": it has a character that the database's encoding LATIN1 has not}, 'LATIN1: an error names its row');
is($latin->run(q{SELECT off, encode(convert_to(t, 'UTF8'), 'hex'), encode(convert_to(j::text, 'UTF8'), 'hex'), problem IS NULL FROM lenient})->{out},
    join("\n", '0|c3a9|' . unpack('H*', encode('UTF-8', '{"é": "é"}')) . '|t', '1||31|f', '2|||f', '3|78|' . unpack('H*', encode('UTF-8', '["é"]')) . '|t'), '... or its column; what nobody looks at may be any letter');

# ---- rights: views, functions, and what must not leak

$node->safe_psql('postgres', qq{
    CREATE ROLE reader LOGIN; CREATE ROLE owner; GRANT USAGE ON SCHEMA kseg TO reader, owner;
    CREATE USER MAPPING FOR owner SERVER kafka;
    CREATE VIEW barrier WITH (security_barrier) AS SELECT n, part, off FROM cut WHERE n % 2 = 0 AND part = 0 OR n = 101;
    CREATE VIEW invoker WITH (security_invoker) AS SELECT n FROM cut;
    CREATE FUNCTION as_owner() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM cut';
    CREATE FUNCTION leak(int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS \$\$ BEGIN RAISE NOTICE 'seen %', \$1; RETURN true; END \$\$;
    ALTER VIEW barrier OWNER TO owner; ALTER VIEW invoker OWNER TO owner; ALTER FUNCTION as_owner() OWNER TO owner;
    GRANT SELECT ON cut TO owner; GRANT SELECT ON barrier, invoker TO reader});
my $reader = run_session($node, user => 'reader');
is(failure($reader->run('SELECT n FROM cut'))->{code}, '42501', 'without a right to the table nothing is read');
is(failure($reader->run('SELECT n FROM invoker'))->{code}, '42501', '... nor through a view that asks for it');
my $leaked = $reader->run('SELECT n FROM barrier WHERE leak(n) AND off >= 0 ORDER BY n');
is($leaked->{out}, "101", 'through a security barrier view, with its owner\'s mapping: what it shows');
is_deeply([ $leaked->{err} =~ /seen (\d+)/g ], ['101'], '... and a function of the caller\'s sees nothing else');
is($reader->run('SELECT as_owner()')->{out}, '101', 'a function with its owner\'s rights reads with his mapping');
$node->safe_psql('postgres', 'GRANT SELECT ON cut TO reader');
is(failure($reader->run('SELECT n FROM cut'))->{code}, '42704', 'with a right, and without a mapping of his own: nothing');
is(failure($reader->run('SELECT n FROM invoker'))->{code}, '42704', '... nor through the view that asks for his');
$node->safe_psql('postgres', 'REVOKE SELECT ON cut FROM owner');
is(failure($reader->run('SELECT n FROM barrier'))->{code}, '42501', 'an owner who has lost his right shows nothing any more');
is(refused('CREATE MATERIALIZED VIEW kept AS SELECT n FROM cut')->{code}, '42501', 'a materialized view would reach outside from within');
is_deeply([ couriers_of($session->pid), couriers_of($reader->pid) ], [], 'no courier is left');

done_testing();
