# The six calls, from a query and from a table: what Segment gets is what its specification says, nothing that is sent is
# silently dropped, and what would be is kept here.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 ();
use KsegTest;
use KsegRun;

my $node    = new_cluster('calls');
my $sandbox = start_sandbox();
my $session = run_session($node);
connect_segment($node, $sandbox);

# Sends and returns the figures.
sub call
{
    my ($call, $from, $what, $more) = @_;
    my $quoted = $from eq 'query' ? "\$kseg\$$what\$kseg\$" : "'$what'";
    my $arguments = $more ? ", $more" : '';
    my $result = $session->run("SELECT row_to_json(r) FROM kseg.segment_${call}_from_$from($quoted$arguments) r");
    die $result->{err} if failure($result);
    return figures($result);
}

# The events that the sandbox has, as they were sent, without their message ids, in the order of their users.
sub sent_events
{
    my @events = map { JSON::PP->new->decode($_->{text}) } $sandbox->events(limit => 1000);
    for my $event (@events)
    {
        die 'an event without a message id' unless (delete $event->{messageId}) =~ /^kseg-[0-9a-f]{32}$/;
    }
    my $key = sub { join ' ', map { $_[0]{$_} // '' } qw(userId anonymousId groupId previousId) };
    return [ sort { $key->($a) cmp $key->($b) } @events ];
}

# What is sent in each call. rows: VALUES of a table with these columns; the first of them are good, and give events; the
# others are bad, each for a reason.
my %calls = (
    track => {
        columns => q{user_id, anonymous_id, event, "timestamp", plan, "shop.country", context_ip, properties},
        good => [
            q{('u1', NULL, 'Order Completed', '2026-11-21 12:00+01'::timestamptz, 'gold', 'de', '203.0.113.7', '{"currency":"EUR"}'::jsonb)},
            q{(NULL, 'a1', 'Plan Chosen', NULL, 'free', NULL, NULL, NULL)},
            q{('u2', 'a2', 'Plan Chosen', NULL, NULL, NULL, NULL, NULL)},
        ],
        bad => {
            q{(NULL, NULL, 'E', NULL, NULL, NULL, NULL, NULL)} => qr/user id/,
            q{('', '', 'E', NULL, NULL, NULL, NULL, NULL)}     => qr/user id/,
            q{('u3', NULL, NULL, NULL, NULL, NULL, NULL, NULL)} => qr/event name/,
            q{('u4', NULL, '', NULL, NULL, NULL, NULL, NULL)}   => qr/event name/,
        },
        events => [
            { type => 'track', anonymousId => 'a1', event => 'Plan Chosen', properties => { plan => 'free' } },
            { type => 'track', userId => 'u1', event => 'Order Completed', timestamp => '2026-11-21T11:00:00.000Z',
              properties => { currency => 'EUR', plan => 'gold', shop => { country => 'de' } }, context => { ip => '203.0.113.7' } },
            { type => 'track', userId => 'u2', anonymousId => 'a2', event => 'Plan Chosen', properties => {} },
        ],
    },
    identify => {
        columns => q{user_id, "anonymousId", email, "address.city", seats, traits},
        good => [
            q{('u1', NULL, 'a@example.com', 'Berlin', 3, '{"address": {"city": "Rome", "country": "IT"}, "vip": true}'::jsonb)},
            q{(NULL, 'a1', NULL, NULL, NULL, NULL)},
        ],
        bad => {
            q{(NULL, NULL, 'b@example.com', NULL, NULL, NULL)} => qr/user id/,
            q{('', NULL, 'c@example.com', NULL, NULL, NULL)}   => qr/user id/,
        },
        events => [
            { type => 'identify', anonymousId => 'a1', traits => {} },
            { type => 'identify', userId => 'u1',
              traits => { email => 'a@example.com', address => { city => 'Berlin', country => 'IT' }, seats => 3, vip => JSON::PP::true } },
        ],
    },
    group => {
        columns => q{user_id, group_id, industry, employees},
        good => [ q{('u1', 'g1', 'Retail', 12)}, q{('u2', 'g1', NULL, NULL)} ],
        bad => {
            q{('u3', NULL, NULL, NULL)} => qr/group id/,
            q{('u4', '', NULL, NULL)}   => qr/group id/,
            q{(NULL, 'g1', NULL, NULL)} => qr/user id/,
        },
        events => [
            { type => 'group', userId => 'u1', groupId => 'g1', traits => { industry => 'Retail', employees => 12 } },
            { type => 'group', userId => 'u2', groupId => 'g1', traits => {} },
        ],
    },
    page => {
        columns => q{user_id, anonymous_id, name, category, url},
        good => [ q{('u1', NULL, 'Home', 'Docs', 'https://example.com/')}, q{(NULL, 'a1', NULL, NULL, NULL)} ],
        bad => { q{(NULL, NULL, 'Lost', NULL, NULL)} => qr/user id/ },
        events => [
            { type => 'page', anonymousId => 'a1', properties => {} },
            { type => 'page', userId => 'u1', name => 'Home', category => 'Docs', properties => { url => 'https://example.com/' } },
        ],
    },
    screen => {
        columns => q{user_id, anonymous_id, name, category, width},
        good => [ q{('u1', NULL, 'Start', 'App', 1.5)}, q{(NULL, 'a1', 'End', NULL, NULL)} ],
        bad => { q{(NULL, '', 'Lost', NULL, NULL)} => qr/user id/ },
        events => [
            { type => 'screen', anonymousId => 'a1', name => 'End', properties => {} },
            { type => 'screen', userId => 'u1', name => 'Start', category => 'App', properties => { width => 1.5 } },
        ],
    },
    alias => {
        columns => q{user_id, previous_id},
        good => [ q{('u1', 'a1')}, q{('u2', 'a2')} ],
        bad => {
            q{('u3', NULL)} => qr/previous id/,
            q{('u4', '')}   => qr/previous id/,
            q{(NULL, 'a5')} => qr/user id/,
            q{('', 'a6')}   => qr/user id/,
        },
        events => [ { type => 'alias', userId => 'u1', previousId => 'a1' }, { type => 'alias', userId => 'u2', previousId => 'a2' } ],
    },
);

for my $name (sort keys %calls)
{
    my $call = $calls{$name};
    my @bad  = sort keys %{ $call->{bad} };
    my ($good, $rows) = (scalar @{ $call->{good} }, @{ $call->{good} } + @bad);
    my $values = join ', ', @{ $call->{good} }, @bad;
    my $made = $session->run("CREATE TABLE ${name}_rows AS SELECT * FROM (VALUES $values) v ($call->{columns})");
    die $made->{err} if failure($made);

    subtest "$name from a query" => sub {
        $sandbox->reset;
        my $run = call($name, 'query', "TABLE ${name}_rows");
        is("$run->{rows} $run->{sent} $run->{invalid} $run->{repeated} $run->{rejected}",
            "$rows $good " . @bad . ' 0 0', 'rows, sent, invalid, repeated, rejected');
        is_deeply(sent_events(), $call->{events}, 'what Segment got');
        my $stats = $sandbox->stats;
        is($stats->{dropped_total} + $stats->{refused}, 0, 'Segment dropped and refused nothing of it');
        is_deeply($stats->{warnings}, {}, 'and has nothing to warn of');
        is_deeply($stats->{by_path}, { '/v1/batch' => $stats->{requests} }, 'all went to /v1/batch');

        my @kept = $session->rows("SELECT row, call, status, reason, event FROM kseg.dead_letter WHERE run = '$run->{run}' ORDER BY row");
        is(@kept, @bad, 'every bad row is kept');
        for my $i (0 .. $#bad)
        {
            my $letter = $kept[$i];
            is($letter->{row}, $good + $i + 1, "row $letter->{row}: its number");
            like($letter->{reason}, $call->{bad}{ $bad[$i] }, "row $letter->{row}: its reason");
            is("$letter->{call} $letter->{event}{type}", "$name $name", "row $letter->{row}: its call and event");
            is($letter->{status}, undef, "row $letter->{row}: never sent");
        }
    };

    subtest "$name from a table" => sub {
        my %ids = map { $_->{messageId} => 1 } $sandbox->events;
        my $run = call($name, 'table', "${name}_rows");
        is("$run->{rows} $run->{sent} $run->{invalid}", "$rows $good " . @bad, 'rows, sent, invalid');
        is($sandbox->stats->{repeated}, $good, 'the same events, by their ids');
        is_deeply({ map { $_->{messageId} => 1 } $sandbox->events }, \%ids, 'and no other');
        $sandbox->reset;
        call($name, 'table', "${name}_rows");
        is_deeply(sent_events(), $call->{events}, 'with the same content');
    };

    # Would the sandbox have dropped these? Otherwise it proves nothing that it dropped none.
    subtest "$name without kseg's checks" => sub {
        my @events = map { $_->{event} } $session->rows("SELECT event FROM kseg.dead_letter WHERE call = '$name' AND status IS NULL");
        $sandbox->reset;
        my $answer = HTTP::Tiny->new->post($sandbox->url . '/v1/batch', {
            headers => { 'Content-Type' => 'application/json', Authorization => 'Basic ' . MIME::Base64::encode($sandbox->key . ':', '') },
            content => JSON::PP->new->utf8->encode({ batch => \@events }) });
        is($answer->{status}, 200, 'Segment takes them');
        is($sandbox->stats->{dropped_total}, scalar @events, 'and drops every one of them, silently');
    };
}

subtest 'columns by the arguments of a call' => sub {
    $sandbox->reset;
    my $run = call('group', 'query', q{SELECT 'u9' AS customer, 'g9' AS firm, 12 AS size, 'x' AS secret_note, 'kept' AS color,
            timestamp '2026-01-02 03:04:05' AS at, 'my-id' AS key},
        q{user_id => 'customer', group_id => 'firm', event_time => 'at', message_id => 'key', exclude => '{secret_note}',
          context => '{"app": {"name": "kseg test"}}', integrations => '{"All": false}'});
    is($run->{sent}, 1, 'sent');
    my ($event) = $sandbox->events;
    is_deeply(JSON::PP->new->decode($event->{text}), { type => 'group', userId => 'u9', groupId => 'g9', messageId => 'my-id',
        timestamp => '2026-01-02T03:04:05.000Z', traits => { size => 12, color => 'kept' },
        context => { app => { name => 'kseg test' } }, integrations => { All => JSON::PP::false } }, 'the event');

    $sandbox->reset;
    call('identify', 'query', q{SELECT 'u9' AS user_id, 1 AS a, 2 AS b, 3 AS c}, q{traits => '{a, c}'});
    is_deeply(sent_events(), [ { type => 'identify', userId => 'u9', traits => { a => 1, c => 3 } } ], 'only the traits that are named');

    $sandbox->reset;
    call('page', 'query', q{SELECT 'u9' AS user_id, 'Title' AS title, 'Part' AS part, NULL::int AS nothing},
        q{name => 'title', category => 'part', nulls => 'send'});
    is_deeply(sent_events(), [ { type => 'page', userId => 'u9', name => 'Title', category => 'Part', properties => { nothing => undef } } ],
        'a page\'s name and category; NULLs when they are wanted');
};

subtest 'alias takes ids only' => sub {
    my $result = $session->run(q{SELECT * FROM kseg.segment_alias_from_query('SELECT 1 AS user_id, 2 AS previous_id, 3 AS plan')});
    my $failure = failure($result);
    is($failure && $failure->{code}, '22023', 'a column left over is an error') or diag($result->{err});
    like($failure->{message}, qr/"plan"/, 'that names it');
};

subtest 'the batch around the events' => sub {
    $sandbox->reset;
    call('track', 'query', q{SELECT 'u1' AS user_id, 'E' AS event});
    my ($event) = $sandbox->events;
    is($event->{event}{context}{library}{name}, 'kseg', 'context.library.name');
    like($event->{event}{context}{library}{version}, qr/^\d+\.\d+\.\d+$/, 'and version');
    my ($request) = $sandbox->requests;
    like($request->{sentAt}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'sentAt');
    is($request->{headers}{'content-type'}, 'application/json', 'its type');
    like($request->{headers}{authorization}, qr/^Basic /, 'its authorization');
};

done_testing();
