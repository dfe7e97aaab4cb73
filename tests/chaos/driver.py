#!/usr/bin/env python3
"""Drives one chaos run: load and faults, then a quiet phase in which everything drains, then the
count. Started by run.sh, which says how; prints one line a fault, and the summary last.

Status 0: there was load, faults reached workers, nothing is lost, nothing invented, few traces
split, everything drained, a fresh span got through. 1: not so.
"""
import argparse
import collections
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

from parts import Broker, Daemon, Process, Redis, send
from plan import plan

PARTITIONS = 6
ROOT_TIMEOUT, TIMEOUT = 2, 3
# Of what the load should have been; the rest waited for a broker when it was ended.
LOAD_MIN = 0.25
# One wrong split for so many messages is what the faults may do; see run.sh. Those below a root are
# seen and count, too: some 60 to 70 of 18,000 messages.
SPLIT_SHARE = 100
FORBIDDEN = re.compile(r"panicked|not yet implemented|BUG")
# What a spanbufd must never exit with under these faults: its configuration is good.
GAVE_UP = 78


class Run:
    def __init__(self, args):
        self.args = args
        self.kit = os.environ["TESTKIT"]
        self.spanbufd = os.environ["SPANBUFD"]
        self.folder = args.folder
        self.persistence, self.faults = plan(args.seed, args.seconds)
        self.broker = Broker(self.folder, args.kafka_libs)
        self.redis = Redis(self.folder, self.persistence)
        self.daemons = {name: self.daemon(name) for name in ("one", "two", "third")}
        self.load = None
        self.loads = 0
        self.counts, self.reached = collections.Counter(), collections.Counter()
        self.exits = collections.Counter()
        self.wrong = []

    def daemon(self, name):
        options = {
            "bootstrap-servers": self.args.bootstrap, "input-topic": "in", "output-topic": "out",
            "dead-letter-topic": "dead", "group-id": "chaos", "namespace": "chaos",
            "redis-url": f"redis+unix://{self.folder}/redis.sock", "flusher-processes": 2,
            "timeout": TIMEOUT, "root-timeout": ROOT_TIMEOUT, "max-batch-time-ms": 50,
            "shutdown-timeout": 5, "rebalance-timeout": 4, "max-unhealthy-seconds": 6,
            "max-restarts": 100000, "backpressure-seconds": 3,
        }
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        for setting in ("session.timeout.ms=3000", "heartbeat.interval.ms=500"):
            words += ["--kafka-consumer", setting]
        return Daemon(name, self.folder, self.spanbufd, words)

    def say(self, text):
        print(text, flush=True)

    def testkit(self, *words, **options):
        return subprocess.run([self.kit, *words], check=True, capture_output=True, **options).stdout

    # --- phases ---

    def begin(self):
        self.broker.start()
        self.redis.start()
        deadline = time.monotonic() + 60
        topics = [("in", PARTITIONS), ("out", 2), ("dead", 1)]
        while topics:
            try:
                self.testkit("create-topic", self.args.bootstrap, topics[0][0], str(topics[0][1]))
                topics.pop(0)
            except subprocess.CalledProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        for name in ("one", "two"):
            self.daemons[name].want()

    def tend(self):
        """What a service manager does: a daemon that ended is started again."""
        now = time.monotonic()
        for daemon in self.daemons.values():
            status = daemon.ended()
            if daemon.child is not None and status is not None:
                self.exits[status] += 1
                self.say(f"      {daemon.name} ended with {status}")
                if status == GAVE_UP:
                    self.wrong.append(f"{daemon.name} gave up with {status}")
                daemon.child = None
                daemon.back_at = max(daemon.back_at, now + 0.3)
            if daemon.wanted and daemon.child is None and now >= daemon.back_at:
                daemon.start()
        if self.load is not None and self.load.poll() is not None:
            self.load = None
            self.loads += 1

    def feed(self):
        """Load for as long as there are faults; its truth is the input topic itself."""
        if self.load is not None:
            return
        seed = self.args.seed * 1000 + self.loads
        command = [self.spanbufd, "generate", "--topic", "in", "--bootstrap-servers",
                   self.args.bootstrap, "--seed", str(seed), "--rate", str(self.args.rate),
                   "--traces", "100000000", "--invalid", "0.01", "--window", "300",
                   "--spans", str(int(self.args.rate * max(5, self.args.seconds)))]
        with open(f"{self.folder}/load.log", "ab") as log:
            self.load = subprocess.Popen(command, stdout=log, stderr=log)

    def hurt(self):
        """The phase with faults."""
        started = time.monotonic()
        ends = []
        todo = collections.deque(self.faults)
        while time.monotonic() - started < self.args.seconds:
            now = time.monotonic() - started
            self.feed()
            for end in [end for end in ends if end[0] <= now]:
                ends.remove(end)
                end[1]()
            while todo and todo[0].at <= now:
                fault = todo.popleft()
                self.say(f"{now:6.1f} {fault.kind} {fault.target} {fault.seconds} s")
                self.counts[fault.kind] += 1
                end = getattr(self, fault.kind.replace("-", "_"))(fault)
                if end is not None:
                    ends.append((fault.at + fault.seconds, end))
            self.tend()
            time.sleep(0.02)
        for end in ends:
            end[1]()

    def drain(self, what, seconds):
        """Waits until the group has committed everything: then all of it must be out (P6)."""
        deadline = time.monotonic() + seconds
        answer = ""
        while time.monotonic() < deadline:
            self.tend()
            try:
                answer = self.testkit("committed", self.args.bootstrap, "chaos", "in", timeout=30)
                lines = [json.loads(line) for line in answer.splitlines()]
                if all((line["committed"] or 0) == line["high"] for line in lines):
                    return True
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                pass
            time.sleep(0.3)
        self.wrong.append(f"{what} did not drain within {seconds} s: {answer.decode()}")
        return False

    def quiet(self):
        """No more faults: what is there drains, and a fresh span still gets through."""
        if self.load is not None:
            self.load.terminate()
            self.load.wait()
        self.daemons["third"].wanted = False
        self.daemons["third"].end(signal.SIGTERM)
        began = time.monotonic()
        if self.drain("what was buffered", self.args.drain_seconds):
            self.say(f"drained in {time.monotonic() - began:.1f} s")
        fresh = subprocess.run([self.spanbufd, "generate", "--traces", "12", "--seed", "77"],
                               check=True, capture_output=True).stdout
        self.testkit("produce", self.args.bootstrap, "in", input=fresh)
        self.drain("a fresh trace", 60)

    def finish(self):
        for name in ("one", "two"):
            daemon = self.daemons[name]
            daemon.wanted = False
            daemon.end(signal.SIGTERM)
            if daemon.ended() not in (0, None):
                self.wrong.append(f"{name} ended with {daemon.ended()} in the end")
        for topic in ("in", "out", "dead"):
            with open(f"{self.folder}/{topic}.lines", "wb") as file:
                file.write(self.testkit("consume", self.args.bootstrap, topic, "--timeout", "120"))
        for name in self.daemons:
            path = f"{self.folder}/{name}.log"
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as log:
                    self.wrong += [line.strip() for line in log if FORBIDDEN.search(line)]
        self.redis.end(signal.SIGKILL)
        self.broker.end(signal.SIGKILL)

    # --- faults: each returns what ends it, if it lasts ---

    def kill_ingest(self, fault):
        self.to_worker(fault, "ingest", signal.SIGKILL)

    def kill_flusher(self, fault):
        self.to_worker(fault, "flusher", signal.SIGKILL)

    def pause_ingest(self, fault):
        return self.pause_worker(fault, "ingest")

    def pause_flusher(self, fault):
        return self.pause_worker(fault, "flusher")

    def pause_worker(self, fault, kind):
        pid = self.to_worker(fault, kind, signal.SIGSTOP)
        return None if pid is None else lambda: send(pid, signal.SIGCONT)

    def to_worker(self, fault, kind, number):
        pids = self.daemons[fault.target].workers(kind)
        self.reached[bool(pids)] += 1
        if not pids:
            return None  # The daemon is away.
        pid = pids[int(fault.pick * len(pids))]
        send(pid, number)
        return pid

    def kill_supervisor(self, fault):
        daemon = self.daemons[fault.target]
        daemon.end(signal.SIGKILL)
        daemon.want(fault.seconds)

    def stop_daemon(self, fault):
        daemon = self.daemons[fault.target]
        daemon.wanted = False
        daemon.signal(signal.SIGTERM)
        return daemon.want

    def reload_daemon(self, fault):
        self.daemons[fault.target].signal(signal.SIGHUP)

    def pause_daemon(self, fault):
        daemon = self.daemons[fault.target]
        daemon.signal_all(signal.SIGSTOP)
        return lambda: daemon.signal_all(signal.SIGCONT)

    def third_member(self, _):
        third = self.daemons["third"]
        third.want()

        def leave():
            third.wanted = False
            third.signal(signal.SIGTERM)
        return leave

    def third_member_killed(self, _):
        third = self.daemons["third"]
        third.want()

        def die():
            third.wanted = False
            third.end(signal.SIGKILL)
        return die

    def kill_redis(self, _):
        self.redis.end(signal.SIGKILL)
        return self.redis.start

    def restart_redis_empty(self, _):
        self.redis.end(signal.SIGKILL)
        self.redis.forget()
        return self.redis.start

    def roll_back_redis(self, _):
        self.redis.keep()
        return self.redis.go_back

    def empty_redis(self, _):
        self.redis.cli("FLUSHALL")

    def delete_keys(self, fault):
        """Some keys of one kind, as if expired, evicted, or deleted by hand."""
        rnd = random.Random(fault.pick)
        kind = rnd.choice([":p", ":l", ":d", ":b:*", ":b:*"])
        keys = sorted(self.redis.cli("KEYS", f"chaos:*{kind}").split())
        if keys:
            self.redis.cli("UNLINK", *rnd.sample(keys, min(len(keys), rnd.choice([1, 1, 3]))))

    def cut_redis(self, fault):
        """Cuts every connection, some times in a row: replies are lost on the way."""
        for _ in range(1 + int(fault.pick * 5)):
            self.redis.cli("CLIENT", "KILL", "TYPE", "normal")
            time.sleep(0.05)

    def forget_scripts(self, _):
        self.redis.cli("SCRIPT", "FLUSH")

    def fill_redis(self, _):
        self.redis.cli("CONFIG", "SET", "maxmemory", "1")
        return lambda: self.redis.cli("CONFIG", "SET", "maxmemory", "0")

    def pause_redis(self, _):
        self.redis.signal(signal.SIGSTOP)
        return lambda: self.redis.signal(signal.SIGCONT)

    def pause_writes(self, fault):
        self.redis.cli("CLIENT", "PAUSE", str(int(fault.seconds * 1000)), "WRITE")

    def kill_broker(self, _):
        self.broker.end(signal.SIGKILL)
        return self.broker.start

    def pause_broker(self, _):
        self.broker.signal(signal.SIGSTOP)
        return lambda: self.broker.signal(signal.SIGCONT)

    # --- the end ---

    def count(self):
        """Compares input and output span by span; prints what the run was."""
        check = os.path.join(os.path.dirname(__file__), "..", "lib", "check.py")
        with open(f"{self.folder}/in.lines", "rb") as file:
            load = sum(1 for _ in file)
        words = [sys.executable, check, f"{self.folder}/in.lines", f"{self.folder}/out.lines",
                 "--consumed", "--timeouts", f"{ROOT_TIMEOUT},{TIMEOUT}", "--split",
                 str(1 + load // SPLIT_SHARE), "--invalid", f"{self.folder}/dead.lines",
                 "--doubled", "1000000000"]
        counted = subprocess.run(words, check=False)
        if counted.returncode != 0:
            self.wrong.append("spans are lost, changed or invented, or too many traces split")
        wanted = int(LOAD_MIN * self.args.rate * self.args.seconds)
        if load < wanted:
            self.wrong.append(f"{load} messages are no load, {wanted} at least were to come")
        if self.reached[False] and not self.reached[True]:
            self.wrong.append(f"none of {self.reached[False]} faults of workers found one")
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.counts.items()))
        exits = ", ".join(f"{status}: {count}" for status, count in sorted(self.exits.items()))
        self.say(f"faults {sum(self.counts.values())}: {faults}; {self.reached[False]} of "
                 f"{self.reached.total()} faults of workers found none")
        self.say(f"daemons ended by status: {exits}")
        for wrong in self.wrong:
            self.say(f"WRONG: {wrong}")
        self.say(f"seed {self.args.seed}, {self.args.seconds} s, Redis persistence "
                 f"{self.persistence}: {'FAILED' if self.wrong else 'passed'}")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--kafka-libs", required=True)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--drain-seconds", type=float, default=120)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1_000_000)
    return args


def main():
    args = arguments()
    print(f"seed {args.seed}; replay with: sh tests/chaos/run.sh --seed {args.seed} "
          f"--seconds {args.seconds:g} --rate {args.rate:g}", flush=True)
    run = Run(args)
    run.begin()
    run.hurt()
    run.quiet()
    run.finish()
    run.count()
    sys.exit(1 if run.wrong or args.keep else 0)


main()
