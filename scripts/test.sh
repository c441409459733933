#!/usr/bin/env bash
# Make a virtual environment, install the package with what its tests need, and run the whole suite:
#   bash scripts/test.sh [pytest arguments, paths from the repository's root]
# PYTHON is the interpreter that makes the environment (python3), VENV its folder (.venv-test), reused if it is there.
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${VENV:-$root/.venv-test}"

# Asking for pip also finds an environment whose making was interrupted.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m venv "$venv"
python="$(cd -- "$venv/bin" && pwd)/python"

cd -- "$root"
echo "Installing acnn-nnunet and its development tools into $venv …"
"$python" -m pip install -qq --disable-pip-version-check --no-compile --editable '.[dev]' # -qq: errors only
# pip would compile in one process. As pip does, pass over templates and files of other Pythons, which do not compile.
"$python" -m compileall -qq -j 0 "$venv/lib" || true

# Pages are tested in a real browser; without one those tests are skipped.
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing Chromium …"
  { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; } >/dev/null 2>&1 ||
    echo "Chromium could not be installed: the tests of pages in a browser are skipped."
fi

# nnU-Net's CPU trainings take all cores, beside loader workers and other tests: threads that wait must not spin.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
export nnUNet_n_proc_DA="${nnUNet_n_proc_DA:-2}" nnUNet_def_n_proc="${nnUNet_def_n_proc:-2}" MPLBACKEND=Agg
exec "$python" -m pytest "$@"
