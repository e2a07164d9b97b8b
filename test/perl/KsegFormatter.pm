# How a test run reads: one line for each test program with its time, and, for one that failed, everything it said.
#
# A formatter for prove (--formatter KsegFormatter). Owns the printing and the counting; refuses to decide what is run.
# Appends one line "passed failed skipped" for each program to the file $KSEG_COUNTS, and the names of programs that
# failed to $KSEG_FAILED and of those that were not run, with the reason, to $KSEG_SKIPPED, for test/run to sum up; and
# what those that failed said of it, in short, to $KSEG_TROUBLE, for the end of the run.
package KsegFormatter;

use strict;
use warnings;
use parent -norequire, 'TAP::Object';
use TAP::Object;
use Time::HiRes;

sub _initialize { my ($self) = @_; return $self }

# What TAP::Harness asks of a formatter.
sub verbosity { 0 }
sub prepare   { return }
sub summary   { return }

sub open_test
{
    my ($self, $test, $parser) = @_;
    return KsegFormatter::Session->new($test, $parser);
}

package KsegFormatter::Session;

use strict;
use warnings;
use File::Basename qw(basename dirname);

sub new
{
    my ($class, $path, $parser) = @_;
    # …/regress/name and …/t/001_name.pl: the folder is the group.
    my $name = basename(dirname($path)) . '/' . basename($path, '.pl');
    return bless {
        name => $name, parser => $parser, began => Time::HiRes::time(), said => [],
        passed => 0, failed => 0, skipped => 0,
    }, $class;
}

sub result
{
    my ($self, $result) = @_;
    push @{ $self->{said} }, $result->raw;
    return unless $result->is_test;
    if ($result->has_skip)    { $self->{skipped}++ }
    elsif ($result->is_ok)    { $self->{passed}++ }
    else                      { $self->{failed}++ }
    return;
}

sub close_test
{
    my ($self) = @_;
    my $parser = $self->{parser};
    my $seconds = Time::HiRes::time() - $self->{began};
    my $why = $parser->skip_all;
    $self->{skipped}++ if defined $why && length $why;
    # A program that dies, or says less than it planned, has failed even when each line that it did say is ok.
    my $bad = $parser->has_problems;
    $self->{failed}++ if $bad && !$self->{failed};

    my $checks = $self->{passed} + $self->{failed};
    printf "%-6s  %-42s %4d %-6s  %6.1f s\n", ($bad ? 'NOT OK' : $checks ? 'ok' : 'skip'),
      $self->{name}, $checks, ($checks == 1 ? 'check' : 'checks'), $seconds;
    print "        skipped: $why\n" if defined $why && length $why;
    $self->_print_failure if $bad;
    _append($ENV{KSEG_COUNTS}, "$self->{passed} $self->{failed} $self->{skipped}\n");
    _append($ENV{KSEG_FAILED}, "$self->{name}\n") if $bad;
    _append($ENV{KSEG_SKIPPED}, "$self->{name}: $why\n") if defined $why && length $why;
    return;
}

# What the program said, without the lines that are ok (of subtests too), and what is wrong with it as a whole.
sub _print_failure
{
    my ($self) = @_;
    my $parser = $self->{parser};
    my @said = grep { !/^\s*(?:ok\b|1\.\.\d+$)/ } map { split /\n/ } @{ $self->{said} };
    my $status = $parser->wait // 0;
    push @said, $parser->parse_errors;
    push @said, 'exit status ' . ($status >> 8) . ', signal ' . ($status & 127) if $status;
    # 200 lines: a failing comparison of SQL results fits; a program that floods does not bury the others.
    print map { "        | $_\n" } _last(200, @said);
    # Of a long output often only the end is kept, and there 25 lines of 300 characters for each leave room for several.
    _append($ENV{KSEG_TROUBLE}, join '', "        $self->{name}\n", map { '        | ' . substr($_, 0, 300) . "\n" } _last(25, @said));
    return;
}

# The last of the lines, not more than so many.
sub _last
{
    my ($most, @lines) = @_;
    my $left = @lines - $most;
    return $left > 0 ? ("... $left lines before this", @lines[-$most .. -1]) : @lines;
}

sub _append
{
    my ($file, $line) = @_;
    return unless defined $file;
    open my $handle, '>>', $file or die "could not open $file: $!";
    print $handle $line;
    close $handle or die "could not write $file: $!";
    return;
}

1;
