"""Small reading studies, and exports as the page writes them."""

import hashlib
import json
from pathlib import Path

import numpy as np

from acnn_nnunet.evaluation.reading.study.key import Item, StudyKey
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import Volume, write_volume

SHAPE = (6, 16, 20)


def write_image(path: Path, values, *, spacing=(2.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    direction = tuple(np.eye(3).ravel()) if direction is None else direction
    write_volume(path, Volume(values, Geometry(values.shape, spacing, origin, direction)))
    return path


def picture(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


def write_images(root: Path, *, num_cases=2, arms=("linear", "learnt")) -> dict[str, Path]:
    """Write a folder of images for each arm and `hr`, and half as many slices in `lr`."""
    folders = {name: root / name for name in (*arms, "hr", "lr")}
    for case in range(num_cases):
        for place, name in enumerate((*arms, "hr")):
            write_image(folders[name] / f"case{case}.nii.gz", picture(10 * case + place))
        # Two slices are one: its centre lies between theirs.
        write_image(folders["lr"] / f"case{case}.nii.gz", picture(99)[::2], spacing=(4.0, 1.0, 1.0), origin=(0, 0, 1.0))
    return folders


def make_key(cases=("a", "b", "c"), arms=("x", "y"), study="s" * 64) -> StudyKey:
    """A key whose items come case by case."""
    return StudyKey(study, tuple(arms), tuple(Item(case, arm) for case in cases for arm in arms), {})


def write_export(path: Path, reader: str, ratings, *, study="s" * 64, **changes) -> Path:
    """Write an export; its digest is computed here, from the definition in the documentation."""
    words = ",".join("" if rating is None else str(rating) for rating in ratings)
    digest = hashlib.sha256("\n".join([study, reader, words]).encode("utf-8")).hexdigest()
    content = {"kind": "acnn-nnunet reader-study", "study": study, "reader": reader, "ratings": list(ratings)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, "digest": digest, **changes}), encoding="utf-8")
    return path
