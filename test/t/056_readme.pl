# What README.md shows is what happens: every SQL block of it is run, in order, against the sandbox; the JSON that it shows is
# the JSON that comes; its options and arguments are those that there are. What it shows of Kafka is 079_readme_kafka.pl's, of streams 089_readme_streams.pl's.
use strict;
use warnings;
use Encode qw(encode_utf8);
use KsegTest;
use KsegRun;

my $sandbox = start_sandbox();
my $cron    = -f "$ENV{KSEG_LIB}/pg_cron.so";
my $node    = new_cluster('readme', extension => 0, config =>
    # Without the settings of the test library, which logs statements: connect_segment would warn, and rightly.
    "log_statement = none\n" . ($cron ? "shared_preload_libraries = 'pg_cron'\n" : ''));
# All text here is bytes, as the file has them and a terminal.
my $readme = slurp_file(source_file('README.md'));

# What README takes for granted.
$node->safe_psql('postgres', q{
    CREATE TABLE predictions (customer_id bigint, iphone float8, apple_watch float8);
    INSERT INTO predictions VALUES (162514333, 0.734, 0.812), (162514334, 0.1, 0.25), (162514335, 0.5, 0.001);
    CREATE TABLE customers (customer_id bigint, plan text, seats int, company text);
    INSERT INTO customers VALUES (162514333, 'gold', 3, 'ACME'), (162514334, 'free', 1, 'Initech');
    CREATE TABLE purchases (customer_id bigint, bought_at timestamptz, revenue numeric(10, 2));
    INSERT INTO purchases VALUES (162514333, '2026-11-20 08:30+00', 19.90), (NULL, '2026-11-20 08:31+00', 5);
    CREATE TABLE fresh_predictions AS SELECT * FROM predictions});
$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron') if $cron;
my $psql = session($node);

# The blocks of code, in order: [ language, text ].
my @blocks;
(my $segments = $readme) =~ s/^## Kafka\n.*?(?=^## )//ms or die 'README has no part about Kafka';
$segments =~ s/^## Streams.*?(?=^## )//ms or die 'README has no part about streams';
push @blocks, [ $1, $2 ] while $segments =~ /^```(\w*)\n(.*?)^```$/msg;
my @sql = grep { $_->[0] eq 'sql' } @blocks;

# With the sandbox in place of Segment.
sub against_sandbox
{
    my ($sql) = @_;
    my ($key, $url) = ($sandbox->key, $sandbox->url);
    $sql =~ s/write_key => 'YOUR_WRITE_KEY'/write_key => '$key', endpoint => '$url'/g;
    $sql =~ s/^YOUR_WRITE_KEY$/$key/mg;
    return $sql;
}

# pg_cron is not everywhere: without it, what it would run.
sub without_cron { my ($sql) = @_; $sql =~ s/^SELECT cron\.schedule\(.*?\$\$(.*)\$\$\);$/$1;/ms unless $cron; return $sql }

# Every message id is another; README shows them shortened.
sub shortened { my ($json) = @_; $json =~ s/"kseg-[0-9a-f]{32}"/"kseg-…"/g; return $json }

my $said = '';
my $number = 0;
for my $block (@blocks)
{
    my ($language, $text) = @$block;
    if ($language eq 'sql')
    {
        $number++;
        my ($first) = $text =~ /^(?:CREATE EXTENSION kseg;\s*)?(.{0,60})/;
        my $sql = without_cron(against_sandbox($text));
        my $result = $psql->run($sql);
        unlike($result->{err}, qr/^(?:ERROR|FATAL|psql)/m, "block $number works: $first") or diag($result->{err});
        # The one row of the examples without a user is told of; nothing else is.
        my @warned = grep { !/1 of 2 rows were not delivered: 1 invalid/ } $result->{err} =~ /^(?:WARNING|NOTICE): .*/mg;
        is_deeply(\@warned, [], "block $number warns of nothing else");
        $said = $result->{out};
    }
    elsif ($language eq 'json')
    {
        my @known = map { shortened($_) } split(/\n/, $said), map { encode_utf8($_->{text}) } $sandbox->events(limit => 1000);
        (my $shown = $text) =~ s/\n\z//;
        ok((grep { $_ eq $shown } @known), "the JSON after block $number is what comes")
          or diag("README: $shown\n", map { "there is: $_\n" } @known);
    }
}
cmp_ok($number, '>', 8, 'README has blocks of SQL');
cmp_ok(scalar(grep { $_->[0] eq 'json' } @blocks), '>', 1, 'and of JSON');

