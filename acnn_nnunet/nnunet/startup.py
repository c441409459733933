"""Tell nnU-Net where our trainers are, at the start of every interpreter of the environment.

`acnn_nnunet.pth` and, from Python 3.15 on, `acnn_nnunet.start` (PEP 829) call `register`. It must cost next to nothing,
so this module imports `os` alone, which is loaded by then.
"""

import os

VARIABLE = "nnUNet_extTrainer"
SHIM_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ext_trainers")


def register() -> None:
    """Append our shim folder to `nnUNet_extTrainer`, behind the user's own entries; a second call changes nothing."""
    if os.pathsep in SHIM_FOLDER:
        # Split by the host, it would not be recognised here, and every child process would append it once more.
        return
    entries = [entry for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry.strip()]
    if any(os.path.normpath(entry) == SHIM_FOLDER for entry in entries):
        return
    try:  # noqa: SIM105 - contextlib would be an import
        os.environ[VARIABLE] = os.pathsep.join([*entries, SHIM_FOLDER])
    except (OSError, ValueError):
        # Windows limits a variable's length; an interpreter must start all the same. `acnn-nnunet doctor` will tell.
        pass
