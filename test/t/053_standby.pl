# Where nothing can be written, on a standby and in a READ ONLY transaction, runs work with on_invalid 'skip' or 'error', tell
# what they could not keep, and write nothing; the default is refused in words that help.
use strict;
use warnings;
use JSON::PP ();
use KsegTest;
use KsegRun;

my $primary = new_cluster('primary', init => { allows_streaming => 1 });
my $sandbox = start_sandbox();
connect_segment($primary, $sandbox);
$primary->safe_psql('postgres', q{
    CREATE ROLE analyst LOGIN; GRANT USAGE ON FOREIGN SERVER segment TO analyst;
    CREATE TABLE predictions AS SELECT 'u' || g AS user_id, g / 7.0 AS chance FROM generate_series(1, 5000) g;
    GRANT SELECT ON predictions TO analyst});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

my $good  = 'TABLE predictions';
my $mixed = q{SELECT user_id, n FROM (VALUES ('u1', 1), (NULL, 2), ('bad', 3), ('u4', 4)) v (user_id, n)};

# What the tables of kseg hold, and how far the WAL is.
sub written
{
    return $primary->safe_psql('postgres', q{SELECT count(*), (SELECT count(*) FROM kseg.dead_letter_entry), (SELECT last_value FROM kseg.dead_letter_entry_id_seq)
        FROM kseg.run_entry});
}

# begin and end: what stands around a run in this place.
my %places = (
    'a standby'                  => { node => $standby, begin => '', end => '' },
    'a READ ONLY transaction'    => { node => $primary, begin => 'BEGIN READ ONLY;', end => ';COMMIT' },
    'a session that is READ ONLY' => { node => $primary, begin => 'SET default_transaction_read_only = on;', end => '' },
);
for my $name (sort keys %places)
{
    my $place = $places{$name};
    for my $role ('analyst', 'a superuser')
    {
        subtest "$name, $role" => sub {
            my $run = sub {
                my ($query, %arguments) = @_;
                my $session = run_session($place->{node}, $role eq 'analyst' ? (user => $role) : ());
                return $session->run($place->{begin} . track($query, %arguments) . $place->{end});
            };
            my $before = written();
            $sandbox->reset;

            my $failure = failure($run->($good));
            is($failure->{code}, '25006', 'the default is refused');
            like($failure->{hint}, qr/on_invalid => 'skip' or 'error'/, 'and says what to do');
            is($sandbox->stats->{requests}, 0, 'nothing was sent');

            for my $how (qw(skip error))
            {
                my $result  = $run->($good, on_invalid => $how);
                my $figures = figures($result);
                is("$figures->{rows} $figures->{sent}", '5000 5000', "on_invalid => '$how': all rows are sent");
                is(warning_of($result), undef, 'without a warning');
            }
            is($sandbox->stats->{accepted}, 5000, 'and they arrived');

            my $result  = $run->($mixed, on_invalid => 'skip');
            my $figures = figures($result);
            is("$figures->{rows} $figures->{sent} $figures->{invalid}", '4 3 1', 'an invalid row is counted');
            like(warning_of($result)->{message}, qr/^1 of 4 rows were not delivered: 1 invalid, 0 rejected/, 'and told');
            is(warning_of($result)->{hint}, '', 'without promising that it was kept');

            $failure = failure($run->($mixed, on_invalid => 'error'));
            is($failure->{code}, '22000', 'or an error, where it was asked for');

            $sandbox->faults({ culprit => '"n":3' });
            for my $how (qw(skip error))
            {
                $result  = $run->("$mixed WHERE user_id IS NOT NULL", on_invalid => $how);
                $figures = figures($result);
                is("$figures->{sent} $figures->{rejected}", '2 1', "on_invalid => '$how': an event that Segment refuses is counted");
                like(warning_of($result)->{detail}, qr/row 2, user "bad".*400/, 'and told');
                is(warning_of($result)->{hint}, '', 'without promising that it was kept');
            }
            $sandbox->faults({ action => { status => 401 } });
            $failure = failure($run->($good, on_invalid => 'skip'));
            is($failure->{code}, '28000', 'a run that fails fails as elsewhere');
            $figures = figures($run->($good, on_invalid => 'skip', on_failure => 'report'));
            cmp_ok($figures->{sent}, '<', 5000, 'or is reported');
            isnt($figures->{first_problem}, undef, 'with its problem');
            $sandbox->faults;

            is(written(), $before, 'nothing was written');
            my $session = run_session($place->{node}, $role eq 'analyst' ? (user => $role) : ());
            my ($row) = $session->rows(q{SELECT count(*) AS n, max(message_id) AS id FROM kseg.segment_preview('TABLE predictions', event => 'Test Event')});
            is($row->{n}, 10, 'a preview');
            is($session->row(q{SELECT bool_and(coalesce(ok, true)) AS good FROM kseg.test_server('segment')})->{good}, JSON::PP::true(), 'and test_server work too');
        };
    }
}

subtest 'the ids are the primary\'s' => sub {
    my $query = q{SELECT message_id FROM kseg.segment_preview('TABLE predictions', event => 'E') ORDER BY 1};
    is_deeply([ run_session($standby)->rows($query) ], [ run_session($primary)->rows($query) ], 'what both send is sent once');
};

subtest 'what cannot be on a standby' => sub {
    my $session = run_session($standby);
    for my $sql (q{SELECT kseg.connect_segment('k')}, "COPY kseg.write_key (write_key) FROM STDIN;\nk\n\\.\n")
    {
        is(failure($session->run($sql))->{code}, '25006', $sql =~ s/\n.*//sr);
    }
    is(failure($session->run('DELETE FROM kseg.dead_letter'))->{code}, '25006', 'discarding');
    is($session->row('SELECT count(*) AS n FROM kseg.progress')->{n}, 0, 'but its progress is to be seen');
};

subtest 'a run on the standby is seen there' => sub {
    my $session = run_session($standby);
    $sandbox->faults({ action => { how => 'hang' } });
    $session->start(track($good, on_invalid => 'skip'));
    my $progress = wait_for_phase($standby, $session->pid, 'finishing', sub { $_[0]{in_flight} == 5000 });
    is("$progress->{server} $progress->{rows}", 'segment 5000', 'its progress');
    $standby->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $session->pid . ')');
    is(failure($session->finish)->{code}, '57014', 'and it can be cancelled');
    $sandbox->faults;
};

subtest 'after the promotion it records' => sub {
    $standby->promote;
    my $session = run_session($standby, user => 'analyst');
    my $run = figures($session->run(track($mixed)));
    is("$run->{sent} $run->{invalid}", '3 1', 'a run');
    is($session->row("SELECT count(*) AS n FROM kseg.dead_letter WHERE run = '$run->{run}'")->{n}, 1, 'keeps its dead letter');
};

done_testing();
