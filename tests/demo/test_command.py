import json
import os
import re
import sys

import numpy as np
import pytest

from acnn_nnunet.demo import command as demo
from acnn_nnunet.demo.command import Step, dice_table, draw_slices, find_program, plan_steps, run_demo, run_step


@pytest.fixture
def small_demo(monkeypatch):
    monkeypatch.setattr(demo, "NUM_TRAIN", 1)
    monkeypatch.setattr(demo, "NUM_TEST", 1)


def _command(tmp_path, name, script):
    """Write an executable of that name and return its folder."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    return folder


def _write_summary(path, dice):
    path.write_text(json.dumps({"mean": {str(label): {"Dice": value} for label, value in dice.items()}}))
    return path


def test_foreign_folder_is_refused_and_left_alone(tmp_path):
    treasure = tmp_path / "nnUNet_raw" / "mine.txt"
    treasure.parent.mkdir()
    treasure.write_text("years of work")
    with pytest.raises(ValueError, match="is not empty and no demo wrote it; name another folder with -o"):
        run_demo(tmp_path, device="cpu")
    assert treasure.read_text() == "years of work"


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "demo").write_text("")
    with pytest.raises(ValueError, match="is a file; name a folder"):
        run_demo(tmp_path / "demo", device="cpu")


def test_former_demo_is_replaced_and_other_files_stay(tmp_path, monkeypatch, small_demo):
    def fail(*_):
        raise RuntimeError("the first command")

    monkeypatch.setattr(demo, "_run_steps", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the first command"):
            run_demo(tmp_path / "demo", device="cpu")
        (tmp_path / "demo" / "logs" / "old.log").write_text("old")
        (tmp_path / "demo" / "notes.txt").write_text("mine")
    with pytest.raises(RuntimeError, match="the first command"):
        run_demo(tmp_path / "demo", device="cpu")
    assert not (tmp_path / "demo" / "logs" / "old.log").exists()
    assert (tmp_path / "demo" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "demo" / "nnUNet_raw" / "Dataset999_PhantomHeart" / "dataset.json").exists()


def test_commands_run_in_the_demo_s_own_folders(tmp_path, monkeypatch, small_demo):
    monkeypatch.setenv("nnUNet_results", "/the/users/own")
    seen = {}

    def look(steps, logs, environment):
        seen.update(environment)
        raise RuntimeError("enough")

    monkeypatch.setattr(demo, "_run_steps", look)
    with pytest.raises(RuntimeError, match="enough"):
        run_demo(tmp_path / "demo", device="cpu")
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        assert seen[name] == str(tmp_path / "demo" / name)
    assert dict(os.environ)["nnUNet_results"] == "/the/users/own"


def test_steps_train_the_prior_first_and_predict_both_arms(tmp_path):
    lines = [step.command for step in plan_steps(tmp_path / "a b", tmp_path / "a b" / "raw", device="mps")]
    assert lines[0].startswith("nnUNetv2_plan_and_preprocess -d 999 -c 3d_fullres")
    assert lines[3] == "nnUNetv2_train 999 3d_fullres_demo 0 -tr ShapePriorTrainer -device mps"
    assert "nnUNetv2_train 999 3d_fullres_demo 0 -tr ACNNTrainer -device mps" in lines
    assert "nnUNetv2_train 999 3d_fullres_demo_noprior 0 -tr ACNNTrainer -device mps" in lines
    assert sum(line.startswith("nnUNetv2_predict") for line in lines) == 2
    assert (
        lines[4]
        == f"acnn-nnunet prior-report 999 3d_fullres_demo 0 -o '{tmp_path / 'a b' / 'prior_report'}' -device mps"
    )
    predicted = f"'{tmp_path / 'a b' / 'predictions' / 'with_prior'}'"
    assert sum(predicted in line for line in lines) == 2
    evaluations = [f"{arm}='{tmp_path / 'a b' / 'evaluations' / arm}'" for arm in ("without_prior", "with_prior")]
    assert lines[-1] == f"acnn-nnunet compare {' '.join(evaluations)} -o '{tmp_path / 'a b' / 'comparison'}'"


def test_failing_command_becomes_one_sentence(tmp_path, monkeypatch):
    script = "import sys\nprint('Epoch 0\\nRuntimeError: no prior for fold 0\\n', flush=True)\nsys.exit(3)"
    monkeypatch.setenv("PATH", str(_command(tmp_path, "nnUNetv2_break", script)))
    step = Step("learn the shape prior", "train_prior", "nnUNetv2_break 999 0")
    with pytest.raises(RuntimeError) as raised:
        run_step(step, tmp_path / "04.log", dict(os.environ), while_waiting=lambda: None)
    assert str(raised.value) == (
        "the step 'learn the shape prior' failed (nnUNetv2_break ended with 3; the last line of "
        f"{tmp_path / '04.log'}: RuntimeError: no prior for fold 0)"
    )


def test_silent_failure_is_told_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(_command(tmp_path, "nnUNetv2_break", "raise SystemExit(1)")))
    with pytest.raises(RuntimeError, match=r"ended with 1; .* it is empty"):
        run_step(Step("x", "x", "nnUNetv2_break"), tmp_path / "x.log", dict(os.environ), while_waiting=lambda: None)


def test_succeeding_command_gets_its_words_and_environment(tmp_path, monkeypatch):
    script = "import os, sys\nprint(sys.argv[1:], os.environ['nnUNet_raw'])"
    monkeypatch.setenv("PATH", str(_command(tmp_path, "nnUNetv2_echo", script)))
    environment = {**os.environ, "nnUNet_raw": "/raw"}
    step = Step("x", "x", "nnUNetv2_echo -d 999 'a b'")
    run_step(step, tmp_path / "x.log", environment, while_waiting=lambda: None)
    assert (tmp_path / "x.log").read_text() == "['-d', '999', 'a b'] /raw\n"


def test_missing_command_says_how_to_get_it():
    with pytest.raises(RuntimeError, match=r"the command nnUNetv2_nowhere is neither beside .* pip install"):
        find_program("nnUNetv2_nowhere")


def test_programs_beside_the_interpreter_come_first(tmp_path, monkeypatch):
    folder = _command(tmp_path, "nnUNetv2_train", "")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    assert find_program("nnUNetv2_train") == str(folder / "nnUNetv2_train")


def test_table_shows_the_summaries_as_they_are(tmp_path):
    without_prior = _write_summary(tmp_path / "a.json", {1: 0.5, 2: 0.61239, 3: 0.9})
    with_prior = _write_summary(tmp_path / "b.json", {1: 0.4, 2: float("nan"), 3: 1.0})
    assert dice_table(without_prior=without_prior, with_prior=with_prior).splitlines() == [
        "mean Dice   without prior     with prior",
        "RV                  0.500          0.400",
        "MYO                 0.612            nan",
        "LV                  0.900          1.000",
    ]


def test_page_holds_the_pages_of_the_commands_and_asks_for_no_file(tmp_path):
    for folder in ("comparison", "prior_report", "evaluations/with_prior", "evaluations/without_prior"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "report.html").write_text(f'<p title="{folder}">a < b</p>')
    (tmp_path / "demo.png").write_bytes(b"\x89PNG")
    page = demo._write_page(tmp_path, [Step("x", "x", "nnUNetv2_train 999")], tmp_path / "demo.png").read_text()
    assert page.count("<iframe") == 4
    # Inside srcdoc="…" the quotes of the framed page have to be written as references.
    assert "&lt;p title=&#34;prior_report&#34;&gt;a &lt; b&lt;/p&gt;" in page
    assert "$ nnUNetv2_train 999" in page
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)


def test_picture_is_written(tmp_path):
    image, label = np.zeros((8, 8)), np.arange(64).reshape(8, 8) % 4
    rows = [("one", [(image, None), (image, label)]), ("empty", [(image, None), (image, np.zeros((8, 8), int))])]
    path = draw_slices(tmp_path / "p.png", rows, column_titles=("image", "label"), title="what it is")
    assert path.read_bytes().startswith(b"\x89PNG")
