#!/bin/sh
# Starts one of the example apps by the name of its folder; the image's entry point.
set -eu
name="${1:?say which example: hello fastapi flask django wsgi}"
cd "$(dirname "$0")/$name"
host="${HOST:-0.0.0.0}"
port="${PORT:-8080}"
# No file of gunicorn's own: the root file system is read-only and the user has no home.
gunicorn="python3 -m gunicorn --bind $host:$port --worker-class gthread --threads 8 --worker-tmp-dir /dev/shm --no-control-socket"
case "$name" in
  hello) exec python3 app.py ;;
  fastapi) exec python3 -m uvicorn app:app --host "$host" --port "$port" --no-access-log ;;
  flask) exec $gunicorn app:app ;;
  django | wsgi) exec $gunicorn app:application ;;
  *) echo "no example is called $name" >&2; exit 64 ;;
esac
