"""What messages that cannot be applied cost a stream: one in ten thousand, and all of them. A part of ingest_bench.py, whose Bench it is given.

Three kinds, which go three ways: what is no JSON and what a column's type cannot take are found while the batch is read; what a CHECK refuses is an ERROR
of the batch's statement, and the message is searched for in smaller and smaller parts of it.
"""
import statistics
import time

EVERY = 10000
ALL_ROWS = 50000
KINDS = {"none": None, "no JSON": '{"id": ', "not of the column's type": '{"id": "x"}', "refused by a CHECK": '{"id": -1}'}


def topic_make(bench, target, bad, rows, every):
    """A topic of so many orders, each every-th of them the bad value; returns its name."""
    topic = bench.name("poison")
    bench.client("create", topic, "1", "1")
    value = "value::text" if bad is None else f"CASE WHEN key::bigint % {every} = 0 THEN '{bad}' ELSE value::text END"
    bench.sql(f"""SELECT sent FROM kseg.kafka_produce_from_query($$ SELECT {value} AS value FROM ({target.order.format(rows=rows)}) q $$, topic => '{topic}', value => 'value');
        CREATE FOREIGN TABLE {topic} ({target.columns}) SERVER kafka OPTIONS (topic '{topic}')""")
    return topic


def stream_make(bench, topic, target, **arguments):
    """A stream of it into orders; returns its name and its worker."""
    name = bench.name("stream")
    more = "".join(f", {key} => {value}" for key, value in arguments.items())
    bench.sql(f"SELECT kseg.stream_to_table('{name}', 'SELECT {', '.join(target.names)} FROM {topic}', 'orders'{more})")
    return name, bench.stream_pids(name, 1)


def letters_of(bench, name):
    return int(bench.number(f"SELECT count(*) FROM kseg.dead_letter WHERE stream = '{name}'"))


def some_round(bench, topic, target, rows, bad):
    """Rows a second of one stream, `bad` of whose `rows` messages become dead letters."""
    since = bench.table("b")
    bench.sql("ALTER TABLE orders ADD CHECK (id > 0)")
    name, pids = stream_make(bench, topic, target)
    bench.wait_until_written(since, rows - bad)
    bench.wait_for("the dead letters", lambda: letters_of(bench, name) == bad)
    if bench.number("SELECT count(DISTINCT id) FROM orders") != rows - bad:
        raise SystemExit(f"{topic}: not the rows that there are")
    count, first, seconds = bench.commits(since)
    bench.stream_end(name, pids)
    return (count - first) / seconds


def some(bench, target):
    rows = bench.options.rows
    topics = {kind: topic_make(bench, target, bad, rows, EVERY) for kind, bad in KINDS.items()}
    rates = {kind: [] for kind in KINDS}
    for _ in range(bench.options.rounds):
        for kind, topic in topics.items():
            rates[kind].append(some_round(bench, topic, target, rows, 0 if KINDS[kind] is None else rows // EVERY))
    print(f"\none message in {EVERY:,} cannot be applied; {rows:,} messages, one partition, target with primary key and CHECK\n"
          f"{'':30} {'rows/s':>9}   x of none, median and all rounds")
    for kind, rate in rates.items():
        ratios = [a / b for a, b in zip(rate, rates["none"])]
        print(f"{kind:30} {statistics.median(rate):9,.0f}   {statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})", flush=True)


def every(bench, target):
    print(f"\nall of {ALL_ROWS:,} messages cannot be applied, max_dead_letter_rate 1\n{'':30} {'dead letters/s':>14}")
    for kind, bad in KINDS.items():
        if bad is None:
            continue
        topic = topic_make(bench, target, bad, ALL_ROWS, 1)
        bench.table("b")
        bench.sql("ALTER TABLE orders ADD CHECK (id > 0)")
        began = time.monotonic()
        name, pids = stream_make(bench, topic, target, max_dead_letter_rate="1")
        bench.wait_for("the dead letters", lambda name=name: letters_of(bench, name) == ALL_ROWS)
        print(f"{kind:30} {ALL_ROWS / (time.monotonic() - began):14,.0f}", flush=True)
        bench.stream_end(name, pids)
        name, _ = stream_make(bench, topic, target)
        bench.wait_for("the halt", lambda name=name: bench.sql(f"SELECT state FROM kseg.stream_status WHERE stream = '{name}' AND state = 'dead_letters'").strip())
        print(f"{'  halts by itself after':30} {letters_of(bench, name):14,}", flush=True)
        bench.sql(f"SELECT kseg.drop_stream('{name}')")


def poison(bench, target):
    """target: names and columns of the table orders, and the query (order) that makes its messages."""
    some(bench, target)
    every(bench, target)
