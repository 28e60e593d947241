#!/bin/sh
# Records these transcripts anew: `record.sh <port>` of a MariaDB that `setup.sql` has prepared. Needs python3-pymysql,
# python3-mysqldb, libmariadb-dev and gcc of Debian, mysql-connector-python of PyPI (in `$PYTHON`'s reach) and Go.
set -e
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
record() {
    python3 ../record.py "$1" "$2.txt" --note "$3" -- "$PYTHON" clients.py "$4" '{port}'
}
record "$1" pymysql_queries "PyMySQL 1.0: queries, several statements and results, errors, databases" queries
record "$1" pymysql_big "PyMySQL 1.0: rows in many packets, a long statement" big
record "$1" pymysql_infile "PyMySQL 1.0: LOAD DATA LOCAL INFILE" infile
record "$1" pymysql_refused "PyMySQL 1.0: access denied" refused
record "$1" pymysql_killed "PyMySQL 1.0: the session is killed amid a statement" killed
mv pymysql_killed-2.txt "$work"
record "$1" connector_prepared "mysql-connector-python 9.1: prepared statements, statistics, reset, change of user" prepared
record "$1" connector_compressed "mysql-connector-python 9.1: compression is asked for" compressed
record "$1" mysqldb "mysqlclient 1.4 (libmariadb): ping, change of user" mysqldb
gcc -o "$work/statements" statements.c -I/usr/include/mariadb -lmariadb
python3 ../record.py "$1" libmariadb_statements.txt --note "libmariadb 3.3: cursor, long data" -- "$work/statements" '{port}'
python3 ../record.py "$1" mariadb_shell.txt --note "mariadb 10.11: the shell" -- mariadb --no-defaults -h 127.0.0.1 -P '{port}' -u shop \
    -e 'SELECT 1; USE shop; SHOW TABLES; SELECT COUNT(*) FROM items'
rm -r "$work"
