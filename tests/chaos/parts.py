"""What a chaos run is made of: broker, Redis, daemons; each can be started, hurt and mended.

Every process is signalled by its pid only. Nothing here decides when.
"""
import os
import shutil
import signal
import subprocess
import time


class Process:
    """A process that may be started again; its output goes to one log."""

    def __init__(self, name, command, log):
        self.name, self.command, self.log = name, command, log
        self.child = None

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log)

    def ended(self):
        """The exit status, None while it runs."""
        return None if self.child is None else self.child.poll()

    def signal(self, number):
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(number)

    def end(self, number, seconds=20):
        """Ends it; SIGKILL when that takes too long."""
        if self.child is None:
            return
        self.signal(number)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Broker(Process):
    def __init__(self, folder, libs):
        command = ["java", "-Xmx512m", "-Xms256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                   "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{libs}/*",
                   "kafka.Kafka", f"{folder}/kafka/server.properties"]
        super().__init__("broker", command, f"{folder}/kafka/kafka.log")


class Redis(Process):
    """persistence: none, rdb (only what SAVE wrote survives), aof (everything)."""

    def __init__(self, folder, persistence):
        self.data = f"{folder}/redis"
        self.socket = f"{folder}/redis.sock"
        self.persistence = persistence
        os.mkdir(self.data)
        command = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.data,
                   "--save", "", "--appendonly", "yes" if persistence == "aof" else "no",
                   "--appendfsync", "everysec", "--enable-debug-command", "yes"]
        super().__init__("redis", command, f"{folder}/redis.log")

    def cli(self, *words):
        """The answer as text; empty when there is none."""
        command = ["redis-cli", "-s", self.socket, *words]
        try:
            done = subprocess.run(command, capture_output=True, timeout=5, check=False)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.decode(errors="replace").strip()

    def start(self):
        if self.persistence == "none":
            self.forget()
        super().start()

    def forget(self):
        shutil.rmtree(self.data)
        os.mkdir(self.data)

    def keep(self):
        """Keeps what is there now, for `go_back`."""
        shutil.rmtree(self.data + ".kept", ignore_errors=True)
        if self.persistence != "aof":
            self.cli("SAVE")
        shutil.copytree(self.data, self.data + ".kept")

    def go_back(self):
        """Comes back as it was when it was kept: a failover to a replica that lagged."""
        self.end(signal.SIGKILL)
        shutil.rmtree(self.data)
        shutil.copytree(self.data + ".kept", self.data)
        super().start()


class Daemon(Process):
    """One spanbufd. `wanted` says whether the driver, like systemd, starts it again."""

    def __init__(self, name, folder, spanbufd, options):
        self.instance = f"chaos-{os.path.basename(folder)}-{name}"
        command = [spanbufd, "run", "--instance", self.instance, *options]
        super().__init__(name, command, f"{folder}/{name}.log")
        self.wanted = False
        self.back_at = 0.0

    def workers(self, kind=""):
        """Pids of its workers whose name begins with kind."""
        found = []
        if self.child is None or self.child.poll() is not None:
            return found
        pid = self.child.pid
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
                children = file.read().split()
            for child in children:
                with open(f"/proc/{child}/comm", encoding="ascii") as file:
                    if file.read().startswith(kind):
                        found.append(int(child))
        except OSError:
            pass  # It went away while we looked.
        return sorted(found)

    def signal_all(self, number):
        """The supervisor and all its workers; a paused supervisor forks none meanwhile."""
        self.signal(number)
        for pid in self.workers():
            send(pid, number)

    def want(self, after=0.0):
        self.wanted, self.back_at = True, time.monotonic() + after


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
