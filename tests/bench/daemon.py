"""One daemon under measurement: starts it, follows its board, reads its CPU and memory."""
import json
import os
import subprocess
import time
from itertools import accumulate

TICKS = os.sysconf("SC_CLK_TCK")
SPANBUFD = os.environ["SPANBUFD"]
SOCKET = os.environ["REDIS_SOCKET"]

# What the board counts stays behind the truth for at most so long.
LOOK_S = 0.05
# The same where looking must not disturb what is looked at.
WATCH_S = 0.5
# Sparse batches are looked for once a second.
CLEAN_S = 2.5
# Upper bounds of the board's histogram of lateness (LATENESS_BOUNDS_MS), the last is open.
LATENESS_MS = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000, 10_000,
               60_000, 600_000, float("inf"))
PATIENCE_S = 300


def cpu_s(pid):
    """User and system time of a process, all its threads included."""
    fields = open(f"/proc/{pid}/stat", encoding="utf-8").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid, name):
    """A line of /proc/PID/status (VmHWM, VmRSS) in bytes."""
    for line in open(f"/proc/{pid}/status", encoding="utf-8"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def pss(pid):
    """Memory of a process with what it shares divided among the sharers."""
    for line in open(f"/proc/{pid}/smaps_rollup", encoding="utf-8"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def redis(*words):
    command = ["redis-cli", "-s", SOCKET, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def redis_info():
    """CPU seconds, bytes in use, peak, commands."""
    info = dict(line.split(":", 1) for line in redis("info", "everything").split() if ":" in line)
    return {
        "cpu_s": float(info["used_cpu_user"]) + float(info["used_cpu_sys"]),
        "bytes": int(info["used_memory"]),
        "commands": int(info["total_commands_processed"]),
        "version": info["redis_version"],
    }


class Daemon:
    """`with Daemon(…) as daemon:` stops it in order at the end."""

    def __init__(self, name, topic, out, *flags, partitions, log, binary=SPANBUFD):
        self.instance = f"bench-{os.getpid()}-{name}"
        # Fixed partitions: no group to wait for at the start, and the same path behind it.
        self.command = [
            binary, "run", "--instance", self.instance, "--namespace", name, "--group-id", name,
            "--bootstrap-servers", os.environ["BOOTSTRAP"], "--input-topic", topic,
            "--output-topic", out, "--redis-url", f"redis+unix://{SOCKET}",
            "--flusher-processes", "2", "--partitions", partitions, *flags,
        ]
        self.log = open(log, "ab")

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def look(self):
        """The board, with the time and the CPU of every process."""
        command = [self.command[0], "status", "--json", "--instance", self.instance]
        text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        try:
            board = json.loads(text)
        except ValueError:
            board = {}
        total = lambda word: sum(shard[word] or 0 for shard in board.get("shards", []))
        pids = {x["worker"]: x["pid"] for x in board.get("workers", []) if x["pid"]}
        return {
            "at": time.monotonic(),
            "board": board,
            "pids": pids,
            "cpu_s": {worker: cpu_s(pid) for worker, pid in pids.items()},
            "redis": redis_info(),
            **{word: total(word) for word in (
                "read", "delivered", "segments", "batches", "stored_bytes", "messages",
                "out_bytes", "buffered", "cleaned")},
        }

    def until(self, done):
        """Looks until `done(look)`; returns that look."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"the daemon ended: see {self.log.name}")
            look = self.look()
            if done(look):
                return look
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.instance} does not get there: {json.dumps(look)}")
            time.sleep(LOOK_S)

    def work(self, word, total):
        """Two looks: as soon as `word` counts, and when it has reached `total`. Where the first
        would come too late to leave anything between them, it is the one before."""
        before = found = None
        while found is None:
            look = self.until(lambda _: True)
            if look[word] > 0:
                found = look if before is None or look[word] < total / 2 else before
            before = look
            time.sleep(LOOK_S)
        return found, self.until(lambda look: look[word] >= total)

    def settled(self):
        """The look at which all that is sparse has been cleaned: nothing moves any more."""
        before = self.look()
        while True:
            time.sleep(CLEAN_S)
            look = self.look()
            if look["cleaned"] == before["cleaned"]:
                return look
            before = look

    def watch(self, other):
        """Looks, while another process runs; the last one when it has ended."""
        looks = []
        while other.poll() is None:
            looks.append(self.until(lambda _: True))
            time.sleep(WATCH_S)
        return [*looks, self.until(lambda _: True)]

    def peak_rss(self):
        pids = self.look()["pids"] | {"supervisor": self.process.pid}
        return {worker: memory(pid, "VmHWM") for worker, pid in pids.items()}

    def idle_rss(self):
        pids = self.look()["pids"] | {"supervisor": self.process.pid}
        return {
            "rss": sum(memory(pid, "VmRSS") for pid in pids.values()),
            "pss": sum(pss(pid) for pid in pids.values()),
        }


def lateness(start, end):
    """Of what was acknowledged between two looks: how late it was, in ms (upper bounds)."""
    counts = [0] * len(LATENESS_MS)
    for look, sign in ((start, -1), (end, 1)):
        for worker in look["board"]["workers"]:
            pairs = zip(counts, worker["lateness"], strict=True)
            counts = [count + sign * more for count, more in pairs]
    at = lambda share: next(bound for bound, seen in zip(LATENESS_MS, accumulate(counts))
                            if seen >= share * sum(counts))
    return {"p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1)}


def cost(start, end):
    """CPU microseconds a span between two looks, by process kind, and spans a second.

    Each process is charged by what it did: ingest and Redis by spans read, flushers by spans
    delivered.
    """
    read, delivered = end["read"] - start["read"], end["delivered"] - start["delivered"]
    used = {"ingest": 0.0, "flusher": 0.0}
    for worker, after in end["cpu_s"].items():
        used[worker.split("/")[0]] += after - start["cpu_s"].get(worker, 0.0)
    micros = lambda seconds, spans: seconds * 1e6 / spans if spans else 0.0
    redis_spans = read or delivered
    commands = end["redis"]["commands"] - start["redis"]["commands"]
    wall = end["at"] - start["at"]
    return {
        "ingest_us": micros(used["ingest"], read),
        "flusher_us": micros(used["flusher"], delivered),
        "redis_us": micros(end["redis"]["cpu_s"] - start["redis"]["cpu_s"], redis_spans),
        "commands": commands / redis_spans if redis_spans else 0.0,
        "spans_per_s": max(read, delivered) / wall,
        "segments_per_s": (end["segments"] - start["segments"]) / wall,
    }
