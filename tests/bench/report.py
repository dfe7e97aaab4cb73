"""The figures as people read them: minimum and median, targets, the run accepted last.

usage: report.py [JSON [BEFORE]]: the table of a run that was made before.
"""
import json
import pathlib
import statistics
import sys

# microseconds a span, daemon and Redis together: at most, and the goal; Redis alone at most.
TARGETS = {
    "small": (8.6, 5.2, 0.8),
    "wide": (21.0, 12.8, 1.6),
    "deep": (12.0, 7.2, 0.8),
    "live": (8.6, 5.7, 1.0),
    "split": (9.5, 5.7, 0.8),
}


def brief(figures):
    """One run on one line."""
    plain = {key: value for key, value in figures.items() if isinstance(value, (int, float))}
    peaks = figures.get("peak_rss", {})
    rss = "".join(f" {worker} {bytes >> 20}M" for worker, bytes in sorted(peaks.items()))
    return " ".join(f"{key} {value:,.4g}" for key, value in plain.items()) + rss


def summary(runs):
    """Of every figure of every group of runs the minimum, the median, the maximum."""
    found = {}
    for group, turns in runs.items():
        flat = [flatten(turn) for turn in turns]
        found[group] = {"runs": len(flat)}
        for key in flat[0]:
            values = [turn[key] for turn in flat if key in turn]
            three = (min(values), statistics.median(values), max(values))
            found[group][key] = dict(zip(("min", "median", "max"), map(short, three)))
    return found


def flatten(turn):
    flat = {}
    for key, value in turn.items():
        if isinstance(value, dict):
            flat |= {f"{key} {name}": one for name, one in value.items()}
        elif isinstance(value, (int, float)):
            flat[key] = value
    if "ingest_us" in turn:
        flat["sum_us"] = turn["ingest_us"] + turn["flusher_us"] + turn["redis_us"]
    return flat


def short(value):
    return float(f"{value:.4g}")


def rows(header, lines):
    """A table with its columns aligned."""
    cells = [header, *lines]
    widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
    align = lambda at, text: text.ljust(widths[at]) if at == 0 else text.rjust(widths[at])
    return "\n".join("  ".join(align(at, text) for at, text in enumerate(row)).rstrip()
                     for row in cells) + "\n"


def table(found, before=None):
    """Everything that a run has found, as text."""
    figures = found["figures"]
    parts = [f"{found['date']} {found['size']}: " + ", ".join(
        f"{name} {version}" for name, version in found["versions"].items()) + "\n",
        "Minimum (median) of each figure; us are CPU microseconds a span.\n"]
    parts += [whole_path(figures, before), apart(figures), memory(figures)]
    parts += [batches(figures), alone(figures)]
    return "\n".join(part for part in parts if part)


def pair(group, key, scale=1.0, digits=2):
    if key not in group:
        return "-"
    low, median = group[key]["min"] * scale, group[key]["median"] * scale
    return f"{low:,.{digits}f} ({median:,.{digits}f})"


def of(figures, kind):
    """The workloads of which a kind of run was made."""
    return [name for name in TARGETS if f"{kind} {name}" in figures]


def whole_path(figures, before):
    lines = []
    for name in of(figures, "path"):
        run, (most, goal, redis_most) = figures[f"path {name}"], TARGETS[name]
        old = (before or {}).get("figures", {}).get(f"path {name}", {}).get("sum_us")
        change = f"{run['sum_us']['min'] / old['min'] * 100 - 100:+.0f} %" if old else "-"
        lines.append([
            name, pair(run, "spans_per_s", 1e-3, 1), pair(run, "ingest_us"),
            pair(run, "flusher_us"), pair(run, "redis_us"), pair(run, "sum_us"),
            f"{most} / {goal} / {redis_most}", change,
        ])
        if f"beside {name}" in figures:
            other = figures[f"beside {name}"]
            lines.append([
                "  beside", pair(other, "spans_per_s", 1e-3, 1), pair(other, "ingest_us"),
                pair(other, "flusher_us"), pair(other, "redis_us"), pair(other, "sum_us"), "-",
                f"{run['sum_us']['median'] / other['sum_us']['median'] * 100 - 100:+.0f} %",
            ])
    header = ["whole path", "1000 spans/s", "ingest us", "flusher us", "Redis us", "sum us",
              "most / goal / Redis", "accepted"]
    return rows(header, lines)


def apart(figures):
    lines = []
    for name in of(figures, "ingest"):
        ingest, flush = figures[f"ingest {name}"], figures[f"flush {name}"]
        limits = figures.get(f"limits {name}", {})
        share = lambda run, limit: "-" if limit not in limits else \
            f"{run['spans_per_s']['median'] / limits[limit]['median'] * 100:.0f} %"
        lines.append([
            name, pair(ingest, "spans_per_s", 1e-3, 0), share(ingest, "consumer_spans_per_s"),
            pair(ingest, "ingest_us"), pair(limits, "consumer_us"),
            pair(flush, "spans_per_s", 1e-3, 0), pair(flush, "segments_per_s", 1e-3, 1),
            share(flush, "producer_spans_per_s"), pair(flush, "flusher_us"),
            pair(limits, "producer_us"), pair(limits, "set_us"),
        ])
    header = ["alone", "ingest 1000/s", "of bare", "us", "bare us", "flush 1000/s",
              "1000 segments/s", "of bare", "us", "bare us", "SET us"]
    return rows(header, lines)


def memory(figures):
    lines = []
    for name in of(figures, "ingest"):
        ingest, path = figures[f"ingest {name}"], figures[f"path {name}"]
        peaks = [key for key in path if key.startswith("peak_rss ")]
        worst = lambda kind: max((path[key]["max"] / 2**20 for key in peaks if kind in key),
                                 default=0)
        lines.append([
            name, pair(ingest, "redis_bytes_per_span", 1, 0),
            pair(ingest, "stored_bytes_per_span", 1, 0), pair(ingest, "spans_per_batch", 1, 0),
            pair(ingest, "commands", 1, 4), f"{worst('ingest'):.0f}", f"{worst('flusher'):.0f}",
        ])
    header = ["memory", "Redis B/span", "batch B/span", "spans/batch", "commands/span",
              "ingest peak MiB", "flusher peak MiB"]
    return rows(header, lines)


def batches(figures):
    sizes = sorted((int(name.split()[1]) for name in figures if name.startswith("batch ")))
    lines = [[f"{size}", *(pair(figures[f"batch {size}"], key) for key in
                           ("ingest_us", "flusher_us", "redis_us", "sum_us"))] for size in sizes]
    header = ["small by batch", "ingest us", "flusher us", "Redis us", "sum us"]
    return rows(header, lines) if lines else ""


def alone(figures):
    """What is one figure for all workloads."""
    lines = []
    ones = ("yardstick", "half load", "quarter load", "rate ", "beside rate ", "long open",
            "restart", "idle")
    for group in (name for name in figures if name.startswith(ones)):
        for key in figures[group]:
            if key != "runs":
                scale = 2**-20 if group == "idle" else 1.0
                lines.append([f"{group} {key}", pair(figures[group], key, scale)])
    return rows(["beside", "minimum (median)"], lines)


if __name__ == "__main__":
    files = sys.argv[1:] or [pathlib.Path(__file__).parent / "accepted.json"]
    loaded = [json.loads(pathlib.Path(file).read_text(encoding="utf-8")) for file in files]
    print(table(*loaded[:2]))
