"""The class of a trainer by its name, as nnU-Net finds it."""

import contextlib
import io
import warnings
from typing import Any

from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name


def find_trainer_class(name: str) -> Any:
    """Return the class that `-tr NAME` stands for.

    Raises:
        ValueError: if nnU-Net does not find it.
    """
    # The host prints where it searches, and imports all of its trainers, whose libraries warn.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return recursive_find_trainer_class_by_name(name)
        except RuntimeError as error:
            raise ValueError(
                f"nnU-Net does not find the trainer {name}: acnn-nnunet doctor says what is missing."
            ) from error
