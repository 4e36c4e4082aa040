#!/usr/bin/env bash
# Create .venv with the locked packages and this checkout; does nothing when it is up to date.
# PYTHON=python3.12 tools/setup.sh chooses the interpreter (3.11 or newer). Needs pip, nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

UV_VERSION=0.13.8
stamp=".venv/.ready-$(cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)"
checkout=$(pwd -P)
[ "$(cat "$stamp" 2>/dev/null)" = "$checkout" ] && exit 0

PYTHON=$(tools/python.sh)
echo "setup: installing the locked packages into .venv ($("$PYTHON" --version))" >&2
mkdir -p .venv  # it may be a link to a shared place that does not exist yet
if [ ! -x .venv/uv/bin/uv ]; then
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .venv/uv "uv==$UV_VERSION"
fi
uv=.venv/uv/bin/uv
[ -x .venv/bin/python ] || "$uv" venv --quiet --allow-existing --python "$PYTHON" .venv
rm -f .venv/.ready-*
"$uv" pip install --quiet --compile-bytecode --python .venv/bin/python --no-deps --requirements requirements.lock
"$uv" pip install --quiet --python .venv/bin/python --no-deps --editable .
printf '%s' "$checkout" > "$stamp"
