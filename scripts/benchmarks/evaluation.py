"""Measure the evaluator: agreement with other implementations, time against nnU-Net and MedPy, memory of a large case.

Every part's result is a JSON file in the results folder, and what is there is not measured again. Timed commands run in
processes of their own and are interleaved, so that a drifting machine slows all of them alike.

    pip install monai medpy surface-distance
    python -m scripts.benchmarks.evaluation --results benchmarks/evaluation [--only agreement speed memory]

Needs the real data of $ACNN_DATA or ../shared/data; nothing of them is written but into temporary folders.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import SimpleITK
from scipy.ndimage import shift

from acnn_nnunet.evaluation.masks.table import CASES_FILE, read_scores
from scripts.benchmarks.other_evaluators import (
    DATA,
    LABELS,
    SEED,
    TOLERANCE_MM,
    Scores,
    generated_pair,
    medpy_scores,
    monai_scores,
    other_definitions,
    our_scores,
    real_pairs,
    simpleitk_scores,
)

ROOT = Path(__file__).parents[2]
LABEL_NAMES = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
NUM_GENERATED, NUM_REAL_PATIENTS = 200, 20
NUM_PROCESSES = 2
LARGE_SIZE, LARGE_LABELS, MEMORY_LIMIT = (400, 512, 512), 20, 4 * 2**30


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/evaluation"))
    parser.add_argument("--only", nargs="+", choices=["agreement", "speed", "memory"])
    parser.add_argument("--repeats", type=int, default=5, help="of each timed command")
    parser.add_argument(
        "--ours", nargs=4, type=Path, metavar=("GT", "PRED", "JSON", "OUT"), help="the same of ours, without the page"
    )
    parser.add_argument(
        "--medpy", nargs=3, type=Path, metavar=("GT", "PRED", "OUT"), help="what speed times: MedPy on two folders"
    )
    arguments = parser.parse_args()
    if arguments.ours:
        score_folders_with_ours(*arguments.ours)
        return
    if arguments.medpy:
        score_folders_with_medpy(*arguments.medpy)
        return
    parts: dict[str, Callable[[], dict]] = {
        "agreement": measure_agreement,
        "speed": partial(measure_speed, arguments.repeats),
        "memory": measure_memory,
    }
    arguments.results.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or parts:
        print(f"{name}: {json.dumps(resumable(arguments.results / f'{name}.json', parts[name]), indent=2)}")


def resumable(path: Path, measure: Callable[[], dict]) -> dict:
    """Return the JSON content of `path`, measured now if it is not there."""
    if not path.is_file():
        result = {**measure(), "machine": describe_machine()}
        partial_file = path.with_suffix(".partial")
        partial_file.write_text(json.dumps(result, indent=2) + "\n")
        partial_file.replace(path)
    return json.loads(path.read_text())


def describe_machine() -> dict:
    """Return what the numbers were measured on and with."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    packages = ("numpy", "scipy", "SimpleITK", "edt", "connected-components-3d", "nnunetv2", "monai", "medpy")
    return {
        "cpu": next((line.split(":")[1].strip() for line in cpuinfo if "model name" in line), "unknown"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in (*packages, "surface-distance")},
        "date": time.strftime("%Y-%m-%d"),
    }


