"""Measure on a GPU what docs/evidence/results.md has from CPUs: the prior's cost in training, and speed in LR space.

    python -m scripts.benchmarks.device --out device_check.json [--seconds 300] [--tests junit.xml]

Needs no data: it trains on phantoms. Parts run in processes of their own until the time is up; a part that fails or
comes too late is named in the JSON, and the others go on. `--prepare FOLDER` only writes and preprocesses the phantoms
that `--workspace FOLDER` takes. `scripts/device_check.sh` runs all of it, with the tests marked `cuda`.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.nnunet.startup import SHIM_FOLDER
from scripts.benchmarks.timed_trainers import (
    Arm,
    Subject,
    compare,
    describe_machine,
    interleaved_predictions,
    interleaved_steps,
    make_trainer,
    peak_memory_of_steps,
)

DATASET_ID, DATASET, CONFIGURATION = 78, "Dataset078_PhantomHeart", "3d_fullres"
ARMS: dict[str, Arm] = {
    "stock": ("nnUNetTrainer", {}),
    "acnn": ("ACNNTrainer", {"cpu_autocast": False, "hidden_parts": 0.5, "prior_warm_up": 0.0}),
}


@dataclass(frozen=True)
class Sizes:
    """How large the work is.

    Attributes:
        shape, spacing_mm: of the phantoms, and so of the patch.
        batch_size: of the trainings.
        features: of the first scale of the network; each scale has twice as many, up to eight times.
        steps: timed steps of each arm.
        stack: thick-slice stack (Z, Y, X) of the super-resolution.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    batch_size: int
    features: int
    steps: int
    stack: tuple[int, int, int]


# The patch and batch that nnU-Net plans for hippocampi, and the paper's stack.
USUAL = Sizes((40, 56, 40), (3.0, 3.0, 3.0), 9, 32, 40, (12, 120, 120))
TINY = Sizes((16, 40, 40), (7.5, 3.2, 3.2), 2, 4, 2, (4, 8, 16))


def main() -> None:
    """Measure what the time is enough for, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("device_check.json"))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--seconds", type=float, default=300, help="after which no part goes on")
    parser.add_argument("--workspace", type=Path, help="folder of --prepare")
    parser.add_argument("--prepare", type=Path, metavar="FOLDER", help="only write the phantoms")
    parser.add_argument("--tests", type=Path, help="pytest's JUnit file, whose outcome goes into the JSON")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the script")
    arguments = parser.parse_args()
    sizes = TINY if arguments.tiny else USUAL
    if arguments.prepare is not None:
        prepare(arguments.prepare, sizes)
        return
    deadline = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as temporary:
        workspace = arguments.workspace or prepare(Path(temporary), sizes)
        content = measure(workspace, arguments.device, sizes, deadline=deadline)
    if arguments.tests is not None:
        content["tests"] = read_junit(arguments.tests)
    write_json(arguments.out, content)
    print(f"== device check\n{summarise(content)}")
    print(f"written to {arguments.out}")
    sys.exit(1 if failures(content) else 0)


def prepare(folder: Path, sizes: Sizes) -> Path:
    """Write phantoms, let the host plan and preprocess them, set network and batch; return the folder."""
    from acnn_nnunet.demo.phantom import write_dataset

    write_dataset(
        folder / "nnUNet_raw",
        DATASET_ID,
        num_train=10,
        num_test=0,
        seed=0,
        shape=sizes.shape,
        spacing_mm=sizes.spacing_mm,
    )
    script = (
        "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry as f; f()"
    )
    words = ["-d", str(DATASET_ID), "-c", CONFIGURATION, "-np", "2", "-npfp", "2"]
    environment = {**os.environ, **host_folders(folder), "nnUNet_n_proc_DA": "1"}
    done = subprocess.run([sys.executable, "-c", script, *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nnUNetv2_plan_and_preprocess failed on the phantoms: {done.stderr[-2000:]}")
    plans_file = folder / "nnUNet_preprocessed" / DATASET / "nnUNetPlans.json"
    plans = json.loads(plans_file.read_text())
    configuration = plans["configurations"][CONFIGURATION]
    configuration["batch_size"] = sizes.batch_size
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [sizes.features * min(2**i, 8) for i in range(arguments["n_stages"])]
    write_json(plans_file, plans)
    return folder


def host_folders(workspace: Path) -> dict[str, str]:
    """Return nnU-Net's three folders, and where it finds our trainers if the package is not installed."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    return {**{name: str(workspace / name) for name in names}, "nnUNet_extTrainer": SHIM_FOLDER}


def measure(workspace: Path, device: str, sizes: Sizes, *, deadline: float) -> dict[str, Any]:
    """Return the parts' results, the machine and the seconds that each part took."""
    os.environ.update(host_folders(workspace))
    content: dict[str, Any] = {
        "machine": in_process(describe_machine, device, seconds=120),
        "sizes": dataclasses.asdict(sizes),
    }
    parts: dict[str, Callable] = {"eager": measure_eager, "super_resolution": measure_super_resolution}
    if device == "cuda":  # the only device that the host compiles for
        parts["compiled"] = measure_compiled
    for name, part in parts.items():
        start = time.monotonic()
        try:
            content[name] = in_process(part, str(workspace), device, sizes, seconds=deadline - start)
        except TimeoutError:
            content[name] = {"skipped": "the time was up"}
        except RuntimeError as error:
            content[name] = {"failed": str(error)[:2000]}
        content[name]["part_s"] = time.monotonic() - start
    return content


