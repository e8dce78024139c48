#!/usr/bin/env python3
"""Joins a chat directory as docs/chat.md tells, says one message, and prints what comes.

    python3 examples/python/chat.py 127.0.0.1:8090 carol bob 'hello from Python'

Standard library only. It ends when a message has come, or after ten seconds.
"""

import json
import secrets
import socket
import struct
import sys
import time


def main(server, name, peer, text):
    host, port = server.rsplit(":", 1)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((host, int(port)))
    sock.settimeout(1.5)
    count = secrets.randbelow(1 << 31)

    def ask(op, **keys):
        """One request, repeated until its own answer comes."""
        nonlocal count
        count += 1
        body = json.dumps({"op": op, "id": count, **keys}, ensure_ascii=False).encode()
        for _ in range(8):
            sock.send(struct.pack("!2sH", b"FW", len(body)) + body)
            try:
                datagram = sock.recv(2048)
            except (socket.timeout, ConnectionRefusedError):
                continue
            answer = json.loads(datagram[4:])
            if answer["id"] == count:
                return answer
        sys.exit("the directory does not answer")

    cookie = ask("hello", pad="x" * 128)["cookie"]
    joined = ask("join", name=name, token=secrets.token_hex(16), cookie=cookie, fresh=True)
    if joined["is"] != "joined":
        sys.exit(f"refused: {joined}")
    session, got, pieces = joined["session"], joined["got"], ""
    ask("say", session=session, seq=joined["next"], to=peer, text=text)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for item in ask("poll", session=session, got=got)["mail"]:
            if item["n"] != got + 1:
                continue
            got += 1
            if "text" in item:
                pieces += item["text"]
                if not item.get("more"):
                    print(f"{item['from']}: {pieces!r}", flush=True)
                    ask("poll", session=session, got=got)
                    ask("leave", session=session)
                    return
            else:
                print("shown" if "shown" in item else f"failed: {item['why']}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) == 5 else sys.exit(__doc__)