def measure_agreement() -> dict:
    """Compare with implementations of the same definitions, and show by how much other definitions differ."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # surface-distance takes SciPy's old names
    warnings.filterwarnings("ignore", category=FutureWarning)  # MONAI warns of its own arguments
    pairs = {
        "generated": [generated_pair(index) for index in range(NUM_GENERATED)],
        "real": list(real_pairs(NUM_REAL_PATIENTS)),
    }
    same = {"simpleitk": simpleitk_scores, "monai": monai_scores, "medpy": medpy_scores}
    result: dict = {"pairs": {kind: len(found) for kind, found in pairs.items()}, "tolerance_mm": TOLERANCE_MM}
    ours = {kind: [our_scores(pair) for pair in found] for kind, found in pairs.items()}
    for title, implementations in (("difference", same), ("other_definitions", {"": other_definitions})):
        result[title] = {}
        for name, scores_of in implementations.items():
            by_kind = {}
            for kind, found in pairs.items():
                by_kind[kind] = compare(ours[kind], [scores_of(pair) for pair in found])
            result[title].update({name: by_kind} if name else by_kind)
    result["largest_difference_mm"] = max(
        metric["max"]
        for name in same
        for by_metric in result["difference"][name].values()
        for key, metric in by_metric.items()
        if key.endswith("_mm")
    )
    return result


def compare(ours: list[Scores], theirs: list[Scores]) -> dict[str, dict[str, float]]:
    """Return how far each of their scores is from ours; "name: metric" is compared with our metric."""
    found = {}
    for key in theirs[0]:
        mine = np.array([scores[key.rpartition(": ")[2]] for scores in ours])
        others = np.array([scores[key] for scores in theirs])
        differences = np.abs(others - mine)
        found[key] = {"max": float(differences.max()), "mean": float(differences.mean())}
        if ": " in key:
            ratios = others[mine > 0] / mine[mine > 0]
            found[key] |= {
                "same_within_1e-4": int((differences <= 1e-4).sum()),
                "ratio_min": float(ratios.min()),
                "ratio_median": float(np.median(ratios)),
                "ratio_max": float(ratios.max()),
            }
    return found


def measure_speed(repeats: int) -> dict:
    """Time whole commands on all ACDC label maps and perturbed copies, with images for our report; check the scores."""
    with tempfile.TemporaryDirectory() as folder:
        raw, predictions, out = Path(folder, "raw"), Path(folder, "predictions"), Path(folder, "out")
        write_acdc_dataset(raw, predictions)
        out.mkdir()
        folders = [str(raw / "labelsTr"), str(predictions)]
        processes = ["-np", str(NUM_PROCESSES)]
        files = ["-djfile", str(raw / "dataset.json"), "-pfile", str(raw / "plans.json")]
        programs = Path(sys.executable).parent
        module = [sys.executable, "-m", "acnn_nnunet.cli", "evaluate"]
        this = [sys.executable, "-m", "scripts.benchmarks.evaluation"]
        commands = {
            "acnn-nnunet evaluate": [*module, *folders, "-o", "ours", *processes],
            "nnUNetv2_evaluate_folder": [programs / "nnUNetv2_evaluate_folder", *folders, *files, "-o", "folder.json"],
            "nnUNetv2_evaluate_simple": [programs / "nnUNetv2_evaluate_simple", *folders, "-o", "simple.json"],
            "all metrics, no page": [*this, "--ours", *folders, str(raw / "dataset.json"), "scores"],
            "medpy": [*this, "--medpy", *folders, "medpy.json"],
        }
        commands["nnUNetv2_evaluate_folder"] += processes
        commands["nnUNetv2_evaluate_simple"] += [*processes, "-l", *map(str, LABELS)]
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        load = os.getloadavg()[0]
        for repeat in range(repeats):
            (out / str(repeat)).mkdir()
            for name, command in commands.items():
                start = time.perf_counter()
                run(command, out / str(repeat))
                seconds[name].append(time.perf_counter() - start)
        return {
            "pairs": len(list(predictions.glob("*.nii.gz"))),
            "processes": NUM_PROCESSES,
            "load_before": load,
            "median_s": {name: statistics.median(values) for name, values in seconds.items()},
            "seconds": seconds,
            "ratio": {
                "ours to evaluate_folder": ratios(seconds, "acnn-nnunet evaluate", "nnUNetv2_evaluate_folder"),
                "ours to evaluate_simple": ratios(seconds, "acnn-nnunet evaluate", "nnUNetv2_evaluate_simple"),
                "medpy to ours": ratios(seconds, "medpy", "acnn-nnunet evaluate"),
                "medpy to all metrics, no page": ratios(seconds, "medpy", "all metrics, no page"),
            },
            "largest_difference": differences_of_commands(out / "0"),
        }


def ratios(seconds: dict[str, list[float]], first: str, second: str) -> dict[str, float]:
    """Return the ratio of two commands' times, repeat by repeat."""
    values = [a / b for a, b in zip(seconds[first], seconds[second], strict=True)]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def write_acdc_dataset(raw: Path, predictions: Path) -> None:
    """Write a raw dataset of links to the ACDC files, and predictions: moved, some with islands, some missing."""
    for folder in (raw / "labelsTr", raw / "imagesTr", predictions):
        folder.mkdir(parents=True)
    for index, label_file in enumerate(sorted((DATA / "acdc" / "training").glob("*/*_gt.nii.gz"))):
        name = label_file.name.replace("_gt.nii.gz", "")
        (raw / "labelsTr" / f"{name}.nii.gz").symlink_to(label_file.resolve())
        (raw / "imagesTr" / f"{name}_0000.nii.gz").symlink_to(label_file.with_name(f"{name}.nii.gz").resolve())
        generator = np.random.default_rng([SEED, index])
        image = SimpleITK.ReadImage(str(label_file))
        labels = shift(SimpleITK.GetArrayFromImage(image), (0, *generator.integers(-3, 4, 2)), order=0)
        if generator.random() < 0.3:
            labels[generator.integers(len(labels)), 5:9, 5:9] = generator.integers(1, 4)
        if generator.random() < 0.05:
            labels[labels == 1] = 0
        prediction = SimpleITK.GetImageFromArray(labels.astype(np.uint8))
        prediction.CopyInformation(image)
        SimpleITK.WriteImage(prediction, str(predictions / f"{name}.nii.gz"), True)
    dataset = {"channel_names": {"0": "MRI"}, "labels": LABEL_NAMES, "numTraining": index + 1, "file_ending": ".nii.gz"}
    (raw / "dataset.json").write_text(json.dumps(dataset))
    # evaluate_folder asks the plans only which class manages labels, and takes its own where they do not say.
    (raw / "plans.json").write_text(json.dumps({"dataset_name": "Dataset027_ACDC", "configurations": {}}))


