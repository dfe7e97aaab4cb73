"""The benchmark's order of work; run.sh has started Kafka and Redis. See run.sh for its use."""
import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import report
from daemon import SPANBUFD, Daemon, cost, lateness, redis, redis_info

BOOTSTRAP, TMP = os.environ["BOOTSTRAP"], pathlib.Path(os.environ["TMP"])
TESTKIT, BENCHKIT = os.environ["TESTKIT"], os.environ["BENCHKIT"]
HERE = pathlib.Path(__file__).parent
PARTITIONS = 2

# Traces, and how `spanbufd generate` shapes them. Spans stand 0.2 ms of event time apart.
WORKLOADS = {
    "small": (20_000, "--spans-per-trace 4-16 --window 1000"),
    "wide": (100_000, "--spans-per-trace 1 --window 1"),
    "deep": (20, "--spans-per-trace 5000 --depth 5000 --chains 0.5 --order interleaved"),
    "live": (20_000, "--spans-per-trace 4-16 --order overlapping"),
    "split": (10_000, "--spans-per-trace 4-16 --split 1 --window 1000"),
}
STEP_MS = 0.2
SWEEP = (100, 300, 1000, 2000)
SMOKE = ("small", "live")

# What has no root stays buffered; nothing falls due.
HOLD_ROOTLESS = ("--timeout", "10800", "--max-segment-age", "21600", "--redis-ttl", "43200")
HOLD = (*HOLD_ROOTLESS, "--root-timeout", "10800")

# Of live traffic nothing is due at first, and the broker's buffers have to be made.
WARM_UP = 0.3
# How often traffic at a rate is measured: it takes long.
RATE_TURNS = 3

# share of the traces, repetitions, seconds of live traffic
SIZES = {"full": (1.0, 5, 20), "short": (0.5, 2, 10), "smoke": (0.005, 1, 3)}


