#!/usr/bin/env python3
"""Compares what went in with what came out, span by span.

usage: check.py INPUT OUTPUT [--consumed] [--invalid DEAD] [--doubled N] [--split N]
                [--timeouts ROOT,IDLE]

INPUT holds the produced messages, one a line, or with --consumed what `testkit consume` printed of
them, as OUTPUT and DEAD do. Every span of INPUT must be in OUTPUT at least once, unchanged but for
the two fields that are set, and no other span may be there; a message that is no span must be in
DEAD. At most --doubled spans (default 0) may come more than once; identical copies in INPUT count
once. A trace of one project may be in several segments only when it has several roots, and all
spans of a segment have to come together once, unless a limit cut it; at most --split traces
(default 0) break that. Prints one line of counts; status 1 when a rule is broken.

Of split traces it prints why their parts were flushed, and of the first ten where their parts came
from; with --consumed also when those were stamped. With --consumed and --timeouts (root-timeout and
timeout, in seconds) a split is right, and does not count, when `spanbufd assemble` splits the trace
as well, with nothing but the stamps for a clock.
"""
import argparse
import collections
import json
import os
import subprocess
import sys


def is_span(text):
    """The message, when it is a span by the rules that assembly needs."""
    try:
        span = json.loads(text)
    except ValueError:
        return None
    ids = isinstance(span, dict) and all(
        isinstance(span.get(name), str) for name in ("trace_id", "span_id")
    )
    return span if ids and isinstance(span.get("project_id"), int) else None


def bare(span):
    """The span without what spanbufd sets."""
    span = dict(span)
    span.pop("is_segment", None)
    attributes = span.get("attributes")
    attributes = dict(attributes) if isinstance(attributes, dict) else {}
    attributes.pop("sentry.segment.id", None)
    span["attributes"] = attributes
    return json.dumps(span, sort_keys=True)


