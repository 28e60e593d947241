#!/usr/bin/env python3
"""Clients of the transcripts of Redis: `clients.py <scene> <port>`. See record.sh."""
import socket
import sys
import threading
import time


def client(port, **more):
    import redis

    return redis.Redis(host="127.0.0.1", port=port, **more)


def commands(port):
    import redis

    one = client(port)
    one.set("text", "wörter")
    one.get("text")
    one.get("nothing")
    one.incr("count")
    one.hset("hash", mapping={"a": 1, "b": 2})
    one.hgetall("hash")
    one.zadd("zset", {"x": 1.5})
    one.zrange("zset", 0, -1, withscores=True)
    for wrong in [("HGET", "text", "field"), ("NOSUCH", "secret", "words")]:
        try:
            one.execute_command(*wrong)
        except redis.ResponseError:
            pass
    one.config_get("maxmemory")
    one.eval("return {1, {2, 'x'}}", 0)
    one.blpop("empty", timeout=1)


def pipeline(port):
    one = client(port)
    with one.pipeline(transaction=False) as pipe:
        for number in range(30):
            pipe.set("key:%d" % number, "x" * number)
        pipe.hget("text", "field")
        pipe.execute(raise_on_error=False)
    with one.pipeline(transaction=True) as pipe:
        pipe.incr("count").get("text").hget("text", "field")
        pipe.execute(raise_on_error=False)


def big(port):
    one = client(port)
    one.set("big", "y" * 60_000)
    one.get("big")
    one.delete("big")


def publish(port):
    one, other = client(port), client(port)
    subscriber = one.pubsub()
    subscriber.subscribe("a", "b")
    subscriber.psubscribe("c*")
    for _ in range(3):
        subscriber.get_message(timeout=1)
    other.publish("a", "first")
    other.publish("cc", "second")
    for _ in range(2):
        subscriber.get_message(timeout=1)
    subscriber.ping()
    subscriber.get_message(timeout=1)
    subscriber.unsubscribe()
    for _ in range(2):
        subscriber.get_message(timeout=1)
    subscriber.close()


def auth(port):
    import redis

    try:
        client(port, username="ann", password="secret-one").ping()
    except redis.RedisError:
        pass


def raw(port, steps):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for step in steps:
            connection.sendall(step)
            time.sleep(0.05)
            connection.recv(65536)


def inline(port):
    raw(port, [b"PING\r\n", b"SET inline 1\r\n", b"GET inline\r\n", b"ping\nping\n", b"HGET text x\r\n", b"QUIT\r\n"])


def monitor(port):
    other = client(port)
    thread = threading.Thread(target=lambda: (time.sleep(0.1), other.get("text")))
    thread.start()
    raw(port, [b"*1\r\n$7\r\nMONITOR\r\n", b"\r\n"])
    thread.join()


def resp3(port):
    """By hand: Debian's clients speak RESP2."""

    def command(*words):
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

    steps = [
        command(b"HELLO", b"3"),
        command(b"HGETALL", b"hash"),
        command(b"ZRANGE", b"zset", b"0", b"-1", b"WITHSCORES"),
        command(b"SMEMBERS", b"nothing"),
        command(b"CLIENT", b"TRACKING", b"ON"),
        command(b"GET", b"text"),
        command(b"SET", b"text", b"new"),
        command(b"SUBSCRIBE", b"a", b"b"),
        command(b"GET", b"text"),
        command(b"PUBLISH", b"a", b"me"),
        command(b"UNSUBSCRIBE", b"a", b"b"),
        command(b"DEBUG", b"JMAP"),
        command(b"GET", b"nothing"),
    ]
    raw(port, steps)


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]))
