#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, in six minutes and without a network: the tests marked `cuda`, and the ratios of
# docs/evidence/results.md on the GPU. Writes device_check.json, which describes the device, and logs:
#   bash scripts/device_check.sh [FOLDER]          (device_check/ by default)
# PYTHON (python3) is an interpreter that has PyTorch with CUDA, nnU-Net and pytest; this package need not be installed.
# LIMIT_S (345) is when everything ends; what was not reached is named in the JSON. Without a GPU it says so and exits 0.
# DEVICE=cpu tries the check itself, with small sizes.
set -uo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-python3}" limit="${LIMIT_S:-345}" device="${DEVICE:-cuda}"
case "$device" in cuda) tests=(-m cuda) small=() ;; cpu) tests=(-k "cpu and not cuda") small=(--tiny) ;;
*) echo "device check: there is no DEVICE=$device: cuda or cpu" >&2; exit 1 ;; esac
mkdir -p -- "${1:-device_check}" || exit 1
out="$(cd -- "${1:-device_check}" && pwd)"
cd -- "$root" || exit 1
left() { echo $((limit - SECONDS)); }

"$python" - "$device" <<'PY'
import importlib.util, sys

needed = ["torch", "pytest", "nnunetv2", "batchgenerators", "batchgeneratorsv2", "dynamic_network_architectures",
          "acvl_utils", "SimpleITK", "nibabel", "blosc2", "edt", "cc3d", "einops", "jinja2", "skimage", "sklearn", "pandas",
          "matplotlib", "tqdm"]
missing = [name for name in needed if importlib.util.find_spec(name) is None]
if "torch" not in missing:
    import torch

    if sys.argv[1] == "cuda" and not torch.cuda.is_available():
        print("device check skipped: there is no CUDA device on this machine")
        sys.exit(3)
if missing:
    sys.exit(f"device check: {sys.executable} lacks {', '.join(missing)}: install them, or name another one with PYTHON=…")
PY
case $? in 0) ;; 3) exit 0 ;; *) exit 1 ;; esac

export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 MPLBACKEND=Agg nnUNet_n_proc_DA=2 nnUNet_def_n_proc=2
export nnUNet_extTrainer="$root/acnn_nnunet/nnunet/ext_trainers"
workspace="$(mktemp -d)"
trap 'rm -rf -- "$workspace"' EXIT

# While the tests run, the CPU makes the phantoms on which steps are timed afterwards.
"$python" -m scripts.benchmarks.device "${small[@]}" --prepare "$workspace/phantoms" >"$out/prepare.log" 2>&1 &
preparing=$!

# Files that have a test of the tier: the whole suite would take as long to collect.
mapfile -t files < <(grep -rlE 'mark\.cuda|\bdevice[,)].*:$|^    device, ' tests --include='test_*.py')
# Newer versions of libraries warn of what the tested ones do not: that is no failure here.
timeout $(($(left) * 6 / 10)) "$python" -m pytest -q "${tests[@]}" -W default -p no:cacheprovider --durations=0 \
  --junitxml="$out/tests.xml" "${files[@]}" 2>&1 | tee "$out/tests.log"

wait "$preparing" || { tail -n 20 "$out/prepare.log"; exit 1; }
"$python" -m scripts.benchmarks.device --device "$device" "${small[@]}" --workspace "$workspace/phantoms" --tests "$out/tests.xml" \
  --out "$out/device_check.json" --seconds "$(left)" >"$out/benchmark.log" 2>&1
status=$?
sed -n '/^== device check/,$p' "$out/benchmark.log"
[ $status = 0 ] || tail -n 40 "$out/benchmark.log" >&2
echo "$SECONDS s"
exit $status
