"""A device's name, and how many trainings run on it at once."""

import sys

# What a training is assumed to take of a GPU. Sixteen took 16 GiB of an H200 under CUDA's multi-process service;
# without that, each has a context of its own, of half a GiB or more.
GIB_PER_JOB = 2.0
_GIB = 2**30


def fitting_jobs(jobs: int, device: str) -> int:
    """Return how many jobs run at a time: as many as asked for, fewer, with a word, where a GPU has no memory for all.

    Args:
        jobs: asked for.
        device: "cpu" or "cuda".

    Raises:
        SystemExit: if there is no GPU, or none with memory for a single job.
    """
    if device == "cpu":
        return jobs
    import torch

    if not torch.cuda.is_available():
        sys.exit("--device cuda: torch finds no GPU here; use --device cpu, or install a torch with CUDA.")
    free = torch.cuda.mem_get_info()[0] / _GIB
    fitting = min(jobs, int(free / GIB_PER_JOB))
    if not fitting:
        sys.exit(f"--device cuda: {free:.1f} GiB of the GPU are free, a training takes {GIB_PER_JOB:.0f}: free some.")
    if fitting < jobs:
        print(f"{free:.1f} GiB of the GPU are free, for {fitting} trainings at a time, not {jobs}.", flush=True)
    return fitting


def device_name(device: str) -> str:
    """Return "cpu", or the name of the GPU."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device
