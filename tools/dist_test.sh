#!/usr/bin/env bash
# Test on several GPUs of one or more machines:
# dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# For several machines set NNODES, NODE_RANK, MASTER_ADDR and PORT. Without a GPU it starts as
# many CPU processes.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,5s/^# //p' "$0"
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
GPUS=$3

python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
