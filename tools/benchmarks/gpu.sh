#!/usr/bin/env bash
# Tests and figures on a machine with a GPU, without network, within 10 minutes:
#     bash tools/benchmarks/gpu.sh [OUT]
# Logs, tables and JSON files go to OUT (default: work_dirs/gpu). Packages that the machine lacks are
# taken from wheels in .whl, where there is such a folder.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:-work_dirs/gpu}
mkdir -p "$out"
if [ -d .whl ]; then
    python3 -m pip install -q --no-index --no-deps --no-compile --target /tmp/mmcroc-site .whl/*.whl
    export PYTHONPATH=/tmp/mmcroc-site:$PWD
fi
export PYTHONUNBUFFERED=1 PYTHONWARNINGS=ignore
status=0

part() {  # part SECONDS NAME COMMAND...
    local seconds=$1 name=$2 began=$SECONDS
    shift 2
    echo "== $name"
    timeout "$seconds" "$@" > "$out/$name.log" 2>&1 || status=1
    grep -v -i warn "$out/$name.log" | tail -25
    echo "== $name: $((SECONDS - began)) s"
}

step='python3 tools/benchmarks/training_step.py'
# Compiling takes the processor, not the GPU: beside the tests, for the figures to find it done.
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-/tmp/mmcroc-inductor}
timeout 150 $step configs/croc_vit-s_coco.py --batch-sizes 128 --compiled 128 --iters 1 \
    > "$out/compiling.log" 2>&1 &
part 110 tests python3 -m pytest -m gpu -n 6 -p no:cacheprovider --timeout 120 \
    $(grep -rlE 'mark\.gpu|ON_DEVICES' tests --include='test_*.py')
wait
part 120 croc_step $step configs/croc_vit-s_coco.py --compiled 128 --json "$out/croc_step.json"
part 60 hsg_step $step configs/hsg_r50_coco_stage2.py --batch-sizes 6 16 --size 448 \
    --json "$out/hsg_step.json"
part 60 hsg_channels_last $step configs/hsg_r50_coco_stage2.py --batch-sizes 6 16 --size 448 \
    --cfg-options model.channels_last=True --json "$out/hsg_channels_last.json"
part 40 hsg_parts python3 tools/benchmarks/hsg_step.py --json "$out/hsg_parts.json"
part 40 clustering python3 tools/benchmarks/online_clustering.py --batch 128 \
    --json "$out/clustering.json"
part 60 kmeans python3 tools/benchmarks/kmeans.py --libraries mmcroc --device cuda --num-restarts 1 \
    --json "$out/kmeans.json"
part 40 data python3 tools/benchmarks/data_pipeline.py --rounds 4 --json "$out/data.json"
part 90 search python3 tools/benchmarks/dense_search.py --libraries mmcroc --device cuda \
    --json "$out/search.json"
exit $status
