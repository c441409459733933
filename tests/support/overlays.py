"""Bare virtual environments over this one, to install into and to run real commands in.

An overlay sees this environment's packages through a folder of symbolic links, less the packages that a test is about:
whether acnn-nnunet is installed here does not matter.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

VARIABLE = "nnUNet_extTrainer"

PROBE = '''
"""Find the trainers as nnU-Net does, here and in a spawned worker, and compare with what `import` gives."""
import json
import multiprocessing
import pickle
import sys

from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name


def is_ours(found):
    import acnn_nnunet.trainers

    return found is getattr(acnn_nnunet.trainers, found.__name__)


def check_in_worker(pickled):
    found = pickle.loads(pickled)
    return is_ours(found) and recursive_find_trainer_class_by_name(found.__name__) is found


if __name__ == "__main__":
    found = [recursive_find_trainer_class_by_name(name) for name in ("ShapePriorTrainer", "ACNNTrainer")]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        in_worker = pool.map(check_in_worker, [pickle.dumps(cls) for cls in found])
    here = [is_ours(cls) and pickle.loads(pickle.dumps(cls)) is cls for cls in found]
    others = [recursive_find_trainer_class_by_name(name).__name__ for name in sys.argv[1:]]
    import acnn_nnunet
    import nnunetv2

    files = [acnn_nnunet.__file__, nnunetv2.__path__[0]]
    print(json.dumps({"here": here, "in_worker": in_worker, "others": others, "files": files}))
'''


@dataclass(frozen=True)
class Overlay:
    """A virtual environment over this one."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        (folder,) = self.root.glob("lib/python*/site-packages")
        return folder

    def run(self, *arguments, check=True, **variables) -> subprocess.CompletedProcess:
        """Run the overlay's Python as from a fresh shell that sets nothing but `variables`."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        finished = subprocess.run(
            [str(self.python), *map(str, arguments)],
            env={**inherited, "PYTHONNOUSERSITE": "1", **variables},
            cwd=self.root,  # not the repository, which would make the package importable
            capture_output=True,
            text=True,
            timeout=600,
        )
        if check and finished.returncode != 0:
            pytest.fail(f"{arguments} failed\n{finished.stdout}\n{finished.stderr}")
        return finished

    def command(self, name, *arguments, **options) -> subprocess.CompletedProcess:
        return self.run(self.root / "bin" / name, *arguments, **options)

    def pip(self, *arguments) -> None:
        self.run("-m", "pip", "--disable-pip-version-check", "--no-input", *arguments)

    def install(self, *arguments) -> None:
        self.pip("install", "--no-index", "--no-deps", "--no-build-isolation", *arguments)

    def probe(self, *other_trainers, **variables) -> dict:
        script = self.root / "probe.py"
        script.write_text(PROBE)
        return json.loads(self.run(script, *other_trainers, **variables).stdout.splitlines()[-1])

    def variable(self, **variables) -> str:
        """Return what a new interpreter makes of `nnUNet_extTrainer`; it must have nothing to say."""
        finished = self.run("-c", f"import os; print(os.environ.get({VARIABLE!r}, 'unset'))", **variables)
        assert finished.stderr == ""
        return finished.stdout.strip()

    def files(self) -> set[Path]:
        return {*self.site_packages.rglob("*"), *(self.root / "bin").iterdir()}


def create_overlay(root: Path, *, without: tuple[str, ...]) -> Overlay:
    """Create a virtual environment that sees this one's packages, less those whose names start with `without`."""
    overlay = Overlay(root)
    venv.EnvBuilder(with_pip=False, symlinks=True).create(root)
    base = root / "base"
    base.mkdir()
    for folder in dict.fromkeys(sys.path):
        if Path(folder).name in ("site-packages", "dist-packages"):
            _link_packages(Path(folder), base, without=without)
    # addsitedir, so that the .pth files among the links work as they do at home.
    (overlay.site_packages / "zz_base.pth").write_text(f"import site; site.addsitedir({str(base)!r})\n")
    _write_host_commands(overlay)
    return overlay


def _link_packages(source: Path, base: Path, *, without: tuple[str, ...]) -> None:
    for entry in source.iterdir():
        stem = entry.name.removeprefix("__editable__").lstrip("_.")
        if not stem.startswith(without) and not (base / entry.name).exists():
            (base / entry.name).symlink_to(entry)


def _write_host_commands(overlay: Overlay) -> None:
    """Write nnU-Net's commands as pip would have, had it been installed in the overlay."""
    for entry_point in importlib.metadata.entry_points(group="console_scripts"):
        if entry_point.name in ("nnUNetv2_train", "nnUNetv2_predict"):
            (overlay.root / "bin" / entry_point.name).write_text(
                f"import sys\nfrom {entry_point.module} import {entry_point.attr}\n"
                f"if __name__ == '__main__':\n    sys.exit({entry_point.attr}())\n"
            )
