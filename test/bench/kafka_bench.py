"""What Kafka costs: kseg against librdkafka alone, against psql and kcat, and against COPY of the same rows.

Run by test/bench/kafka, which brings the cluster (PGHOST, PGPORT, ...), the broker, kcat and the programs. Prints tables; measures
nothing that it does not print. Statements are measured by bench_session.py, programs by what the kernel says of them when they have
ended, the broker by its own /proc/PID/stat. In each round every way goes once, one after the other.
"""
import argparse
import os
import re
import statistics
import subprocess
import time

from bench_session import Session, cpu_of, stat_of

PARTITIONS = 4
# What kseg, librdkafka alone and kcat are told alike.
COMPRESSION = "lz4"
LINGER_MS = "5"

PREDICTION = """SELECT 'customer-' || (g - 1) AS customer_id, random() AS iphone, random() AS apple_watch, random() AS macbook,
       (random() * 1000)::numeric(10,2) AS expected_revenue, (ARRAY['gold', 'silver', 'bronze'])[1 + g % 3] AS segment,
       timestamptz '2026-01-01' + g * interval '1 second' AS predicted_at FROM generate_series(1, {rows}) g"""
FIELDS = ("iphone", "apple_watch", "macbook", "expected_revenue", "segment", "predicted_at")
PRODUCE = "SELECT sent FROM kseg.kafka_produce_from_query('SELECT * FROM {table}', topic => '{topic}', key => 'customer_id');"
# The same key and, as far as SQL can, the same value, for kcat.
LINES = ("COPY (SELECT customer_id, json_build_object(" + ", ".join(f"'{name}', {name}" for name in FIELDS) +
         ") FROM {table}) TO STDOUT;")

# Messages of about 240 bytes that are read into five typed columns: these are all there is in an order, and half of a wide one.
COLUMNS = "id bigint, customer text, amount numeric, ordered_at timestamptz, note text"
ORDER = """SELECT json_build_object('id', g, 'customer', 'customer ' || g % 5000, 'amount', (random() * 1000)::numeric(10,2),
       'ordered_at', to_char(timestamp '2026-01-01' + g * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       'note', md5(g::text) || ' ' || md5((g + 1)::text) || ' ' || md5((g + 2)::text) || ' leave it with the neighbours') AS value FROM generate_series(1, {rows}) g"""
WIDE = """SELECT json_build_object('id', g, 'status', 'paid', 'customer', 'customer ' || g % 5000, 'currency', 'EUR', 'amount',
       (random() * 1000)::numeric(10,2), 'ordered_at', to_char(timestamp '2026-01-01' + g * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       'address', json_build_object('zip', 10000 + g % 90000, 'city', 'Berlin'), 'agent', left(md5(g::text), 8), 'gift', g % 3 = 0,
       'note', 'note ' || g) AS value FROM generate_series(1, {rows}) g"""
INSERT = "INSERT INTO orders SELECT id, customer, amount, ordered_at, note FROM {table};"
AGGREGATE = "SELECT count(id), count(customer), sum(amount), max(ordered_at), max(note) FROM {table};"


