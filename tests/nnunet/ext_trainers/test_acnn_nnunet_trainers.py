"""The shim that nnU-Net's finder meets: it hands over the trainers, and keeps quiet where the package is missing."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from acnn_nnunet import trainers
from acnn_nnunet.nnunet import registration

SHIM = Path(__file__).parents[3] / "acnn_nnunet" / "nnunet" / "ext_trainers" / "acnn_nnunet_trainers.py"


def run_shim(folder: Path) -> subprocess.CompletedProcess:
    script = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); exec({SHIM.read_text()!r}); print('ACNNTrainer' in vars())"
    )
    return subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True)


def test_the_shim_defines_nothing_where_the_package_is_missing(tmp_path):
    finished = run_shim(tmp_path)

    assert (finished.stdout, finished.stderr) == ("False\n", "")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import a_missing_dependency", "ModuleNotFoundError: No module named 'a_missing_dependency'"),
        ("raise ImportError('libcudart.so.13: cannot open')", "ImportError: libcudart.so.13: cannot open"),
        ("from acnn_nnunet.gone import x", "ModuleNotFoundError: No module named 'acnn_nnunet.gone'"),
        ("ACNNTrainer = None", "ImportError: cannot import name 'ACNNSRTrainer' from 'acnn_nnunet.trainers'"),
    ],
)
def test_the_shim_lets_the_reason_through(tmp_path, body, reason):
    (tmp_path / "acnn_nnunet").mkdir()
    (tmp_path / "acnn_nnunet" / "__init__.py").touch()
    (tmp_path / "acnn_nnunet" / "trainers.py").write_text(body)

    finished = run_shim(tmp_path)

    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1].startswith(reason)


def test_the_shim_folder_holds_the_shim_alone():
    assert Path(registration.SHIM_FOLDER) == SHIM.parent
    assert [path.name for path in SHIM.parent.iterdir() if path.name != "__pycache__"] == [SHIM.name]


def test_the_shim_hands_over_the_trainers_of_the_one_list():
    handed_over = runpy.run_path(str(SHIM))

    assert sorted(trainers.__all__) == sorted(registration.TRAINER_NAMES)
    assert {name for name in handed_over if not name.startswith("__")} == set(registration.TRAINER_NAMES)
    assert all(handed_over[name] is getattr(trainers, name) for name in registration.TRAINER_NAMES)
    assert all(handed_over[name].__module__.startswith("acnn_nnunet.trainers.") for name in registration.TRAINER_NAMES)
