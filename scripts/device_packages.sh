#!/usr/bin/env bash
# Pack what scripts/device_check.sh needs besides PyTorch and the usual scientific packages into one archive, for a
# machine without a network whose Python has those:
#   bash scripts/device_packages.sh device_packages.tar.xz [3.12]           (the other machine's Python)
# There: mkdir packages && tar -xJf device_packages.tar.xz -C packages && PYTHONPATH=packages bash scripts/device_check.sh
# An archive, since SimpleITK's wheel alone has 50 MB and shrinks by a third. PYTHON is an interpreter with pip here.
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,7s/^# \?//p' "${BASH_SOURCE[0]}"; exit 1; }
python="${PYTHON:-python3}" archive="$(realpath -- "$1")" version="${2:-3.12}"
work="$(mktemp -d)"
trap 'rm -rf -- "$work"' EXIT

platforms=()
for glibc in 2_28 2_27 2_17; do platforms+=(--platform "manylinux_${glibc}_x86_64"); done
# Compiled for that Python; the versions are those of the environment here, where it has them.
compiled=(simpleitk nibabel blosc2 edt connected-components-3d ndindex numexpr)
pure=(nnunetv2 batchgenerators batchgeneratorsv2 acvl-utils dynamic-network-architectures yacs graphviz future unittest2 'timm<1.0.23')
pinned() { "$python" -c "
import importlib.metadata as m, sys
try: print(f'{sys.argv[1]}=={m.version(sys.argv[1])}')
except m.PackageNotFoundError: print(sys.argv[1])" "$1"; }
for name in "${compiled[@]}"; do
  "$python" -m pip download -q --no-deps --only-binary=:all: --implementation cp --python-version "$version" \
    "${platforms[@]}" --platform manylinux2014_x86_64 -d "$work" "$(pinned "$name")"
done
for name in "${pure[@]}"; do "$python" -m pip wheel -q --no-deps -w "$work" "$(pinned "$name")"; done

mkdir "$work/site"
for wheel in "$work"/*.whl; do "$python" -m zipfile -e "$wheel" "$work/site"; done
find "$work/site/nibabel" -depth -type d -name tests -exec rm -rf {} +
XZ_OPT="${XZ_OPT:--4}" tar -C "$work/site" -cJf "$archive" .
ls -lh -- "$archive"
