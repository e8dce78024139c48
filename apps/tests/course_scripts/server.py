"""The servers of the course's kind: one client at a time, blocking, one recv(1024) a message.

Usage: server.py SYSTEM WORDS; prints its port, then one line for each thing that was seen.
"""
import hashlib, json, os, socket, struct, subprocess, sys, time

system, words = sys.argv[1], sys.argv[2:]
sys.stdout.reconfigure(line_buffering=True)
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", 0))
server.listen(5)
print(server.getsockname()[1])


def run(command):
    """Its standard output alone, as these servers do."""
    res = subprocess.Popen(command.decode("utf-8"), shell=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = res.communicate()[0]
    return output.decode("utf-8").encode("gbk") if "gbk" in words else output


def login(conn):
    while True:
        data = conn.recv(1024).decode("utf-8")
        print("got", data)
        if not data or data == "good|bye":
            return False
        if data == "alex|dsb":
            conn.send("登录成功".encode("utf-8"))
            return True
        conn.send("用户名或者密码错误".encode("utf-8"))


def execute(conn):
    if "login" in words and not login(conn):
        return
    while True:
        command = conn.recv(1024)
        if not command:
            break
        print("got", command.decode("utf-8"))
        output = run(command)
        length = str(len(output)).encode("utf-8")
        if "pieces" in words and len(length) > 1:
            conn.send(length[:1])
            time.sleep(float(words[-1]))
            length = length[1:]
        conn.send(length)
        ack = conn.recv(1024)
        if ack == b"ok":
            if "short" in words:
                conn.send(output[:2])
                break
            conn.sendall(output)
        else:
            print("dropped", ack)


def counted(conn):
    while True:
        if "answer" in words:
            command = conn.recv(1024)
        else:
            header = conn.recv(4)
            command = header and conn.recv(struct.unpack("i", header)[0])
        if not command:
            break
        output = run(command)
        conn.send(struct.pack("i", len(output)))
        conn.sendall(output)


def whole(conn, size):
    data = bytearray()
    while len(data) < size:
        piece = conn.recv(min(65536, size - len(data)))
        if not piece:
            raise EOFError
        data += piece
    return data


KEYS = [word[5:].split(",") for word in words if word.startswith("keys=")] or [["filename", "filesize", "md5"]]


def receive(conn, header):
    name, size, md5 = KEYS[0]
    body = whole(conn, header[size])
    assert hashlib.md5(body).hexdigest() == header[md5]
    with open(header[name], "wb") as file:
        file.write(body)
    print("stored", header[name], len(body))


def answer(conn, value, body=b""):
    data = json.dumps(value).encode("utf-8")
    conn.send(struct.pack("i", len(data)))
    conn.send(data)
    conn.sendall(body)


def transfer(conn):
    while True:
        header = conn.recv(4)
        if not header:
            break
        header = json.loads(whole(conn, struct.unpack("i", header)[0]))
        receive(conn, header)
        if "reply" in words:
            answer(conn, {"status": "ok", **header})


def described(path):
    body = open(path, "rb").read()
    return {"filename": path, "filesize": len(body), "md5": hashlib.md5(body).hexdigest()}, body


def download(conn):
    header, body = described(words[0])
    if len(words) > 1:
        header["filename"] = words[1]
    answer(conn, header, body)


def ack(conn):
    while True:
        request = conn.recv(1024).decode("utf-8")
        if not request:
            break
        body = open(request.split(" ", 1)[1], "rb").read()
        conn.send(str(len(body)).encode("utf-8"))
        conn.recv(1024)
        conn.sendall(body)
        conn.send(hashlib.md5(body).hexdigest().encode("utf-8"))


def files(conn):
    while True:
        header = conn.recv(4)
        if not header:
            break
        request = json.loads(whole(conn, struct.unpack("i", header)[0]))
        names = sorted(name for name in os.listdir(".") if not name.startswith("."))
        if request["op"] == "login":
            right = (request["username"], request["password"]) == ("alex", "dsb")
            answer(conn, {"status": "ok"} if right else {"status": "error", "reason": "用户名或者密码错误"})
        elif request["op"] == "list":
            listed = [{"index": i, "filename": n, "filesize": os.path.getsize(n)} for i, n in enumerate(names, 1)]
            answer(conn, {"status": "ok", "files": listed})
        elif request["op"] == "put":
            receive(conn, request)
            answer(conn, {"status": "ok", **{key: request[key] for key in ("filename", "filesize", "md5")}})
        elif request.get("filename", names[request.get("index", 1) - 1]) in names:
            header, body = described(request.get("filename") or names[request["index"] - 1])
            answer(conn, {"status": "ok", **header}, body)
        else:
            answer(conn, {"status": "error", "reason": "no such file"})


def clock(conn):
    while True:
        conn.send(time.strftime("%Y/%m/%d").encode("utf-8"))
        time.sleep(0.2)


while True:
    conn, _ = server.accept()
    conn.settimeout(20)
    try:
        globals()[system](conn)
    except OSError as error:
        print("lost", type(error).__name__)
    conn.close()
