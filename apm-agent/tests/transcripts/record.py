#!/usr/bin/env python3
"""Records what passes between a client and a server as a transcript (see README.md).

A proxy on loopback in front of the server: each read of the proxy becomes one chunk. Examples:

  record.py 8000 http1/python.txt -- curl -s http://127.0.0.1:{port}/
  record.py 5432 postgresql/psql.txt -- psql -h 127.0.0.1 -p {port} -c 'select 1'
"""
import argparse
import selectors
import socket
import subprocess
import sys
import threading
import time


def escape(data):
    out = []
    for byte in data:
        char = chr(byte)
        if char == "\\":
            out.append("\\\\")
        elif char == "\r":
            out.append("\\r")
        elif char == "\n":
            out.append("\\n")
        elif char == "\t":
            out.append("\\t")
        elif 0x20 <= byte < 0x7F:
            out.append(char)
        else:
            out.append("\\x%02x" % byte)
    text = "".join(out)
    if text.endswith(" "):
        text = text[:-1] + "\\x20"
    return text


def pieces(data):
    """Cuts a chunk into lines of text: after each line feed, and after 96 bytes of a line without one."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start, start + 96)
        end = end + 1 if end >= 0 else min(start + 96, len(data))
        piece = data[start:end]
        # A long run of one byte is filler: `* count byte`.
        run = len(data) - start - len(data[start:].lstrip(data[start : start + 1]))
        if run >= 64:
            yield "*", "%d %s" % (run, escape(data[start : start + 1]))
            start += run
        else:
            yield "|", escape(piece)
            start = end


class Recording:
    def __init__(self, path, notes):
        self.start = time.monotonic_ns()
        self.lines = ["# " + note for note in notes]
        self.path = path

    def micros(self):
        return (time.monotonic_ns() - self.start) // 1000

    def chunk(self, sign, data):
        head = "%s %d" % (sign, self.micros())
        for index, (kind, text) in enumerate(pieces(data)):
            if index == 0 and kind == "|":
                self.lines.append(head + " " + text)
            else:
                if index == 0:
                    self.lines.append(head)
                self.lines.append(kind + " " + text)

    def close(self, sign):
        self.lines.append("close %s %d" % (sign, self.micros()))

    def write(self):
        with open(self.path, "w") as file:
            file.write("\n".join(self.lines) + "\n")


def relay(client, server, recording):
    """Copies both ways until both ends have closed; a half-close is passed on."""
    peer = {client: (server, ">"), server: (client, "<")}
    selector = selectors.DefaultSelector()
    for end in peer:
        selector.register(end, selectors.EVENT_READ)
    while selector.get_map():
        for key, _ in selector.select():
            source = key.fileobj
            target, sign = peer[source]
            try:
                data = source.recv(65536)
            except ConnectionError:
                data = b""
            if data:
                recording.chunk(sign, data)
                try:
                    target.sendall(data)
                except ConnectionError:
                    pass
                continue
            recording.close(sign)
            selector.unregister(source)
            try:
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass
    client.close()
    server.close()
    recording.write()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int, help="port of the server on 127.0.0.1")
    parser.add_argument("out", help="transcript to write; further connections go to <out>-2.txt, …")
    parser.add_argument("--listen", type=int, default=0, help="port of the proxy (default: any free one)")
    parser.add_argument("--note", action="append", default=[], help="comment at the top")
    parser.add_argument("client", nargs="+", help="command to run; {port} is the proxy's port")
    args = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", args.listen))
    port = str(listener.getsockname()[1])
    threads = []

    def accept():
        count = 0
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            count += 1
            path = args.out if count == 1 else args.out.removesuffix(".txt") + "-%d.txt" % count
            server = socket.create_connection(("127.0.0.1", args.port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A program's folder is a temporary one: its name is enough.
            words = [word.rsplit("/", 1)[-1] if word.startswith("/") else word for word in args.client]
            notes = args.note or ["recorded with: " + " ".join(words)]
            thread = threading.Thread(target=relay, args=(client, server, Recording(path, notes)))
            thread.start()
            threads.append(thread)

    threading.Thread(target=accept, daemon=True).start()
    code = subprocess.run([word.replace("{port}", port) for word in args.client]).returncode
    if not threads:
        sys.exit("the client opened no connection to the proxy: nothing was recorded")
    for thread in threads:
        thread.join(30)
    sys.exit(code)


if __name__ == "__main__":
    main()
