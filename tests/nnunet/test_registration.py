"""Does nnU-Net find our trainers? Real installs into overlays of this environment, real subprocesses."""

import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from overlays import VARIABLE, Overlay, create_overlay
from tiny_model import write_image, write_tiny_model

from acnn_nnunet.nnunet import registration

REPOSITORY = Path(__file__).parents[2]
SHIM = REPOSITORY / "acnn_nnunet" / "nnunet" / "ext_trainers" / "acnn_nnunet_trainers.py"

slow = pytest.mark.slow
posix_only = pytest.mark.skipif(os.name == "nt", reason="overlays are made of symbolic links")

THEIR_TRAINER = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class TheirTrainer(nnUNetTrainer):
    pass
"""


@pytest.fixture(scope="module")
def make_overlay(tmp_path_factory):
    def make(name: str, *, without: tuple[str, ...] = ()) -> Overlay:
        return create_overlay(tmp_path_factory.mktemp("overlays") / name, without=("acnn_nnunet", *without))

    return make


@pytest.fixture(scope="module")
def wheel(make_overlay) -> Path:
    builder = make_overlay("builder")
    builder.pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", builder.root, REPOSITORY)
    (built,) = builder.root.glob("acnn_nnunet-*.whl")
    return built


@pytest.fixture(scope="module")
def wheel_environment(make_overlay, wheel) -> Overlay:
    overlay = make_overlay("wheel")
    overlay.install(wheel)
    return overlay


@pytest.fixture(scope="module")
def editable_environment(make_overlay) -> Overlay:
    overlay = make_overlay("editable")
    overlay.install("-e", REPOSITORY)
    return overlay


@pytest.fixture(scope="module")
def editable_host_environment(make_overlay, wheel, tmp_path_factory) -> Overlay:
    """nnU-Net itself installed editable, from a copy of its source tree."""
    import nnunetv2

    source = tmp_path_factory.mktemp("host_source")
    shutil.copytree(nnunetv2.__path__[0], source / "nnunetv2", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "nnunetv2"\nversion = "{importlib.metadata.version("nnunetv2")}"\n'
        '[tool.hatch.build]\ndev-mode-dirs = ["."]\n'
    )
    overlay = make_overlay("editable_host", without=("nnunetv2",))
    overlay.install("-e", source)
    overlay.install(wheel)
    return overlay


@pytest.fixture
def host_folders(tmp_path) -> dict[str, str]:
    """nnU-Net's own three variables, with empty folders behind them."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    for name in names:
        (tmp_path / name).mkdir()
    return {name: str(tmp_path / name) for name in names}


@pytest.fixture
def their_folder(tmp_path) -> Path:
    folder = tmp_path / "their trainers"
    folder.mkdir()
    (folder / "their_trainer.py").write_text(THEIR_TRAINER)
    return folder


def shim_of(overlay: Overlay) -> Path:
    return overlay.site_packages / "acnn_nnunet" / "nnunet" / "ext_trainers"


ENVIRONMENTS = ["wheel_environment", "editable_environment", "editable_host_environment"]


@slow
@posix_only
@pytest.mark.parametrize("environment", ["editable_environment", "editable_host_environment"])
def test_the_finder_gives_the_importable_class_spawned_workers_included(environment, request, host_folders):
    overlay = request.getfixturevalue(environment)

    report = overlay.probe(**host_folders)

    assert report["here"] == [True, True]
    assert report["in_worker"] == [True, True]
    package, host = map(Path, report["files"])
    assert package.is_relative_to(REPOSITORY if environment == "editable_environment" else overlay.site_packages)
    assert ("host_source" in str(host)) == (environment == "editable_host_environment")


@slow
@posix_only
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nnunetv2_train_finds_the_trainer(environment, request, host_folders):
    overlay = request.getfixturevalue(environment)

    finished = overlay.command(
        "nnUNetv2_train", "999", "3d_fullres", "0", "-tr", "ACNNTrainer", "-device", "cpu", check=False, **host_folders
    )

    assert "Using trainer 'ACNNTrainer' from: " in finished.stdout
    # The host looks for the dataset once it has the trainer, and there is none here.
    assert "Could not find a dataset with the ID 999" in finished.stderr


@slow
@posix_only
def test_nnunetv2_predict_finds_the_trainer_that_a_checkpoint_names(wheel_environment, host_folders, tmp_path):
    write_tiny_model(Path(host_folders["nnUNet_results"]) / "Dataset999_Toy" / "ACNNTrainer__nnUNetPlans__3d_fullres")
    write_image(tmp_path / "in" / "case_0000.nii.gz")

    arguments = f"-d 999 -c 3d_fullres -f 0 -tr ACNNTrainer -device cpu -npp 1 -nps 1 -i {tmp_path / 'in'}".split()
    finished = wheel_environment.command("nnUNetv2_predict", *arguments, "-o", tmp_path / "out", **host_folders)

    assert "Using trainer 'ACNNTrainer' from: " in finished.stdout
    assert (tmp_path / "out" / "case.nii.gz").is_file()


@slow
@posix_only
def test_doctor_says_that_training_would_start(wheel_environment, host_folders):
    overlay = wheel_environment

    finished = overlay.command("acnn-nnunet", "doctor", "-device", "cpu", **host_folders)

    assert "FAIL" not in finished.stdout
    assert f"ok   start-up file {overlay.site_packages / 'acnn_nnunet.pth'}" in finished.stdout
    assert "ok   ACNNTrainer found by nnU-Net in acnn_nnunet.trainers" in finished.stdout
    assert "ok   ShapePriorTrainer found by nnU-Net in acnn_nnunet.trainers" in finished.stdout


