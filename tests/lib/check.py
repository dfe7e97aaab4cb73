#!/usr/bin/env python3
"""Compares what went in with what came out, span by span.

usage: check.py INPUT OUTPUT [--consumed] [--invalid DEAD] [--doubled N] [--split N]

INPUT holds the produced messages, one a line, or with --consumed what `testkit consume` printed of
them, as OUTPUT and DEAD do. Every span of INPUT must be in OUTPUT at least once, unchanged but for
the two fields that are set, and no other span may be there; a message that is no span must be in
DEAD. At most --doubled spans (default 0) may come more than once; identical copies in INPUT count
once. A trace of one project may be in several segments only when it has several roots; at most
--split traces (default 0) break that. Prints one line of counts; status 1 when a rule is broken.
"""
import argparse
import collections
import json
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


def lines(path, consumed):
    """The messages of a file: its lines, or the values in them."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["value"] if consumed else line.rstrip("\n")


class Input:
    """What was produced: the spans, the rest, and how many roots each trace has."""

    def __init__(self, path, consumed):
        self.spans, self.bad = set(), collections.Counter()
        self.roots = collections.Counter()
        for line in lines(path, consumed):
            span = is_span(line)
            if span is None:
                self.bad[line] += 1
                continue
            key = bare(span)
            is_root = span.get("parent_span_id") is None or span.get("is_segment")
            if key not in self.spans and is_root:
                self.roots[(span["project_id"], span["trace_id"])] += 1
            self.spans.add(key)


class Output:
    """What was delivered: how often each span and each flush came, and in which segments."""

    def __init__(self, path):
        self.seen, self.flushes = collections.Counter(), collections.Counter()
        self.flushes_of = collections.defaultdict(set)
        self.segments_of = collections.defaultdict(set)
        self.wrong = 0
        for line in lines(path, True):
            message = json.loads(line)
            self.flushes[message["flush_id"]] += 1
            for span in message["spans"]:
                self.add(span, message["flush_id"])

    def add(self, span, flush_id):
        key = bare(span)
        self.seen[key] += 1
        self.flushes_of[key].add(flush_id)
        segment = span["attributes"]["sentry.segment.id"]["value"]
        self.segments_of[(span["project_id"], span["trace_id"])].add(segment)
        self.wrong += span["is_segment"] != (span["span_id"] == segment)

    def split(self, roots):
        return sum(len(ids) > max(1, roots[trace]) for trace, ids in self.segments_of.items())


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--consumed", action="store_true")
    parser.add_argument("--invalid")
    parser.add_argument("--doubled", type=int, default=0)
    parser.add_argument("--split", type=int, default=0)
    return parser.parse_args()


def main():
    args = arguments()
    given, out = Input(args.input, args.consumed), Output(args.output)
    lost = len(given.spans - set(out.seen))
    invented = len(set(out.seen) - given.spans)
    doubled = sum(count - 1 for count in out.seen.values())
    otherwise = sum(len(ids) - 1 for ids in out.flushes_of.values())
    split = out.split(given.roots)
    dead = 0
    if args.invalid:
        letters = collections.Counter(lines(args.invalid, True))
        dead = sum(letters.values())
        lost += sum((given.bad - letters).values())
        invented += sum(count for line, count in letters.items() if line not in given.bad)
        doubled += sum(max(0, letters[line] - count) for line, count in given.bad.items())
    print(
        f"in {len(given.spans)} spans, {sum(given.bad.values())} others; out "
        f"{sum(out.flushes.values())} messages, {sum(out.seen.values())} spans; lost {lost}, "
        f"doubled {doubled} ({otherwise} under another flush_id), changed or invented {invented}, "
        f"split {split}, wrong is_segment {out.wrong}, dead letters {dead}, repeated flush ids "
        f"{sum(count - 1 for count in out.flushes.values())}"
    )
    broken = lost or invented or out.wrong or doubled > args.doubled
    sys.exit(1 if broken or split > args.split else 0)


main()
