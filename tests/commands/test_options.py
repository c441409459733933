"""Shared options, and options objects filled from parsed words."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from acnn_nnunet.casewise.execution import Execution, Scheduler
from acnn_nnunet.commands.options import (
    add_dataset,
    add_device,
    add_execution,
    add_model,
    add_output,
    add_plans,
    add_prior,
    add_rules,
    execution_of,
    num_processes,
    options_from,
    prior_of,
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
    add_execution(parser)
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


def test_the_dataset_has_to_be_named(capsys):
    parser = argparse.ArgumentParser()
    add_dataset(parser)

    assert parser.parse_args(["004"]).dataset == "004"
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "required: dataset" in capsys.readouterr().err


def test_plans_are_the_hosts_own_by_default():
    parser = argparse.ArgumentParser()
    add_plans(parser)

    assert parser.parse_args([]).plans_identifier == "nnUNetPlans"
    assert parser.parse_args(["-p", "Other"]).plans_identifier == "Other"


def test_a_device_is_one_that_nnunet_knows(capsys):
    parser = argparse.ArgumentParser()
    add_device(parser, default="cpu")

    assert parser.parse_args([]).device == "cpu"
    with pytest.raises(SystemExit):
        parser.parse_args(["-device", "cuda:1"])
    assert "invalid choice: 'cuda:1'" in capsys.readouterr().err


def test_a_prior_is_the_file_that_the_words_name():
    parser = argparse.ArgumentParser()
    add_prior(parser)

    assert prior_of(parser.parse_args(["--prior", "a.pth"])) == Path("a.pth")
    with pytest.raises(ValueError, match=r"--prior names the prior: leave out -d"):
        prior_of(parser.parse_args(["--prior", "a.pth", "-d", "4"]))


def execution_by(words):
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("--members", nargs="+", type=Path)
    add_rules(parser)
    add_execution(parser, num_processes=1, also="--continue_prediction")
    arguments = parser.parse_args(words.split())
    return execution_of(arguments), arguments


def test_where_the_cases_are_done():
    execution, arguments = execution_by("in -np 3 --continue_prediction -num_parts 4 -part_id 2")
    assert execution == Execution(num_processes=3, num_parts=4, part_id=2, go_on=True)
    assert arguments.source == Path("in")


def test_paths_are_absolute_for_the_workers_of_a_cluster():
    execution, arguments = execution_by("in --members a b --scheduler 127.0.0.1:8786")
    assert execution.scheduler == Scheduler("127.0.0.1:8786")
    assert arguments.source == Path.cwd() / "in"
    assert arguments.members == [Path.cwd() / "a", Path.cwd() / "b"]


def test_a_set_of_rules_is_no_path():
    assert execution_by("in --rules acdc --scheduler 127.0.0.1:8786")[1].rules_file == Path("acdc")
    assert execution_by("in --rules a.json --scheduler 127.0.0.1:8786")[1].rules_file == Path.cwd() / "a.json"


def test_certificates_go_with_a_scheduler(tmp_path):
    with pytest.raises(ValueError, match="--insecure and --tls-… go with --scheduler"):
        execution_by("in --insecure")
    with pytest.raises(ValueError, match=r"tls://10\.0\.0\.1:1 needs --tls-ca-file, --tls-cert and --tls-key"):
        execution_by("in --scheduler tls://10.0.0.1:1")
    for name in "abc":
        (tmp_path / name).touch()
    tls = f"--tls-ca-file {tmp_path}/a --tls-cert {tmp_path}/b --tls-key {tmp_path}/c"
    execution, _ = execution_by(f"in --scheduler tls://10.0.0.1:1 {tls}")
    assert execution.scheduler == Scheduler("tls://10.0.0.1:1", False, *(tmp_path / name for name in "abc"))
