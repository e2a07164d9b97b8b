# The launcher: streams of any database run without a setting that names it, start and stop within a second, wait for workers and
# slots that are not there, come back after restarts and crashes, and cost nothing when there are none. No broker: a worker
# that waits for one is a worker, too.
use strict;
use warnings;
use KsegTest;
use KsegStream;
use Time::HiRes qw(time);

my $node = stream_cluster('primary', settings => { 'kseg.max_stream_workers' => 3, max_worker_processes => 8 }, extension => 0);

subtest 'without streams' => sub {
    my ($row) = session($node)->rows(q{SELECT datname, application_name, state, query FROM pg_stat_activity WHERE backend_type = 'kseg launcher'});
    is_deeply($row, { datname => undef, application_name => 'kseg launcher', state => 'idle', query => '0 stream workers' }, 'the launcher is seen, and what it does');
    is(scalar workers_of($node), 0, 'no worker');
    is(log_has($node, qr/(?:LOG:  kseg|WARNING|ERROR|FATAL)/), 0, 'nothing in the log');
};

subtest 'any database, at once' => sub {
    $node->safe_psql('postgres', 'CREATE DATABASE shop');
    unreachable_table($node, 'orders', dbname => 'shop');
    my $began = time();
    make_stream($node, 'orders', dbname => 'shop');
    my ($pid) = wait_for_workers($node, 'shop', 1);
    cmp_ok(time() - $began, '<', 5, sprintf 'a worker is there after %.2f s', time() - $began);
    my $worker = session($node)->row("SELECT usename, datname FROM pg_stat_activity WHERE pid = $pid");
    is($worker->{datname}, 'shop', 'in its database');
    is($worker->{usename}, $node->safe_psql('postgres', 'SELECT current_user'), 'as its owner');

    $began = time();
    $node->safe_psql('shop', q{SELECT kseg.stop_stream('orders')});
    wait_for_workers($node, 'shop', 0);
    cmp_ok(time() - $began, '<', 5, sprintf 'stopped after %.2f s', time() - $began);
    wait_for_state($node, 'orders', 'stopped', dbname => 'shop');

    $node->safe_psql('shop', q{BEGIN; SELECT kseg.start_stream('orders'); ROLLBACK});
    is(state_of($node, 'orders', dbname => 'shop'), 'stopped', 'what is rolled back has no effect');
    $node->safe_psql('shop', q{SELECT kseg.start_stream('orders')});
    my ($again) = wait_for_workers($node, 'shop', 1);
    isnt($again, $pid, 'started again');

    $node->safe_psql('shop', q{SELECT kseg.alter_stream('orders', batch_rows => 77)});
    KsegTest::wait_for('a worker with the new definition', sub {
        my @now = workers_of($node, 'shop');
        return (@now == 1 && $now[0] != $again, "@now");
    });
    pass('a changed definition is taken up by a new worker');
};

subtest 'slots run out and come back' => sub {
    for my $name (qw(b c d))
    {
        unreachable_table($node, $name);
        make_stream($node, $name);
    }
    wait_for_workers($node, undef, 3);
    my $waiting = wait_for_state($node, 'd', 'waiting');
    like($waiting->{trouble}, qr/kseg\.max_stream_workers/, 'the one that waits says for what');
    wait_for_log($node, qr/LOG:  kseg: streams wait for a free slot/);
    is(log_has($node, qr/LOG:  kseg: streams wait for a free slot/), 1, 'one line in the log');
    $node->safe_psql('postgres', q{SELECT kseg.drop_stream('b')});
    wait_for_answer($node, q{SELECT workers_running FROM kseg.stream_status WHERE stream = 'd'}, 1);
    wait_for_workers($node, undef, 3);
    pass('what is free is taken');
    $node->safe_psql('postgres', q{SELECT kseg.drop_stream(s) FROM unnest(ARRAY['c', 'd']) s});
    wait_for_workers($node, 'postgres', 0);
};

