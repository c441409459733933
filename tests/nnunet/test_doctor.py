import importlib.metadata
import os
import subprocess
from pathlib import Path

import pytest

from acnn_nnunet import cli
from acnn_nnunet.nnunet import doctor
from acnn_nnunet.nnunet.doctor import Finding, examine

REPOSITORY = Path(__file__).parents[2]
search_for_trainers = doctor._trainers
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


@pytest.fixture(autouse=True)
def _good_machine(tmp_path, monkeypatch):
    """Everything in place; the slow search for the trainers, proved in test_registration.py, is taken as passed."""
    for variable in FOLDERS:
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.delenv("nnUNet_n_proc_DA", raising=False)
    monkeypatch.setattr(doctor, "startup_file", lambda: Path("/site-packages/acnn_nnunet.pth"))
    monkeypatch.setattr(doctor, "_trainers", lambda: [Finding(True, "ACNNTrainer", "found")])


def failures() -> dict[str, str]:
    return {finding.what: str(finding) for finding in examine(device="cpu") if not finding.ok}


def test_a_finding_reads_as_verdict_fact_and_remedy():
    assert str(Finding(True, "nnunetv2", "2.8.1")) == "ok   nnunetv2 2.8.1"
    missing = Finding(False, "nnUNet_results", "is not set", "export nnUNet_results=/path/to/results")
    assert str(missing) == "FAIL nnUNet_results is not set: export nnUNet_results=/path/to/results"


def test_a_good_machine_has_no_failures(capsys):
    assert failures() == {}
    assert cli.main(["doctor", "-device", "cpu"]) == 0
    assert "FAIL" not in capsys.readouterr().out


@pytest.mark.parametrize("variable", ["nnUNet_preprocessed", "nnUNet_results"])
def test_an_unset_folder_stops_training(monkeypatch, capsys, variable):
    monkeypatch.delenv(variable)

    assert cli.main(["doctor", "-device", "cpu"]) == 1
    assert f"FAIL {variable} is not set: export {variable}=/path/to/" in capsys.readouterr().out


@pytest.mark.parametrize("variable", ["nnUNet_preprocessed", "nnUNet_results"])
def test_a_folder_that_does_not_exist_stops_training(monkeypatch, tmp_path, variable):
    monkeypatch.setenv(variable, str(tmp_path / "gone"))

    assert list(failures()) == [variable]
    assert f"{tmp_path / 'gone'} does not exist: mkdir -p" in failures()[variable]


def test_a_file_in_the_place_of_a_folder_stops_training(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "file"))

    assert "is not a folder" in failures()["nnUNet_results"]


def test_the_raw_folder_is_named_but_training_starts_without_it(monkeypatch):
    monkeypatch.delenv("nnUNet_raw")

    findings = {finding.what: finding for finding in examine(device="cpu")}

    assert findings["nnUNet_raw"].ok
    assert "is not set (only planning needs it)" in str(findings["nnUNet_raw"])


@pytest.fixture
def read_only_folder(tmp_path) -> Path:
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        (tmp_path / "read_only").mkdir(mode=0o555)
        return tmp_path / "read_only"
    # Permission bits do not bind root; no one creates files in /proc.
    if not Path("/proc/self").is_dir():
        pytest.skip("no folder here that the superuser cannot write to")
    return Path("/proc")


def test_a_read_only_results_folder_stops_training(monkeypatch, read_only_folder):
    monkeypatch.setenv("nnUNet_results", str(read_only_folder))

    assert list(failures()) == ["nnUNet_results"]
    assert f"{read_only_folder} cannot be written to (" in failures()["nnUNet_results"]


def test_asking_leaves_nothing_in_the_folders(tmp_path):
    examine(device="cpu")

    assert [path for variable in FOLDERS for path in (tmp_path / variable).iterdir()] == []


@pytest.mark.parametrize("version", ["2.8.0", "2.9", "2.10.1", "1.7.1"])
def test_an_unsupported_host_stops_training(monkeypatch, version):
    actual = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version if name == "nnunetv2" else actual(name))

    expected = f'FAIL nnunetv2 {version} is not supported, >=2.8.1,<2.9 is: pip install "nnunetv2>=2.8.1,<2.9"'
    assert failures() == {"nnunetv2": expected}


@pytest.mark.parametrize("version", ["2.8.1", "2.8.2.post1", "2.8.10"])
def test_later_patches_of_the_host_are_supported(monkeypatch, version):
    actual = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version if name == "nnunetv2" else actual(name))

    assert failures() == {}


def test_a_host_that_is_not_installed_stops_training(monkeypatch):
    actual = importlib.metadata.version

    def version(name):
        if name == "nnunetv2":
            raise importlib.metadata.PackageNotFoundError(name)
        return actual(name)

    monkeypatch.setattr(importlib.metadata, "version", version)

    assert failures() == {"nnunetv2": 'FAIL nnunetv2 is not installed: pip install "nnunetv2>=2.8.1,<2.9"'}


