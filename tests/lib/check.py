#!/usr/bin/env python3
"""Compares what went in with what came out, span by span.

usage: check.py INPUT OUTPUT [--invalid DEAD] [--doubled N] [--split N]

INPUT holds the produced messages, one a line; OUTPUT and DEAD what `testkit consume` printed. Every
span of INPUT must be in OUTPUT at least once, unchanged but for the two fields that are set, and no
other span may be there; a message that is no span must be in DEAD. At most --doubled spans (default
0) may come more than once; identical copies in INPUT count once. A trace of one project may be in
several segments only when it has several roots; at most --split traces (default 0) break that.
Prints one line of counts; status 1 when a rule is broken.
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--invalid")
    parser.add_argument("--doubled", type=int, default=0)
    parser.add_argument("--split", type=int, default=0)
    args = parser.parse_args()

    wanted, bad, roots = set(), collections.Counter(), collections.Counter()
    for line in open(args.input, encoding="utf-8"):
        line = line.rstrip("\n")
        span = is_span(line)
        if span is None:
            bad[line] += 1
            continue
        key = bare(span)
        if key not in wanted and (span.get("parent_span_id") is None or span.get("is_segment")):
            roots[(span["project_id"], span["trace_id"])] += 1
        wanted.add(key)

    seen, flushes, segments = collections.Counter(), collections.Counter(), 0
    parts = collections.defaultdict(set)
    wrong = 0
    for line in open(args.output, encoding="utf-8"):
        message = json.loads(json.loads(line)["value"])
        segments += 1
        flushes[message["flush_id"]] += 1
        for span in message["spans"]:
            seen[bare(span)] += 1
            segment = span["attributes"]["sentry.segment.id"]["value"]
            parts[(span["project_id"], span["trace_id"])].add(segment)
            wrong += span["is_segment"] != (span["span_id"] == segment)

    lost = len(wanted - set(seen))
    invented = len(set(seen) - wanted)
    doubled = sum(count - 1 for count in seen.values())
    split = sum(len(ids) > max(1, roots[trace]) for trace, ids in parts.items())
    dead = 0
    if args.invalid:
        letters = collections.Counter(
            json.loads(line)["value"] for line in open(args.invalid, encoding="utf-8")
        )
        dead = sum(letters.values())
        lost += sum((bad - letters).values())
        invented += sum((letters - bad).values())
    print(
        f"in {len(wanted)} spans, {sum(bad.values())} others; out {segments} messages, "
        f"{sum(seen.values())} spans; lost {lost}, doubled {doubled}, changed or invented "
        f"{invented}, split {split}, wrong is_segment {wrong}, dead letters {dead}, "
        f"repeated flush ids {sum(count - 1 for count in flushes.values())}"
    )
    sys.exit(1 if lost or invented or split > args.split or wrong or doubled > args.doubled else 0)


main()