class Bench:
    """One run of the benchmark: topics, runs so far, figures."""

    def __init__(self, options):
        self.options = options
        self.scale, self.repeat, self.live_s = SIZES[options.size]
        self.repeat = options.repeat or self.repeat
        self.spans, self.runs, self.names = {}, {}, 0

    # --- tools ---

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)

    def name(self):
        self.names += 1
        return f"run{self.names}"

    def note(self, group, figures):
        self.runs.setdefault(group, []).append(figures)

    def kit(self, *words):
        answer = subprocess.run([BENCHKIT, *map(str, words)], capture_output=True, check=True)
        return json.loads(answer.stdout)

    def topic(self, name, partitions=PARTITIONS, keep=True):
        """A topic; what is written there is kept for ever, or not for long."""
        if os.environ["TEST_KAFKA"] == "mock":
            with open(os.environ["MOCK_ORDERS"], "w", encoding="utf-8") as orders:
                orders.write(f"topic {name} {partitions}\n")
            time.sleep(0.5)
            return name
        small = ["retention.bytes=33554432", "segment.bytes=16777216"]
        settings = ["retention.ms=-1"] if keep else small
        command = [TESTKIT, "create-topic", BOOTSTRAP, name, str(partitions), *settings]
        subprocess.run(command, check=True)
        return name

    def drop(self, *topics):
        """What these hold is given back, for the next ones: a machine that has its memory from a
        host waits for each page that it never had, and a broker wrote at thrice the price."""
        if os.environ["TEST_KAFKA"] != "mock":
            for topic in topics:
                subprocess.run([TESTKIT, "delete-topic", BOOTSTRAP, topic], check=True)

    def file(self, workload):
        return TMP / f"{workload}.spans"

    def generate(self, workload, traces, shape, step_ms=STEP_MS):
        command = [SPANBUFD, "generate", "--timed", "--traces", str(traces), "--step-ms",
                   str(step_ms), *shape.split()]
        with open(self.file(workload), "wb") as out:
            subprocess.run(command, stdout=out, check=True)

    def daemon(self, workload, name, out, *flags, binary=SPANBUFD):
        partitions = ",".join(map(str, range(PARTITIONS)))
        return Daemon(name, f"in-{workload}", out, *flags, *self.options.flag,
                      partitions=partitions, log=TMP / "daemon.log", binary=binary)

    # --- the runs ---

    def prepare(self):
        for workload in self.options.workloads:
            traces, shape = WORKLOADS[workload]
            traces = max(2, int(traces * self.scale))
            self.generate(workload, traces, shape)
            self.topic(f"in-{workload}")
            loaded = self.kit("load", BOOTSTRAP, f"in-{workload}", PARTITIONS, self.file(workload))
            self.spans[workload] = loaded["count"]
            self.say(f"{workload}: {loaded['count']} spans, "
                     f"{loaded['bytes'] / loaded['count']:.0f} bytes each")

    def path(self, workload, group=None, keep=False, flags=(), binary=SPANBUFD):
        """From a full topic to the last acknowledged segment."""
        name = self.name()
        out = self.topic(f"out-{name}", keep=keep)
        with self.daemon(workload, name, out, *flags, binary=binary) as daemon:
            start, _ = daemon.work("read", self.spans[workload])
            end = daemon.until(lambda look: look["delivered"] >= self.spans[workload])
            figures = cost(start, end)
            figures["peak_rss"] = daemon.peak_rss()
        self.clear(name)
        if not keep:
            self.drop(out)
        self.note(group or f"path {workload}", figures)
        self.say(f"{group or 'path ' + workload}: " + report.brief(figures))
        return out

    def apart(self, workload):
        """Ingest alone until everything is buffered; then the flushers alone."""
        name = self.name()
        out = self.topic(f"out-{name}", keep=False)
        total = self.spans[workload] + PARTITIONS
        empty = redis_info()["bytes"]
        with self.daemon(workload, name, out, *HOLD) as daemon:
            start, end = daemon.work("read", total)
            figures = cost(start, end)
            figures["redis_bytes_per_span"] = (end["redis"]["bytes"] - empty) / end["read"]
            figures["stored_bytes_per_span"] = end["stored_bytes"] / end["read"]
            figures["spans_per_batch"] = end["read"] / max(1, end["batches"])
            figures["batches"], figures["stored_bytes"] = end["batches"], end["stored_bytes"]
            figures["peak_rss"] = daemon.peak_rss()
        self.note(f"ingest {workload}", figures)
        self.say(f"ingest alone {workload}: " + report.brief(figures))
        with self.daemon(workload, name, out) as daemon:
            start, end = daemon.work("delivered", self.spans[workload])
            figures = cost(start, end)
            figures["peak_rss"] = daemon.peak_rss()
        self.clear(name)
        self.drop(out)
        self.note(f"flush {workload}", figures)
        self.say(f"flush alone {workload}: " + report.brief(figures))

    def long_open(self):
        """Every tenth trace has no root and stays open while the others go: what that costs."""
        open_spans = 0
        with open(self.file("small"), encoding="utf-8") as spans, \
                open(self.file("long"), "w", encoding="utf-8") as out:
            for line in spans:
                stays = int(re.search(r'"trace_id":"(\w{8})', line)[1], 16) % 10 == 0
                if not stays or '"is_segment":true' not in line:
                    out.write(line)
                    open_spans += stays
        self.topic("in-long")
        count = self.kit("load", BOOTSTRAP, "in-long", PARTITIONS, self.file("long"))["count"]
        name = self.name()
        empty = redis_info()["bytes"]
        out = self.topic(f"out-{name}", keep=False)
        with self.daemon("long", name, out, *HOLD_ROOTLESS) as daemon:
            daemon.until(lambda look: look["delivered"] >= count - open_spans)
            look = daemon.settled()
        figures = {"redis_bytes_per_span": (look["redis"]["bytes"] - empty) / look["buffered"],
                   "open_share": look["buffered"] / count}
        self.clear(name)
        self.drop("in-long", out)
        self.note("long open", figures)
        self.say("long open: " + report.brief(figures))

    def clear(self, name):
        """What a run has left in Redis: the last message of each partition."""
        keys = redis("--scan", "--pattern", f"{name}:*").split()
        for key in keys:
            redis("unlink", key)

    def limits(self, workload, out):
        """What this machine can do at most, and work that never changes."""
        batch = self.runs[f"ingest {workload}"][-1]
        before, copy = redis_info()["cpu_s"], self.topic(f"copy-{self.name()}")
        kit = {
            "consumer": self.kit("drain", BOOTSTRAP, f"in-{workload}"),
            "producer": self.kit("copy", BOOTSTRAP, out, copy),
            "set": self.kit("set", os.environ["REDIS_SOCKET"], batch["batches"],
                            int(batch["stored_bytes"] / batch["batches"])),
        }
        figures = {
            "consumer_spans_per_s": kit["consumer"]["count"] / kit["consumer"]["seconds"],
            "consumer_us": kit["consumer"]["cpu_s"] * 1e6 / kit["consumer"]["count"],
            "producer_spans_per_s": self.spans[workload] / kit["producer"]["seconds"],
            "producer_us": kit["producer"]["cpu_s"] * 1e6 / self.spans[workload],
            "set_us": (redis_info()["cpu_s"] - before) * 1e6 / self.spans[workload],
        }
        self.forget_sets()
        self.drop(out, copy)
        self.note(f"limits {workload}", figures)
        self.say(f"limits {workload}: " + report.brief(figures))

    def yardstick(self):
        parsed = self.kit("parse", self.file(self.options.workloads[0]))
        before, count = redis_info()["cpu_s"], 50_000
        self.kit("set", os.environ["REDIS_SOCKET"], count, 1024)
        figures = {
            "parse_us": parsed["cpu_s"] * 1e6 / parsed["count"],
            "set_us": (redis_info()["cpu_s"] - before) * 1e6 / count,
        }
        self.forget_sets()
        self.note("yardstick", figures)
        self.say("yardstick: " + report.brief(figures))

    def forget_sets(self):
        redis("eval", "for _, k in ipairs(redis.call('keys', 'benchkit:*')) do "
              "redis.call('unlink', k) end", "0")

    def at_rates(self):
        """How late segments are at a half and a quarter of what was drained, or at given rates."""
        rates = {f"rate {rate}": rate for rate in self.options.rates}
        if not rates:
            most = statistics.median(run["spans_per_s"] for run in self.runs["path live"])
            rates = {"half load": most / 2, "quarter load": most / 4}
        for group, rate in rates.items():
            traces = max(2, int(rate * self.live_s / 10))
            self.generate(group, traces, WORKLOADS["live"][1], 1000 / rate)
            for _ in range(self.repeat if self.options.rates else min(self.repeat, RATE_TURNS)):
                self.live(group, rate)
                if self.options.beside:
                    self.live(f"beside {group}", rate, group, self.options.beside)
            self.file(group).unlink()

    def live(self, group, rate, file=None, binary=SPANBUFD):
        """Live traffic at a steady rate: how late segments are while it lasts. When it ends the
        clocks go on in strides, which is another matter."""
        name = self.name()
        topic, out = self.topic(f"in-{name}"), self.topic(f"out-{name}", keep=False)
        flags = ("--root-timeout", "2", "--timeout", "10")
        with self.daemon(name, name, out, *flags, binary=binary) as daemon:
            daemon.until(lambda look: [shard["paused"] for shard in
                                       look["board"].get("shards", [])] == PARTITIONS * [0])
            command = [BENCHKIT, "replay", BOOTSTRAP, topic, self.file(file or group)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as replay:
                looks = daemon.watch(replay)
                replayed = json.loads(replay.stdout.read())
            daemon.until(lambda look: look["delivered"] >= replayed["count"])
        self.drop(topic, out)
        looks = [look for look in looks if look["at"] - looks[0]["at"] >= WARM_UP * self.live_s]
        clocks = [shard["clock_lag_ms"] or 0 for look in looks
                  for shard in look["board"]["shards"]]
        figures = {
            **cost(looks[0], looks[-1]),
            **lateness(looks[0], looks[-1]),
            "clock_lag_ms": statistics.median(clocks),
            "input_late_ms": replayed["late_ms"],
        }
        self.note(group, figures)
        self.say(f"{group}: " + report.brief(figures))

    def idle(self):
        self.topic("in-idle")
        name = self.name()
        with self.daemon("idle", name, self.topic(f"out-{name}")) as daemon:
            daemon.until(lambda look: len(look["board"].get("shards", [])) == PARTITIONS)
            time.sleep(2)
            self.note("idle", daemon.idle_rss())

    def restart(self):
        """How long a killed flusher is missed: restart.sh has a daemon of its own."""
        answer = subprocess.run(["sh", HERE / "restart.sh"], capture_output=True, text=True,
                                check=False, env=os.environ | {"TEST_KAFKA": "mock"})
        self.say("restart: " + (answer.stdout.strip() or answer.stderr.strip()))
        found = re.findall(r"ms: (\w+) median ([\d.]+)", answer.stdout)
        self.note("restart", {f"{what}_ms": float(ms) for what, ms in found})

    def run(self):
        if self.options.rates:
            return self.at_rates()
        self.prepare()
        for turn in range(self.repeat):
            self.yardstick()
            for workload in self.options.workloads:
                out = self.path(workload, keep=True)
                if self.options.beside:
                    self.path(workload, group=f"beside {workload}", binary=self.options.beside)
                if self.options.quick:
                    self.drop(out)
                    continue
                self.apart(workload)
                self.limits(workload, out)
            if "small" in self.options.workloads and not self.options.quick:
                for size in SWEEP[:1] if self.options.size == "smoke" else SWEEP:
                    flags = ("--max-batch-size", str(size))
                    self.path("small", group=f"batch {size}", flags=flags)
            self.say(f"turn {turn + 1} of {self.repeat} is done")
        if self.options.quick:
            return None
        # The broker is warm by then: a Java machine that still compiles is late itself.
        if "live" in self.options.workloads:
            self.at_rates()
        if "small" in self.options.workloads:
            self.long_open()
        self.idle()
        if self.options.size != "smoke":
            self.restart()

    def versions(self):
        line = lambda *command: subprocess.run(command, capture_output=True, text=True,
                                               check=True).stdout.splitlines()[0]
        cpu = [text.split(":", 1)[1].strip() for text in open("/proc/cpuinfo", encoding="utf-8")
               if text.startswith("model name")]
        kafka = os.environ["TEST_KAFKA"]
        return {
            "spanbufd": line(SPANBUFD, "--version"),
            "redis": redis_info()["version"],
            "kafka": f"apache {os.environ['KAFKA_VERSION']}" if kafka == "apache" else kafka,
            "kernel": platform.release(),
            "cpu": f"{os.cpu_count()} x {cpu[0] if cpu else platform.machine()}",
        }


def main():
    parser = argparse.ArgumentParser(prog="run.sh")
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--workloads", type=lambda text: text.split(","))
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--quick", action="store_true", help="the whole path only")
    parser.add_argument("--beside", help="another build of spanbufd, run in turn with this one")
    parser.add_argument("--rates", type=lambda text: list(map(int, text.split(","))), default=[],
                        help="lateness only, at these rates in spans a second")
    parser.add_argument("--json", default="bench.json")
    parser.add_argument("--flag", action="append", default=[],
                        help="an option for the daemon, as --flag=--name=value")
    options = parser.parse_args()
    options.workloads = options.workloads or list(SMOKE if options.size == "smoke" else WORKLOADS)
    bench = Bench(options)
    bench.run()
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "size": bench.options.size,
        "versions": bench.versions(),
        "spans": bench.spans,
        "figures": report.summary(bench.runs),
    }
    pathlib.Path(bench.options.json).write_text(json.dumps(found, indent=1) + "\n",
                                                encoding="utf-8")
    accepted = HERE / "accepted.json"
    before = json.loads(accepted.read_text(encoding="utf-8")) if accepted.exists() else None
    print(report.table(found, before))


main()
