#!/usr/bin/env python3
"""python3 course_files.py 127.0.0.1 9006: log in; then 1 uploads, 2 shows the files and downloads one, q leaves."""
import hashlib, json, os, socket, struct, sys

def read(conn, size):
    data = b""
    while len(data) < size:  # One recv may give a part of it.
        data += conn.recv(min(size - len(data), 65536)) or sys.exit("the server has left")
    return data

def ask(conn, request, body=b""):
    data = json.dumps(request).encode("utf-8")
    conn.sendall(struct.pack("i", len(data)) + data + body)
    return json.loads(read(conn, struct.unpack("i", read(conn, 4))[0]))

def upload(conn, path):
    with open(path, "rb") as file:
        body = file.read()
    header = {"filename": os.path.basename(path), "filesize": len(body), "md5": hashlib.md5(body).hexdigest()}
    answer = ask(conn, {"op": "put", **header}, body)
    print(answer.get("reason", "stored"))

def download(conn):
    for file in ask(conn, {"op": "list"})["files"]:
        print(file["index"], file["filename"], file["filesize"])
    header = ask(conn, {"op": "get", "index": int(input("number: "))})
    if header["status"] != "ok":
        return print(header["reason"])
    body = read(conn, header["filesize"])
    if hashlib.md5(body).hexdigest() != header["md5"]:
        sys.exit("the file was damaged on the way")
    with open(os.path.basename(header["filename"]), "xb") as file:
        file.write(body)
    print("saved", header["filename"])

with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as conn:
    while (answer := ask(conn, {"op": "login", "username": input("name: "), "password": input("password: ")}))["status"] != "ok":
        print(answer["reason"])
    while (choice := input("1 upload, 2 download, q quit: ")) != "q":
        upload(conn, input("file: ")) if choice == "1" else download(conn)
