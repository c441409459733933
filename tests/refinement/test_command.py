"""`acnn-nnunet refine` on a folder; tests/trainers/test_ae_seg_trainer.py runs it after a training."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from acnn_nnunet.casewise.work import PerWorker
from acnn_nnunet.refinement.command import RefineOptions, load_refiner, refine_folder


class Copies:
    """A second stage that copies files, and refuses those that say `bad`."""

    bundle = SimpleNamespace(file_ending=".nii.gz")

    def refine_file(self, source: Path, target: Path) -> None:
        if source.read_text() == "bad":
            raise ValueError(f"{source} is bad.")
        target.write_text(source.read_text())


def test_a_bad_file_is_named_and_the_others_are_done(tmp_path):
    for name, content in (("a.nii.gz", "good"), ("b.nii.gz", "bad"), ("notes.txt", "mine")):
        (tmp_path / name).write_text(content)

    outcome = refine_folder(tmp_path, tmp_path / "out", PerWorker(Copies))

    assert outcome.text == f"{tmp_path / 'out'}: 1 of 2 done\n{tmp_path / 'b.nii.gz'} is bad."
    assert (outcome.exit_code, [path.name for path in (tmp_path / "out").iterdir()]) == (1, ["a.nii.gz"])


def test_nothing_to_read_and_the_same_folder_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no label map \*\.nii\.gz: name a folder of predictions"):
        refine_folder(tmp_path, tmp_path / "out", PerWorker(Copies))
    (tmp_path / "a.nii.gz").touch()
    with pytest.raises(ValueError, match="choose another one with -o"):
        refine_folder(tmp_path, tmp_path, PerWorker(Copies))


def test_a_trainer_whose_network_takes_images_is_refused():
    with pytest.raises(ValueError, match="The network of nnUNetTrainer takes images: refine with -tr AESegTrainer"):
        load_refiner(RefineOptions("4", "3d_fullres", trainer="nnUNetTrainer"))
