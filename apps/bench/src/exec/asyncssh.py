"""asyncssh's client: one connection, and one `true` after the other."""

import asyncio
import json
import sys
import time

import asyncssh


async def main(port, seconds):
    options = {"username": "bench", "known_hosts": None, "config": None, "client_keys": None}
    async with asyncssh.connect("127.0.0.1", port, **options) as connection:
        start = time.monotonic()
        commands = 0
        while commands == 0 or time.monotonic() - start < seconds:
            await connection.run("true", check=True)
            commands += 1
        taken = time.monotonic() - start
    print(json.dumps({"commands": commands, "seconds": taken}))


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
