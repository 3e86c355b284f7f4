#!/bin/sh
# Starts one of the example apps by the name of its folder; the image's entry point.
set -eu
name="${1:?name one of the examples: hello}"
cd "$(dirname "$0")/$name"
case "$name" in
  hello) exec python3 app.py ;;
  *) echo "no example is called $name" >&2; exit 64 ;;
esac
