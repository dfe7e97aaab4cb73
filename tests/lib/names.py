#!/usr/bin/env python3
"""A name server for tests: silent, or slow, or as it should be.

usage: names.py ADDRESS NAME PACE

Answers on ADDRESS, port 53, that NAME is 127.0.0.1, and that other names are not known. PACE is a
file: it holds the seconds that each answer takes; while it is not there, no question is answered.
"""
import socket
import struct
import sys
import threading
import time

ADDRESS, NAME, PACE = sys.argv[1:]


def pace():
    try:
        with open(PACE, encoding="utf-8") as file:
            return float(file.read())
    except OSError:
        return None


def answer(question):
    """One A record for what is asked, or the word that there is none."""
    end = question.index(b"\0", 12) + 5
    labels = b"".join(bytes([len(part)]) + part.encode() for part in NAME.split("."))
    is_known = question[12:].lower().startswith(labels + b"\0")
    has_address = is_known and question[end - 4 : end - 2] == b"\0\1"
    flags = 0x8180 if is_known else 0x8183
    head = question[:2] + struct.pack(">5H", flags, 1, int(has_address), 0, 0)
    record = struct.pack(">3HIH4B", 0xC00C, 1, 1, 0, 4, 127, 0, 0, 1) if has_address else b""
    return head + question[12:end] + record


def serve(sock, question, asker):
    seconds = pace()
    if seconds is not None:
        time.sleep(seconds)
        sock.sendto(answer(question), asker)


def main():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ADDRESS, 53))
    print("ready", flush=True)
    while True:
        question, asker = sock.recvfrom(4096)
        threading.Thread(target=serve, args=(sock, question, asker), daemon=True).start()


main()