def score_folders_with_ours(reference: Path, prediction: Path, dataset_json: Path, output: Path) -> None:
    """Score all cases and write them down, as `evaluate` does before its tables and page."""
    from acnn_nnunet.casewise.execution import Execution
    from acnn_nnunet.casewise.journal import Journal
    from acnn_nnunet.casewise.processes import prepare_workers
    from acnn_nnunet.evaluation.cases import evaluate_cases
    from acnn_nnunet.evaluation.plan import plan_evaluation
    from acnn_nnunet.evaluation.workers import PRELOADED

    prepare_workers(PRELOADED)
    plan = plan_evaluation(
        reference,
        prediction,
        labels=None,
        ignore_label=None,
        dataset_json=dataset_json,
        tolerance_mm=TOLERANCE_MM,
    )
    journal = Journal.of_part(output, num_parts=1, part_id=0)
    journal.start(plan.header())
    evaluate_cases(plan, journal, list(plan.cases), execution=Execution(num_processes=NUM_PROCESSES))


def score_folders_with_medpy(reference: Path, prediction: Path, output: Path) -> None:
    """Write the Hausdorff distance and ASSD of every case and label, as a MedPy user's script does, in processes."""
    names = sorted(path.name for path in reference.glob("*.nii.gz"))
    with multiprocessing.get_context("spawn").Pool(NUM_PROCESSES) as pool:
        scores = pool.starmap(score_case_with_medpy, [(reference / name, prediction / name) for name in names])
    output.write_text(json.dumps(dict(zip(names, scores, strict=True))))


def score_case_with_medpy(reference: Path, prediction: Path) -> dict[str, tuple[float, float]]:
    """Return (Hausdorff distance, ASSD) of each label that is on both sides."""
    from medpy.metric import assd, hd

    image = SimpleITK.ReadImage(str(reference))
    label_maps = [SimpleITK.GetArrayFromImage(each) for each in (SimpleITK.ReadImage(str(prediction)), image)]
    spacing_mm = image.GetSpacing()[::-1]
    scores = {}
    for label in LABELS:
        masks = [label_map == label for label_map in label_maps]
        if masks[0].any() and masks[1].any():
            scores[str(label)] = (float(hd(*masks, spacing_mm)), float(assd(*masks, spacing_mm)))
    return scores


