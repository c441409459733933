"""What the studies do in processes of their own: train without the host's validation, predict, measure a step.

python -m scripts.studies.training train|predict|measure ARGUMENTS OUTPUT      (the studies call it)

nnUNetv2_train and nnUNetv2_predict take all cores for each process. These take as many threads as OMP_NUM_THREADS says,
so that two jobs of one thread share two cores; then they do what those commands do, through the host's Python classes.
"""

import gc
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


def train(*, dataset: int, configuration: str, trainer: str, fold: int, resumed: bool, device: str = "cpu") -> dict:
    """Train as nnUNetv2_train does, but for the validation at the end; return the seconds it took."""
    on = torch.device(device)
    made = get_trainer_from_args(str(dataset), configuration, fold, trainer, "nnUNetPlans", resumed, on)
    # Plots after every epoch would take longer than a short epoch itself on a GPU; the numbers are logged.
    made.logger.plot_progress_png = lambda output_folder: None
    if hasattr(made, "acnn_log"):
        made.acnn_log.plot = lambda: None
    maybe_load_checkpoint(made, resumed, False)
    torch.backends.cudnn.benchmark = on.type == "cuda"  # as nnUNetv2_train does
    if on.type == "cpu":
        _lay_channels_last(made)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    made.run_training()
    took = {
        "cpu_s": round(time.process_time() - cpu_s, 1),
        "wall_s": round(time.perf_counter() - wall_s, 1),
        "resumed": resumed,  # then the seconds before the interruption are not in these
        "parameters": sum(parameter.numel() for parameter in made.network.parameters()),
    }
    del made  # with its network: another training may follow in this process
    gc.collect()
    torch.cuda.empty_cache()
    return took


def _lay_channels_last(trainer: nnUNetTrainer) -> None:
    """Lay out 3D convolutions as a CPU computes them fastest: the same but for rounding, in five sixths of the time."""
    if not trainer.was_initialized:
        trainer.initialize()
    for layer in trainer.network.modules():
        if isinstance(layer, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            layer.to(memory_format=torch.channels_last_3d)


def predict(*, model: str, fold: int, images: str, output: str, device: str = "cpu") -> dict:
    """Predict a folder as nnUNetv2_predict --disable_tta --continue_prediction does; return the seconds it took.

    Images have one channel.
    """
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    started = time.perf_counter()
    Path(output).mkdir(parents=True, exist_ok=True)
    on_device = device != "cpu"
    predictor = nnUNetPredictor(
        use_mirroring=False, perform_everything_on_device=on_device, device=torch.device(device)
    )
    predictor.initialize_from_trained_model_folder(model, (fold,), "checkpoint_final.pth")
    # Given the folder, the host lists its cases in twelve new processes.
    cases = [[str(path)] for path in sorted(Path(images).glob("*_0000.nii.gz"))]
    predictor.predict_from_files_sequential(cases, output, overwrite=False)
    return {"wall_s": round(time.perf_counter() - started, 1)}


def measure(*, trainings: dict[str, list], rounds: int, fold: int) -> dict[str, float]:
    """Return CPU seconds per iteration, batch included, of each training: medians, one of each in every round."""
    os.environ["nnUNet_results"] = tempfile.mkdtemp()  # what is measured leaves no logs beside real results
    made = {}
    for name, (dataset, configuration, trainer) in trainings.items():
        made[name] = get_trainer_from_args(str(dataset), configuration, fold, trainer, device=torch.device("cpu"))
        made[name].on_train_start()
        made[name].on_train_epoch_start()
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, trainer in made.items():
            started = time.process_time()
            trainer.train_step(next(trainer.dataloader_train))
            seconds[name].append(time.process_time() - started)
    return {name: round(statistics.median(values[2:]), 4) for name, values in seconds.items()}


if __name__ == "__main__":
    task, arguments, output = sys.argv[1:]
    tasks = {"train": train, "predict": predict, "measure": measure}
    Path(output).write_text(json.dumps(tasks[task](**json.loads(arguments))))
