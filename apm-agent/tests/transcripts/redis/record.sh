#!/bin/sh
# Records these transcripts anew: `record.sh <port>` of an empty Redis. Needs Debian's python3-redis and redis-tools.
set -e
cd "$(dirname "$0")"
PYTHON=${PYTHON:-/usr/bin/python3}
record() {
    python3 ../record.py "$1" "$2.txt" --note "$3" -- "$PYTHON" clients.py "$4" '{port}'
}
record "$1" redis_py_commands "redis-py 4.3: commands, errors, a script, a wait" commands
record "$1" redis_py_pipeline "redis-py 4.3: a pipeline, a transaction" pipeline
record "$1" redis_py_big "redis-py 4.3: a long value" big
record "$1" redis_py_publish "redis-py 4.3: subscriptions, messages" publish
rm -f redis_py_publish-2.txt
record "$1" redis_py_refused "redis-py 4.3: AUTH is refused" auth
record "$1" inline "inline commands" inline
record "$1" monitor "MONITOR" monitor
ls monitor-2.txt > /dev/null 2>&1 && rm monitor-2.txt
record "$1" resp3 "RESP3: maps, sets, pushes, invalidation" resp3
python3 ../record.py "$1" redis_cli.txt --note "redis-cli 7.0" -- redis-cli -p '{port}' -r 3 incr cli
