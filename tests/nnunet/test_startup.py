import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from acnn_nnunet.nnunet import startup

REPOSITORY = Path(__file__).parents[2]
PTH = REPOSITORY / "packaging" / "acnn_nnunet.pth"
START = REPOSITORY / "packaging" / "acnn_nnunet.start"


@pytest.fixture
def shim(monkeypatch):
    """A shim folder with a short name; the variable is unset and restored afterwards."""
    monkeypatch.setattr(startup, "SHIM_FOLDER", os.path.join(os.sep, "ours"))
    monkeypatch.setenv(startup.VARIABLE, "")  # so that monkeypatch restores it, whatever register() does
    monkeypatch.delenv(startup.VARIABLE)
    return startup.SHIM_FOLDER


def value() -> str:
    return os.environ[startup.VARIABLE]


def test_the_variable_is_the_hosts():
    from nnunetv2 import paths

    assert paths.nnUNet_extTrainer.env_var_name == startup.VARIABLE


def test_an_unset_variable_becomes_the_shim_folder(shim):
    startup.register()

    assert value() == shim


@pytest.mark.parametrize("empty", ["", os.pathsep, f" {os.pathsep}{os.pathsep}"])
def test_empty_parts_are_no_entries(shim, monkeypatch, empty):
    monkeypatch.setenv(startup.VARIABLE, empty)

    startup.register()

    assert value() == shim


def test_the_users_entries_come_first_and_keep_their_order(shim, monkeypatch):
    monkeypatch.setenv(startup.VARIABLE, os.pathsep.join(["/b", "", "/a"]))

    startup.register()

    assert value() == os.pathsep.join(["/b", "/a", shim])


def test_running_twice_changes_nothing(shim, monkeypatch):
    monkeypatch.setenv(startup.VARIABLE, "/mine")

    startup.register()
    startup.register()

    assert value() == os.pathsep.join(["/mine", shim])


def test_a_value_that_names_the_shim_folder_is_left_as_it_is(shim, monkeypatch):
    given = os.pathsep.join([shim + os.sep, "", "/mine"])
    monkeypatch.setenv(startup.VARIABLE, given)

    startup.register()

    assert value() == given


def test_a_folder_that_the_variable_cannot_hold_is_not_registered(monkeypatch, shim):
    monkeypatch.setattr(startup, "SHIM_FOLDER", f"/odd{os.pathsep}name")

    startup.register()

    assert startup.VARIABLE not in os.environ


def test_a_variable_that_cannot_be_set_stops_no_interpreter(monkeypatch, shim):
    class FullEnvironment(dict):
        def __setitem__(self, key, value):
            raise ValueError("the environment variable is longer than 32767 characters")

    full = SimpleNamespace(environ=FullEnvironment(), path=os.path, pathsep=os.pathsep)
    monkeypatch.setattr(startup, "os", full)

    startup.register()


def test_the_start_up_loads_nothing_but_itself():
    script = (
        "import os, sys; before = set(sys.modules)\n"
        f"sys.path.insert(0, {str(REPOSITORY)!r}); exec({PTH.read_text()!r})\n"
        "print(sorted(set(sys.modules) - before))"
    )

    finished = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "['acnn_nnunet', 'acnn_nnunet.nnunet', 'acnn_nnunet.nnunet.startup']"
    assert finished.stderr == ""


def test_the_pth_file_is_one_import_line_and_silent_without_the_package():
    assert PTH.read_text().startswith("import ")
    assert len(PTH.read_text().splitlines()) == 1

    finished = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PTH.read_text()], capture_output=True, text=True, check=True
    )

    assert (finished.stdout, finished.stderr) == ("", "")


def test_the_start_file_names_register():
    """PEP 829: one `module:callable` a line, resolved by `pkgutil.resolve_name`, called without arguments."""
    assert [pkgutil.resolve_name(line) for line in START.read_text().splitlines()] == [startup.register]
    assert START.stem == PTH.stem  # what makes Python 3.15 skip the import line of the .pth
