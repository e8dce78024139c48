"""Scripts of the course's kind, each a client of one system; prints what is said on the wire."""
import hashlib, hmac, json, os, socket, struct, sys

system, port = sys.argv[1], int(sys.argv[2])


class Wire:
    """A socket that says what it sends and reads."""

    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def send(self, data):
        print("  ▶", show(data))
        self.socket.sendall(data)

    def recv(self, size=1024):
        data = self.socket.recv(size)
        print("  ◀", show(data) if data else "(the end)")
        return data


def show(data):
    shown = repr(data) if len(data) <= 72 else repr(data[:60]) + f"… ({len(data)} bytes)"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return shown
    return shown + ("" if text.isascii() else "  " + text[:40])


def check(right, what):
    if not right:
        sys.exit(f"  {what}")


def counted(data):
    return struct.pack("i", len(data)) + data


def read_counted(wire):
    size = struct.unpack("i", wire.recv(4))[0]
    data = b""
    while len(data) < size:
        data += wire.recv(size - len(data))
    return data


def login():
    wire = Wire()
    wire.send("alex|wrong".encode())
    check(wire.recv().decode() == "用户名或者密码错误", "a wrong password was taken")
    wire.send("alex|dsb".encode())
    check(wire.recv().decode() == "登录成功", "the login was refused")


def execute():
    wire = Wire()
    wire.send("alex|dsb".encode())
    wire.recv()
    for command, output in (("echo sticky", b"sticky\n"), ("echo 粘包", "粘包\n".encode())):
        wire.send(command.encode())
        length = int(wire.recv().decode())
        wire.send(b"ok")
        check(wire.recv(length) == output, "another output was expected")


def counted_exec():
    wire = Wire()
    wire.send(counted(b"echo two"))
    check(read_counted(wire) == b"two\n", "another output was expected")


def transfer():
    wire = Wire()
    body = b"a file of the course\n"
    header = {"filename": "course.txt", "filesize": len(body), "md5": hashlib.md5(body).hexdigest()}
    wire.send(counted(json.dumps(header).encode()))
    wire.send(body)
    check(json.loads(read_counted(wire))["status"] == "ok", "the file was not stored")


def fetch():
    wire = Wire()
    wire.send(b"get course.txt")
    size = int(wire.recv().decode())
    wire.send(b"ok")
    data = b""
    while len(data) < size + 32:
        data += wire.recv()
    body, digest = data[:size], data[size:].decode()
    check(hashlib.md5(body).hexdigest() == digest, "the digest is another")


def legality():
    wire = Wire()
    challenge = wire.recv(32)
    wire.send(hmac.new(b"linhaifeng bang bang bang", challenge, "sha256").digest())
    wire.send(counted(b"echo one of ours"))
    check(read_counted(wire) == b"one of ours\n", "another output was expected")


def files():
    wire = Wire()

    def ask(**request):
        wire.send(counted(json.dumps(request).encode()))
        return json.loads(read_counted(wire))

    check(ask(op="login", username="alex", password="dsb")["status"] == "ok", "no login")
    check(ask(op="list")["files"][0]["filename"] == "course.txt", "another list")
    header = ask(op="get", index=1)
    data = b""
    while len(data) < header["filesize"]:
        data += wire.recv(header["filesize"] - len(data))
    check(hashlib.md5(data).hexdigest() == header["md5"], "the digest is another")


def clock():
    wire = Wire()
    for _ in range(3):
        wire.recv()


def chat():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(10)
    for message in ("hello", "你好"):
        print("  ▶", show(message.encode()))
        udp.sendto(message.encode(), ("127.0.0.1", port))
        print("  ◀", show(udp.recvfrom(1024)[0]))


def talk():
    wire = Wire()
    for line in ("hello\n", "good-bye\n"):
        wire.send(line.encode())
        wire.recv()
    wire.socket.shutdown(socket.SHUT_WR)
    check(wire.recv() == b"", "the other side did not end")


globals()[system]()
