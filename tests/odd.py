#!/usr/bin/env python3
"""Odd messages: what must come out to the letter, and what must become a dead letter.

usage: odd.py --produce            messages for a topic, for `testkit produce`
       odd.py --check OUT DEAD     what `testkit consume` read of the output and dead-letter topics

Every span is a segment of one. Its bytes must be those that went in, apart from the two fields that
are set: a member that is there gets its new value, one that is not is added.
"""
import json
import re
import sys

BASE = (
    '"organization_id":1,"start_timestamp":1,"end_timestamp":2,"received":3,'
    '"retention_days":90,"status":"ok","name":null'
)
DEEP = "[" * 5000 + "]" * 5000
LONG = "x" * 1023


def added(value, inside=False):
    member = '"sentry.segment.id":{"type":"string","value":%s}' % value
    return member if inside else '"attributes":{%s}' % member


# Of each: the text, what is replaced in it, what is added to it.
SPANS = [
    # Numbers that no float holds, and forms that a printer would change.
    ('{"project_id":18446744073709551615,"trace_id":"t0","span_id":"a",'
     '"n":123456789012345678901234567890,"f":1.50E+02,"z":-0.0,%s}' % BASE,
     [], ['"is_segment":true', added('"a"')]),
    ('{"project_id":1,"trace_id":"t1","span_id":"a","deep":%s,"attributes":{"d":%s},%s}'
     % (DEEP, DEEP, BASE), [], ['"is_segment":true', added('"a"', True)]),
    # Of a repeated key the last one counts.
    ('{"project_id":1,"trace_id":"t2","span_id":"z","is_segment":false,"span_id":"a",'
     '"is_segment":null,"attributes":{"q":1,"q":2},%s}' % BASE,
     [('"is_segment":null', '"is_segment":true')], [added('"a"', True)]),
    # Escapes in ids, keys and elsewhere, half a surrogate among them.
    ('{"project_id":1,"trace\\u005fid":"t\\u0033","span_id":"\\u0061\\"\\\\b",'
     '"is_s\\u0065gment":true,"text":"\\/\\ud83d\\ude00\\ud800 \\u0000",%s}' % BASE,
     [], [added('"a\\"\\\\b"')]),
    # The names of our fields in places that are not theirs.
    ('{"project_id":1,"trace_id":"t4","span_id":"a","sentry.segment.id":"no",'
     '"data":{"is_segment":false,"attributes":{}},'
     '"attributes":{"is_segment":false,"x":{"sentry.segment.id":{"value":"no"}}},%s}' % BASE,
     [], ['"is_segment":true', added('"a"', True)]),
    # White space everywhere, and another order of keys.
    ('\t{ \n"attributes" : { } ,\r\n%s, "is_segment"\t:\tfalse , "span_id" : "a" , '
     '"trace_id" : "t5" , "project_id" : 1 } ' % BASE,
     [("\t:\tfalse", "\t:\ttrue")], [added('"a"', True)]),
    # Ids of unusual length, and one that is no hex.
    ('{"project_id":0,"trace_id":"1-3e4567-e89b-12d3-a456-426614174006","span_id":"%s",%s}'
     % (LONG, BASE), [], ['"is_segment":true', added('"%s"' % LONG)]),
    ('{"project_id":1,"trace_id":"t7","span_id":"\u00e4\u00df\u6f22","attributes":null,%s}' % BASE,
     [('"attributes":null', added('"\u00e4\u00df\u6f22"'))], ['"is_segment":true']),
    # A segment id of the producer's own is left alone, also where it names another segment.
    ('{"project_id":1,"trace_id":"t8","span_id":"a","attributes":{"sentry.segment.id":'
     '{"value":"other","type":"string"}},%s}' % BASE, [], ['"is_segment":true']),
]

REJECTS = [
    '{"project_id":1,"trace_id":null,"span_id":"a",%s}' % BASE,
    '{"project_id":1,"trace_id":"t","span_id":null,%s}' % BASE,
    '{"project_id":1,"trace_id":"t","span_id":"a",%s}'
    % BASE.replace('"end_timestamp":2', '"end_timestamp":"2"'),
    '{"project_id":1.5,"trace_id":"t","span_id":"a",%s}' % BASE,
    '{"project_id":1,"trace_id":"t","span_id":"%s",%s}' % ("x" * 1024, BASE),
    "not JSON",
    "",
    None,
]


def trace_of(text):
    return json.loads(text)["trace_id"]


def produce():
    for span, reject in zip(SPANS, REJECTS + [None] * len(SPANS)):
        print(json.dumps({"raw": span[0], "key": "k"}))
        if reject is not None:
            print(json.dumps({"raw": reject, "key": "k"}))
    print(json.dumps({"raw": None, "key": "tombstone"}))


def without(text, member):
    """The text without an added member and its comma."""
    assert text.count(member) == 1, (member[:80], text[:300])
    return text.replace(member + ",", "", 1) if member + "," in text else text.replace(member, "")


def check(out, dead):
    found = {}
    for line in open(out, encoding="utf-8"):
        value = json.loads(line)["value"]
        inner = re.fullmatch(r'\{"flush_id":"[0-9a-f]{32}","spans":\[(.*)\]\}', value, re.S)
        assert inner, value[:200]
        trace = trace_of(inner[1])
        assert trace not in found, f"{trace} twice"
        found[trace] = inner[1]
    assert len(found) == len(SPANS), sorted(found)
    for text, replaced, inserted in SPANS:
        got = found[trace_of(text)]
        for member in inserted:
            got = without(got, member)
        for old, new in replaced:
            text = text.replace(old, new)
        assert got == text, f"{got[:300]}\nis not\n{text[:300]}"
    letters = [json.loads(line) for line in open(dead, encoding="utf-8")]
    texts = sorted(letter["value"] or "" for letter in letters)
    assert texts == sorted(text or "" for text in REJECTS), texts
    for letter in letters:
        assert letter["headers"]["spanbufd-reason"] and letter["headers"]["spanbufd-offset"]
    print(f"{len(SPANS)} odd spans to the letter, {len(letters)} dead letters")


if sys.argv[1] == "--produce":
    sys.setrecursionlimit(100_000)
    produce()
else:
    sys.setrecursionlimit(100_000)
    check(*sys.argv[2:])
