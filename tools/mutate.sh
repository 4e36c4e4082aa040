#!/usr/bin/env bash
# Mutation tests of one package; see docs/mutants.md. mutmut and coverage are installed beside .venv, not into it.
set -euo pipefail
cd "$(dirname "$0")/.."
place=${MUTMUT:-.mutmut}
[ -d "$place/mutmut" ] || .venv/uv/bin/uv pip install -q --python .venv/bin/python --target "$place" --no-deps \
    mutmut==3.8.1 libcst==1.9.0 coverage==7.17.5 pyyaml==6.0.4
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$PWD:$place" exec .venv/bin/python -m tools.mutants "$@"
