"""nnU-Net's commands, found without an activated environment."""

import sys

import pytest

from acnn_nnunet.nnunet.programs import find_program


def test_missing_command_says_how_to_get_it():
    with pytest.raises(RuntimeError, match=r"the command nnUNetv2_nowhere is neither beside .* pip install"):
        find_program("nnUNetv2_nowhere")


def test_programs_beside_the_interpreter_come_first(tmp_path, monkeypatch):
    program = tmp_path / "nnUNetv2_train"
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert find_program("nnUNetv2_train") == str(program)
