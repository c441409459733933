"""Five folds of the study's few training cases."""

import json
from types import SimpleNamespace

from scripts.studies.plausibility.ensembles import _write_folds

CASES = [f"patient{number:03d}_{phase}" for number in range(16) for phase in ("ED", "ES")]


def test_every_patient_is_held_out_once_and_the_folds_come_behind_those_of_the_defaults(tmp_path):
    path = tmp_path / "splits_final.json"
    place = SimpleNamespace(
        preprocessed=tmp_path,
        study=SimpleNamespace(sizes=(4, 8)),
        unit=lambda case: case.rsplit("_", 1)[0],
        write_split=lambda: path.write_text(json.dumps([{"train": CASES, "val": ["other_ED"]}] * 8)),
    )

    _write_folds(place)

    splits = json.loads(path.read_text())
    assert len(splits) == 13
    assert splits[:8] == [{"train": CASES, "val": ["other_ED"]}] * 8
    assert sorted(case for fold in splits[8:] for case in fold["val"]) == CASES
    for fold in splits[8:]:
        assert sorted(fold["train"] + fold["val"]) == CASES
        assert not {place.unit(case) for case in fold["train"]} & {place.unit(case) for case in fold["val"]}
