"""The commands of the demo, and how one of them is run."""

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acnn_nnunet.nnunet.programs import find_program

DATASET_ID = 999
CONFIGURATION = "3d_fullres_demo"
CONFIGURATION_WITHOUT_PRIOR = "3d_fullres_demo_noprior"
ARMS = {"with_prior": CONFIGURATION, "without_prior": CONFIGURATION_WITHOUT_PRIOR}
# By default the host mirrors without a prior and not with one; here the prior is all that the arms differ in.
SETTINGS: dict[str, Any] = {
    "num_epochs": 8,
    "prior_num_epochs": 12,
    "num_iterations_per_epoch": 15,
    "num_val_iterations_per_epoch": 2,
    "seed": 0,
    "mirroring": "false",
}
ITERATIONS = SETTINGS["num_epochs"] * SETTINGS["num_iterations_per_epoch"]
# Loader workers are not seeded: without them, both arms see the same batches.
LOADER_WORKERS = {"nnUNet_n_proc_DA": "0"}


@dataclass(frozen=True)
class Step:
    """One command of the demo: its purpose, its log's name in `logs/`, and the line a user would type."""

    purpose: str
    log_name: str
    command: str


def plan_steps(output: Path, dataset: Path, *, device: str) -> list[Step]:
    """Return the commands of the demo in order."""

    def path(*names: str) -> str:
        return shlex.quote(str(output.joinpath(*names)))

    settings = " ".join(f"{key}={value}" for key, value in SETTINGS.items())
    configure, train = f"acnn-nnunet configure {DATASET_ID}", f"nnUNetv2_train {DATASET_ID}"
    # The planner needs at least one of the loader's workers.
    plan = f"nnUNet_n_proc_DA=1 nnUNetv2_plan_and_preprocess -d {DATASET_ID} -c 3d_fullres -npfp 2 -np 2"
    commands = [
        ("plan and preprocess", "plan_and_preprocess", plan),
        ("a short configuration", "configure", f"{configure} -c 3d_fullres -n {CONFIGURATION} {settings}"),
        (
            "the same without a prior",
            "configure_without_prior",
            f"{configure} -c {CONFIGURATION} -n {CONFIGURATION_WITHOUT_PRIOR} prior_weight=0",
        ),
        ("learn the shape prior", "train_prior", f"{train} {CONFIGURATION} 0 -tr ShapePriorTrainer -device {device}"),
        (
            "is the prior worth using?",
            "prior_report",
            f"acnn-nnunet prior-report {DATASET_ID} {CONFIGURATION} 0 -o {path('prior_report')} -device {device}",
        ),
    ]
    images, labels = (shlex.quote(str(dataset / name)) for name in ("imagesTs", "labelsTs"))
    for arm, configuration in ARMS.items():
        predict = (
            f"nnUNetv2_predict -d {DATASET_ID} -c {configuration} -f 0 -tr ACNNTrainer -i {images} "
            f"-o {path('predictions', arm)} -device {device} -npp 1 -nps 1"
        )
        evaluate = f"acnn-nnunet evaluate {labels} {path('predictions', arm)} -o {path('evaluations', arm)} -np 2"
        words = arm.replace("_", " ")
        commands += [
            (f"train {words}", f"train_{arm}", f"{train} {configuration} 0 -tr ACNNTrainer -device {device}"),
            (f"predict {words}", f"predict_{arm}", predict),
            (f"evaluate {words}", f"evaluate_{arm}", evaluate),
        ]
    arms = " ".join(f"{arm}={path('evaluations', arm)}" for arm in reversed(ARMS))
    commands.append(("compare", "compare", f"acnn-nnunet compare {arms} -o {path('comparison')}"))
    return [Step(*each) for each in commands]


def run_step(step: Step, log: Path, environment: dict[str, str], *, while_waiting: Callable[[], None]) -> None:
    """Run one command with its output in `log`, calling `while_waiting` about once a second.

    Raises:
        RuntimeError: if the command cannot be found or fails; names the step, the log and its last line.
    """
    words = shlex.split(step.command)
    while "=" in words[0]:  # NAME=VALUE in front of a command, as a shell takes it
        name, _, value = words.pop(0).partition("=")
        environment = {**environment, name: value}
    program = words[0]
    with open(log, "w") as file:
        process = subprocess.Popen(
            [find_program(program), *words[1:]], stdout=file, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    while_waiting()
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise RuntimeError(
            f"the step '{step.purpose}' failed ({program} ended with {process.returncode}; the last line of {log}: "
            f"{lines[-1] if lines else 'it is empty'})"
        )
