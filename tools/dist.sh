#!/usr/bin/env bash
# tools/dist.sh N CKPT SUITE [options]: the same run in N processes of this machine through torchrun.
#
# Several nodes: start it on each with the same arguments and
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=host0 MASTER_PORT=29500 tools/dist.sh 8 CKPT SUITE
# --work-dir must then be on a file system that all nodes see. images_per_step stays global: N × NNODES must divide it.
set -euo pipefail
if [ $# -lt 3 ] || ! [[ "$1" =~ ^[1-9][0-9]*$ ]]; then
    sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
processes=$1
shift
if [ "${NNODES:-1}" = 1 ]; then
    exec "$root/tools/eval.sh" "$@" --processes "$processes"
fi
"$root/tools/setup.sh"
rendezvous=(--nnodes "$NNODES" --node-rank "${NODE_RANK:?}" --master-addr "${MASTER_ADDR:?}" --master-port "${MASTER_PORT:-29500}")
share=$(($(nproc) / processes))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((share > 1 ? share : 1))}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$root/.venv/bin/python" -m torch.distributed.run "${rendezvous[@]}" --nproc-per-node "$processes" -m transfer eval "$@"
