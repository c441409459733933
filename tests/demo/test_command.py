import os
import shlex

import pytest

from acnn_nnunet.demo import command as demo
from acnn_nnunet.demo.command import DemoOptions, run_demo

SMALL = DemoOptions(num_train=1, num_test=1)


def test_foreign_folder_is_refused_and_left_alone(tmp_path):
    treasure = tmp_path / "nnUNet_raw" / "mine.txt"
    treasure.parent.mkdir()
    treasure.write_text("years of work")
    with pytest.raises(ValueError, match="is not empty and no demo wrote it; name another folder with -o"):
        run_demo(tmp_path, SMALL)
    assert treasure.read_text() == "years of work"


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "demo").write_text("")
    with pytest.raises(ValueError, match="is a file; name a folder"):
        run_demo(tmp_path / "demo", SMALL)


def test_former_demo_is_replaced_and_other_files_stay(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("the first command")

    monkeypatch.setattr(demo, "_run_steps", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the first command"):
            run_demo(tmp_path / "demo", SMALL)
        (tmp_path / "demo" / "logs" / "old.log").write_text("old")
        (tmp_path / "demo" / "notes.txt").write_text("mine")
    with pytest.raises(RuntimeError, match="the first command"):
        run_demo(tmp_path / "demo", SMALL)
    assert not (tmp_path / "demo" / "logs" / "old.log").exists()
    assert (tmp_path / "demo" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "demo" / "nnUNet_raw" / "Dataset999_PhantomHeart" / "dataset.json").exists()


def test_the_exports_can_be_typed_for_a_folder_with_a_space(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("enough")

    said = []
    monkeypatch.setattr(demo, "_say", said.append)
    monkeypatch.setattr(demo, "write_dataset", lambda *_, **__: tmp_path)
    monkeypatch.setattr(demo, "_run_steps", fail)
    with pytest.raises(RuntimeError, match="enough"):
        run_demo(tmp_path / "my demo", SMALL)
    exports = [shlex.split(line) for line in said if line.startswith("export ")]
    assert ["export", f"nnUNet_raw={tmp_path}/my demo/nnUNet_raw"] in exports


def test_commands_run_in_the_demo_s_own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_results", "/the/users/own")
    seen = {}

    def look(steps, logs, environment):
        seen.update(environment)
        raise RuntimeError("enough")

    monkeypatch.setattr(demo, "_run_steps", look)
    with pytest.raises(RuntimeError, match="enough"):
        run_demo(tmp_path / "demo", SMALL)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        assert seen[name] == str(tmp_path / "demo" / name)
    assert dict(os.environ)["nnUNet_results"] == "/the/users/own"
