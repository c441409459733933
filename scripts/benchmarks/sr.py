"""Measure what working in LR space saves: time and peak memory of inference, against networks that work in HR space.

    python -m scripts.benchmarks.sr [--results benchmarks/sr] [--device cpu] [--threads 2]
    python -m scripts.benchmarks.sr --table                     # Markdown, from the JSON of all devices

Super-resolution: `SubPixelUNet` at `FIGURE_2` (ACNN-SR at inference) against `SRCNN`. Segmentation: the same network
with three classes against a 3D U-Net (nnU-Net's `PlainConvUNet`) on the linearly interpolated stack, interpolation
included. All have the same number of parameters, float32, one stack at a time: 120×120×12 → 120×120×60 (paper) and
stacks of twice and four times that area. Networks take turns in one process, so that a drifting machine slows all of
them alike; memory is that of a process of its own. A size's JSON entry that is there is not measured again.
"""

import argparse
import bisect
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.sr.network import FIGURE_2, SubPixelUNet
from acnn_nnunet.sr.srcnn import SRCNN, features_for
from acnn_nnunet.sr.upsampling import interpolate_slices

RESULTS = Path(__file__).parents[2] / "benchmarks" / "sr"
FACTOR, AXIS, NUM_CLASSES = FIGURE_2["factor"], FIGURE_2["axis"], 3
SIZES = {"paper": (12, 120, 120), "twice": (12, 120, 240), "four times": (12, 240, 240)}  # (Z, Y, X) of the stack
REPEATS = {"paper": 3, "twice": 2, "four times": 2}
SUB_PIXEL, SR, SR_CNN, U_NET = "sub-pixel segmentation", "ACNN-SR", "SR-CNN", "3D U-Net"
TARGETS = {"SR-CNN / ACNN-SR": (SR_CNN, SR, 5.0), "3D U-Net / sub-pixel": (U_NET, SUB_PIXEL, 1.3)}


class InterpolatedUNet(nn.Module):
    """nnU-Net's plain U-Net on the linearly interpolated stack, four scales, three classes.

    Slices are halved twice and pixels three times: as often as divides the paper's 60 slices.

    Args:
        deepest: channels of the last scale; those before have 16, 32 and 64.
    """

    def __init__(self, deepest: int):
        super().__init__()
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        self.unet = PlainConvUNet(
            input_channels=1,
            n_stages=4,
            features_per_stage=[16, 32, 64, deepest],
            conv_op=nn.Conv3d,
            kernel_sizes=3,
            strides=[(1, 1, 1), (2, 2, 2), (2, 2, 2), (1, 2, 2)],
            n_conv_per_stage=2,
            num_classes=NUM_CLASSES,
            n_conv_per_stage_decoder=2,
            conv_bias=True,
            norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
        )

    def forward(self, stack: Tensor) -> Tensor:
        """Return logits (B, 3, K·Z, Y, X) of a stack (B, 1, Z, Y, X)."""
        return self.unet(interpolate_slices(stack, FACTOR, axis=AXIS))


def build(name: str) -> nn.Module:
    """Return one of the four networks, with random weights and the parameters of the one it is compared with."""
    torch.manual_seed(0)
    if name == SR:
        return SubPixelUNet(1, 1, **FIGURE_2, residual=True).eval()
    if name == SUB_PIXEL:
        return SubPixelUNet(1, NUM_CLASSES, **FIGURE_2).eval()
    if name == SR_CNN:
        return SRCNN(1, factor=FACTOR, axis=AXIS, features=features_for(num_parameters(build(SR)), channels=1)).eval()
    return InterpolatedUNet(unet_features(num_parameters(build(SUB_PIXEL)))).eval()


def unet_features(most: int) -> int:
    """Return the width of the last scale with which the U-Net has just not more than the given number of parameters."""
    return bisect.bisect_right(range(1024), most, lo=1, key=lambda width: num_parameters(InterpolatedUNet(width))) - 1


def num_parameters(network: nn.Module) -> int:
    """Return how many parameters a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


def main() -> None:
    """Measure what is not measured yet, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch on the CPU")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--shrink", type=int, default=1, help="divide the stacks' pixels by this, to try the script")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    arguments = parser.parse_args()
    if not arguments.table:
        measure(
            arguments.results, arguments.device, arguments.sizes, threads=arguments.threads, shrink=arguments.shrink
        )
    for path in sorted(arguments.results.glob("*.json")):
        print(render_table(json.loads(path.read_text())))


