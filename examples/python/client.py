#!/usr/bin/env python3
"""python3 examples/python/client.py --user admin exec -- uname -a

Logs in to framed over struct-header, runs a command and moves files, with the standard library alone.
"""

import argparse
import getpass
import hashlib
import json
import os
import socket
import struct
import sys

CHUNK = 64 * 1024  # Any size below the server's `max_frame` would do.


class Refused(Exception):
    """The server said something other than `ok`."""


class Client:
    """A connection to a server: frames are a length of four bytes, big-endian, and that many bytes."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port))

    def send(self, frame):
        self.socket.sendall(struct.pack("!I", len(frame)) + frame)

    def receive(self):
        (size,) = struct.unpack("!I", self.read(4))
        return self.read(size)

    def read(self, size):
        """TCP keeps no boundaries: one read may give a part of a frame, so read until it is whole."""
        data = bytearray()
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the server closed the connection in the middle of an answer")
            data += piece
        return bytes(data)

    def call(self, verb, chunks=None, **args):
        """Sends a request, with a body if there are `chunks`; returns the details of the answer."""
        head = {"verb": verb, "args": args, "body": chunks is not None}
        self.send(json.dumps(head).encode())
        if chunks is not None:
            digest = hashlib.sha256()
            for chunk in chunks:
                digest.update(chunk)
                self.send(b"d" + chunk)
            self.send(b"." + json.dumps({"sha256": digest.hexdigest()}).encode())
        answer = json.loads(self.receive())
        if answer["status"] != "ok":
            raise Refused("{status}: {message}".format(**{"message": "", **answer}))
        return answer.get("details", {})

    def body(self):
        """The parts of an answer's body, each with its kind; the end comes last, as a dictionary."""
        while True:
            frame = self.receive()
            kind, rest = frame[:1], frame[1:]
            if kind == b"!":
                raise Refused(json.loads(rest).get("message", "the server gave the body up"))
            yield kind, json.loads(rest or b"{}") if kind == b"." else rest
            if kind == b".":
                return

    def login(self, name, password):
        return self.call("login", name=name, password=password)

    def exec(self, argv):
        """Runs a program and passes its output on; returns how it ended."""
        self.call("exec", argv=argv)
        streams = {b"o": sys.stdout.buffer, b"e": sys.stderr.buffer}
        for kind, part in self.body():
            if kind in streams:
                streams[kind].write(part)
        sys.stdout.flush()
        return part

    def put(self, path, name):
        """Stores a file; it is there, whole, once this returns."""
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            chunks = iter(lambda: file.read(CHUNK), b"")
            return self.call("put", chunks, name=name, size=size, sha256=True)

    def get(self, name, path):
        """Fetches a file; it gets its name here only when every byte has come."""
        size = self.call("get", name=name, sha256=True)["size"]
        digest, part_path = hashlib.sha256(), path + ".part"
        with open(part_path, "wb") as file:
            for kind, part in self.body():
                if kind == b"d":
                    digest.update(part)
                    size -= file.write(part)
        if size != 0 or part["sha256"] != digest.hexdigest():
            raise ConnectionError("what came is not what the server sent")
        os.replace(part_path, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    parser.add_argument("--server", default="127.0.0.1:8002", metavar="HOST:PORT")
    parser.add_argument("--user", default="admin", help="the password is in FRAME_PASSWORD, or asked for")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    verbs.required = True
    verbs.add_parser("exec", help="run a program").add_argument("argv", nargs="+")
    verbs.add_parser("put", help="store a file").add_argument("path")
    verbs.add_parser("get", help="fetch a file to the current folder").add_argument("name")
    options = parser.parse_args()

    host, _, port = options.server.rpartition(":")
    if not port.isdigit():
        parser.error("--server wants HOST:PORT")
    password = os.environ.get("FRAME_PASSWORD") or getpass.getpass("Password: ")
    try:
        client = Client(host, int(port))
        client.login(options.user, password)
        if options.verb == "exec":
            end = client.exec(options.argv)
            if end["outcome"] != "exit":
                sys.exit("the program ended with {}".format(end["outcome"]))
            sys.exit(end["code"])
        elif options.verb == "put":
            stored = client.put(options.path, os.path.basename(options.path))
            print("stored {size} bytes as {name}".format(**stored))
        elif "/" in options.name:
            sys.exit("a name has no `/`")
        else:
            client.get(options.name, options.name)
            print("fetched " + options.name)
    except (Refused, OSError) as error:
        sys.exit("client.py: {}".format(error))


if __name__ == "__main__":
    main()
