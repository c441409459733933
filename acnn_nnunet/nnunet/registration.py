"""How nnU-Net finds our trainers: the shim folder, the variable that names it, and the start-up file that sets it."""

import os
import shlex
import sys
from pathlib import Path

from acnn_nnunet.nnunet.startup import SHIM_FOLDER, VARIABLE

TRAINER_NAMES = (
    "ShapePriorTrainer",
    "ACNNTrainer",
    "SubPixelSegTrainer",
    "ACNNSubPixelSegTrainer",
    "SRTrainer",
    "ACNNSRTrainer",
    "SRCNNTrainer",
    "AESegTrainer",
    "AESegMTrainer",
)
"""The classes that the shim hands to nnU-Net's finder."""


def export_line() -> str:
    """Return the shell line that appends the shim folder to `nnUNet_extTrainer`, behind the user's own entries."""
    if os.name == "nt":
        return f'set "{VARIABLE}=%{VARIABLE}%;{SHIM_FOLDER}"'
    return f'export {VARIABLE}="${{{VARIABLE}:+${VARIABLE}:}}"{shlex.quote(SHIM_FOLDER)}'


def startup_file() -> Path | None:
    """Return the start-up file that this interpreter reads, or None where the package was not installed as such."""
    name = "acnn_nnunet.start" if sys.version_info >= (3, 15) else "acnn_nnunet.pth"
    candidates = (Path(folder) / name for folder in sys.path if folder)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def is_registered() -> bool:
    """Return whether `nnUNet_extTrainer` names the shim folder in this process."""
    entries = os.environ.get(VARIABLE, "").split(os.pathsep)
    return any(os.path.normpath(entry) == SHIM_FOLDER for entry in entries if entry.strip())
