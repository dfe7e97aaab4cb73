#!/usr/bin/env python3
"""The scenarios of assembly, through `spanbufd assemble --timed --explain`.

usage: scenarios.py SPANBUFD
       scenarios.py --produce            messages for a topic, for `testkit produce`
       scenarios.py --check OUTPUT       what `testkit consume` read of the output topic

Every scenario runs in all orders of its spans where times allow, else in 100 random ones, and in
batches of 1, of 2 and of everything: the same segments must come out. A segment is written as
PROJECT:ID@SECONDS=SPANS, in upper case the spans that are the segment itself.

For topics every order of every scenario is a trace of its own, and every scenario has a time of its
own, an hour after the one before, in the past; a last span ends them all.
"""
import itertools
import json
import random
import re
import subprocess
import sys
import time

SPANBUFD = sys.argv[1]
PLAIN = ["--validate", "ids"]


def span(spec, at):
    """`b` a root, `a<b` a child, `a<b!` a segment span with a parent, `a<b=c` with a segment id;
    a leading digit is the project."""
    project, rest = (int(spec[0]), spec[1:]) if spec[0].isdigit() else (1, spec)
    rest, _, segment = rest.partition("=")
    name, _, parent = rest.partition("<")
    made = {"project_id": project, "trace_id": "f" * 32, "span_id": name.strip("!") * 16}
    if parent:
        made["parent_span_id"] = parent.strip("!") * 16
    if "!" in rest:
        made["is_segment"] = True
    if segment:
        made["attributes"] = {"sentry.segment.id": {"type": "string", "value": segment * 16}}
    return json.dumps({"at_ms": at * 1000, "span": made})


def assemble(lines, options):
    command = [SPANBUFD, "assemble", "--timed", "--explain", *PLAIN, *options]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    out = []
    for line in done.stdout.splitlines():
        line = json.loads(line)
        spans = line["message"]["spans"]
        names = [
            s["span_id"][0].upper() if s["is_segment"] else s["span_id"][0] for s in spans
        ]
        ids = {s["attributes"]["sentry.segment.id"]["value"] for s in spans}
        first = spans[0]
        segment = sorted(ids)[0] if len(ids) == 1 else "?"
        out.append(
            f"{first['project_id']}:{segment[0]}@{line['at_ms'] // 1000}={''.join(sorted(names))}"
        )
    return sorted(out)


def orders(spans):
    """All orders in which times do not go back, or 100 random ones of them."""
    when = lambda one: one[1]
    groups = [list(group) for _, group in itertools.groupby(sorted(spans, key=when), when)]
    count = 1
    for group in groups:
        for n in range(2, len(group) + 1):
            count *= n
    if count <= 120:
        for made in itertools.product(*(itertools.permutations(g) for g in groups)):
            yield [one for group in made for one in group]
        return
    chance = random.Random(1)
    for _ in range(100):
        yield [one for group in groups for one in chance.sample(group, len(group))]


SCENARIOS = {
    "S1": (["b@0", "a<b@0", "c<b@0", "d<b@0"], ["1:b@10=Bacd"]),
    "S2": (["a@0", "b<a@0", "c<a@0", "d<b@0"], ["1:a@10=Abcd"]),
    "S3": (["e<d@0", "d<b@0", "b<c@0", "c<a@0", "a@0"], ["1:a@10=Abcde"]),
    "S4": (["c<b@0", "d<b@0", "e<b@0", "2b@0"], ["1:b@60=cde", "2:b@10=B"]),
    "S5": (["b<a@0", "c<a@0"], ["1:a@60=bc"]),
    "S6": (["a@0", "b@0"], ["1:a@10=A", "1:b@10=B"]),
    "S7": (["d<c@0", "c<b@1", "b<a@2", "a@3"], ["1:a@13=Abcd"]),
    "S8": (["b@0", "a<b@0", "b@0", "a<b@0"], ["1:b@10=Ba"]),
    "S13": (["b@0", "a<b@0", "x<b@12"], ["1:b@10=Ba", "1:b@72=x"]),
    "a segment span in mid-chain": (["a@0", "b<a!@0", "c<b@0"], ["1:a@10=A", "1:b@10=Bc"]),
    "a root with another segment id": (["a=z@0", "b<a@0"], ["1:?@10=Ab"]),
    "an explicit segment id": (["a@0", "b<x=a@0", "c<b@0"], ["1:a@10=Abc"]),
    "a busy neighbour": (
        ["a@0", "b@0", "c<b@4", "d<b@8", "e<b@12", "f<b@16"],
        ["1:a@10=A", "1:b@26=Bcdef"],
    ),
    "single spans": (["a@0", "b@1", "c@2"], ["1:a@10=A", "1:b@11=B", "1:c@12=C"]),
    "a cycle": (["a<b@0", "b<a@0"], ["1:a@60=Ab"]),
    "its own parent": (["a<a@0"], ["1:a@60=A"]),
}


