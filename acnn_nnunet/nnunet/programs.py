"""Where nnU-Net's commands lie."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path


def find_program(name: str) -> str:
    """Return the path of an entry point: next to this interpreter first, so that a venv need not be activated."""
    folders = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath))
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        raise RuntimeError(f"the command {name} is neither beside {sys.executable} nor on PATH; run: pip install .")
    return path
