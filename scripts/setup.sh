#!/usr/bin/env bash
# Makes .venv with the locked tools; does nothing when it is current.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.venv/.requirements
want=$(cat requirements/dev.txt scripts/setup.sh | sha256sum | cut -d' ' -f1)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "cronix: Python 3.11 or newer is needed as python3; on Debian 12: apt-get install python3" >&2
  exit 1
fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "==> installing Debian's python3-venv"
    apt-get install -y -q python3-venv >/dev/null || { apt-get update -q >/dev/null && apt-get install -y -q python3-venv >/dev/null; }
  else
    echo "cronix: Python's venv module is missing; install it (Debian: apt-get install python3-venv)" >&2
    exit 1
  fi
fi
echo "==> development tools into .venv (locked by hash)"
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
echo "$want" > "$stamp"
