#!/usr/bin/env bash
# Make a virtual environment, install the package, and run its demo, which generates its own data:
#   bash scripts/quickstart.sh [folder for the demo, ./acnn_demo by default]
# PYTHON is the interpreter that makes the environment (python3), VENV its folder (.venv), reused if it is there.
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${VENV:-$root/.venv}"

# Asking for pip also finds an environment whose making was interrupted.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m venv "$venv"

echo "Installing acnn-nnunet and nnU-Net into $venv …"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check "$root" # -qq: errors only

"$venv/bin/acnn-nnunet" demo -o "${1:-acnn_demo}"
printf '\nTo go on with your own data: source "%s/bin/activate" && acnn-nnunet doctor\n' "$venv"
