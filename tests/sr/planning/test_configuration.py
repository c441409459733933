"""What is planned for thick slices, against the planner of the host."""

import json

import pytest
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

from acnn_nnunet.sr.planning import configuration
from acnn_nnunet.sr.planning.command import PlanHROptions, plan_hr


@pytest.mark.parametrize(("num_training", "batch_size"), [(1000, 22), (100, 5), (10, 2)])
def test_a_batch_is_at_most_five_percent_of_the_dataset_and_at_least_two(plans, num_training, batch_size):
    plans.dataset["numTraining"] = num_training
    plans.write()
    plan_hr("5", PlanHROptions(factor=4))
    assert plans.written("3d_hr_x4")["batch_size"] == batch_size


def test_memory_is_the_hosts_estimate_with_any_number_of_loader_workers(plans, monkeypatch):
    architecture = plans.content["configurations"]["3d_fullres"]["architecture"]
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    expected = ExperimentPlanner.static_estimate_VRAM_usage(
        (16, 16, 16), 1, 3, architecture["network_class_name"], architecture["arch_kwargs"], ("conv_op",)
    )
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")  # as many threads, to the host
    assert configuration._memory([16, 16, 16], (1, 3), architecture) == expected
    assert "wrote configuration 3d_hr_x4" in plan_hr("5", PlanHROptions(factor=4)).text


def test_the_hosts_limits(plans, tmp_path):
    raw = tmp_path / "nnUNet_raw" / "Dataset005_Toy"
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True)
    (raw / "dataset.json").write_text(json.dumps(plans.dataset))
    (plans.file.parent / "dataset_fingerprint.json").write_text("{}")
    planner = ExperimentPlanner(5)
    assert planner.UNet_featuremap_min_edge_length == configuration.MIN_EDGE
    assert planner.UNet_min_batch_size == configuration.MIN_BATCH_SIZE
    assert planner.max_dataset_covered == configuration.MAX_DATASET_SHARE