class Bench(Session):
    def __init__(self, options):
        super().__init__(options.bin)
        self.options = options
        with open(f"{options.scratch}/kafka/bootstrap") as file:
            self.bootstrap = file.read().strip()
        with open(f"{options.scratch}/kafka/node1/pid") as file:
            self.broker = int(file.read())
        self.topics = 0

    def client(self, *arguments):
        subprocess.run([f"{self.options.scratch}/src/build/kafka/client", "-b", self.bootstrap, *arguments], check=True,
                       stdout=subprocess.DEVNULL)

    def new_topic(self):
        self.topics += 1
        topic = f"bench-{self.topics}"
        self.client("create", topic, str(PARTITIONS), "1")
        return topic

    def count(self, topic):
        """Messages of a topic, by its offsets."""
        out = subprocess.run([f"{self.options.scratch}/src/build/kafka/client", "-b", self.bootstrap, "offsets", topic], check=True,
                             capture_output=True, text=True).stdout
        return sum(int(high) - int(low) for low, high in
                   ((re.search(r'"low":(\d+)', line).group(1), re.search(r'"high":(\d+)', line).group(1)) for line in out.splitlines()))

    def with_broker(self, run, rows):
        """What run() measures, and the broker's CPU seconds per million rows."""
        before = cpu_of(stat_of(self.broker))[0]
        result = run()
        return {**result, "broker": (cpu_of(stat_of(self.broker))[0] - before) / rows * 1e6}

    def statement(self, text, rows):
        return self.with_broker(lambda: self.measure(text, rows), rows)

    def program(self, command, rows):
        """A shell command to its end: time, and the CPU of it and its children (in the column courier)."""
        def run():
            start = time.monotonic()
            process = subprocess.Popen(["bash", "-o", "pipefail", "-c", command])
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - start
            if status:
                raise SystemExit(f"failed: {command}")
            return {"rate": rows / seconds, "seconds": seconds, "backend": 0, "courier": (usage.ru_utime + usage.ru_stime) / rows * 1e6}
        return self.with_broker(run, rows)

    # ---- the ways to produce: each into a topic of its own, which must have every message afterwards

    def produce(self, way, rows):
        topic = self.new_topic()
        result = way(topic)
        if self.count(topic) != rows:
            raise SystemExit(f"{topic} has {self.count(topic)} messages, not {rows}")
        self.client("delete", topic)
        return result

    def produce_kseg(self, topic):
        return self.statement(PRODUCE.format(table="b", topic=topic), self.options.rows)

    def produce_alone(self, topic):
        def run():
            out = subprocess.run([f"{self.options.scratch}/produce_alone", "--bootstrap", self.bootstrap, "--topic", topic,
                                  "--file", "payloads", "--keys", str(self.options.rows), "--compression", COMPRESSION,
                                  "--linger", LINGER_MS], check=True, capture_output=True, text=True).stdout
            seconds, cpu = (float(re.search(pattern, out).group(1)) for pattern in (r"([\d.]+) s,", r"([\d.]+) CPU s"))
            return {"rate": self.options.rows / seconds, "seconds": seconds, "backend": 0, "courier": cpu / self.options.rows * 1e6}
        return self.with_broker(run, self.options.rows)

    def produce_kcat(self, topic):
        """psql's COPY into kcat. The backend's CPU is what its session says of itself before and after."""
        stat = "SELECT pg_read_file('/proc/self/stat')"
        with open("copy.sql", "w") as file:
            file.write(f"\\o stat.before\n{stat};\n\\o\n{LINES.format(table='b')}\n\\o stat.after\n{stat};\n")
        result = self.program(f"{' '.join(self.psql)} -f copy.sql | kcat -P -b {self.bootstrap} -t {topic} -K '\t' -z {COMPRESSION} "
                              f"-X acks=all -X enable.idempotence=true -X linger.ms={LINGER_MS} -X topic.partitioner=murmur2_random",
                              self.options.rows)
        stats = []
        for name in ("stat.before", "stat.after"):
            with open(name) as file:
                stats.append(cpu_of(file.read())[0])
        return {**result, "backend": (stats[1] - stats[0]) / self.options.rows * 1e6}


def show(name, results, bases):
    rate = statistics.median(r["rate"] for r in results)
    cpu = [statistics.median(r[part] for r in results) for part in ("backend", "courier", "broker")]
    spread = f"{min(r['rate'] for r in results):,.0f} .. {max(r['rate'] for r in results):,.0f}"
    ratios = " ".join(f"{rate / base:9.2f}" for base in bases)
    print(f"{name:44} {rate:11,.0f}  {spread:>23}  {cpu[0]:7.2f} {cpu[1]:7.2f} {cpu[2]:6.2f} {sum(cpu):6.2f}  {ratios}", flush=True)


def rounds(bench, cases, bases):
    """Every case in turn, as often as is asked for; then the table. cases: name -> function; bases: names that rates are compared with."""
    results = {name: [] for name in cases}
    for _ in range(bench.options.rounds):
        for name, run in cases.items():
            results[name].append(run())
    rates = [statistics.median(r["rate"] for r in results[name]) for name in bases]
    print(f"\n{bench.options.rows:,} rows, {bench.options.rounds} rounds, medians\n"
          f"{'':44} {'':11}  {'':23}  {'CPU s per million rows':^29}\n"
          f"{'':44} {'rows/s':>11}  {'min .. max':>23}  {'backend':>7} {'client':>7} {'broker':>6} {'whole':>6}  "
          + " ".join(f"{'x of ' + name[:3]:>9}" for name in bases))
    for name, result in results.items():
        show(name, result, rates)


def prepare_produce(bench):
    """The table b, and the file of payloads: the very values that kseg produces."""
    bench.sql(f"CREATE TABLE b AS {PREDICTION.format(rows=bench.options.rows)}; VACUUM ANALYZE b; SELECT count(*) FROM b")
    topic = bench.new_topic()
    bench.sql(PRODUCE.format(table="b", topic=topic))
    with open("payloads", "w") as file:
        subprocess.run(["kcat", "-C", "-q", "-e", "-b", bench.bootstrap, "-t", topic, "-o", "beginning"], check=True, stdout=file)
    print(f"a prediction's value has {os.path.getsize('payloads') / bench.options.rows - 1:.0f} bytes", flush=True)
    bench.client("delete", topic)


