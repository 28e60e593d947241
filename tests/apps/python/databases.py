"""A service whose routes ask databases, over connections that its threads share.

/mysql/item/ID    one query whose text holds the ID
/mysql/more/ID    two queries in one text, and rows that change
/mysql/error      a query that fails, answered with 500
/redis/item/ID    one command
/redis/pipe/ID    three commands at once
/redis/error      a command that fails, answered with 500
"""

import contextlib
import http.server
import os
import queue


class Pool:
    def __init__(self, connect):
        self.connect = connect
        self.idle = queue.LifoQueue()

    @contextlib.contextmanager
    def connection(self):
        try:
            connection = self.idle.get_nowait()
        except queue.Empty:
            connection = self.connect()
        try:
            yield connection
        finally:
            self.idle.put(connection)


def mysql():
    import pymysql
    from pymysql.constants import CLIENT

    port = int(os.environ["MYSQL_PORT"])
    return pymysql.connect(
        host="127.0.0.1", port=port, user="shop", database="shop", autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS
    )


MYSQL = Pool(mysql)


def ask_mysql(what, number):
    import pymysql

    with MYSQL.connection() as connection, connection.cursor() as cursor:
        if what == "item":
            cursor.execute(f"SELECT id, name FROM items WHERE id = {number}")
            return 200, cursor.fetchone()[1]
        if what == "more":
            cursor.execute(f"UPDATE items SET name = CONCAT(name, '!') WHERE id <= {number}; SELECT {number}")
            return 200, "changed"
        try:
            cursor.execute("SELECT nothing FROM missing_table")
        except pymysql.MySQLError as error:
            return 500, str(error)
    return 404, "not found"


def redis_client():
    import redis

    return redis.Redis(host="127.0.0.1", port=int(os.environ["REDIS_PORT"]))


REDIS = Pool(redis_client)


def ask_redis(what, number):
    import redis

    with REDIS.connection() as connection:
        if what == "item":
            return 200, str(connection.get(f"item:{number}"))
        if what == "pipe":
            with connection.pipeline(transaction=False) as pipe:
                return 200, str(pipe.set("a", number).get("a").strlen("a").execute())
        try:
            connection.execute_command("NOSUCH", "hidden-word")
        except redis.RedisError as error:
            return 500, str(error)
    return 404, "not found"


DATABASES = {"mysql": ask_mysql, "redis": ask_redis}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the answer leaves in one write

    def do_GET(self):
        _, database, what, *rest = self.path.split("/")
        status, text = DATABASES[database](what, int(rest[0]) if rest else 0)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