def differences_of_commands(folder: Path) -> dict[str, float]:
    """Return the largest difference of our scores from nnU-Net's Dice and from MedPy's distances, over all cases."""
    ours = {(score.case, score.label): score for score in read_scores(folder / "ours" / CASES_FILE)}
    medpy, host = (json.loads((folder / name).read_text()) for name in ("medpy.json", "folder.json"))
    theirs = {
        (Path(case["prediction_file"]).name.removesuffix(".nii.gz"), label): values["Dice"]
        for case in host["metric_per_case"]
        for label, values in case["metrics"].items()
    }
    distances = [
        (ours[name.removesuffix(".nii.gz"), label], *values)
        for name, scores in medpy.items()
        for label, values in scores.items()
    ]
    return {
        "dice_nnunet": max(abs(ours[key].dice - dice) for key, dice in theirs.items()),
        "hausdorff_mm_medpy": max(abs(score.hausdorff_mm - hausdorff) for score, hausdorff, _ in distances),
        "mean_surface_distance_mm_medpy": max(abs(s.mean_surface_distance_mm - assd) for s, _, assd in distances),
    }


def measure_memory() -> dict:
    """Evaluate one large pair in one process that may take 4 GiB of address space."""
    with tempfile.TemporaryDirectory() as folder:
        reference, prediction = (Path(folder, name) for name in ("reference", "prediction"))
        write_large_pair(reference, prediction)
        command = [sys.executable, "-m", "acnn_nnunet.cli", "evaluate", reference, prediction, "-o", "out", "-np", "1"]
        command += ["-l", *map(str, range(1, LARGE_LABELS + 1))]
        start = time.perf_counter()
        run(command, Path(folder), memory_limit=MEMORY_LIMIT)
        seconds = time.perf_counter() - start
        # Of all children so far: this part's only one that is not small.
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        scores = read_scores(Path(folder, "out", CASES_FILE))
        return {
            "size": LARGE_SIZE,
            "labels": len(scores),
            "labels_with_islands": sum(score.components > 1 for score in scores),
            "address_space_limit_gib": MEMORY_LIMIT / 2**30,
            "peak_resident_gib": usage.ru_maxrss / 2**20,
            "seconds": seconds,
        }


def write_large_pair(reference: Path, prediction: Path) -> None:
    """Write 19 ellipsoids and a label around them, and the same moved, with islands of each ellipsoid far away."""
    generator = np.random.default_rng(SEED)
    label_map = np.full(LARGE_SIZE, LARGE_LABELS, dtype=np.uint8)
    label_map[(slice(3, -3),) * 3] = 0
    for label in range(1, LARGE_LABELS):
        radii = generator.uniform(30, 90, 3)
        centre = [generator.uniform(radius + 4, n - radius - 4) for radius, n in zip(radii, LARGE_SIZE, strict=True)]
        where = tuple(slice(int(c - r), int(c + r) + 1) for c, r in zip(centre, radii, strict=True))
        z, y, x = ((np.arange(s.start, s.stop) - c) / r for s, c, r in zip(where, centre, radii, strict=True))
        inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= 1
        label_map[where][inside] = label
    moved = np.roll(label_map, (2, 3, -3), axis=(0, 1, 2))
    for label in range(1, LARGE_LABELS):
        moved[10 * label, 10, 10] = moved[-10 * label, -10, -10] = label
    for folder, values in ((reference, label_map), (prediction, moved)):
        folder.mkdir()
        image = SimpleITK.GetImageFromArray(values)
        image.SetSpacing((0.7, 0.7, 1.0))
        SimpleITK.WriteImage(image, str(folder / "large.nii.gz"), True)


def run(command: list, folder: Path, *, memory_limit: int | None = None) -> None:
    """Run a command in a folder, silently, with this checkout in reach."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    limit = None if memory_limit is None else partial(resource.setrlimit, resource.RLIMIT_AS, (memory_limit,) * 2)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} … {command[-1]} failed: {(done.stderr or done.stdout)[-1000:]}")


if __name__ == "__main__":
    main()
