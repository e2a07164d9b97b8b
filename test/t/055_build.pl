# What was installed is what src/README.md promises: kseg.so brings no network library and no name of its own into the
# server, and kseg-courier knows nothing of PostgreSQL.
use strict;
use warnings;
use IPC::Run;
use KsegTest;

my $library = "$ENV{KSEG_LIB}/kseg.so";
my $courier = "$ENV{KSEG_LIB}/kseg-courier";

# What a program prints; its end must be a good one.
sub said_by
{
    my (@command) = @_;
    my ($out, $err) = ('', '');
    IPC::Run::run(\@command, '>', \$out, '2>', \$err) or die "@command: $err";
    return $out;
}

# The libraries that a file asks for by itself, and all that are loaded with it.
sub needed_by { return said_by('readelf', '--dynamic', $_[0]) =~ /\(NEEDED\).*\[(.*?)\]/g }
sub loaded_with { return said_by('ldd', $_[0]) =~ /^\s*(\S+)/mg }

# Dynamic symbols without their versions: undefined (wanted of others), or defined (shown to others).
sub symbols_of
{
    my ($file, $kind) = @_;
    return map { /(\S+?)(?:@.*)?$/ } split /\n/, said_by('nm', '--dynamic', "--$kind-only", $file);
}

my $foreign = qr/curl|rdkafka|json-c|deflate|ssl|crypto|nghttp|gnutls|xxhash/;

subtest 'both lie in the private installation' => sub {
    like($library, qr/^\Q$ENV{SCRATCH}\E\//, 'its folder is the one of this test');
    ok(-f $library, 'kseg.so');
    ok(-f $courier && -x _, 'kseg-courier, executable, beside it');
};

subtest 'kseg.so links no library of the network' => sub {
    # libm may come or go with the compiler; everything else would be one more thing inside the server.
    is_deeply([ grep { !/^lib[cm]\.so|^ld-linux/ } needed_by($library) ], [], 'it asks for the C library only');
    is_deeply([ grep { $_ =~ $foreign } loaded_with($library) ], [], 'and nothing else comes with it');
    my @wanted = symbols_of($library, 'undefined');
    ok((grep { $_ eq 'SPI_connect' } @wanted), 'its undefined symbols are to be seen');
    is_deeply([ grep { /^(?:curl_|rd_kafka_|json_(?:object|tokener)_|libdeflate_|SSL_|EVP_|XXH)/ } @wanted ],
        [], 'none is a network library\'s');
};

subtest 'kseg.so loads on every minor release' => sub {
    # hazards.md: the composite datum versioning of 15.20, 16.16, 17.12 and 18.7 imports these, and older minors lack them.
    is_deeply([ grep { /^(?:heap_datum_check|DatumGetHeapTupleHeader)/ } symbols_of($library, 'undefined') ],
        [], 'no symbol of composite arguments');
};

subtest 'kseg.so shows what PostgreSQL looks up, and no more' => sub {
    my @shown = symbols_of($library, 'defined');
    # The last three are the main functions of background workers.
    my @known = grep { /^(?:Pg_magic_func|_PG_init|pg_finfo_kseg_\w+|kseg_sql_\w+|kseg_(?:launcher|survey|stream_worker)_main)$/ } @shown;
    is_deeply(\@shown, \@known, 'exported names');
    ok((grep { $_ eq 'Pg_magic_func' } @known) && (grep { $_ eq 'kseg_sql_segment_track' } @known), 'those are there');
    my %finfo = map { $_ => 1 } grep { /^pg_finfo_/ } @known;
    is_deeply([ grep { /^kseg_sql_/ && !$finfo{"pg_finfo_$_"} } @known ], [], 'each function has its info record');
};

subtest 'kseg-courier knows nothing of PostgreSQL' => sub {
    ok((grep { /^libcurl/ } needed_by($courier)), 'its libraries are to be seen');
    is_deeply([ grep { /^lib(?:pq|pgport|pgcommon|pgtypes|ecpg)/ } loaded_with($courier) ], [], 'no library of PostgreSQL');
    my @wanted = symbols_of($courier, 'undefined');
    is_deeply([ grep { /^(?:palloc|pfree|err(?:start|finish|msg)|SPI_|pg_|PQ|MemoryContext)/ } @wanted ],
        [], 'no symbol of PostgreSQL');
};

# pg_upgrade loads every library to see whether it loads, in a server that was started with -b.
subtest 'in pg_upgrade\'s server the module sets nothing up' => sub {
    my $node = new_cluster('upgraded', start => 0);
    my $look = sub {
        my ($in, $out) = ("LOAD 'kseg';\nSHOW kseg.run_retention;\n", '');
        IPC::Run::run([ "$ENV{KSEG_BIN}/postgres", '--single', '-D', $node->data_dir, @_, 'postgres' ],
            '<', \$in, '>', \$out, '2>&1');
        return $out;
    };
    like($look->(), qr/"90"/, 'otherwise its settings are there after the load');
    my $said = $look->('-b');
    like($said, qr/unrecognized configuration parameter "kseg\.run_retention"/, 'with -b they are not');
    unlike($said, qr/could not (?:load|access)|PANIC|FATAL/, 'and it loads');
};

done_testing();
