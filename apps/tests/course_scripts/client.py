"""The clients of the course's kind: blocking, one recv(1024) a message, int() on it, one recv(length).

Usage: client.py SYSTEM PORT WORDS; prints one line for each thing that was seen.
"""
import hashlib, json, os, socket, struct, sys, time

system, port, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
sys.stdout.reconfigure(line_buffering=True)
conn = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
conn.settimeout(20)
conn.connect(("127.0.0.1", port))


def whole(size):
    """For what is larger than one read: a peer that loops."""
    data = bytearray()
    while len(data) < size:
        piece = conn.recv(size - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def show(data):
    print(len(data), hashlib.md5(data).hexdigest())


def login():
    """Says each word, shows each answer, then waits for the end."""
    for word in words:
        conn.send(word.encode("utf-8"))
        if word == "good|bye":
            break
        print(conn.recv(1024).decode("utf-8"))
    print("end", len(conn.recv(1024)))


def sign_in():
    if words[0].startswith("login="):
        conn.send(words.pop(0)[6:].encode("utf-8"))
        print(conn.recv(1024).decode("utf-8"))


def execute():
    sign_in()
    encoding = words.pop(0)
    for command in words:
        conn.send(command.encode("utf-8"))
        length = int(conn.recv(1024).decode("utf-8"))
        conn.send(b"ok")
        data = conn.recv(length) if length <= 1025 else whole(length)
        if encoding == "md5":
            show(data)
        else:
            print(length, data.decode(encoding).rstrip("\n"))


def pieces():
    """The ack in two pieces with a pause, then glued to the next command."""
    for _ in range(10):
        conn.send(b"echo one")
        length = int(conn.recv(1024))
        conn.send(b"o")
        time.sleep(0.03)
        conn.send(b"k")
        print(conn.recv(length).decode().strip())
        conn.send(b"true")
        print(conn.recv(1024).decode())
        conn.send(b"okecho two")
        length = int(conn.recv(1024))
        conn.send(b"ok")
        print(conn.recv(length).decode().strip())


def wrong():
    """Another ack; shows all that comes."""
    conn.send(b"echo secret")
    conn.recv(1024)
    if words[0] == "vanish":
        return conn.close()
    conn.send(words[0].encode())
    if words[0] == "o":
        conn.shutdown(socket.SHUT_WR)
    print(conn.recv(1024))


def torn():
    """One read of 64 KiB of a long output; the rest is taken for the next length."""
    conn.send(b"head -c 1000000 /dev/zero")
    length = int(conn.recv(1024))
    conn.send(b"ok")
    print(length > len(conn.recv(65536)))
    conn.send(b"echo next")
    try:
        int(conn.recv(1024).decode())
    except ValueError:
        print("ValueError")


def counted():
    sign_in()
    form = words.pop(0)
    for command in words:
        data = command.encode("utf-8")
        conn.send(struct.pack("i", len(data)) + data if form == "both" else data)
        length = struct.unpack("i", conn.recv(4))[0]
        show(conn.recv(length) if length <= 1025 else whole(length))


def upload():
    """Each file behind its header; the answer where there is one."""
    name, size, md5 = words[0].split(",")
    reply = words[1] == "reply"
    for path in words[2:]:
        body = open(path, "rb").read()
        header = {name: os.path.basename(path), size: len(body), md5: hashlib.md5(body).hexdigest()}
        data = json.dumps(header).encode("utf-8")
        conn.send(struct.pack("i", len(data)))
        conn.send(data)
        conn.sendall(body)
        if reply:
            answer = json.loads(whole(struct.unpack("i", conn.recv(4))[0]))
            print(answer["status"], answer == {"status": "ok", **header})
    conn.shutdown(socket.SHUT_WR)
    print("end", len(conn.recv(1024)))


def download():
    header = json.loads(whole(struct.unpack("i", conn.recv(4))[0]))
    body = whole(header["filesize"])
    print(header["filename"], hashlib.md5(body).hexdigest() == header["md5"])
    show(body)


def ack():
    for name in words:
        conn.send(("get " + name).encode("utf-8"))
        size = int(conn.recv(1024).decode("utf-8"))
        conn.send("准备好了".encode("utf-8"))
        data = whole(size + 32)
        print(hashlib.md5(data[:size]).hexdigest() == data[size:].decode())
        show(data[:size])


def clock():
    begin = None
    for _ in range(int(words[0])):
        text = conn.recv(1024).decode("utf-8")
        begin = begin or time.monotonic()
        print(text, round((time.monotonic() - begin) * 1000, 1))


def wait():
    """Connects, says when, and waits for a word on standard input before it logs in and leaves."""
    print("connected")
    sys.stdin.readline()
    conn.send(b"alex|dsb")
    print(conn.recv(1024).decode("utf-8"))


globals()[system]()
conn.close()
