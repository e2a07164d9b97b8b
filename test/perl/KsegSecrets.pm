# What the tests of secrets share: keys and passwords made up so that each tells by which way it leaked, and looks into every
# place where one might turn up.
#
# Owns what gives a secret away, and where to look; refuses to know what is said to kseg: that stands in the tests. A look that
# finds nothing proves little, so each test first finds what it planted (plant_everywhere).
package KsegSecrets;

use strict;
use warnings;
use Exporter 'import';
use File::Find ();
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils ();
use Test::More;
use KsegTest ();
use KsegRun ();

our @EXPORT = qw(canary leaked_in leaking_lines seen_in process_text files_with_secrets relations_with_secret plant_everywhere);

# A secret of 32 characters, as Segment's write keys are, for each name; those called planted… are not looked for unless named.
my %secret;

sub canary
{
    my ($name) = @_;
    return $secret{$name} //= join '', "Kq$name", map { ('a' .. 'z', 'A' .. 'Z', 0 .. 9)[ rand 62 ] } length($name) + 3 .. 32;
}

# What would give a secret away: itself, a half of it, and both as HTTP sends it.
sub forms_of
{
    my ($secret) = @_;
    my @halves = (substr($secret, 0, 16), substr($secret, 16));
    return (@halves, substr(encode_base64($halves[0], ''), 0, 20), unpack('H*', $halves[0]));
}

# The names of the secrets that a text gives away; with names: of these alone.
sub leaked_in
{
    my ($text, @names) = @_;
    @names = grep { !/^planted/ } sort keys %secret unless @names;
    # One expression for all of them, for texts are long: perl makes a trie of it.
    my %name = map { my $name = $_; map { $_ => $name } forms_of($secret{$name}) } @names;
    my $any  = join '|', map { quotemeta } sort keys %name;
    my %found;
    $found{ $name{$1} } = 1 while $text =~ /($any)/g;
    return join ' ', sort keys %found;
}

# The lines of a text that do, for a failure's message. They are the test's own secrets.
sub leaking_lines { return map { leaked_in($_) ? "$_\n" : () } split /\n/, $_[0] }

# ---- the places

# The rows of a query as one text.
sub seen_in
{
    my ($session, $sql) = @_;
    my $result = $session->run("SELECT string_agg(t::text, E'\\n') FROM ($sql) t");
    die $result->{err} if KsegRun::failure($result);
    return $result->{out};
}

# What is to be seen of a process.
sub process_text
{
    my ($pid) = @_;
    # A process may forbid the look into its environment, which is as good.
    return join "\n", map { -r "/proc/$pid/$_" ? PostgreSQL::Test::Utils::slurp_file("/proc/$pid/$_") : '' } qw(cmdline environ comm);
}

# The files of the cluster that give a secret away, but for the catalog's own and the WAL.
sub files_with_secrets
{
    my ($node, $session, @names) = @_;
    $session->run('CHECKPOINT');
    my %own = map { $_->{path} => 1 } $session->rows(q{SELECT pg_relation_filepath(c.oid) AS path FROM pg_class c
        WHERE c.oid = 'pg_user_mapping'::regclass OR c.oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'pg_user_mapping'::regclass)});
    my ($top, %found) = ($node->data_dir);
    File::Find::find({ no_chdir => 1, wanted => sub {
        my $path = $File::Find::name;
        return unless -f $path && -r _;
        (my $name = $path) =~ s{^\Q$top\E/}{};
        return if $name =~ m{^pg_wal/} || $own{$name};
        my $names = leaked_in(PostgreSQL::Test::Utils::slurp_file($path), @names);
        $found{$name} = $names if length $names;
    } }, $top);
    return join ', ', map { "$_: $found{$_}" } sort keys %found;
}

# Looks as a role into every relation that it may read; the secret is put together there, or the look would find itself.
sub relations_with_secret
{
    my ($node, $role, $name) = @_;
    my @half = (substr($secret{$name}, 0, 16), substr($secret{$name}, 16));
    my $session = KsegRun::run_session($node, user => $role);
    my $result = $session->run(qq{DO \$do\$
        DECLARE relation regclass; found bool;
        BEGIN
            FOR relation IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname IN ('pg_catalog', 'information_schema', 'kseg', 'public') AND c.relkind IN ('r', 'v', 'm', 'p')
                  AND has_table_privilege(c.oid, 'SELECT') LOOP
                BEGIN
                    EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE position(%L || %L IN t::text) > 0)', relation, '$half[0]', '$half[1]') INTO found;
                    IF found THEN RAISE NOTICE 'found in %', relation; END IF;
                EXCEPTION WHEN insufficient_privilege OR object_not_in_prerequisite_state OR feature_not_supported THEN
                    NULL;
                END;
            END LOOP;
        END \$do\$});
    die $result->{err} if KsegRun::failure($result);
    return join ' ', sort $result->{err} =~ /found in (\S+)/g;
}

# Plants one secret in each place, by $psql, and finds it there, by $watch; leaves none of kseg's own. $statements is the query
# for pg_stat_statements, $of_kseg the one for kseg's tables and views.
sub plant_everywhere
{
    my ($node, $psql, $watch, $statements, $of_kseg) = @_;
    my $key = canary('planted');
    is(leaked_in("xx$key", 'planted'), 'planted', 'a secret');
    is(leaked_in('xx' . substr($key, 0, 20), 'planted'), 'planted', 'its first part');
    is(leaked_in('xx' . encode_base64("$key:", ''), 'planted'), 'planted', 'as HTTP sends it');
    is(leaked_in("x", 'planted'), '', 'and nothing in nothing');

    $psql->run("DO \$\$BEGIN RAISE LOG '%', '$key'; END\$\$");
    is(leaked_in(PostgreSQL::Test::Utils::slurp_file($node->logfile), 'planted'), 'planted', 'the server\'s log');
    my $result = $psql->run("DO \$\$BEGIN RAISE NOTICE '%', '$key'; END\$\$");
    is(leaked_in($result->{err}, 'planted'), 'planted', 'what a client is told');
    $psql->run("SELECT '$key' IS NULL");
    is(leaked_in(seen_in($watch, 'SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()'), 'planted'), 'planted',
        'pg_stat_activity of an idle session');
    $psql->run("COMMENT ON SCHEMA kseg IS '$key'");
    is(leaked_in(seen_in($watch, $statements), 'planted'), 'planted', 'pg_stat_statements');
    $psql->run("COMMENT ON SCHEMA kseg IS NULL");
    $psql->run("INSERT INTO kseg.dead_letter_entry (run, run_by, server, call, row, reason) SELECT gen_random_uuid(), '', '', '', 0, '$key'");
    is(leaked_in(seen_in($watch, $of_kseg), 'planted'), 'planted', 'kseg\'s tables and views');
    like(files_with_secrets($node, $watch, 'planted'), qr{^base/\d+/\d+: planted}, 'files of the cluster');
    $psql->run("DELETE FROM kseg.dead_letter_entry");
    local $ENV{PLANTED} = $key;
    my $child = open(my $out, '-|', 'cat', '/proc/self/environ') // die "could not start cat: $!";
    is(leaked_in(join('', <$out>), 'planted'), 'planted', 'an environment');
    close $out;
    return;
}

1;
