"""What the benchmarks measure with: one statement in a session of its own, its time, its CPU seconds and its memory.

Rates come from psql's \\timing, CPU seconds from the backend's own /proc/self/stat (the courier is its child, so its time is there
once it is reaped), memory from RssAnon of both.
"""
import os
import re
import subprocess
import threading

TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(stat):
    """(own, children's) CPU seconds from the text of /proc/PID/stat."""
    fields = stat.rsplit(")", 1)[1].split()
    return ((int(fields[11]) + int(fields[12])) / TICK, (int(fields[13]) + int(fields[14])) / TICK)


def stat_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read()


class Memory(threading.Thread):
    """Peak anonymous memory (MB) of a backend, of its children, and of both at one moment; sampled every 10 ms while alive."""

    def __init__(self, backend):
        super().__init__(daemon=True)
        self.backend, self.peak, self.over = backend, {"backend": 0, "courier": 0, "together": 0}, threading.Event()

    @staticmethod
    def anonymous(pid):
        try:
            with open(f"/proc/{pid}/status") as file:
                return int(re.search(r"RssAnon:\s+(\d+)", file.read()).group(1)) / 1024
        except (OSError, AttributeError):
            return 0

    def run(self):
        while not self.over.wait(0.01):
            try:
                with open(f"/proc/{self.backend}/task/{self.backend}/children") as file:
                    children = file.read().split()
            except OSError:
                return
            now = {"backend": self.anonymous(self.backend), "courier": max([0] + [self.anonymous(child) for child in children])}
            now["together"] = now["backend"] + now["courier"]
            self.peak = {part: max(self.peak[part], now[part]) for part in now}


class Session:
    """Where statements run: psql of this installation, connected by the environment (PGHOST, PGPORT, ...)."""

    def __init__(self, bin_folder):
        self.psql = [f"{bin_folder}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]

    def sql(self, text):
        """The output of statements that are not measured; what psql complains of is seen."""
        return subprocess.run(self.psql, input=f"SET client_min_messages = warning; {text}", stdout=subprocess.PIPE, text=True, check=True).stdout

    def measure(self, statement, rows):
        """Runs it in a session of its own. Returns rows a second, CPU seconds per million rows, peak memory and its output."""
        session = subprocess.Popen(self.psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        session.stdin.write("SELECT pg_backend_pid();\n")
        session.stdin.flush()
        memory = Memory(int(session.stdout.readline()))
        memory.start()
        out, _ = session.communicate("SELECT 'stat ' || pg_read_file('/proc/self/stat');\n\\timing on\n" + statement +
                                     "\n\\timing off\nSELECT 'stat ' || pg_read_file('/proc/self/stat');\n")
        memory.over.set()
        if session.returncode:
            raise SystemExit("the statement failed")
        stats = [cpu_of(line) for line in out.splitlines() if line.startswith("stat ")]
        seconds = float(re.search(r"Time: ([\d.]+) ms", out).group(1)) / 1000
        million = rows / 1e6
        return {"rate": rows / seconds, "seconds": seconds, "backend": (stats[1][0] - stats[0][0]) / million,
                "courier": (stats[1][1] - stats[0][1]) / million, "peak": memory.peak, "out": out}