def produce(bench):
    prepare_produce(bench)
    rounds(bench, {name: lambda way=way: bench.produce(way, bench.options.rows) for name, way in {
        "(a) kseg": bench.produce_kseg,
        "(b) librdkafka alone, payloads in memory": bench.produce_alone,
        "(c) psql COPY | kcat -P": bench.produce_kcat}.items()}, ["(b) librdkafka alone, payloads in memory", "(c) psql COPY | kcat -P"])


def fill_orders(bench, query, rows, table):
    """A topic of orders and a foreign table over it; returns the topic."""
    topic = bench.new_topic()
    bench.sql(f"""SELECT sent FROM kseg.kafka_produce_from_query($$ {query.format(rows=rows)} $$, topic => '{topic}', value => 'value');
        CREATE FOREIGN TABLE {table} ({COLUMNS}) SERVER kafka OPTIONS (topic '{topic}');""")
    return topic


def insert(bench, statement):
    """Measures what fills the table orders, which must be the table local then."""
    bench.sql("TRUNCATE orders; CHECKPOINT")
    result = bench.statement(statement, bench.options.rows)
    if bench.sql("SELECT count(*) FROM (TABLE orders EXCEPT ALL TABLE local) q") != "0\n" or \
            bench.sql("SELECT count(*) FROM orders") != f"{bench.options.rows}\n":
        raise SystemExit(f"not the same rows: {statement}")
    return result


def read(bench, title, query, others):
    """Into a table, and beside it COPY of the same rows; with others, also without a table, by kcat, and from a local table."""
    rows, here = bench.options.rows, os.getcwd()
    topic = fill_orders(bench, query, rows, "topic")
    size = bench.sql(f"""CREATE TABLE orders ({COLUMNS}); CREATE TABLE local ({COLUMNS});
        INSERT INTO local SELECT * FROM topic; VACUUM ANALYZE local; COPY local TO '{here}/orders.txt';
        CREATE FOREIGN TABLE raw (value text) SERVER kafka OPTIONS (topic '{topic}', format 'text');
        SELECT round(avg(octet_length(value))) FROM raw""").strip()
    print(f"\n{title}: {size} bytes", flush=True)
    kseg, copy = "(d) kseg, INSERT INTO t SELECT FROM topic", "(e) COPY t FROM text"
    cases = {kseg: lambda: insert(bench, INSERT.format(table="topic")),
             copy: lambda: insert(bench, f"COPY orders FROM '{here}/orders.txt';"),
             "(f) kseg, aggregate of the five columns": lambda: bench.statement(AGGREGATE.format(table="topic"), rows)}
    bases = [copy]
    if others:
        kcat, local = "(g) kcat -C to /dev/null", "(h) INSERT INTO t SELECT FROM a local table"
        cases[kcat] = lambda: bench.program(f"kcat -C -q -e -b {bench.bootstrap} -t {topic} -o beginning >/dev/null", rows)
        cases[local] = lambda: insert(bench, INSERT.format(table="local"))
        cases["(i) kseg, count(*)"] = lambda: bench.statement("SELECT count(*) FROM topic;", rows)
        bases += [kcat, local]
    rounds(bench, cases, bases)
    bench.sql("DROP FOREIGN TABLE topic, raw; DROP TABLE orders, local")
    bench.client("delete", topic)


def memory(bench):
    print(f"\n{'peak anonymous memory, MB':44} {'backend':>8} {'courier':>8} {'together':>9}")
    for rows in (int(word) for word in bench.options.memory_rows.split()):
        bench.sql(f"DROP TABLE IF EXISTS m; CREATE UNLOGGED TABLE m AS {PREDICTION.format(rows=rows)}")
        topic = bench.new_topic()
        cases = {"produce": bench.measure(PRODUCE.format(table="m", topic=topic), rows)}
        bench.client("delete", topic)
        bench.sql(f"DROP FOREIGN TABLE IF EXISTS many; DROP TABLE IF EXISTS orders; CREATE TABLE orders ({COLUMNS})")
        topic = fill_orders(bench, ORDER, rows, "many")
        cases["aggregate"] = bench.measure(AGGREGATE.format(table="many"), rows)
        cases["INSERT INTO t SELECT"] = bench.measure(INSERT.format(table="many"), rows)
        bench.client("delete", topic)
        for name, result in cases.items():
            peak = result["peak"]
            print(f"{f'{rows:,} rows, {name}':44} {peak['backend']:8.1f} {peak['courier']:8.1f} {peak['together']:9.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--scratch", required=True, help="has kafka/, src/ and produce_alone")
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-rows", default="")
    bench = Bench(parser.parse_args())
    bench.sql(f"CREATE EXTENSION kseg; SELECT kseg.connect_kafka(bootstrap_servers => '{bench.bootstrap}')")
    produce(bench)
    read(bench, "an order, all of whose members are read", ORDER, True)
    read(bench, "a wide order, of whose ten members five are read", WIDE, False)
    memory(bench)


if __name__ == "__main__":
    main()
