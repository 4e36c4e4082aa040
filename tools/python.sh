#!/usr/bin/env bash
# Print the interpreter that the environment is made with: $PYTHON, or the first that is 3.11 or newer and has pip.
set -euo pipefail
if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" || { echo "setup: PYTHON=$PYTHON is not a command." >&2; exit 1; }
    exit 0
fi
for name in python3.13 python3.12 python3.11 python3; do
    candidate=$(command -v "$name") || continue
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || continue
    "$candidate" -m pip --version > /dev/null 2>&1 || continue
    echo "$candidate"
    exit 0
done
echo "setup: Python 3.11 or newer with pip is needed; found $(python3 --version 2> /dev/null || echo none)." \
    "Install it (with its pip), or say PYTHON=/path/to/python3.12." >&2
exit 1