def traces():
    """Every order of every scenario: (trace id, hour, spans in order, expected)."""
    for hour, (name, (specs, expected)) in enumerate(SCENARIOS.items()):
        spans = [(spec, int(at)) for spec, at in (one.split("@") for one in specs)]
        for n, order in enumerate(orders(spans)):
            yield f"{hour:016x}{n:016x}", hour, order, expected


def produce():
    base = (int(time.time()) - 36 * 3600) * 1000
    messages = []
    for trace, hour, order, _ in traces():
        for spec, at in order:
            line = json.loads(span(spec, at))["span"]
            line["trace_id"] = trace
            messages.append((base + hour * 3_600_000 + at * 1000, trace, json.dumps(line)))
    # By time, as a producer would have sent them; the order within one time is the scenario's.
    messages.sort(key=lambda message: message[0])
    end = base + len(SCENARIOS) * 3_600_000
    messages.append((end, "end", '{"project_id":1,"trace_id":"end","span_id":"end"}'))
    for at, trace, raw in messages:
        print(json.dumps({"at_ms": at, "key": trace, "raw": raw}))


def check(path):
    found = {}
    for line in open(path, encoding="utf-8"):
        for message in [json.loads(json.loads(line)["value"])]:
            spans = message["spans"]
            ids = {s["attributes"]["sentry.segment.id"]["value"] for s in spans}
            names = [s["span_id"][0].upper() if s["is_segment"] else s["span_id"][0] for s in spans]
            segment = sorted(ids)[0][0] if len(ids) == 1 else "?"
            name = f"{spans[0]['project_id']}:{segment}={''.join(sorted(names))}"
            found.setdefault(spans[0]["trace_id"], []).append(name)
    count = 0
    for trace, _, order, expected in traces():
        wanted = sorted(re.sub("@[0-9]+", "", one) for one in expected)
        assert sorted(found.get(trace, [])) == wanted, f"{order}: {found.get(trace)}"
        count += 1
    print(f"{count} traces of {len(SCENARIOS)} scenarios")


def main():
    runs = 0
    for name, (specs, expected) in SCENARIOS.items():
        spans = [(spec, int(at)) for spec, at in (one.split("@") for one in specs)]
        for order in orders(spans):
            lines = [span(*one) for one in order]
            for batch in ("1", "2", "1000"):
                got = assemble(lines, ["--batch", batch])
                assert got == sorted(expected), f"{name}: {order} by {batch}: {got}"
                runs += 1

    # A chain of 300, leaf first, one span a batch.
    chain = [f"{n:016x}" for n in range(300)]
    lines = []
    for n in reversed(range(300)):
        made = {"project_id": 1, "trace_id": "f" * 32, "span_id": chain[n]}
        if n:
            made["parent_span_id"] = chain[n - 1]
        lines.append(json.dumps({"at_ms": 0, "span": made}))
    done = subprocess.run(
        [SPANBUFD, "assemble", "--timed", "--batch", "1", *PLAIN],
        input="\n".join(lines), capture_output=True, text=True, check=True,
    )
    (message,) = map(json.loads, done.stdout.splitlines())
    assert len(message["spans"]) == 300 and message["spans"][0]["span_id"] == chain[0]

    # S11 and S12: split messages are flagged, and every span is there once.
    big = [span("a", 0)] + [span(f"{c}<a", 0) for c in "bcdefgh"]
    big = [line.replace('"project_id"', '"x": "' + "y" * 400 + '", "project_id"') for line in big]
    for limit, parts in (("2000", 3), ("1024", 4)):
        done = subprocess.run(
            [SPANBUFD, "assemble", "--timed", "--max-segment-bytes", limit, *PLAIN],
            input="\n".join(big), capture_output=True, text=True, check=True,
        )
        messages = list(map(json.loads, done.stdout.splitlines()))
        assert all(message["skip_enrichment"] for message in messages), limit
        assert len({message["flush_id"] for message in messages}) == len(messages) >= parts
        ids = [s["span_id"] for message in messages for s in message["spans"]]
        assert sorted(ids) == [c * 16 for c in "abcdefgh"], limit

    # S16: each is reported with its line, the neighbours come out.
    bad = ['{"trace_id":null,"span_id":"a","project_id":1}', "not json", "{}", "[1]"]
    done = subprocess.run(
        [SPANBUFD, "assemble", *PLAIN],
        input="\n".join(bad + ['{"trace_id":"t","span_id":"a","project_id":1}']),
        capture_output=True, text=True, check=True,
    )
    assert len(done.stdout.splitlines()) == 1, done.stdout
    assert [f"line {n}:" in done.stderr for n in (1, 2, 3, 4)] == [True] * 4, done.stderr
    print(f"{runs} runs of {len(SCENARIOS)} scenarios")


if SPANBUFD == "--produce":
    produce()
elif SPANBUFD == "--check":
    check(sys.argv[2])
else:
    main()
