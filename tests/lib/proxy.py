#!/usr/bin/env python3
"""Stands before Redis and loses replies: the server has done it, the client never hears of it.

usage: proxy.py LISTEN SERVER FAULTS LOST SCRIPT:EVERY…

LISTEN and SERVER are unix sockets. While the file FAULTS exists, every EVERYth call of SCRIPT (a
path of a Lua file, or the name of a command) is carried out and its connection cut in place of the
reply, every second time in the middle of it; its name is added to the file LOST. While the file
FAULTS.drip exists, replies come a byte at a time. While the file FAULTS.refuse exists, no command
with keys is carried out: all are answered with the error that the file holds; with FAULTS.once it
is the next script alone, and the file is removed. Without these files everything passes.
"""
import collections
import hashlib
import itertools
import os
import select
import socket
import sys
import threading
import time

LISTEN, SERVER, FAULTS, LOST = sys.argv[1:5]
calls = collections.Counter()
cuts = itertools.cycle((False, True))
lock = threading.Lock()


def script(argument):
    path, every = argument.rsplit(":", 1)
    if not path.endswith(".lua"):
        return path.encode(), (path, int(every))
    with open(path, "rb") as file:
        digest = hashlib.sha1(file.read()).hexdigest()
    return digest.encode(), (os.path.basename(path), int(every))


WITHOUT_KEYS = (b"AUTH", b"SELECT", b"INFO", b"SCRIPT", b"PING")
SCRIPTS = dict(script(argument) for argument in sys.argv[5:])


def next_command(data):
    """The first command in data and its length; (None, 0) while it is not complete."""
    at, parts, count = 0, [], 1
    while len(parts) <= count:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None, 0
        number, at = int(data[at + 1 : end]), end + 2
        if not parts:
            count = number
            parts.append(b"")
            continue
        if len(data) < at + number + 2:
            return None, 0
        parts.append(bytes(data[at : at + number]))
        at += number + 2
    return parts[1:], at


def is_lost(command):
    """Counts a call; whether the reply to this one is to be lost."""
    called = command[1] if command[0] == b"EVALSHA" else command[0]
    if called not in SCRIPTS or not os.path.exists(FAULTS):
        return False
    name, every = SCRIPTS[called]
    with lock:
        calls[name] += 1
        if calls[name] % every:
            return False
        with open(LOST, "a", encoding="utf-8") as file:
            print(name, file=file)
    return True


def refusal(command):
    """The error that this command is to be answered with, None when it is carried out."""
    if command[0] in WITHOUT_KEYS:
        return None
    try:
        if command[0] == b"EVALSHA" and os.path.exists(f"{FAULTS}.once"):
            os.rename(f"{FAULTS}.once", f"{FAULTS}.taken")
            return read(f"{FAULTS}.taken")
        return read(f"{FAULTS}.refuse")
    except FileNotFoundError:
        return None


def read(path):
    with open(path, "rb") as file:
        return file.read().strip()


def answer_with(error):
    """A command that does nothing else, so that the answer comes when it is its turn."""
    parts = [b"EVAL", b"return redis.error_reply(ARGV[1])", b"0", error]
    lines = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), lines)


def pass_commands(data, server):
    """Passes the whole commands in data on; false when the reply to one of them is to be lost."""
    while True:
        command, length = next_command(data)
        if command is None:
            return True
        error = refusal(command)
        server.sendall(answer_with(error) if error else data[:length])
        del data[:length]
        if is_lost(command):
            return False


def pass_reply(reply, client):
    while reply and os.path.exists(f"{FAULTS}.drip"):
        client.sendall(reply[:1])
        reply = reply[1:]
        time.sleep(0.2)
    client.sendall(reply)


def serve(client):
    server = socket.socket(socket.AF_UNIX)
    data = bytearray()
    with client, server:
        server.connect(SERVER)
        while True:
            ready, _, _ = select.select([client, server], [], [])
            if server in ready:
                got = server.recv(1 << 16)
                if not got:
                    return
                pass_reply(got, client)
            if client in ready:
                got = client.recv(1 << 16)
                if not got:
                    return
                data += got
                if not pass_commands(data, server):
                    break
        # The server does what it was told before it sees the end, and closes.
        server.shutdown(socket.SHUT_WR)
        reply = bytearray()
        while got := server.recv(1 << 16):
            reply += got
        with lock:
            is_cut = next(cuts)
        if is_cut:
            client.sendall(reply[: len(reply) // 2])


def guarded(client):
    try:
        serve(client)
    except OSError:
        pass  # Somebody went away: so do we.


def main():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(LISTEN)
    listener.listen(64)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=guarded, args=(client,), daemon=True).start()


main()
