#!/usr/bin/env python3
"""Validates messages against the published schemas.

usage: schemas.py TOPIC <NDJSON

TOPIC is a topic of the package sentry-kafka-schemas (ingest-spans, buffered-segments). With
--examples the package's own example messages of the topic are printed, one a line.
"""
import json
import sys

from sentry_kafka_schemas import get_codec
from sentry_kafka_schemas.sentry_kafka_schemas import iter_examples

topic = sys.argv[1]
if "--examples" in sys.argv:
    for example in iter_examples(topic):
        print(json.dumps(example.load()))
    sys.exit()
codec = get_codec(topic)
count = 0
for line in sys.stdin.buffer:
    codec.decode(line.strip(), validate=True)
    count += 1
print(f"{count} messages of {topic} are valid")
sys.exit(0 if count else 1)