def test_the_supported_versions_are_those_that_pip_asks_for():
    pyproject = (REPOSITORY / "pyproject.toml").read_text()

    for name, wanted in {"nnunetv2": ">=2.8.1,<2.9", "torch": ">=2.5", "batchgeneratorsv2": ">=0.3.6,<0.3.7"}.items():
        first, below = doctor.PACKAGES[name]
        assert f'"{name}{wanted}"' in pyproject
        assert wanted == f">={doctor._dotted(first)}" + (f",<{doctor._dotted(below)}" if below else "")


def test_cuda_where_there_is_none_names_the_flag(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    (device,) = [finding for finding in examine(device="cuda") if finding.what == "device"]

    assert not device.ok
    assert "cuda (nnU-Net's default) is not usable here: pass `-device cpu`" in str(device)


def test_cuda_where_there_is_one_names_it(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H100")

    assert "ok   device NVIDIA H100" in [str(finding) for finding in examine(device="cuda")]


@pytest.mark.parametrize(("native", "said"), [(True, "with native bfloat16"), (False, "without native bfloat16")])
def test_the_cpu_is_always_usable_and_its_bfloat16_is_told(monkeypatch, native, said):
    monkeypatch.setattr("acnn_nnunet.nnunet.devices.native_bfloat16", lambda: native)

    (device,) = [finding for finding in examine(device="cpu") if finding.what == "device"]

    assert device.ok
    assert device.detail.endswith(said)


def test_a_number_of_workers_that_the_host_could_not_read_stops_training(monkeypatch):
    monkeypatch.setenv("nnUNet_n_proc_DA", "four")

    assert "'four' is not a whole number" in failures()["nnUNet_n_proc_DA"]


def test_a_missing_start_up_file_matters_only_where_the_variable_is_not_set(monkeypatch):
    monkeypatch.setattr(doctor, "startup_file", lambda: None)

    monkeypatch.setattr(doctor, "is_registered", lambda: True)
    assert failures() == {}

    monkeypatch.setattr(doctor, "is_registered", lambda: False)
    assert 'eval "$(acnn-nnunet env)"' in failures()["start-up file"]


@pytest.fixture
def answer(monkeypatch):
    """What the subprocess would say; that it speaks the truth is shown in test_registration.py."""

    def set_answer(*, returncode=0, stdout="", stderr=""):
        finished = subprocess.CompletedProcess([], returncode, stdout, stderr)
        monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: finished)

    return set_answer


def test_found_trainers_are_named_with_their_module(answer, monkeypatch):
    monkeypatch.setattr(doctor, "TRAINER_NAMES", ("ShapePriorTrainer", "ACNNTrainer"))
    answer(stdout='Searching…\n{"ShapePriorTrainer": [true, "a.b"], "ACNNTrainer": [true, "a.c"]}\n')

    assert [str(finding) for finding in search_for_trainers()] == [
        "ok   ShapePriorTrainer found by nnU-Net in a.b",
        "ok   ACNNTrainer found by nnU-Net in a.c",
    ]


def test_another_class_of_the_same_name_is_not_ours(answer, monkeypatch):
    monkeypatch.setattr(doctor, "TRAINER_NAMES", ("ShapePriorTrainer", "ACNNTrainer"))
    answer(stdout='{"ShapePriorTrainer": [true, "a.b"], "ACNNTrainer": [false, "theirs"]}')

    prior, acnn = search_for_trainers()

    assert prior.ok
    assert not acnn.ok
    assert "in theirs is not acnn_nnunet.trainers.ACNNTrainer" in str(acnn)


def test_trainers_that_are_not_found_name_the_export_line(answer):
    answer(returncode=1, stderr="Traceback…\nRuntimeError: Could not find requested nnunet trainer ACNNTrainer in …")

    (finding,) = search_for_trainers()

    assert str(finding) == 'FAIL trainers are not found by nnU-Net: eval "$(acnn-nnunet env)" in this shell'


def test_the_reason_of_an_import_error_is_passed_on(answer):
    answer(returncode=1, stderr="Traceback…\nImportError: libcudart.so.13: cannot open shared object file")

    (finding,) = search_for_trainers()

    assert not finding.ok
    assert "ImportError: libcudart.so.13" in str(finding)


def test_a_search_without_end_is_given_up(monkeypatch):
    def run(*_, **__):
        raise subprocess.TimeoutExpired("python", 300)

    monkeypatch.setattr(doctor.subprocess, "run", run)

    (finding,) = search_for_trainers()

    assert "more than 300 s" in str(finding)