def measure_eager(workspace: str, device: str, sizes: Sizes) -> dict[str, Any]:
    """Compare steps, their peak memory, and predictions of both trainers without torch.compile."""
    subject = subject_of(Path(workspace), device)
    memory = {name: peak_memory_of_steps(subject, *arm) for name, arm in ARMS.items()}
    steps = interleaved_steps(subject, ARMS, sizes.steps, warm_up=5)
    predictions = interleaved_predictions(subject, sizes.shape, max(3, sizes.steps // 4))
    parameters = {
        name: sum(p.numel() for p in make_trainer(subject, *arm).network.parameters()) for name, arm in ARMS.items()
    }
    return {
        "steps": compare(steps),
        "memory": {"peak_mib": memory, "ratio_acnn_to_stock": memory["acnn"] / memory["stock"]},
        "prediction": compare(predictions),
        "parameters": parameters,
    }


def measure_compiled(workspace: str, device: str, sizes: Sizes) -> dict[str, Any]:
    """Compare steps of both trainers as the host runs them on a GPU: compiled."""
    subject = subject_of(Path(workspace), device)
    return {"steps": compare(interleaved_steps(subject, ARMS, sizes.steps, warm_up=8, compiled=True))}


def measure_super_resolution(workspace: str, device: str, sizes: Sizes) -> dict[str, Any]:
    """Compare networks that work in LR space with those that work in HR space."""
    from scripts.benchmarks import sr

    names = (sr.SR, sr.SR_CNN, sr.SUB_PIXEL, sr.U_NET)
    threads = os.cpu_count() or 1
    seconds = sr.interleaved_seconds(names, sizes.stack, device, max(3, sizes.steps // 4), threads)
    memory = {name: sr.peak_memory_mib(name, sizes.stack, device, threads) for name in names}
    ratios = {
        title: {
            **compare(seconds, slow, fast),
            "memory_ratio": memory[slow] / memory[fast] if memory[fast] else None,
            "target": target,
        }
        for title, (slow, fast, target) in sr.TARGETS.items()
    }
    return {**ratios, "peak_memory_mib": memory}


def subject_of(workspace: Path, device: str) -> Subject:
    """Return the phantoms' configuration with an untrained prior, which costs as much as a trained one."""
    import torch

    path = workspace / "prior.pth"
    if not path.is_file():
        trainer = make_trainer(Subject(DATASET, CONFIGURATION, "none", device), "ShapePriorTrainer", {"seed": 0})
        for _ in range(10):  # batch statistics as after some training
            maps = torch.rand(2, trainer.labels.num_channels, *trainer.grid.size, device=trainer.device).round()
            trainer.network.encoder(maps)
        trainer.spec = dataclasses.replace(trainer.spec, complete=True)
        trainer.save_checkpoint(str(path))
    return Subject(DATASET, CONFIGURATION, str(path), device)


def read_junit(path: Path) -> dict[str, Any]:
    """Return how many tests passed and were skipped, the names of those that failed, and the seconds they all took."""
    if not path.is_file():
        return {"failed": ["no test has ended: the tests were stopped or could not start"]}
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    return {
        "passed": len(cases) - len(failed) - len(skipped),
        "skipped": len(skipped),
        "failed": [f"{case.get('classname')}::{case.get('name')}" for case in failed],
        "seconds": sum(float(case.get("time", 0)) for case in cases),
    }


def failures(content: dict[str, Any]) -> list[str]:
    """Return the names of tests and parts that failed; a part for which the time was too short did not."""
    parts = [name for name, part in content.items() if isinstance(part, dict) and isinstance(part.get("failed"), str)]
    return [*content.get("tests", {}).get("failed", []), *parts]


def summarise(content: dict[str, Any]) -> str:
    """Return the ratios with the targets of docs/evidence/results.md, a line each."""
    lines = [content["machine"].get("gpu", content["machine"]["cpu"])]
    if tests := content.get("tests"):
        lines.append(f"tests: {tests.get('passed', 0)} passed, {tests.get('skipped', 0)} skipped")
    for name, unit in (("eager", "without"), ("compiled", "with")):
        if steps := content.get(name, {}).get("steps"):
            lines.append(f"step ACNN / stock {unit} compile: {steps['ratio_acnn_to_stock']:.3f} (target ≤ 1.08)")
    for name in ("memory", "prediction"):
        if part := content.get("eager", {}).get(name):
            lines.append(f"{name} ACNN / stock: {part['ratio_acnn_to_stock']:.3f}")
    for title, part in content.get("super_resolution", {}).items():
        if isinstance(part, dict) and "target" in part:
            (ratio,) = (value for key, value in part.items() if key.startswith("ratio_") and isinstance(value, float))
            published = "; 4.8 in the paper, on a GTX-1080" if title == "SR-CNN / ACNN-SR" else ""
            lines.append(f"{title}: {ratio:.2f} (target ≥ {part['target']}{published})")
    for name, part in content.items():
        if isinstance(part, dict) and isinstance(word := part.get("failed", part.get("skipped")), str):
            lines.append(f"{name}: {'failed' if 'failed' in part else 'skipped'}: {word}")
    return "\n".join([*lines, *(f"FAILED {name}" for name in failures(content))])


def in_process(function: Callable, *arguments: Any, seconds: float) -> Any:
    """Run a function in a spawned process of its own, which may have children: compilers do.

    Raises:
        TimeoutError: after so many seconds; the process is ended.
        RuntimeError: with the error of the function, or if its process died.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(max(0.0, seconds)):
            raise TimeoutError(f"{function.__name__} took more than {seconds:.0f} s")
        result, error = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the process of {function.__name__} died with exit code {process.exitcode}") from None
    finally:
        process.join(2)
        process.kill()
    if error:
        raise RuntimeError(error)
    return result


def _send_result(sender: Connection, function: Callable, arguments: tuple) -> None:
    try:
        sender.send((function(*arguments), ""))
    except Exception as error:
        traceback.print_exc()
        sender.send((None, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
