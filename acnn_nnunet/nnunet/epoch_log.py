"""What the host's logger has no place for: a JSON list a quantity, one value an epoch, and its picture."""

import json
from pathlib import Path

from acnn_nnunet.files.safe_writes import write_json


class EpochLog:
    """Per-epoch values beside the host's log.

    Args:
        folder: the fold's output folder; holds `acnn_log.json` and `acnn_progress.png`.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / "acnn_log.json"
        self.picture = Path(folder) / "acnn_progress.png"
        self.values: dict[str, list[float]] = {}

    def resume(self, epoch: int) -> None:
        """Read what was logged before `epoch`; a run killed after its checkpoint repeats the epochs since."""
        if epoch > 0 and self.path.is_file():
            logged = json.loads(self.path.read_text())
            self.values = {name: values[:epoch] for name, values in logged.items()}

    def log(self, epoch: int, **values: float) -> None:
        """Store the values of an epoch and write the file."""
        for name, value in values.items():
            series = self.values.setdefault(name, [])
            series.extend([float("nan")] * (epoch - len(series)))
            series[epoch:] = [float(value)]
        write_json(self.path, self.values)

    def plot(self) -> None:
        """Draw every quantity over the epochs into `acnn_progress.png`."""
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(len(self.values), 1, figsize=(8, 2.2 * len(self.values)), squeeze=False)
        for axis, (name, series) in zip(axes[:, 0], self.values.items(), strict=True):
            axis.plot(series, linewidth=1.5)
            axis.set_ylabel(name.replace("_", " "))
        axes[-1, 0].set_xlabel("epoch")
        figure.tight_layout()
        figure.savefig(self.picture)
        plt.close(figure)
