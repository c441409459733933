"""The command line: every --help at once, a mistake in one line, key=value words wherever they stand."""

import subprocess
import sys

import pytest

from acnn_nnunet import __version__
from acnn_nnunet.cli import main

COMMANDS = (
    *("doctor", "env", "demo", "configure", "prior-report", "export-stock"),
    *("evaluate", "merge", "evaluate-sr", "compare", "reader-study", "reader-scores", "convert", "submit"),
    *("plan-hr", "degrade", "predict-hr"),
    *("codes", "latent-report", "classify", "plausibility", "refine"),
)


HEAVY = ("torch", "pandas", "SimpleITK", "matplotlib", "scipy", "nnunetv2", "numpy")


def test_every_help_answers_and_loads_nothing_heavy():
    script = f"""
import contextlib, io, sys
from acnn_nnunet.cli import main
for command in {COMMANDS}:
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        main([command, "--help"])
    assert shown.getvalue().startswith("usage: acnn-nnunet " + command), command
print([name for name in {HEAVY} if name in sys.modules])
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"


def test_the_commands_of_the_design(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"    {command} " in shown or f"    {command}\n" in shown for command in COMMANDS)


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"acnn-nnunet {__version__}\n"


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (ValueError("it is wrong."), "acnn-nnunet env: it is wrong.\n", 1),
        (OSError("it is full."), "acnn-nnunet env: it is full.\n", 1),
        (KeyboardInterrupt(), "acnn-nnunet env: interrupted\n", 130),
    ],
)
def test_a_mistake_is_one_line(monkeypatch, capsys, error, line, code):
    def fail():
        raise error

    monkeypatch.setattr("acnn_nnunet.nnunet.registration.export_line", fail)
    assert main(["env"]) == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("code", [0, 1])
def test_text_is_printed_and_the_exit_code_passed_on(monkeypatch, capsys, code):
    monkeypatch.setattr("acnn_nnunet.commands.training._env", lambda arguments: ("what was done", code))
    assert main(["env"]) == code
    assert capsys.readouterr().out == "what was done\n"


def test_settings_stand_before_and_after_the_options(monkeypatch):
    seen = []

    def configure(arguments):
        seen.append(arguments)
        return "", 0

    monkeypatch.setattr("acnn_nnunet.commands.training._configure", configure)
    main(["configure", "4", "num_epochs=3", "-c", "3d_fullres", "-n", "quick", "seed=1"])
    assert seen[0].settings == ["num_epochs=3", "seed=1"]


def test_an_unknown_option_is_no_setting(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["configure", "4", "-c", "3d_fullres", "-n", "quick", "seed=1", "--loud"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --loud" in capsys.readouterr().err
