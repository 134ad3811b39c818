#!/bin/sh
# Install what a lock pins into a new environment:  sh docker/install.sh LOCK ENVIRONMENT [INDEX]
# Everything is held against the lock's hashes. With an INDEX, torch and torchvision are that index's builds of the locked
# versions: their files are others, so no hash of ours is theirs, and who names the index trusts it and its TLS for these.
# What only PyPI's torch needs (CUDA, triton) is left out then; a build that needs more brings it from the same index.
set -eu
lock=$1 environment=$2 index=${3:-}
python3 -m venv --without-pip "$environment"
install() { uv pip install --quiet --compile-bytecode --python "$environment/bin/python" "$@"; }
if [ -z "$index" ]; then
    install --no-deps --require-hashes --requirement "$lock"
else
    rest=$(mktemp)
    awk '/^[^ ]/ { kept = !/^(torch|torchvision|triton|(cuda|nvidia)-[a-z0-9-]+)==/ } kept' "$lock" > "$rest"
    install --no-deps --require-hashes --requirement "$rest"
    install --default-index "$index" --constraint "$rest" $(sed -nE 's/^(torch|torchvision)==([^ ]+).*/\1==\2/p' "$lock")
    rm "$rest"
fi
