#!/usr/bin/env python3
"""Gives and takes rights in Apache Kafka, of USER or else of whoever comes without a name.

usage: acl.py BOOTSTRAP allow|deny|undeny topic|group NAME OPERATION [USER]

allow permits and deny forbids the operation (OPERATIONS); undeny takes the deny back. It speaks the
protocol itself (CreateAcls and DeleteAcls, version 1): the jars of the broker have no tool for it.
"""
import socket
import struct
import sys

RESOURCES = {"topic": 2, "group": 3}
OPERATIONS = {"all": 2, "read": 3, "write": 4, "create": 5, "describe": 8, "describe_configs": 10}
DENY, ALLOW = 2, 3
LITERAL = 3
CREATE_ACLS, DELETE_ACLS = 30, 31


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def ask(address, api, body):
    host, port = address.split(":")
    request = struct.pack(">hhi", api, 1, 7) + text("acl.py") + body
    with socket.create_connection((host, int(port)), timeout=20) as broker:
        broker.sendall(struct.pack(">i", len(request)) + request)
        answer = broker.makefile("rb")
        (length,) = struct.unpack(">i", answer.read(4))
        # Correlation, throttle time, one result, which begins with its error.
        correlation, _, results, error = struct.unpack(">iiih", answer.read(length)[:14])
    assert (correlation, results, error) == (7, 1, 0), f"error {error}, {results} results"


def main():
    address, verb, kind, name, operation, user = (sys.argv[1:] + ["ANONYMOUS"])[:6]
    permission = ALLOW if verb == "allow" else DENY
    # A right and a filter for one look alike.
    right = struct.pack(">ib", 1, RESOURCES[kind]) + text(name) + struct.pack(">b", LITERAL)
    right += text("User:" + user) + text("*")
    right += struct.pack(">bb", OPERATIONS[operation], permission)
    ask(address, DELETE_ACLS if verb == "undeny" else CREATE_ACLS, right)


main()
