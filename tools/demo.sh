#!/usr/bin/env bash
# Pre-train a ResNet-18 on radial contours, evaluate that file and a random control on the embedded suite.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
transfer=("$root/.venv/bin/python" -m transfer)
checkpoint=work_dirs/rcdb-resnet18.pth
mkdir -p work_dirs
[ -e "$checkpoint" ] || "${transfer[@]}" pretrain rcdb --arch resnet18 -o "$checkpoint" --minutes "${DEMO_MINUTES:-2}"
"${transfer[@]}" eval random:resnet18 mini > /dev/null
"${transfer[@]}" eval "$checkpoint" mini
