#!/usr/bin/env bash
# Builds images and brings them into the cluster; their references go to build/images.json for whoever deploys them.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
PYTHONPATH=cluster python3 -m cronix_cluster build --format=json "$@" > build/images.json.new
mv build/images.json.new build/images.json
