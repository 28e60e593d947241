"""What the Python services answer, behind http.server and behind gunicorn alike.

/item/ID    one query whose text holds the ID
/two/ID     two unlike queries
/error      a query that fails, answered with 500
/slow?ms=N  an answer that takes N ms
/call?url=U an outgoing HTTP request; its status is passed on
/chunked    a body in chunks
"""

import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import psycopg2

LOCAL = threading.local()


def query(statement):
    if getattr(LOCAL, "connection", None) is None:
        LOCAL.connection = psycopg2.connect(os.environ["DATABASE_URL"])
        LOCAL.connection.autocommit = True
    with LOCAL.connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def answer(target):
    """Status and list of body parts for a request target."""
    url = urllib.parse.urlsplit(target)
    parameters = dict(urllib.parse.parse_qsl(url.query))
    name, _, rest = url.path[1:].partition("/")
    if name == "item" and rest.isdigit():
        rows = query(f"SELECT id, name FROM items WHERE id = {int(rest)}")
        return (200, [json.dumps({"id": rows[0][0], "name": rows[0][1]}).encode()]) if rows else (404, [b"{}"])
    if name == "two" and rest.isdigit():
        count = query(f"SELECT count(*) FROM items WHERE id <= {int(rest)}")
        rows = query(f"UPDATE items SET name = name WHERE id = {int(rest)} RETURNING name")
        return 200, [json.dumps({"count": count[0][0], "name": rows[0][0]}).encode()]
    if name == "error":
        try:
            query("SELECT nothing FROM missing_table")
        except psycopg2.Error as error:
            return 500, [error.pgcode.encode()]
    if name == "slow":
        time.sleep(int(parameters.get("ms", "200")) / 1000)
        return 200, [b"slow"]
    if name == "call":
        return call(parameters["url"])
    if name == "chunked":
        return 200, [b"first ", b"second ", b"third"]
    return 404, [b"not found"]


def call(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            response.read()
            return response.status, [b"called"]
    except urllib.error.HTTPError as error:
        return error.code, [b"called"]
    except OSError as error:
        return 502, [str(error).encode()]
