"""asyncssh's server, which runs `true` for whoever asks, and nothing else."""

import asyncio

import asyncssh


class Anybody(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def run(process):
    if process.command != "true":
        process.exit(127)
        return
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec("true", stdin=null, stdout=pipe, stderr=pipe)
    stdout, stderr = await child.communicate()
    process.stdout.write(stdout.decode())
    process.stderr.write(stderr.decode())
    process.exit(child.returncode)


async def main():
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Anybody,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        process_factory=run,
    )
    print("LISTENING", server.get_port(), flush=True)
    await server.wait_closed()


asyncio.run(main())
