"""`acnn-nnunet doctor`: is everything in place to train, and what puts the rest right?"""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from acnn_nnunet import __version__
from acnn_nnunet.nnunet.registration import TRAINER_NAMES, is_registered, startup_file

PACKAGES: dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]] = {
    "nnunetv2": ((2, 8, 1), (2, 9)),
    "torch": ((2, 5), None),
    "batchgeneratorsv2": ((0, 3, 6), (0, 3, 7)),
}
"""First version that is supported, and first one that is not, as pyproject.toml has them with their reasons."""

_FINDER_TIMEOUT_S = 300  # importing torch from a cold network disk has been seen to take minutes

# Finds a class as `nnUNetv2_train -tr` does, then hands it over as multiprocessing does to a worker.
# The empty entry of `-c` is dropped: a console script does not see the working directory.
_FINDER_PROBE = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import importlib, json, pickle
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
report = {}
for name in sys.argv[1:]:
    found = recursive_find_trainer_class_by_name(name)
    importable = getattr(importlib.import_module("acnn_nnunet.trainers"), name)
    report[name] = [found is importable and pickle.loads(pickle.dumps(found)) is found, found.__module__]
print(json.dumps(report))
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        ok: False where training would not start because of it.
        what: The thing: a package, a variable, a trainer.
        detail: What was found.
        remedy: What puts it right, or a hint; may be empty.
    """

    ok: bool
    what: str
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        verdict = "ok  " if self.ok else "FAIL"
        return f"{verdict} {self.what} {self.detail}" + (f": {self.remedy}" if self.remedy else "")


def examine(*, device: str) -> list[Finding]:
    """Look at everything that a training needs.

    Args:
        device: What would be passed to `nnUNetv2_train -device`: cuda, cpu or mps.

    Returns:
        All findings, good ones included; training would start where all are `ok`.
    """
    packages = [_package(name, at_least=first, below=below) for name, (first, below) in PACKAGES.items()]
    findings = [
        Finding(True, "Python", f"{platform.python_version()} ({sys.executable})"),
        Finding(True, "acnn-nnunet", __version__),
        *packages,
        _folder("nnUNet_raw", needed_to_train=False),
        _folder("nnUNet_preprocessed"),
        _folder("nnUNet_results"),
        _startup_file(),
        _loader_workers(),
    ]
    if all(package.ok for package in packages):
        findings += [*_trainers(), _device(device)]
    return findings


def _package(name: str, *, at_least: tuple[int, ...], below: tuple[int, ...] | None) -> Finding:
    wanted = f">={_dotted(at_least)}" + (f",<{_dotted(below)}" if below else "")
    remedy = f'pip install "{name}{wanted}"'
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(False, name, "is not installed", remedy)
    release = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if release < at_least or (below is not None and release >= below):
        return Finding(False, name, f"{version} is not supported, {wanted} is", remedy)
    return Finding(True, name, version)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


def _folder(variable: str, *, needed_to_train: bool = True) -> Finding:
    """Check a folder of nnU-Net's; the raw data is read by planning alone, so training starts without it."""
    ok = not needed_to_train
    note = "" if needed_to_train else " (only planning needs it)"
    value = os.environ.get(variable)
    if not value:
        return Finding(ok, variable, f"is not set{note}", f"export {variable}=/path/to/{variable[len('nnUNet_') :]}")
    if not Path(value).is_dir():
        missing = "is not a folder" if Path(value).exists() else "does not exist"
        return Finding(ok, variable, f"= {value} {missing}{note}", f"mkdir -p '{value}', or export {variable} anew")
    if needed_to_train:
        try:
            # Asking the permission bits is not enough: root, full disks and read-only mounts answer otherwise.
            with tempfile.TemporaryFile(dir=value) as probe:
                probe.write(b"acnn-nnunet doctor")
        except OSError as error:
            reason = error.strerror or error
            return Finding(
                False, variable, f"= {value} cannot be written to ({reason})", f"export {variable}=/a/writable/folder"
            )
    return Finding(True, variable, f"= {value}")


def _startup_file() -> Finding:
    found = startup_file()
    if found is not None:
        return Finding(True, "start-up file", str(found))
    if is_registered():
        return Finding(True, "start-up file", "is missing, but nnUNet_extTrainer names our trainers")
    return Finding(False, "start-up file", "is missing", 'pip install acnn-nnunet, or: eval "$(acnn-nnunet env)"')


def _loader_workers() -> Finding:
    variable, cpus = "nnUNet_n_proc_DA", os.cpu_count() or 1
    value = os.environ.get(variable)
    if value is None:
        workers = f"is not set, so nnU-Net starts {min(12, cpus)} loader workers on these {cpus} CPUs"
        return Finding(True, variable, workers, f"export {variable}=0 for runs that repeat exactly")
    try:
        return Finding(True, variable, f"= {int(value)} on {cpus} CPUs")
    except ValueError:
        return Finding(False, variable, f"= {value!r} is not a whole number", f"export {variable}={min(12, cpus)}")


def _trainers() -> list[Finding]:
    """Let nnU-Net's own finder look for our trainers in a fresh process, as `nnUNetv2_train` does."""
    command = [sys.executable, "-c", _FINDER_PROBE, *TRAINER_NAMES]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=_FINDER_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        took = f"nnU-Net's finder took more than {_FINDER_TIMEOUT_S} s"
        return [Finding(False, "trainers", took, "try again; is the disk with the packages slow?")]
    if probe.returncode != 0:
        reason = (probe.stderr.strip().splitlines() or [f"exit code {probe.returncode}"])[-1]
        if "Could not find requested nnunet trainer" in reason:
            return [Finding(False, "trainers", "are not found by nnU-Net", 'eval "$(acnn-nnunet env)" in this shell')]
        return [Finding(False, "trainers", f"cannot be imported ({reason})", "put that right, then ask again")]
    report = json.loads(probe.stdout.splitlines()[-1])
    return [_trainer(name, *report[name]) for name in TRAINER_NAMES]


def _trainer(name: str, importable: bool, module: str) -> Finding:
    if importable:
        return Finding(True, name, f"found by nnU-Net in {module}")
    remedy = f"look for a second {name} or a folder of acnn_nnunet in nnUNet_extTrainer"
    return Finding(False, name, f"found by nnU-Net in {module} is not acnn_nnunet.trainers.{name}", remedy)


def _device(device: str) -> Finding:
    import torch

    from acnn_nnunet.nnunet.devices import native_bfloat16

    if device == "cpu":
        bfloat16 = "with" if native_bfloat16() else "without"
        return Finding(True, "device", f"cpu, {os.cpu_count()} CPUs, {bfloat16} native bfloat16")
    usable = torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    if not usable:
        given = " (nnU-Net's default)" if device == "cuda" else ""
        return Finding(
            False,
            "device",
            f"{device}{given} is not usable here",
            "pass `-device cpu` to doctor and to every train and predict command",
        )
    return Finding(True, "device", torch.cuda.get_device_name() if device == "cuda" else device)