def measure(results: Path, device: str, sizes: list[str], *, threads: int, shrink: int = 1) -> None:
    """Write `<device>.json`, a size at a time.

    Raises:
        ValueError: if there is no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("There is no CUDA device on this machine: choose --device cpu.")
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{device}.json"
    content = json.loads(path.read_text()) if path.is_file() else {"device": device, "sizes": {}}
    content["machine"] = describe_machine(device, threads)
    content["parameters"] = {name: num_parameters(build(name)) for name in (SR, SR_CNN, SUB_PIXEL, U_NET)}
    for size in sizes:
        if size in content["sizes"]:
            continue
        stack = tuple(n if i == AXIS else n // shrink for i, n in enumerate(SIZES[size]))
        content["sizes"][size] = measure_size(stack, device, repeats=REPEATS[size], threads=threads)
        write_json(path, content)


def measure_size(stack: tuple[int, ...], device: str, *, repeats: int, threads: int) -> dict:
    """Return seconds and peak memory of each network on a stack (Z, Y, X), and the ratios of the targets."""
    names = (SR, SR_CNN, SUB_PIXEL, U_NET)
    load = os.getloadavg()[0]
    seconds = in_process(interleaved_seconds, names, stack, device, repeats, threads)
    memory = {name: in_process(peak_memory_mib, name, stack, device, threads) for name in names}
    ratios = {}
    for title, (slow, fast, _) in TARGETS.items():
        values = [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]
        ratios[title] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        ratios[title]["memory"] = memory[slow] / memory[fast]
    return {
        "stack": stack,
        "load_before": load,
        "median_s": {name: statistics.median(values) for name, values in seconds.items()},
        "seconds": seconds,
        "peak_memory_mib": memory,
        "ratios": ratios,
    }


def interleaved_seconds(
    names: tuple[str, ...], stack: tuple[int, ...], device: str, repeats: int, threads: int
) -> dict[str, list[float]]:
    """Return seconds of each network's inference, one after the other in each round; small stacks warm up."""
    torch.set_num_threads(threads)
    networks = {name: build(name).to(device) for name in names}
    image = torch.rand(1, 1, *stack, generator=torch.Generator().manual_seed(0)).to(device)
    # On CUDA algorithms are chosen by size, and so warmed up at full size; on a CPU that would take as long again.
    warm_up = image if device == "cuda" else image[..., :8, :8].contiguous()
    for network in networks.values():
        timed(network, warm_up)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name, network in networks.items():
            seconds[name].append(timed(network, image))
    return seconds


def timed(network: nn.Module, image: Tensor) -> float:
    """Return the seconds of one inference."""
    synchronise = torch.cuda.synchronize if image.is_cuda else lambda: None
    synchronise()
    start = time.perf_counter()
    with torch.inference_mode():
        network(image)
    synchronise()
    return time.perf_counter() - start


def peak_memory_mib(name: str, stack: tuple[int, ...], device: str, threads: int) -> float:
    """Return by how much one inference raises the memory of a process that has the network and the stack already.

    On a CPU that is resident memory, of which Linux keeps the peak (VmHWM) since it was last reset.
    """
    torch.set_num_threads(threads)
    network, image = build(name).to(device), torch.rand(1, 1, *stack).to(device)
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        timed(network, image)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    timed(network, image[..., :8, :8].contiguous())  # what is only set up once is no memory of an inference
    Path("/proc/self/clear_refs").write_text("5")
    before_kib = _status_kib("VmRSS")
    timed(network, image)
    return (_status_kib("VmHWM") - before_kib) / 1024


def _status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def in_process(function: Callable, *arguments):
    """Run a function in a spawned process of its own, so that memory and threads are its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def describe_machine(device: str, threads: int) -> dict:
    """Return what the numbers were measured on."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "cpu": next((line.split(":")[1].strip() for line in cpuinfo if "model name" in line), "unknown"),
        "cores": os.cpu_count(),
        "threads": threads,
        **({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def render_table(content: dict) -> str:
    """Return a Markdown table of what was measured on one device."""
    machine = content["machine"]
    where = machine.get("gpu", f"{machine['cpu']}, {machine['threads']} threads")
    counts = ", ".join(f"{name} {count:,}" for name, count in content["parameters"].items())
    lines = [f"{where}, PyTorch {machine['torch']}, float32, {machine['date']}. Parameters: {counts}.", ""]
    lines += ["| stack | compared | time | time ratio, median (min–max) | memory, MiB | memory ratio |"]
    lines += ["| --- | --- | ---: | ---: | ---: | ---: |"]
    for entry in content["sizes"].values():
        slices, rows, columns = entry["stack"]
        for title, (slow, fast, _) in TARGETS.items():
            ratio, seconds, memory = entry["ratios"][title], entry["median_s"], entry["peak_memory_mib"]
            cells = [
                f"{rows}×{columns}×{slices}",
                title,
                f"{seconds[slow]:.3g} / {seconds[fast]:.3g} s",
                f"{ratio['median']:.2f} ({ratio['min']:.2f}–{ratio['max']:.2f})",
                f"{memory[slow]:.0f} / {memory[fast]:.0f}",
                f"{ratio['memory']:.2f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
