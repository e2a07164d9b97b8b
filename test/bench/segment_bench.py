"""What the main job costs: kseg against the cheapest thing PostgreSQL can do with the same rows, and Segment's own library.

Run by test/bench/segment, which brings the cluster (PGHOST, PGPORT, ...) and the receiver. Prints a table; measures nothing
that it does not print. How: bench_session.py; the receiver's CPU seconds come from its own /proc/PID/stat.
"""
import argparse
import os
import statistics
import subprocess
import time

from bench_session import Session, cpu_of, stat_of

ROW = """SELECT lpad(g::text, 9, '0') AS customer_id, random() AS iphone, random() AS apple_watch,
       (random() * 1000)::numeric(10,2) AS expected_revenue, (ARRAY['gold', 'silver', 'bronze'])[1 + g % 3] AS segment,
       timestamptz '2026-01-01' + g * interval '1 second' AS predicted_at FROM generate_series(1, {rows}) g"""
COLUMNS = "customer_id, iphone, apple_watch, expected_revenue, segment, predicted_at"
RUN = ("SELECT rows, sent, batches, bytes, bytes_on_wire FROM kseg.segment_track_from_query('SELECT * FROM {table}', "
       "event => 'Sales Prediction', user_id => 'customer_id', server => '{server}');")
# The same event, as far as SQL can: the message id is a hash of the row's text. (c') leaves even that out.
COPY = """COPY (SELECT json_build_object('type', 'track', 'userId', customer_id, 'event', 'Sales Prediction', 'properties',
    json_build_object('iphone', iphone, 'apple_watch', apple_watch, 'expected_revenue', expected_revenue, 'segment', segment,
                      'predicted_at', predicted_at), 'messageId', 'kseg-' || md5(t::text)) FROM {table} t) TO '/dev/null'; SELECT 1;"""


class Bench(Session):
    def __init__(self, options):
        super().__init__(options.bin)
        self.receiver = None
        self.options = options

    def start_receiver(self):
        self.receiver = subprocess.Popen([self.options.receiver, "--port", "0", "--port-file", "receiver.port"],
                                         stdout=subprocess.DEVNULL)
        end = time.time() + 10
        while not (os.path.exists("receiver.port") and open("receiver.port").read().strip()):
            if time.time() > end or self.receiver.poll() is not None:
                raise SystemExit("the receiver did not start")
            time.sleep(0.01)
        return int(open("receiver.port").read())

    def measure(self, statement, rows):
        """As Session's, and the receiver's CPU seconds per million rows."""
        before = cpu_of(stat_of(self.receiver.pid))[0]
        result = super().measure(statement, rows)
        return {**result, "receiver": (cpu_of(stat_of(self.receiver.pid))[0] - before) / rows * 1e6}

    def python_library(self, port, rows):
        """Rows a second of segment-analytics-python over rows already in its memory, with a queue that holds them all."""
        try:
            from segment.analytics.client import Client
        except ImportError:
            return None
        lines = [line.split("\t") for line in self.sql(f"COPY (SELECT {COLUMNS} FROM b LIMIT {rows}) TO STDOUT").splitlines()]
        before, start = os.times(), time.time()
        client = Client("bench", host=f"http://127.0.0.1:{port}", max_queue_size=rows + 1, upload_size=100, gzip=False,
                        thread=1, timeout=60)
        for line in lines:
            client.track(line[0], "Sales Prediction", {"iphone": float(line[1]), "apple_watch": float(line[2]),
                         "expected_revenue": float(line[3]), "segment": line[4], "predicted_at": line[5]})
        client.shutdown()
        after = os.times()
        return {"rate": rows / (time.time() - start),
                "backend": (after.user + after.system - before.user - before.system) / rows * 1e6}


def show(name, results, base=None):
    rate = statistics.median(r["rate"] for r in results)
    cpu = [statistics.median(r.get(part, 0) for r in results) for part in ("backend", "courier", "receiver")]
    spread = f"{min(r['rate'] for r in results):,.0f} .. {max(r['rate'] for r in results):,.0f}"
    print(f"{name:34} {rate:12,.0f}  {spread:>24}  {cpu[0]:8.2f} {cpu[1]:8.2f} {cpu[2]:9.2f}  "
          f"{'' if base is None else f'{rate / base:6.1f}'}", flush=True)
    return rate


def rates(bench, port, options):
    cases = {"(a) kseg, compression none": RUN.format(table="b", server="plain"),
             "(b) kseg, gzip": RUN.format(table="b", server="gzip"),
             "(c) COPY json_build_object": COPY.format(table="b"),
             "(c') the same, no message id": COPY.format(table="b").replace(", 'messageId', 'kseg-' || md5(t::text)", "")}
    results = {name: [] for name in cases}
    for _ in range(options.rounds):
        for name, statement in cases.items():
            results[name].append(bench.measure(statement, options.rows))
    library = bench.python_library(port, min(options.rows, 100000))
    base = statistics.median(r["rate"] for r in results["(c) COPY json_build_object"])
    print(f"\n{options.rows:,} rows, {options.rounds} rounds, medians\n"
          f"{'':34} {'rows/s':>12}  {'min .. max':>24}  {'CPU s per million rows':^27}  x of (c)\n"
          f"{'':34} {'':12}  {'':24}  {'backend':>8} {'courier':>8} {'receiver':>9}")
    rate = {name: show(name, result, base) for name, result in results.items()}
    if library:
        python = show("(d) segment-analytics-python", [library], base)
        print(f"(a) is {rate['(a) kseg, compression none'] / python:.0f} x (d)")
    else:
        print("(d) segment-analytics-python: not measured, pip is not reachable")


def memory(bench, options):
    print(f"\n{'(e) peak anonymous memory, MB':34} {'backend':>8} {'courier':>8} {'together':>9}")
    for rows in (int(word) for word in options.memory_rows.split()):
        bench.sql(f"DROP TABLE IF EXISTS m; CREATE UNLOGGED TABLE m AS {ROW.format(rows=rows)}")
        for server in ("plain", "gzip"):
            peak = bench.measure(RUN.format(table="m", server=server), rows)["peak"]
            print(f"{f'{rows:,} rows, {server}':34} {peak['backend']:8.1f} {peak['courier']:8.1f} {peak['together']:9.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--receiver", required=True)
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-rows", default="")
    bench = Bench(parser.parse_args())
    port = bench.start_receiver()
    try:
        bench.sql(f"""CREATE EXTENSION kseg;
            SELECT kseg.connect_segment(write_key => 'bench', server => name, endpoint => 'http://127.0.0.1:{port}')
              FROM unnest(ARRAY['plain', 'gzip']) name;
            ALTER SERVER plain OPTIONS (ADD compression 'none');
            CREATE TABLE b AS {ROW.format(rows=bench.options.rows)}; VACUUM ANALYZE b;
            SELECT count(*) FROM b;""")
        rates(bench, port, bench.options)
        memory(bench, bench.options)
    finally:
        bench.receiver.terminate()
        bench.receiver.wait()


if __name__ == "__main__":
    main()
