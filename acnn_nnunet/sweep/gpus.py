"""One GPU for each training: every training of this machine holds the lock of its own, whoever started it."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SECONDS_PER_TRY = 2.0


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(index) for index, line in enumerate(listed.splitlines()) if line.startswith("GPU ")]


@contextmanager
def own_gpu(device: str) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Wait for a free GPU and hold it.

    The lock belongs to this process and to those that inherit its file: the system frees it when all have ended.

    Args:
        device: anything but cuda needs none.

    Yields:
        Environment variables of a training on it, and the files that it has to inherit.

    Raises:
        ValueError: if there is no GPU.
    """
    if device != "cuda":
        yield {}, ()
        return
    gpus = visible_gpus()
    if not gpus:
        raise ValueError("this machine has no GPU: write device: cpu into the plan")
    folder = Path(tempfile.gettempdir()) / f"acnn_nnunet_gpus_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for gpu in gpus:
            with open(folder / f"{gpu.replace('/', '_')}.lock", "w") as file:
                if lock(file.fileno()):
                    yield {"CUDA_VISIBLE_DEVICES": gpu}, (file.fileno(),)
                    return
        time.sleep(_SECONDS_PER_TRY)


def lock(file: int) -> bool:
    """Lock an open file for this process and its heirs; return whether nobody else has."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
