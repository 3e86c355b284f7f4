#!/usr/bin/env bash
# Downloads the wheels that images/cronix-<name> install, by hash, for the image's Python; nothing when current.
set -euo pipefail
cd "$(dirname "$0")/.."
for name in "$@"; do
  list=requirements/$name.txt
  folder=build/wheels/$name
  want=$(cat "$list" "$0" | sha256sum | cut -d' ' -f1)
  [ -f "build/wheels/$name.stamp" ] && [ "$(cat "build/wheels/$name.stamp")" = "$want" ] && continue
  scripts/setup.sh
  echo "==> wheels for the image: $name"
  rm -rf "$folder" "build/wheels/$name.stamp" && mkdir -p "$folder"
  machine=$(uname -m)
  .venv/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    --implementation cp --python-version 3.13 --abi cp313 --abi abi3 --abi none \
    --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" --platform any \
    --dest "$folder" -r "$list"
  echo "$want" > "build/wheels/$name.stamp"
done