def messages(path, consumed):
    """The messages with the time that they were stamped and their place, where that is known."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if consumed:
                message = json.loads(line)
                yield message["value"], message["at_ms"], (message["partition"], message["offset"])
            else:
                yield line.rstrip("\n"), None, None


class Input:
    """What was produced: the spans, the rest, how many roots each trace has, and the stamps."""

    def __init__(self, path, consumed):
        self.spans, self.bad = set(), collections.Counter()
        self.roots, self.stamps, self.timed = collections.Counter(), {}, {}
        for line, at_ms, place in messages(path, consumed):
            self.stamps[place] = at_ms
            span = is_span(line)
            if span is None:
                self.bad[line] += 1
                continue
            if place is not None:
                self.timed[place] = f'{{"at_ms":{at_ms},"span":{line}}}'
            key = bare(span)
            is_root = span.get("parent_span_id") is None or span.get("is_segment")
            if key not in self.spans and is_root:
                self.roots[(span["project_id"], span["trace_id"])] += 1
            self.spans.add(key)


class Segments:
    """In which segments each trace came, and which spans of a segment came together."""

    def __init__(self):
        self.of = collections.defaultdict(lambda: collections.defaultdict(Segment))

    def add(self, message, reason=None):
        """The parts of a segment that is too large for one message count as one."""
        flush = "parts" if message.get("skip_enrichment") else message["flush_id"]
        for span in message["spans"]:
            name = span["attributes"]["sentry.segment.id"]["value"]
            segment = self.of[(span["project_id"], span["trace_id"])][name]
            segment.flushes[flush].add(span["span_id"])
            segment.is_cut |= reason in ("age", "size", "pressure")

    def split(self, roots):
        """The traces that are in more segments than they have roots, or of which one was torn."""
        def is_split(trace, segments):
            return (len(segments) > max(1, roots[trace])
                    or any(segment.is_torn() for segment in segments.values()))
        return [trace for trace, segments in self.of.items() if is_split(trace, segments)]


class Segment:
    """The spans of one segment, by flush."""

    def __init__(self):
        self.flushes, self.is_cut = collections.defaultdict(set), False

    def is_torn(self):
        """What came again came with all others, or it belongs to what came before."""
        whole = set().union(*self.flushes.values())
        return not self.is_cut and whole not in self.flushes.values()


class Output:
    """What was delivered: how often each span and each flush came, and in which segments."""

    def __init__(self, path):
        self.seen, self.flushes = collections.Counter(), collections.Counter()
        self.flushes_of = collections.defaultdict(set)
        self.segments = Segments()
        self.parts_of = collections.defaultdict(dict)
        self.wrong = 0
        with open(path, encoding="utf-8") as file:
            for line in file:
                consumed = json.loads(line)
                self.flush(json.loads(consumed["value"]), consumed["headers"])

    def flush(self, message, headers):
        self.flushes[message["flush_id"]] += 1
        self.segments.add(message, headers["reason"])
        for span in message["spans"]:
            self.add(span, message["flush_id"])
        first = message["spans"][0]
        parts = self.parts_of[(first["project_id"], first["trace_id"])]
        parts[message["flush_id"]] = Part(headers, len(message["spans"]))

    def add(self, span, flush_id):
        key = bare(span)
        self.seen[key] += 1
        self.flushes_of[key].add(flush_id)
        segment = span["attributes"]["sentry.segment.id"]["value"]
        self.wrong += span["is_segment"] != (span["span_id"] == segment)


class Part:
    """One flush of a trace: why it was flushed, and from which messages."""

    def __init__(self, headers, spans):
        self.reason, self.spans, self.source = headers["reason"], spans, headers["source"]
        shard, _, ranges = self.source.rstrip("…").partition(":")
        self.places = []
        for one in ranges.split(",") if ranges else []:
            low, high = one.split("-")
            self.places += [(int(shard), offset) for offset in range(int(low), int(high))]

    def stamped(self, stamps):
        """First and last stamp, None when they are not known."""
        known = [stamps[place] for place in self.places if stamps.get(place) is not None]
        return (min(known), max(known)) if known else None


class Splits:
    """The split traces: why, and which of them the stamps of their messages split anyhow."""

    def __init__(self, given, out, timeouts):
        self.stamps = given.stamps
        self.traces = out.segments.split(given.roots)
        self.right = set(self.traces) & by_stamps(given, timeouts) if timeouts else set()
        self.parts_of = {trace: self.by_time(out.parts_of[trace].values()) for trace in self.traces}

    def by_time(self, parts):
        return sorted(parts, key=lambda part: (part.stamped(self.stamps) or (0, 0), part.source))

    def wrong(self):
        return [trace for trace in self.traces if trace not in self.right]

    def tell(self):
        kinds = collections.Counter(
            ("right: " if trace in self.right else "wrong: ")
            + ", ".join(part.reason for part in self.parts_of[trace]) for trace in self.traces)
        for kind, count in sorted(kinds.items()):
            print(f"  split {count}, {kind}")
        for trace in self.wrong()[:10]:
            print(f"  trace {trace[1]}")
            for part in self.parts_of[trace]:
                first, last = part.stamped(self.stamps) or ("?", "?")
                print(f"    {part.reason}, {part.spans} spans from {part.source}, "
                      f"stamped {first} to {last}")


def by_stamps(given, timeouts):
    """The traces that come out split when the stamps of the messages are the only clock."""
    root, idle = timeouts.split(",")
    command = [os.environ["SPANBUFD"], "assemble", "--timed", "--root-timeout", root,
               "--timeout", idle]
    segments = Segments()
    for shard in {place[0] for place in given.timed}:
        timed = [given.timed[place] for place in sorted(given.timed) if place[0] == shard]
        done = subprocess.run(command, input="\n".join(timed), text=True, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in done.stdout.splitlines():
            segments.add(json.loads(line))
    return set(segments.split(given.roots))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--consumed", action="store_true")
    parser.add_argument("--invalid")
    parser.add_argument("--doubled", type=int, default=0)
    parser.add_argument("--split", type=int, default=0)
    parser.add_argument("--timeouts")
    return parser.parse_args()


def main():
    args = arguments()
    given, out = Input(args.input, args.consumed), Output(args.output)
    lost = len(given.spans - set(out.seen))
    invented = len(set(out.seen) - given.spans)
    doubled = sum(count - 1 for count in out.seen.values())
    otherwise = sum(len(ids) - 1 for ids in out.flushes_of.values())
    splits = Splits(given, out, args.timeouts)
    dead = 0
    if args.invalid:
        letters = collections.Counter(line for line, _, _ in messages(args.invalid, True))
        dead = sum(letters.values())
        lost += sum((given.bad - letters).values())
        invented += sum(count for line, count in letters.items() if line not in given.bad)
        doubled += sum(max(0, letters[line] - count) for line, count in given.bad.items())
    print(
        f"in {len(given.spans)} spans, {sum(given.bad.values())} others; out "
        f"{sum(out.flushes.values())} messages, {sum(out.seen.values())} spans; lost {lost}, "
        f"doubled {doubled} ({otherwise} under another flush_id), changed or invented {invented}, "
        f"split {len(splits.traces)}, wrong is_segment {out.wrong}, dead letters {dead}, repeated "
        f"flush ids {sum(count - 1 for count in out.flushes.values())}"
    )
    splits.tell()
    broken = lost or invented or out.wrong or doubled > args.doubled
    sys.exit(1 if broken or len(splits.wrong()) > args.split else 0)


main()
