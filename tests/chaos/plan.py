"""Which faults happen when: a pure function of the seed, so that a failing run can be replayed.

Times are seconds since the faults began. A fault occupies its target until it is over, so that its
end finds what its beginning left; faults on different targets overlap freely.
"""
import collections
import random

# at: begin; seconds: until its end; pick: a number in [0, 1) for whatever it has to choose.
Fault = collections.namedtuple("Fault", "at kind target seconds pick")

# kind: (weight, target, shortest, longest duration)
KINDS = {
    "kill-ingest": (6, "daemon", 0, 0),
    "kill-flusher": (8, "daemon", 0, 0),
    "kill-supervisor": (4, "daemon", 0, 4),
    "stop-daemon": (3, "daemon", 1, 5),
    "reload-daemon": (2, "daemon", 0, 0),
    "pause-ingest": (4, "daemon", 0.5, 8),
    "pause-flusher": (4, "daemon", 0.5, 8),
    "pause-daemon": (4, "daemon", 0.5, 8),
    "third-member": (4, "third", 2, 10),
    "third-member-killed": (3, "third", 2, 10),
    "kill-redis": (4, "redis", 0, 3),
    "restart-redis-empty": (3, "redis", 0, 2),
    "roll-back-redis": (5, "redis", 0.5, 4),
    "empty-redis": (4, "redis", 0, 0),
    "delete-keys": (5, "redis", 0, 0),
    "cut-redis": (6, "redis", 0, 0),
    "forget-scripts": (1, "redis", 0, 0),
    "fill-redis": (4, "redis", 1, 5),
    "pause-redis": (4, "redis", 0.3, 7),
    "pause-writes": (2, "redis", 0.3, 4),
    "kill-broker": (2, "broker", 0, 3),
    "pause-broker": (3, "broker", 0.5, 7),
}

# How Redis keeps its data, one for each run.
PERSISTENCE = ["none", "rdb", "aof"]


def plan(seed, seconds):
    """The persistence of Redis, and the faults in order of their beginning."""
    rnd = random.Random(seed)
    persistence = rnd.choice(PERSISTENCE)
    gap = rnd.uniform(0.3, 2.0)
    names, weights = list(KINDS), [KINDS[kind][0] for kind in KINDS]
    faults, free, at = [], collections.defaultdict(float), 0.5
    while True:
        at += rnd.expovariate(1 / gap)
        kind = rnd.choices(names, weights)[0]
        _, target, shortest, longest = KINDS[kind]
        if target == "daemon":
            target = rnd.choice(["one", "two"])
        # Half of what lasts is short: most races lie in the first second.
        lasts = shortest + (longest - shortest) * rnd.random() ** 2
        pick = rnd.random()
        if at + lasts > seconds:
            if at > seconds:
                return persistence, faults
            continue
        if at < free[target]:
            continue
        faults.append(Fault(round(at, 2), kind, target, round(lasts, 2), pick))
        free[target] = at + lasts + 0.2
