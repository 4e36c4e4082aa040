#!/usr/bin/env bash
# tools/eval.sh CKPT SUITE [options]: the same as `transfer eval`, with the environment created if it is missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/tools/setup.sh"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$root/.venv/bin/python" -m transfer eval "$@"
