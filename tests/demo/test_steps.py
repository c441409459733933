import os
import sys

import pytest

from acnn_nnunet.demo.steps import Step, plan_steps, run_step


def _command(tmp_path, name, script):
    """Write an executable of that name and return its folder."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(0o755)
    return folder


def test_steps_train_the_prior_first_and_predict_both_arms(tmp_path):
    lines = [step.command for step in plan_steps(tmp_path / "a b", tmp_path / "a b" / "raw", device="mps")]
    assert lines[0].startswith("nnUNet_n_proc_DA=1 nnUNetv2_plan_and_preprocess -d 999 -c 3d_fullres")
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


def test_the_arms_differ_in_the_prior_alone(tmp_path):
    lines = [step.command for step in plan_steps(tmp_path, tmp_path / "raw", device="cpu")]
    # What one arm's own lines say, with the arm's own names taken out, is what the other's say.
    with_prior = [line.replace("_demo_noprior", "_demo").replace("without_prior", "with_prior") for line in lines[8:11]]
    assert lines[5:8] == with_prior
    assert lines[1].endswith("seed=0 mirroring=false")
    assert lines[2] == "acnn-nnunet configure 999 -c 3d_fullres_demo -n 3d_fullres_demo_noprior prior_weight=0"


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


def test_a_variable_in_front_of_a_command_is_for_that_command(tmp_path, monkeypatch):
    script = "import os, sys\nprint(sys.argv[1:], os.environ['nnUNet_n_proc_DA'])"
    monkeypatch.setenv("PATH", str(_command(tmp_path, "nnUNetv2_echo", script)))
    environment = {**os.environ, "nnUNet_n_proc_DA": "0"}
    step = Step("x", "x", "nnUNet_n_proc_DA=1 nnUNetv2_echo -n name=value")
    run_step(step, tmp_path / "x.log", environment, while_waiting=lambda: None)
    assert (tmp_path / "x.log").read_text() == "['-n', 'name=value'] 1\n"
    assert environment["nnUNet_n_proc_DA"] == "0"
