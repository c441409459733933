"""Shared options, and options objects filled from parsed words."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from acnn_nnunet.commands.options import (
    add_model,
    add_num_processes,
    add_output,
    add_prior,
    num_processes,
    options_from,
)


@dataclass(frozen=True)
class Options:
    factor: int
    axis: int | None = None
    seed: int = 7


def test_fields_come_from_the_arguments_the_others_or_their_default():
    arguments = argparse.Namespace(factor=5, axis=2, output=Path("out"), run=None)
    assert options_from(Options, arguments) == Options(5, 2, 7)
    assert options_from(Options, arguments, axis=0, seed=1) == Options(5, 0, 1)


def test_a_field_that_nothing_names():
    with pytest.raises(TypeError, match="factor"):
        options_from(Options, argparse.Namespace(axis=2))


def test_output_is_required_unless_it_has_a_default(capsys):
    required, optional = argparse.ArgumentParser(), argparse.ArgumentParser()
    add_output(required)
    add_output(optional, default=Path("there"))
    assert optional.parse_args([]).output == Path("there")
    assert required.parse_args(["-o", "here"]).output == Path("here")
    with pytest.raises(SystemExit):
        required.parse_args([])
    assert "required: -o" in capsys.readouterr().err


def test_processes_as_given():
    parser = argparse.ArgumentParser()
    add_num_processes(parser)
    assert num_processes(parser.parse_args(["-np", "3"])) == 3


def test_processes_by_default_are_the_hosts(monkeypatch):
    monkeypatch.setattr("nnunetv2.configuration.default_num_processes", 11)
    assert num_processes(argparse.Namespace(num_processes=None)) == 11


def test_a_model_and_a_prior_are_named_alike():
    model, prior = argparse.ArgumentParser(), argparse.ArgumentParser()
    add_model(model, required=True, configuration="which")
    add_prior(prior)
    words = ["-d", "4", "-c", "3d_fullres", "-p", "Other", "-device", "mps"]
    for parser in (model, prior):
        arguments = parser.parse_args(words)
        assert (arguments.dataset, arguments.configuration) == ("4", "3d_fullres")
        assert (arguments.plans_identifier, arguments.device) == ("Other", "mps")
    assert model.parse_args(words).checkpoint_name == "checkpoint_final.pth"
    assert prior.parse_args([]).plans_identifier == "nnUNetPlans"
