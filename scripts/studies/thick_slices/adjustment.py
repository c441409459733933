"""Models with adjusted logits: the log of each label's share of the voxels is in the last bias.

A loss that weighs labels alike lets the rare ones spread; this takes that back (Menon et al., ICLR 2021), without a
training. It asks of every gain under such a loss whether a shift of the logits does the same.
"""

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

_LAST_BIAS = re.compile(r"^(head|decoder\.seg_layers\.(\d+))\.bias$")


def write_adjusted_model(model: Path, fold: int, shift: Sequence[float]) -> str:
    """Copy a trained model, its last bias changed, unless that was done, and return the copy's configuration.

    Args:
        model: folder <trainer>__<plans>__<configuration> of nnUNet_results.
        fold: whose checkpoint_final.pth is changed.
        shift: of the logits, one number a label, background first.
    """
    import torch

    copy = adjusted_model(model)
    configuration = copy.name.rsplit("__", 1)[1]
    if not copy.is_dir():
        made = model.with_name(f"{model.name}_adjusted.part")
        shutil.rmtree(made, ignore_errors=True)
        ignored = shutil.ignore_patterns("checkpoint_best.pth", "checkpoint_latest.pth", "validation*")
        shutil.copytree(model, made, ignore=ignored)
        checkpoint = made / f"fold_{fold}" / "checkpoint_final.pth"
        content = torch.load(checkpoint, map_location="cpu", weights_only=False)
        bias = content["network_weights"][last_bias(content["network_weights"])]
        bias += torch.tensor(shift, dtype=bias.dtype)
        torch.save(content, checkpoint)
        plans = json.loads((made / "plans.json").read_text())
        plans["configurations"][configuration] = {"inherits_from": model.name.rsplit("__", 1)[1]}
        (made / "plans.json").write_text(json.dumps(plans))
        made.rename(copy)
    return configuration


def adjusted_model(model: Path) -> Path:
    """Return where the adjusted copy of a model lies."""
    return model.with_name(f"{model.name}_adjusted")


def last_bias(names: Iterable[str]) -> str:
    """Return which of a network's parameters is the bias of its full-resolution output."""
    matches = [match for name in names if (match := _LAST_BIAS.match(name))]
    return max(matches, key=lambda match: int(match[2] or 0))[0]
