#!/usr/bin/env python3
"""Clients of the transcripts of MySQL: `clients.py <scene> <port>`. See record.sh."""
import sys

SHOP = {"host": "127.0.0.1", "user": "shop", "database": "shop"}


def pymysql_connect(port, **more):
    import pymysql

    return pymysql.connect(port=port, **{**SHOP, **more})


def queries(port):
    from pymysql import MySQLError
    from pymysql.constants import CLIENT

    connection = pymysql_connect(port, autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS)
    cursor = connection.cursor()
    cursor.execute("SELECT id, name FROM items WHERE id <= 3")
    cursor.execute("UPDATE items SET name = 'x' WHERE id <= 2")
    cursor.execute("SELECT name FROM items WHERE id < 0")
    for wrong in ["SELECT nothing FROM missing_table", "SELEKT 1"]:
        try:
            cursor.execute(wrong)
        except MySQLError:
            pass
    cursor.execute("INSERT INTO items (name) VALUES ('a'); DELETE FROM items WHERE name = 'a'; SELECT 1; SELECT 2")
    while cursor.nextset():
        pass
    cursor.execute("SELECT 'wörter' AS `ä`")
    connection.ping()
    connection.select_db("other")
    cursor.execute("SELECT 1")
    cursor.execute("USE shop")
    cursor.execute("SELECT 2")
    cursor.callproc("results")
    while cursor.nextset():
        pass
    cursor.execute("SELECT 3")
    connection.close()


def big(port):
    connection = pymysql_connect(port)
    cursor = connection.cursor()
    cursor.execute("SELECT REPEAT('x', 2000) FROM items LIMIT 12")
    cursor.execute("SELECT LENGTH('%s')" % ("y" * 50_000))
    connection.close()


def infile(port):
    import tempfile

    connection = pymysql_connect(port, local_infile=True, autocommit=True)
    cursor = connection.cursor()
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write("".join("%d,name %d\n" % (1000 + number, number) for number in range(20)))
        file.flush()
        cursor.execute("LOAD DATA LOCAL INFILE '%s' INTO TABLE items FIELDS TERMINATED BY ','" % file.name)
    cursor.execute("DELETE FROM items WHERE id >= 1000")
    connection.close()


def refused(port):
    import pymysql

    try:
        pymysql_connect(port, user="ann", password="wrong-one")
    except pymysql.MySQLError:
        pass


def connector(port, **more):
    import mysql.connector

    arguments = {"ssl_disabled": True, "use_pure": True, "port": port, **SHOP, **more}
    return mysql.connector.connect(**arguments)


def prepared(port):
    import mysql.connector

    connection = connector(port, autocommit=True)
    cursor = connection.cursor(prepared=True)
    for number in range(3):
        cursor.execute("SELECT name FROM items WHERE id = %s", (number,))
        cursor.fetchall()
    cursor.execute("UPDATE items SET name = %s WHERE id = 1", ("z",))
    try:
        cursor.execute("SELECT missing FROM items WHERE id = %s", (1,))
    except mysql.connector.Error:
        pass
    cursor.close()
    connection.cmd_ping()
    connection.cmd_statistics()
    connection.cmd_reset_connection()
    connection.cmd_change_user("ann", "secret-one", "other")
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    cursor.fetchall()
    connection.close()


def compressed(port):
    connection = connector(port, compress=True)
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    cursor.fetchall()
    connection.close()


def mysqldb(port):
    import MySQLdb

    connection = MySQLdb.connect(port=port, **SHOP)
    cursor = connection.cursor()
    cursor.execute("SELECT id FROM items WHERE id <= 3")
    cursor.execute("INSERT INTO items (name) VALUES ('b')")
    connection.rollback()
    connection.ping()
    connection.change_user("ann", "secret-one", "other")
    cursor.execute("SELECT DATABASE()")
    connection.close()


def killed(port):
    """A session is killed amid a statement."""
    import pymysql
    import threading
    import time

    connection, other = pymysql_connect(port), pymysql_connect(port)
    cursor = connection.cursor()

    def kill():
        time.sleep(0.3)
        other.cursor().execute("KILL %d" % connection.thread_id())

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        cursor.execute("SELECT SLEEP(20)")
    except pymysql.MySQLError:
        pass
    thread.join()
    other.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]))
