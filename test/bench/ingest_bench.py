"""What a topic into a table costs, for ever: kseg's streams against COPY and INSERT of the same rows, and against Kafka Connect's JDBC sink.

Run by test/bench/ingest, which brings the cluster (PGHOST, PGPORT, ...), the broker and the worker of Kafka Connect. Prints tables; measures nothing
that it does not print. In each round every way goes once, one after the other.

How fast a stream or a sink was is told by its commits (track_commit_timestamp): rows that were committed after the first commit, divided
by the time from the first to the last. So nobody's start counts, and nobody is disturbed by being watched.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import threading
import time
from types import SimpleNamespace

from bench_session import Memory, Session, cpu_of, stat_of
from ingest_poison import poison

PARTITIONS = 16
COLUMNS = "id bigint, customer text, amount numeric, ordered_at timestamptz, note text"
NAMES = ("id", "customer", "amount", "ordered_at", "note")
# A message of 243 bytes that consists of the five columns; the order of make bench-kafka.
ORDER = """SELECT g::text AS key, json_build_object('id', g, 'customer', 'customer ' || g % 5000, 'amount', (random() * 1000)::numeric(10,2),
       'ordered_at', to_char(timestamp '2026-01-01' + g * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       'note', md5(g::text) || ' ' || md5((g + 1)::text) || ' ' || md5((g + 2)::text) || ' leave it with the neighbours') AS value FROM generate_series(1, {rows}) g"""
INSERT = f"INSERT INTO orders SELECT {', '.join(NAMES)} FROM local"
UPSERT = f"{INSERT} ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{name} = EXCLUDED.{name}" for name in NAMES[1:])
KEY = "ALTER TABLE orders ADD PRIMARY KEY (id);"

# The four targets: how the table is made, the same from a local table, and the settings of stream and sink.
CASES = {
    "a": ("a heap without index", "", INSERT, {}, {"insert.mode": "insert", "primary.key.mode": "none"}),
    "b": ("with primary key", KEY, INSERT, {}, {"insert.mode": "insert", "primary.key.mode": "none"}),
    "c": ("upsert, all new", KEY, UPSERT, {"key": "'{id}'", "on_conflict": "'update'"}, {"insert.mode": "upsert", "primary.key.mode": "record_value"}),
    "d": ("upsert, all there", KEY + "INSERT INTO orders SELECT * FROM local;", UPSERT, {"key": "'{id}'", "on_conflict": "'update'"},
          {"insert.mode": "upsert", "primary.key.mode": "record_value"}),
}

# Debezium's sink as it is quickest here (shared testbed): two tasks, large polls, and the statement that suits the mode.
SINK = {
    "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "tasks.max": "2", "schema.evolution": "none", "batch.size": "5000",
    "connection.username": "postgres", "connection.password": "none", "collection.name.format": "public.orders", "primary.key.fields": "id",
    "consumer.override.max.poll.records": "5000", "consumer.override.max.partition.fetch.bytes": str(4 * 1024 * 1024),
    "key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "true", "value.converter.schema.content": json.dumps({"type": "struct", "fields": [
        {"field": "id", "type": "int64"}, {"field": "customer", "type": "string"}, {"field": "amount", "type": "double"},
        {"field": "ordered_at", "type": "string", "name": "io.debezium.time.ZonedTimestamp"}, {"field": "note", "type": "string"}]}),
}
SINK_OF_MODE = {"insert": {}, "upsert": {"dialect.postgres.unnest.insert.enabled": "true"}}

# The server has written nothing for so many seconds: whoever writes has ended.
QUIET = 1.0
PATIENCE = 600
LATENCY_RATE, LATENCY_SECONDS = 1000, 20
# What a stream does at its beginning is over after so many seconds.
IDLE_START, IDLE_SECONDS = 5, 20


def cpu_now(pid):
    """CPU seconds of a process so far, without its children; 0 when it is gone."""
    try:
        return cpu_of(stat_of(pid))[0]
    except OSError:
        return 0.0


def children_of(pid):
    """The children of a process; none when it is gone."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def family_of(pids):
    return [*pids, *(child for pid in pids for child in children_of(pid))]


def children_cpu(pid):
    """CPU seconds of a process's children so far: of those that have ended and of those that live."""
    return cpu_of(stat_of(pid))[1] + sum(map(cpu_now, children_of(pid)))


def switches_of(pid):
    """Voluntary context switches of all threads of a process so far: how often it went to sleep."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as file:
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M).group(1))
    return total


class Peak(threading.Thread):
    """Peak of anonymous memory (MB) of some processes and their children together; sampled every 20 ms."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.peak, self.over = pids, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            self.peak = max(self.peak, sum(Memory.anonymous(pid) for pid in family_of(self.pids)))

    def end(self):
        self.over.set()
        self.join()
        return self.peak


class Bench(Session):
    def __init__(self, options):
        super().__init__(options.bin)
        self.options = options
        self.bootstrap = self.file("kafka/bootstrap")
        self.jvm = int(self.file("connect/pid")) if os.path.exists(f"{options.scratch}/connect/pid") else None
        self.broker = int(self.file("kafka/node1/pid"))
        self.names = 0

    def file(self, name):
        with open(f"{self.options.scratch}/{name}", encoding="ascii") as file:
            return file.read().strip()

    def run(self, *command):
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if said.returncode:
            raise SystemExit(f"{' '.join(command[:4])}: {said.stderr}")
        return said.stdout

    def client(self, *arguments):
        return self.run(f"{self.options.scratch}/src/build/kafka/client", "-b", self.bootstrap, *arguments)

    def name(self, what):
        self.names += 1
        return f"{what}_{self.names}"

    def number(self, query):
        return float(self.sql(query).strip() or "nan")

    def wait_for(self, what, look):
        """Waits until look() says something true."""
        end = time.monotonic() + PATIENCE
        while True:
            seen = look()
            if seen:
                return seen
            if time.monotonic() > end:
                raise SystemExit(f"waited in vain for {what}")
            time.sleep(0.05)

    # ---- what is the same for all

    def prepare(self):
        """The topic, a foreign table over it, the same rows in a local table in the topic's order, and as a file."""
        rows, here = self.options.rows, self.options.scratch
        self.sql(f"CREATE EXTENSION kseg; SELECT kseg.connect_kafka(bootstrap_servers => '{self.bootstrap}')")
        self.topic = "orders"
        self.client("create", self.topic, str(PARTITIONS), "1")
        self.sql(f"""SELECT sent FROM kseg.kafka_produce_from_query($$ {ORDER.format(rows=rows)} $$, topic => 'orders', key => 'key', value => 'value');
            CREATE FOREIGN TABLE orders_topic ({COLUMNS}) SERVER kafka OPTIONS (topic 'orders');
            CREATE TABLE local ({COLUMNS}); INSERT INTO local SELECT * FROM orders_topic; VACUUM ANALYZE local; COPY local TO '{here}/orders.txt'""")
        if self.number("SELECT count(DISTINCT id) FROM local") != rows:
            raise SystemExit("the topic has not all rows")

    def table(self, case):
        """The target anew; returns the transaction before which nothing counts."""
        self.sql(f"DROP TABLE IF EXISTS orders; CREATE TABLE orders ({COLUMNS}); {CASES[case][1]} CHECKPOINT")
        return int(self.number("SELECT txid_current()"))

    def check(self, what):
        """The target has the local table's rows. Sums, not a comparison row by row: that would take longer than what is measured."""
        # Connect's numbers are doubles: 1.5 where the message has 1.50.
        sums = "SELECT count(*), count(DISTINCT id), sum(hashtextextended((id, customer, trim_scale(amount), ordered_at, note)::text, 0)::numeric) FROM {}"
        if self.sql(sums.format("orders")) != self.sql(sums.format("local")):
            raise SystemExit(f"not the same rows: {what}")

    def commits(self, since):
        """Of the rows that were written since a transaction: their number, that of those of the first commit, seconds from first to last."""
        line = self.sql(f"""SELECT coalesce(sum(n), 0), coalesce((array_agg(n ORDER BY at))[1], 0), coalesce(extract(epoch FROM max(at) - min(at)), 0) FROM
            (SELECT pg_xact_commit_timestamp(x) AS at, n FROM (SELECT xmin AS x, count(*) AS n FROM orders WHERE xmin::text::bigint > {since} GROUP BY 1) q) q""")
        return [float(word) for word in line.split("|")]

    def wait_until_written(self, since, rows):
        """Waits until so many rows have been written since a transaction. The log's end tells cheaply whether to look."""
        seen, at = None, time.monotonic()

        def look():
            nonlocal seen, at
            end = self.sql("SELECT pg_current_wal_insert_lsn()")
            if end != seen:
                seen, at = end, time.monotonic()
                return False
            if time.monotonic() - at < QUIET:
                return False
            at = time.monotonic()
            return self.commits(since)[0] >= rows
        self.wait_for(f"{rows} rows", look)

    def follow(self, since, pids, cpu):
        """Waits for the rows; rate by the commits, peak memory of these processes, CPU seconds per million rows: what cpu() says by part."""
        rows = self.options.rows
        broker = cpu_now(self.broker)
        peak = Peak(pids)
        self.wait_until_written(since, rows)
        count, first, seconds = self.commits(since)
        parts = {**cpu(), "broker": cpu_now(self.broker) - broker}
        return {"rate": (count - first) / seconds, "cpu": {part: spent / rows * 1e6 for part, spent in parts.items()}, "peak": peak.end()}

    # ---- the ways

    def statement(self, case, text):
        self.table(case)
        result = self.measure(text, self.options.rows)
        self.check(text)
        return {"rate": result["rate"], "cpu": {"backend": result["backend"]}, "peak": result["peak"]["together"]}

    def stream_pids(self, name, workers):
        """The workers of a stream, when all of them run."""
        def look():
            pids = [int(pid) for pid in self.sql(f"""SELECT s.pid FROM kseg.stream_slots() s JOIN kseg.stream_entry e ON e.id = s.stream
                WHERE e.name = '{name}' AND s.pid > 0""").split()]
            return pids if len(pids) == workers else None
        return self.wait_for(f"the {workers} workers of {name}", look)

    def stream_end(self, name, pids):
        self.sql(f"SELECT kseg.drop_stream('{name}')")
        self.wait_for("the stream's end", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))

    def stream(self, case, workers):
        since = self.table(case)
        name = self.name("stream")
        arguments = "".join(f", {key} => {value}" for key, value in CASES[case][3].items())
        self.sql(f"SELECT kseg.stream_to_table('{name}', 'SELECT {', '.join(NAMES)} FROM orders_topic', 'orders', workers => {workers}{arguments})")
        pids = self.stream_pids(name, workers)
        result = self.follow(since, pids, lambda: {"worker": sum(map(cpu_now, pids)), "courier": sum(map(children_cpu, pids))})
        self.check(name)
        self.stream_end(name, pids)
        return result

    def sink_make(self, topic, settings):
        """Makes a sink; returns its name. It is another consumer group than any before, so that it begins at the beginning."""
        name = self.name("sink")
        mode = settings["insert.mode"]
        address = f"jdbc:postgresql://127.0.0.1:{self.options.port}/postgres" + ("?reWriteBatchedInserts=true" if mode == "insert" else "")
        words = {**SINK, **settings, **SINK_OF_MODE[mode], "topics": topic, "connection.url": address}
        self.run(f"{self.options.scratch}/src/test/kafka/connect", "connector", f"{self.options.scratch}/connect", name,
                 *(f"{key}={value}" for key, value in words.items()))
        return name

    def sink_remove(self, name):
        self.run(f"{self.options.scratch}/src/test/kafka/connect", "remove", f"{self.options.scratch}/connect", name)
        self.wait_for("the sink's end", lambda: not self.sink_backends())

    def sink_backends(self):
        return [int(pid) for pid in self.sql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'PostgreSQL JDBC%'").split()]

    def sink(self, case):
        since = self.table(case)
        before = cpu_now(self.jvm)
        name = self.sink_make(self.topic, CASES[case][4])
        backends = self.wait_for("the sink's connections", self.sink_backends)
        result = self.follow(since, [self.jvm], lambda: {"jvm": cpu_now(self.jvm) - before, "backends": sum(map(cpu_now, backends))})
        self.check(name)
        self.sink_remove(name)
        return result


# ---- rates

def ways_of(bench, case):
    """The ways into a target: name -> function."""
    title, _, text, _, _ = CASES[case]
    ways = {f"({case}) COPY text": lambda: bench.statement(case, f"COPY orders FROM '{bench.options.scratch}/orders.txt';")} if case in "ab" else {}
    ways[f"({case}) {'INSERT ... ON CONFLICT' if case in 'cd' else 'INSERT'} from a local table"] = lambda: bench.statement(case, f"{text};")
    for workers in (1, 2):
        ways[f"({case}) kseg, {workers} worker{'s' if workers > 1 else ''}"] = lambda workers=workers: bench.stream(case, workers)
    if bench.jvm:
        ways[f"({case}) Kafka Connect, JDBC sink, 2 tasks"] = lambda: bench.sink(case)
    return title, ways


def median_of(results, key):
    return statistics.median(key(result) for result in results)


def show_case(case, title, results):
    print(f"\n({case}) {title}\n{'':46} {'rows/s':>9}  {'min .. max':>19}  {'CPU s/M rows':>12}  {'MB':>6}   x of the others")
    rates = {name: median_of(result, lambda r: r["rate"]) for name, result in results.items()}
    for name, result in results.items():
        parts = {part: median_of(result, lambda r, part=part: r["cpu"][part]) for part in result[0]["cpu"]}
        others = ", ".join(f"{rates[name] / rate:.2f} of {other[4:].split(',')[0].split(' from')[0]}" for other, rate in rates.items()
                           if "kseg" in name and "kseg" not in other)
        print(f"{name:46} {rates[name]:9,.0f}  {min(r['rate'] for r in result):8,.0f} .. {max(r['rate'] for r in result):8,.0f}  {sum(parts.values()):12.2f}  "
              f"{median_of(result, lambda r: r['peak']):6.1f}   {others}\n{'':46}   CPU: " + ", ".join(f"{part} {value:.2f}" for part, value in parts.items()), flush=True)


def rates(bench):
    cases = {case: ways_of(bench, case) for case in bench.options.cases}
    results = {name: [] for _, ways in cases.values() for name in ways}
    if bench.jvm:
        for case in "ac":
            bench.sink(case)                   # so that Java has compiled what it will run
    for number in range(bench.options.rounds):
        for _, ways in cases.values():
            for name, way in ways.items():
                results[name].append(way())
                print(f"round {number + 1}: {name}: {results[name][-1]['rate']:,.0f} rows/s", flush=True)
    print(f"\n{bench.options.rows:,} messages, {bench.options.rounds} rounds, medians")
    for case, (title, ways) in cases.items():
        show_case(case, title, {name: results[name] for name in ways})


# ---- latency

def produce_steadily(bench, topic):
    """Messages with their time in microseconds, evenly, each sent at once. Returns how long acknowledgements took, ms: p50, p99, longest."""
    template = f'{{"id":#N,"customer":"#T","amount":1.5,"ordered_at":"2026-01-01T00:00:00Z","note":"{"n" * 120}"}}'
    said = bench.client("pace", topic, str(LATENCY_RATE), str(LATENCY_SECONDS), template)
    return [float(word) / 1000 for word in said.split()]


def latency_round(bench, start):
    """start(topic) makes a stream or sink over a topic and returns how to end it. Returns p50, p99 and longest, ms, to the commit and to the acknowledgement."""
    topic = bench.name("latency")
    bench.client("create", topic, str(PARTITIONS), "1")
    since = bench.table("b")
    end = start(topic)
    acknowledged = produce_steadily(bench, topic)
    bench.wait_until_written(since, LATENCY_RATE * LATENCY_SECONDS)
    # The first second is anybody's warming up.
    line = bench.sql(f"""SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2), round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 2), round(max(ms), 2)
        FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000 - customer::numeric / 1000 AS ms FROM orders WHERE id >= {LATENCY_RATE}) q""")
    end()
    bench.client("delete", topic)
    return [float(word) for word in line.split("|")] + acknowledged


def latency_stream(bench, topic):
    name = bench.name("stream")
    bench.sql(f"""CREATE FOREIGN TABLE {name}_topic ({COLUMNS}) SERVER kafka OPTIONS (topic '{topic}');
        SELECT kseg.stream_to_table('{name}', 'SELECT {', '.join(NAMES)} FROM {name}_topic', 'orders')""")
    pids = bench.stream_pids(name, 1)

    def end():
        bench.stream_end(name, pids)
        bench.sql(f"DROP FOREIGN TABLE {name}_topic")
    return end


def latency_sink(bench, topic):
    name = bench.sink_make(topic, CASES["b"][4])
    return lambda: bench.sink_remove(name)


def latency(bench):
    ways = {"kseg, 1 worker": latency_stream}
    if bench.jvm:
        ways["Kafka Connect, JDBC sink, 2 tasks"] = latency_sink
    results = {name: [] for name in ways}
    for _ in range(bench.options.rounds):
        for name, way in ways.items():
            results[name].append(latency_round(bench, lambda topic, way=way: way(bench, topic)))
    print(f"\nproduce to commit at {LATENCY_RATE} messages/s, ms, medians of {bench.options.rounds} rounds of {LATENCY_SECONDS} s"
          f"\n{'':46} {'p50':>8} {'p99':>8} {'max':>8}   acknowledged: {'p50':>6} {'p99':>8} {'max':>8}")
    for name, result in results.items():
        print(f"{name:46} " + " ".join(f"{statistics.median(r[i] for r in result):8.2f}" + (" " * 14 if i == 2 else "") for i in range(6)), flush=True)


# ---- idle

def idle(bench):
    """Streams with nothing to do: how often their processes wake up, and what memory they hold."""
    topic = bench.name("idle")
    bench.client("create", topic, str(PARTITIONS), "1")
    bench.table("b")
    end = latency_stream(bench, topic)
    pids = bench.stream_pids(f"stream_{bench.names}", 1)
    time.sleep(IDLE_START)
    couriers = [child for pid in pids for child in children_of(pid)]
    before = [sum(map(switches_of, part)) for part in (pids, couriers)]
    memory = [sum(map(Memory.anonymous, part)) for part in (pids, couriers)]
    time.sleep(IDLE_SECONDS)
    after = [sum(map(switches_of, part)) for part in (pids, couriers)]
    print(f"\nidle, {PARTITIONS} partitions, {IDLE_SECONDS} s: wake-ups a second: worker {(after[0] - before[0]) / IDLE_SECONDS:.2f}, "
          f"courier {(after[1] - before[1]) / IDLE_SECONDS:.2f}; anonymous memory, MB: worker {memory[0]:.1f}, courier {memory[1]:.1f}", flush=True)
    end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--scratch", required=True, help="has kafka/, connect/ (or not) and src/")
    parser.add_argument("--port", required=True)
    parser.add_argument("--rows", type=int, default=2000000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", default="abcd", help="of the rates: which targets")
    parser.add_argument("--parts", default="rates latency idle poison")
    bench = Bench(parser.parse_args())
    bench.prepare()
    parts = {"rates": rates, "latency": latency, "idle": idle, "poison": lambda bench: poison(bench, SimpleNamespace(order=ORDER, columns=COLUMNS, names=NAMES))}
    for part in bench.options.parts.split():
        parts[part](bench)


if __name__ == "__main__":
    main()