subtest 'a worker that is ended comes back' => sub {
    my ($pid) = wait_for_workers($node, 'shop', 1);
    $node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
    KsegTest::wait_for('another worker', sub { my @now = workers_of($node, 'shop'); return (@now == 1 && $now[0] != $pid, "@now") });
    pass('another one');
    like(stream_of($node, 'orders', dbname => 'shop')->{last_error}, qr/process has ended; the server's log has why/, 'and the status has that something happened');
};

subtest 'the launcher itself is ended' => sub {
    my $launcher = wait_for_launcher($node);
    my ($worker) = wait_for_workers($node, 'shop', 1);
    $node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
    KsegTest::wait_for('another launcher', sub { my $now = wait_for_launcher($node); return ($now != $launcher, $now) });
    is_deeply([ workers_of($node, 'shop') ], [$worker], 'the worker has not noticed');
    $node->safe_psql('shop', q{SELECT kseg.stop_stream('orders')});
    wait_for_workers($node, 'shop', 0);
    pass('and obeys the new one');
    $node->safe_psql('shop', q{SELECT kseg.start_stream('orders')});
    wait_for_workers($node, 'shop', 1);
};

subtest 'a worker is killed' => sub {
    my ($pid) = wait_for_workers($node, 'shop', 1);
    my $from = -s $node->logfile;
    kill 'KILL', $pid;
    wait_for_log($node, qr/all server processes terminated; reinitializing/, $from);
    $node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
    my ($again) = wait_for_workers($node, 'shop', 1);
    isnt($again, $pid, 'PostgreSQL begins anew, and so do streams');
};

subtest 'restart, and a crash of everything' => sub {
    $node->restart;
    wait_for_workers($node, 'shop', 1);
    pass('a restart');
    $node->stop('immediate');
    $node->start;
    wait_for_workers($node, 'shop', 1);
    pass('pg_ctl stop -m immediate');
    my @children = processes_of($node->{_pid});
    $node->kill9;
    wait_until_gone('the server', \@children);
    $node->start;
    wait_for_workers($node, 'shop', 1);
    pass('kill -9 of the postmaster');
};

subtest 'the owner goes' => sub {
    $node->safe_psql('postgres', 'CREATE ROLE clerk LOGIN');
    unreachable_table($node, 'clerks');
    $node->safe_psql('postgres', q{GRANT ALL ON SCHEMA public TO clerk; GRANT USAGE ON SCHEMA kseg TO clerk;
        ALTER TABLE clerks OWNER TO clerk; ALTER FOREIGN TABLE clerks_topic OWNER TO clerk});
    make_stream($node, 'clerks');
    $node->safe_psql('postgres', q{SELECT kseg.alter_stream('clerks', owner => 'clerk')});
    # What it has yet to look up it might not any more.
    wait_for_answer($node, q{SELECT usename || ' ' || query FROM pg_stat_activity WHERE backend_type = 'kseg stream' AND datname = 'postgres'},
        'clerk stream clerks: waiting for the broker');
    pass('a worker is its owner');
    $node->safe_psql('postgres', 'REASSIGN OWNED BY clerk TO CURRENT_USER; DROP OWNED BY clerk; DROP ROLE clerk');
    my $failed = wait_for_state($node, 'clerks', 'failed');
    like($failed->{last_error}, qr/role/, "without it the stream has halted: $failed->{last_error}");
    wait_for_workers($node, 'postgres', 0);
    is(scalar workers_of($node, 'shop'), 1, 'others run on');
    $node->safe_psql('postgres', q{SELECT kseg.drop_stream('clerks')});
};

subtest 'owners without LOGIN' => sub {
    $node->safe_psql('postgres', 'CREATE ROLE team NOLOGIN');
    unreachable_table($node, 'teams', owner => 'team');
    $node->safe_psql('postgres', q{GRANT ALL ON SCHEMA public TO team; GRANT USAGE ON SCHEMA kseg TO team});
    my $new = $node->safe_psql('postgres', 'SHOW server_version_num') >= 170000;
    my ($code, $out, $err) = $node->psql('postgres', q{SELECT kseg.stream_to_table('teams', 'SELECT part, at, number FROM public.teams_topic', 'public.teams');
        SELECT kseg.alter_stream('teams', owner => 'team')});
    if ($new)
    {
        wait_for_answer($node, q{SELECT usename FROM pg_stat_activity WHERE backend_type = 'kseg stream' AND datname = 'postgres'}, 'team');
        pass('run from 17 on');
    }
    elsif ($code == 0 && $err eq '')
    {
        my $failed = wait_for_state($node, 'teams', 'failed');
        like($failed->{last_error}, qr/log in/, 'are told before 17');
    }
    else { like($err, qr/log in|LOGIN/, 'are refused before 17') }
    $node->psql('postgres', q{SELECT kseg.drop_stream('teams')});
};

subtest 'an owner that may not connect any more' => sub {
    $node->safe_psql('postgres', 'CREATE ROLE guest LOGIN; CREATE DATABASE closed');
    unreachable_table($node, 'guests', dbname => 'closed', owner => 'guest');
    $node->safe_psql('closed', 'GRANT USAGE ON SCHEMA kseg TO guest');
    make_stream($node, 'guests', dbname => 'closed');
    $node->safe_psql('closed', q{SELECT kseg.alter_stream('guests', owner => 'guest')});
    wait_for_answer($node, q{SELECT usename FROM pg_stat_activity WHERE backend_type = 'kseg stream' AND datname = 'closed'}, 'guest');
    $node->safe_psql('postgres', q{REVOKE CONNECT ON DATABASE closed FROM PUBLIC;
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'kseg stream' AND datname = 'closed'});
    my $failed = wait_for_state($node, 'guests', 'failed', dbname => 'closed');
    like($failed->{last_error}, qr/role "guest", which the stream runs as, may not connect to this database/, 'the status says why nobody works');
    $node->safe_psql('postgres', 'DROP DATABASE closed');
};

subtest 'background workers run out and come back' => sub {
    # PostgreSQL's own launcher and kseg's have two of four.
    my $small = stream_cluster('small', settings => { max_worker_processes => 4, max_parallel_workers => 0 });
    for my $name (qw(a b c))
    {
        unreachable_table($small, $name);
        make_stream($small, $name);
    }
    my $waiting = wait_for('a stream that says that it waits for max_worker_processes', sub {
        my $said = $small->safe_psql('postgres', q{SELECT stream, trouble FROM kseg.stream_status WHERE workers_running = 0});
        return (scalar($said =~ /max_worker_processes/), $said);
    });
    $waiting =~ s/\|.*//s;
    # All are taken by streams, and to find that one of them is to stop takes one more.
    my ($running) = split /\n/, $small->safe_psql('postgres', q{SELECT stream FROM kseg.stream_status WHERE workers_running = 1});
    $small->safe_psql('postgres', "SELECT kseg.stop_stream('$running')");
    wait_for_answer($small, "SELECT workers_running FROM kseg.stream_status WHERE stream = '$waiting'", 1);
    wait_for_state($small, $running, 'stopped');
    wait_for_workers($small, 'postgres', 2);
    pass('one is stopped, the other begins');
    is(log_has($small, qr/LOG:  kseg: streams wait for a free background worker/), 1, 'one line in the log');
};

done_testing();