@slow
@posix_only
def test_a_users_own_trainers_are_found_beside_ours_spawned_workers_included(
    wheel_environment, their_folder, host_folders
):
    variables = {VARIABLE: str(their_folder), **host_folders}

    assert wheel_environment.variable(**variables) == f"{their_folder}{os.pathsep}{shim_of(wheel_environment)}"
    report = wheel_environment.probe("TheirTrainer", "nnUNetTrainer_5epochs", **variables)

    assert report["others"] == ["TheirTrainer", "nnUNetTrainer_5epochs"]
    assert report["here"] == report["in_worker"] == [True, True]
    assert Path(report["files"][0]).is_relative_to(wheel_environment.site_packages)


@slow
@posix_only
def test_a_users_trainer_of_the_same_name_is_found_out_by_doctor(wheel_environment, their_folder, host_folders):
    (their_folder / "their_trainer.py").write_text(THEIR_TRAINER.replace("TheirTrainer", "ACNNTrainer"))

    finished = wheel_environment.command(
        "acnn-nnunet", "doctor", "-device", "cpu", check=False, **host_folders, **{VARIABLE: str(their_folder)}
    )

    assert finished.returncode == 1
    assert (
        "FAIL ACNNTrainer found by nnU-Net in their_trainer is not acnn_nnunet.trainers.ACNNTrainer" in finished.stdout
    )


@slow
@posix_only
def test_the_export_line_does_the_start_up_files_job(wheel_environment, tmp_path):
    shim = shim_of(wheel_environment)
    line = wheel_environment.command("acnn-nnunet", "env").stdout

    def after(before: str) -> str:
        script = f'{before}\n{line}\nprintf %s "${VARIABLE}"'
        return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={}).stdout

    assert after("") == str(shim)
    assert after(f"{VARIABLE}='/my trainers'") == f"/my trainers:{shim}"
    assert wheel_environment.variable(**{VARIABLE: after("")}) == str(shim)  # the start-up file adds nothing to it


@slow
@posix_only
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_uninstalling_leaves_nothing_behind(kind, make_overlay, wheel):
    overlay = make_overlay(f"uninstall_{kind}")
    before = overlay.files()
    overlay.install(*([wheel] if kind == "wheel" else ["-e", REPOSITORY]))
    assert {"acnn_nnunet.pth", "acnn_nnunet.start"} <= {path.name for path in overlay.site_packages.iterdir()}
    assert overlay.variable().endswith("ext_trainers")
    assert overlay.variable(**{VARIABLE: overlay.variable()}) == overlay.variable()  # a child process adds nothing
    overlay.run("-c", "import acnn_nnunet.cli")  # leaves byte code, as any use does

    overlay.pip("uninstall", "-y", "acnn-nnunet")

    assert overlay.files() == before
    assert overlay.variable() == "unset"
    assert overlay.variable(**{VARIABLE: "/mine"}) == "/mine"


@slow
@posix_only
def test_an_environment_without_us_may_inherit_the_variable(make_overlay, wheel_environment, their_folder):
    stranger = make_overlay("stranger")
    script = (
        "from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find\n"
        "print([find(name).__name__ for name in ('nnUNetTrainer_5epochs', 'TheirTrainer')])\n"
        "try:\n    find('ACNNTrainer')\nexcept RuntimeError as error:\n    print(error)\n"
    )
    inherited = os.pathsep.join([str(shim_of(wheel_environment)), str(their_folder)])

    # Deprecations in torch and timm, which they announce while nnU-Net imports them, are not ours.
    finished = stranger.run("-W", "ignore", "-c", script, **{VARIABLE: inherited})

    assert finished.stderr == ""
    assert "['nnUNetTrainer_5epochs', 'TheirTrainer']" in finished.stdout
    assert "Could not find requested nnunet trainer ACNNTrainer" in finished.stdout


@slow
@posix_only
def test_a_broken_package_does_not_stop_an_interpreter(make_overlay, wheel):
    overlay = make_overlay("broken")
    overlay.install(wheel)
    shutil.rmtree(overlay.site_packages / "acnn_nnunet")

    assert overlay.variable() == "unset"


def test_every_trainer_that_a_user_could_name_is_in_the_list():
    private = {"ConfiguredTrainer", "OwnNetworkTrainer", "ThickSliceTrainer"}
    found = {cls.__name__ for cls in _subclasses(nnUNetTrainer) if cls.__module__.startswith("acnn_nnunet.")}

    assert found - private == set(registration.TRAINER_NAMES)


def _subclasses(cls: type) -> set[type]:
    direct = set(cls.__subclasses__())
    return direct.union(*map(_subclasses, direct))


def test_the_export_line_for_windows(monkeypatch):
    monkeypatch.setattr(registration, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(registration, "SHIM_FOLDER", r"C:\acnn nnunet\ext_trainers")

    assert registration.export_line() == r'set "nnUNet_extTrainer=%nnUNet_extTrainer%;C:\acnn nnunet\ext_trainers"'


def test_the_export_line_quotes_what_a_shell_would_read(monkeypatch):
    monkeypatch.setattr(registration, "SHIM_FOLDER", "/it's a $HOME/ext_trainers")

    finished = subprocess.run(
        ["sh", "-c", f'{registration.export_line()}\nprintf %s "${VARIABLE}"'],
        capture_output=True,
        text=True,
        check=True,
        env={VARIABLE: "/mine"},
    )

    assert finished.stdout == "/mine:/it's a $HOME/ext_trainers"
