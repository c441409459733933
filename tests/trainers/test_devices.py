"""The trainers on every device: steps, moved checkpoints, compiled networks, one process of a distributed training.

The CPU shows that these tests run; `scripts/device_check.sh` runs them on a GPU.
"""

import copy
import functools
import os

import numpy as np
import pytest
import torch
from started_trainers import start, steps
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from acnn_nnunet.shape_prior.prior_file import load_prior
from acnn_nnunet.trainers import ACNNSRTrainer, ACNNSubPixelSegTrainer, ACNNTrainer, ShapePriorTrainer
from scripts.benchmarks.timed_trainers import (
    Subject,
    interleaved_batches,
    interleaved_predictions,
    interleaved_steps,
    peak_memory_of_steps,
)

NUM_STEPS = {"cpu": 2, "cuda": 20}
# What ShapePriorTrainer draws on the device is another draw on another device.
BLOCK = {"prior_warm_up": 0, "label_swap_probability": 0, "input_noise": 0}
THICK_SLICES = (ACNNSubPixelSegTrainer, ACNNSRTrainer)
only_slowly_on_the_cpu = pytest.mark.parametrize(
    "device",
    [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.cuda)],
    indirect=True,
)


@pytest.fixture
def make_started(make_trainer, make_prior, request):
    """Return a function that builds a trainer on a device, with its prior, ready for steps."""

    def make(trainer_class, device, block=BLOCK):
        configuration = request.getfixturevalue("hr_configuration") if trainer_class in THICK_SLICES else "3d_fullres"
        if trainer_class is not ShapePriorTrainer:
            path = make_prior(configuration=configuration)
            checkpoint = torch.load(path, weights_only=True)
            checkpoint["shape_prior"]["stage"] = "joint"  # as if its predictor were trained, for super-resolution
            torch.save(checkpoint, path)
        return start(make_trainer(trainer_class, configuration=configuration, block=block, device=device))

    return make


@pytest.mark.parametrize("trainer_class", [ShapePriorTrainer, ACNNTrainer, *THICK_SLICES])
def test_steps_begin_as_on_the_cpu_and_go_on(trainer_class, device, make_started):
    (expected,) = steps(make_started(trainer_class, "cpu"), 1)
    trainer = make_started(trainer_class, device)
    before = copy.deepcopy(trainer.network.state_dict())

    losses = steps(trainer, NUM_STEPS[device.type])

    # The same weights and batch; the host's autocast on a GPU is float16.
    assert losses[0] == pytest.approx(expected, rel=0.02, abs=0.02)
    assert np.isfinite(losses).all()
    after = trainer.network.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in after.items())
    assert all(torch.isfinite(value).all() for value in after.values())
    assert {parameter.device.type for parameter in trainer.network.parameters()} == {device.type}
    if trainer_class is not ShapePriorTrainer:
        assert trainer.loss.take_statistics()["gradient_ratio"] == pytest.approx(0.3, rel=1e-2)


@pytest.mark.parametrize("trainer_class", [ShapePriorTrainer, ACNNTrainer])
def test_a_checkpoint_goes_to_another_device_and_back(trainer_class, device, make_started, tmp_path):
    first = make_started(trainer_class, device)
    steps(first, 1)
    for number, there in enumerate(("cpu", device)):
        file = str(tmp_path / f"{number}.pth")
        first.save_checkpoint(file)
        second = make_started(trainer_class, there)
        second.load_checkpoint(file)
        for name, value in first.network.state_dict().items():
            assert torch.equal(second.network.state_dict()[name].cpu(), value.cpu())
        assert np.isfinite(steps(second, 1)).all()
        first = second


def test_a_prior_made_on_the_cpu_gives_the_same_codes(device, make_prior):
    path = make_prior()
    there, here = load_prior(path, device=device).network, load_prior(path).network
    maps = torch.rand(2, 4, *load_prior(path).spec.grid_size).round()

    with torch.inference_mode():
        torch.testing.assert_close(there.encoder(maps.to(device)).cpu(), here.encoder(maps), rtol=1e-3, atol=1e-3)


@only_slowly_on_the_cpu
# Dynamo looks at .grad of the graph's inputs while it traces, whoever they belong to.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_network_and_loss_take_the_same_steps(device, make_started, monkeypatch):
    plain = steps(make_started(ACNNTrainer, device), 3)
    monkeypatch.setenv("nnUNet_compile", "true")
    if device.type == "cpu":  # where the host never compiles: Dynamo's graphs, without a compiler behind them
        monkeypatch.setattr(ACNNTrainer, "_do_i_compile", lambda self: True)
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    trainer = make_started(ACNNTrainer, device)
    assert isinstance(trainer.network, torch._dynamo.OptimizedModule)

    assert steps(trainer, 3) == pytest.approx(plain, rel=0.02, abs=0.02)


@pytest.mark.parametrize("deep_supervision", [True, False])
def test_one_process_of_a_distributed_training_takes_the_same_steps(
    device, make_started, make_trainer, monkeypatch, free_port, deep_supervision
):
    """NCCL on a GPU. On the CPU, for which the host has no distributed training, Gloo and two detours."""
    block = {**BLOCK, "deep_supervision": deep_supervision}
    alone = steps(make_started(ACNNTrainer, device, block), 3)
    make = functools.partial(make_trainer, ACNNTrainer, block=block, device=device)
    trainer = make() if device.type == "cpu" else None  # later it would take a GPU
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"tcp://127.0.0.1:{free_port}", rank=0, world_size=1)
    try:
        if trainer is None:
            trainer = make()
        else:
            trainer.is_ddp = True
            monkeypatch.setattr(
                "nnunetv2.training.nnUNetTrainer.nnUNetTrainer.DDP",
                lambda network, device_ids: DistributedDataParallel(network),
            )
        start(trainer)
        assert isinstance(trainer.network, DistributedDataParallel)
        assert steps(trainer, 3) == pytest.approx(alone, rel=0.02, abs=0.02)
    finally:
        dist.destroy_process_group()


# The host's predictor imports what torchvision and PyTorch have deprecated.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_trainers_are_timed_in_turns(make_prior, device, monkeypatch):
    """What `scripts/benchmarks` measures of them."""
    for name in ("nnUNet_n_proc_DA", "nnUNet_compile", "nnUNet_results"):
        monkeypatch.setenv(name, os.environ[name])  # which the benchmark sets in a process of its own
    subject = Subject("Dataset077_PhantomHeart", "3d_fullres", str(make_prior()), device.type)
    arms = {"stock": ("nnUNetTrainer", {}), "acnn": ("ACNNTrainer", {"cpu_autocast": False, "hidden_parts": "auto"})}

    assert {name: len(values) for name, values in interleaved_steps(subject, arms, 2).items()} == {
        "stock": 2,
        "acnn": 2,
    }
    assert min(interleaved_batches(subject, arms, 1)["acnn"]) > 0
    assert min(interleaved_predictions(subject, (16, 16, 16), 1)["stock"]) > 0
    assert peak_memory_of_steps(subject, *arms["acnn"]) > 0
