"""Checkpoints and records that survive a full disk and a kill: written beside, then renamed."""

import contextlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def replace_atomically(path: str | os.PathLike[str], write: Callable[[str], None]) -> None:
    """Let `write` make a file beside `path` and rename it into place; on failure `path` stays as it was.

    Raises:
        OSError: naming the path, if it cannot be written (disk full, no permission).
    """
    path = os.fspath(path)
    partial = f"{path}.partial"
    try:
        write(partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as a RuntimeError
        with contextlib.suppress(OSError):
            os.remove(partial)
        kept = " The previous file is kept." if os.path.isfile(path) else ""
        reason = " ".join(str(error).split())
        raise OSError(f"Could not write {path} ({reason}): free some space or fix its permissions.{kept}") from error


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write a JSON file atomically.

    Raises:
        OSError: if it cannot be written.
    """
    replace_atomically(path, lambda partial: _dump(partial, content))


def add_to_checkpoint(path: str, extras: dict[str, Any]) -> None:
    """Add entries to a host checkpoint and reduce it to tensors and plain values, loadable with `weights_only=True`."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    torch.save(_plain({**checkpoint, **extras}), path)


def read_checkpoint_errors(path: str | os.PathLike[str], load: Callable[[], Any]) -> Any:
    """Return what `load` returns; a file that is truncated or no checkpoint becomes one sentence.

    Raises:
        ValueError: naming the path and the remedy.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}.")
    try:
        with open(path, "rb") as file:
            torch.load(file, map_location="meta", weights_only=False, mmap=False)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(
            f"The checkpoint {path} is truncated or no checkpoint ({' '.join(str(error).split())[:200]}): "
            f"move it away, and --c goes on from the next best one beside it or starts anew."
        ) from error
    return load()


def _dump(path: str, content: Any) -> None:
    with open(path, "w") as file:
        json.dump(_plain(content), file, indent=2)
        file.write("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value
