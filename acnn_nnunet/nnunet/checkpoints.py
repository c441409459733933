"""The host's checkpoints: entries of our own in them, and what is wrong with one that cannot be read."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from acnn_nnunet.files.safe_writes import plain


def add_to_checkpoint(path: str, extras: dict[str, Any]) -> None:
    """Add entries to a host checkpoint and reduce it to tensors and plain values, loadable with `weights_only=True`."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    torch.save(plain({**checkpoint, **extras}), path)


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
