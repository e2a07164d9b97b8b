# What the tests of fault points share (src/stream/stream_fault.h): planting a fault, learning that it has struck and whom, and a flow of
# numbered messages, some of them bad, with what must have become of them.
#
# Owns these words; refuses to know which faults there must be and what follows from them: that stands in the tests.
package KsegFault;

use strict;
use warnings;
use Exporter 'import';
use KsegTest ();
use KsegFlow ();
use PostgreSQL::Test::Utils ();
use Test::More;

our @EXPORT = qw(plant_fault plant_faults fault_acted is_stopped stopped_at fault_table fault_stream fault_figures numbered_messages
  expected_figures state_and_lag all_settled);

# ---- faults

# Has the process that passes a point next do this. count: not the first time.
sub plant_fault
{
    my ($node, $point, $action, $count) = @_;
    return plant_faults($node, "$point $action " . ($count // 1));
}

# The same for several lines, of limits too. None: there is nothing planted any more.
sub plant_faults
{
    my ($node, @lines) = @_;
    my $file = $node->data_dir . '/kseg_fault';
    open my $handle, '>', "$file.test" or die "could not write $file: $!";
    print $handle map { "$_\n" } @lines;
    close $handle;
    rename "$file.test", $file or die "could not rename: $!";
    return;
}

# Waits until a fault has struck, and returns whose process it was. from: the size of the log before
sub fault_acted
{
    my ($node, $point, $action, $from) = @_;
    return KsegTest::wait_for("$action at \"$point\"", sub {
        my ($pid) = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $from) =~ /\[(\d+)\] LOG:  fault point "\Q$point\E": $action/;
        return $pid;
    });
}

sub is_stopped { my ($pid) = @_; return PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") =~ /^\d+ \(.*\) T /s }

# Waits until "stop" has struck at a point, and returns the process that stands still.
sub stopped_at
{
    my ($node, $point, $from) = @_;
    my $pid = fault_acted($node, $point, 'stop', $from);
    KsegTest::wait_for("$pid to have stopped", sub { return is_stopped($pid) });
    return $pid;
}

# ---- a flow

# A topic of so many partitions, NAME_topic over it by server "kafka", and the target NAME, which takes numbers but for a few. Returns the topic.
sub fault_table
{
    my ($node, $kafka, $name, $partitions) = @_;
    my $topic = $kafka->create_topic($kafka->topic_unique($name), partitions => $partitions);
    $node->safe_psql('postgres', qq{
        CREATE FOREIGN TABLE ${name}_topic (part int OPTIONS (meta 'partition'), at bigint OPTIONS (meta 'offset'), number int) SERVER kafka OPTIONS (topic '$topic');
        CREATE TABLE $name (part int, at bigint, number int CHECK (number % 211 <> 13))});
    return $topic;
}

# The stream NAME between the two, in batches of a hundred. The other pairs are further arguments, as SQL.
sub fault_stream
{
    my ($node, $name, %arguments) = @_;
    my $further = join '', map { ", $_ => $arguments{$_}" } sort keys %arguments;
    $node->safe_psql('postgres',
        "SELECT kseg.stream_to_table('$name', 'SELECT part, at, number FROM ${name}_topic', 'public.$name', batch_rows => 100, max_dead_letter_rate => 1$further)");
    return;
}

# What became of what: rows, distinct offsets, their sum; dead letters, distinct offsets.
sub fault_figures
{
    my ($node, $name) = @_;
    return $node->safe_psql('postgres', "SELECT count(*), count(DISTINCT (part, at)), coalesce(sum(number), 0) FROM $name") . ' '
      . $node->safe_psql('postgres', qq{SELECT count(*), count(DISTINCT (partition, "offset")) FROM kseg.dead_letter WHERE stream = '$name'});
}

# Messages of these numbers, in two partitions: some are no numbers, and some are numbers that the target refuses.
sub numbered_messages
{
    my ($first, $last) = @_;
    return map { { value => $_ % 173 == 7 ? "{\"number\": \"$_ is bad\"}" : "{\"number\": $_}", partition => $_ % 2 } } $first .. $last;
}

# What fault_figures says when 1 … count have come, once.
sub expected_figures
{
    my ($count) = @_;
    my @bad = grep { $_ % 173 == 7 || $_ % 211 == 13 } 1 .. $count;
    my $sum = $count * ($count + 1) / 2;
    $sum -= $_ for @bad;
    my $good = $count - @bad;
    return "$good|$good|$sum " . @bad . '|' . @bad;
}

sub state_and_lag
{
    my ($node, $name) = @_;
    return $node->safe_psql('postgres', "SELECT state || ' ' || coalesce(lag_messages::text, 'unknown') FROM kseg.stream_status WHERE stream = '$name'");
}

# Waits until the stream has settled so many messages and runs, and compares.
sub all_settled
{
    my ($node, $name, $count, $what) = @_;
    KsegTest::wait_for("$count messages of $name to be settled", sub {
        my $settled = KsegFlow::settled_of($node, $name);
        return ($settled == $count, $settled);
    });
    KsegTest::wait_for("$name to run without a lag", sub { my $said = state_and_lag($node, $name); return ($said eq 'running 0', $said) });
    return is(fault_figures($node, $name), expected_figures($count), $what);
}

1;