subtest 'the table of figures has the columns that it shows' => sub {
    my ($header) = $readme =~ /^( run +\|.*)$/m;
    my @shown = map { s/^\s+|\s+$//gr } split /\|/, $header;
    my @there = map { $_->{name} } $psql->rows(q{SELECT name FROM pg_proc, unnest(proargnames, proargmodes) AS a (name, mode)
        WHERE oid = 'kseg.segment_track_from_table'::regproc AND mode = 't'});
    is_deeply(\@shown, \@there, 'in their order');
};

subtest 'what the blocks sent' => sub {
    my $stats = $sandbox->stats;
    is_deeply($stats->{by_type}, { track => 4, identify => 2, group => 2 }, 'calls');
    is_deeply($stats->{by_event}, { 'Sales Prediction' => 3, 'Order Completed' => 1 }, 'events');
    is($stats->{dropped_total} + $stats->{refused}, 0, 'nothing was dropped or refused');
    my ($purchase) = $sandbox->events(event => 'Order Completed');
    is($purchase->{event}{originalTimestamp}, '2026-11-20T08:30:00.000Z', 'with the time of each');
};

subtest 'the job' => sub {
    my $before = $sandbox->stats->{received};
    if ($cron)
    {
        my ($job) = $psql->rows('SELECT jobname, schedule, command, username FROM cron.job');
        is("$job->{jobname} $job->{schedule}", 'predictions 5 * * * *', 'is scheduled');
        # As pg_cron runs it: a new session of the role that scheduled it.
        my $result = session($node, user => $job->{username})->run($job->{command});
        is($result->{err}, '', 'and what it runs works');
    }
    else
    {
        my ($command) = map { $_->[1] =~ /cron\.schedule\(.*?\$\$(.*)\$\$\)/s } @sql;
        ok($command, 'is shown');
        my $result = session($node)->run($command);
        is($result->{err}, '', 'and what it runs works');
    }
    is($sandbox->stats->{received}, $before + 3, 'it sends');
    is($sandbox->stats->{by_event}{'Sales Prediction'}, 3, 'once in effect');
};

# The options that PostgreSQL is told of where an unknown one is set by this statement.
sub valid_options
{
    my ($statement) = @_;
    my ($valid) = $psql->run($statement)->{err} =~ /Valid options here are: (.*)\./;
    return [ sort split /, /, $valid // '' ];
}

# The table below this header: { option => default }, as README writes it.
sub options_shown
{
    my ($header) = @_;
    my ($table) = $readme =~ /^\| \Q$header\E \|.*?\n((?:\|.*\n)+)/m;
    return { $table =~ /^\| `(\w+)` \| ?(.*?) ?\|/mg };
}

# A word in code, or a number; what depends on others is said in words.
sub defaults_of { my ($shown) = @_; return map { $shown->{$_} =~ /^(?:`([^`]+)`|([0-9.]+))$/ ? ($_ => $1 // $2) : () } keys %$shown }

# The presets in a source file's table of options.
sub presets_of { return { slurp_file(source_file($_[0])) =~ /^\s+SERVER_\w+\("(\w+)", (?:KSEG_OPTION_\w+, )?\w+,\s*"([^"]*)"/mg } }

for my $kind ([ 'option', 'kseg_segment', 'segment_server.c', '' ], [ 'Kafka option', 'kseg_kafka', 'kafka_options.c', q{bootstrap_servers 'localhost'} ])
{
    my ($header, $wrapper, $file, $needed) = @$kind;
    subtest "the options of $wrapper" => sub {
        my $shown = options_shown($header);
        is_deeply([ sort keys %$shown ], valid_options("CREATE SERVER x FOREIGN DATA WRAPPER $wrapper OPTIONS (zzzzzzzzzzzzzzzzzz '1')"), 'README has them all');
        my %default = defaults_of($shown);
        cmp_ok(keys %default, '>', 5, 'with their defaults');
        is_deeply(\%default, presets_of("src/server/$file"), 'which are the presets');
        my $options = join ', ', ($needed) x !!length $needed, map { "$_ '$default{$_}'" } sort keys %default;
        is($psql->run("CREATE SERVER defaults_$wrapper FOREIGN DATA WRAPPER $wrapper OPTIONS ($options)")->{err}, '', 'and good values');
    };
}

subtest 'the options of foreign tables and their columns' => sub {
    $psql->run(q{CREATE SERVER topics FOREIGN DATA WRAPPER kseg_kafka OPTIONS (bootstrap_servers 'localhost')});
    is_deeply([ sort keys %{ options_shown('table option') } ],
        valid_options(q{CREATE FOREIGN TABLE x (a int) SERVER topics OPTIONS (zzzzzzzzzzzzzzzzzz '1')}), 'tables');
    is_deeply([ sort keys %{ options_shown('column option') } ],
        valid_options(q{CREATE FOREIGN TABLE x (a int OPTIONS (zzzzzzzzzzzzzzzzzz '1')) SERVER topics OPTIONS (topic 't')}), 'columns');
    my %default = defaults_of(options_shown('table option'));
    my $options = join ', ', map { qq{"$_" '$default{$_}'} } sort keys %{ { %default, format => 'csv' } };
    is($psql->run("CREATE FOREIGN TABLE with_defaults (a int) SERVER topics OPTIONS (topic 't', " . ($options =~ s/'json'/'csv'/r) . ')')->{err}, '', 'with good values');
};

subtest 'the options of user mappings' => sub {
    my ($list) = $readme =~ /^Options of the user mapping: (.*?)\./m;
    is_deeply([ sort $list =~ /`(\w+)`/g ],
        valid_options(q{CREATE USER MAPPING FOR CURRENT_USER SERVER topics OPTIONS (zzzzzzzzzzzzzzzzzz '1')}), 'README has them all');
};

subtest 'the arguments' => sub {
    my ($table) = $readme =~ /^\| argument \|.*?\n((?:\|.*\n)+)/m;
    my %shown = map { $_ => 1 } map { /`(\w+)`/g } map { /^\|(.*?)\|/ } split /\n/, $table;
    my %there = map { $_->{name} => 1 } $psql->rows(q{SELECT DISTINCT name FROM pg_proc, unnest(proargnames, proargmodes) AS a (name, mode)
        WHERE pronamespace = 'kseg'::regnamespace AND proname LIKE 'segment\\_%\\_from\\_query' AND mode = 'i'});
    is(delete $there{query}, 1, 'besides the query');
    is_deeply([ sort keys %shown ], [ sort keys %there ], 'README has them all');
};

subtest 'the settings' => sub {
    my %shown = $readme =~ /`(kseg\.\w+_retention)`.*?\((\d+)\)/sg;
    ($shown{'kseg.dead_letter_retention'}) = $readme =~ /`kseg\.dead_letter_retention` days \((\d+)\)/;
    ($shown{'kseg.run_retention'}) = $readme =~ /`kseg\.run_retention` \((\d+)\)/;
    is_deeply(\%shown, { map { $_->{name} => $_->{boot_val} } $psql->rows(q{SELECT name, boot_val FROM pg_settings WHERE name LIKE 'kseg.%'}) },
        'README has them all, with their defaults');
};

done_testing();
