"""Work for cases in other processes: it must be importable there."""

import os
import signal
import time
from pathlib import Path

from acnn_nnunet.casewise.work import PerWorker
from acnn_nnunet.files.safe_writes import WriteError


def square(number):
    """Return the square; negative numbers are bad files, and the largest come first."""
    if number < 0:
        raise ValueError(f"{number}.nii.gz is\nnegative")
    time.sleep(0.02 / (1 + number))
    return number * number


def sleep_and_square(number):
    """Take a while, and return the square."""
    time.sleep(0.2)
    return number * number


def die_at_three(number):
    """Die at 3, as a process does that runs out of memory; square the others."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def die_once(flag):
    """Die where the flag file does not exist yet."""
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Path(flag).name


def full_disk(number):
    """Fail to write."""
    raise WriteError(f"Could not write {number}.nii.gz")


class Load:
    """Loads a model, and writes down which process loaded it."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self):
        """Return the model."""
        (Path(self.folder) / f"{os.getpid()}_{time.monotonic_ns()}").touch()
        return "model"


class LoadHere:
    """Loads a model in this process, and in no other."""

    def __init__(self):
        self.process = os.getpid()

    def __call__(self):
        """Return the model or fail."""
        if os.getpid() != self.process:
            raise ValueError("prior.pth is damaged")
        return "model"


class UseModel:
    """Per-case work with a model that is loaded once per worker."""

    def __init__(self, load):
        self.model = PerWorker(load)

    def __call__(self, number):
        """Return the model's name, the number and the process."""
        return self.model(), number, os.getpid()
