"""Conversions in parts, and those that go on where they were stopped."""

import pytest
from acdc_folders import write_acdc, write_acdc_patient

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.challenges.command import convert
from acnn_nnunet.challenges.staging import _write as write
from acnn_nnunet.cli import main


@pytest.fixture
def source(tmp_path):
    return write_acdc(tmp_path / "ACDC")


def _interrupt(*_, **__):
    raise KeyboardInterrupt


def test_parts_make_the_dataset_of_one_run(source, raw, capsys, monkeypatch):
    convert("acdc", source, 27)
    words = ["convert", "acdc", str(source), "28", "-num_parts", "2", "-part_id"]
    for part_id in ("1", "0"):
        assert main([*words, part_id]) == 0
        assert not (raw / "Dataset028_ACDC").exists()
    beside = raw / ".Dataset028_ACDC.partial"
    assert f"After the last one: acnn-nnunet merge {beside}" in capsys.readouterr().out
    assert main([*words, "0"]) == 1
    assert "holds parts of a conversion: go on with --continue, join them" in capsys.readouterr().err
    assert main(["convert", "acdc", str(source), "28"]) == 1
    assert "holds parts of a conversion" in capsys.readouterr().err

    assert main(["merge", str(beside)]) == 0

    assert "10 training patients in 5 folds, 2 test patients, 0 left out" in capsys.readouterr().out
    one, two = raw / "Dataset027_ACDC", raw / "Dataset028_ACDC"
    files = [sorted(path.relative_to(each) for path in each.rglob("*") if path.is_file()) for each in (one, two)]
    assert files[0] == files[1]
    for path in files[0]:
        if path.name != "dataset.json":  # which names the dataset
            assert (one / path).read_bytes() == (two / path).read_bytes()
    assert not beside.exists()


def test_a_part_that_is_missing_and_patients_that_came_since_are_said(source, raw, capsys):
    words = ["convert", "acdc", str(source), "28", "-num_parts", "2", "-part_id"]
    assert main([*words, "1"]) == 0
    beside = raw / ".Dataset028_ACDC.partial"
    assert main(["merge", str(beside)]) == 1
    assert "Part 0 of 2 is missing" in capsys.readouterr().err
    assert main([*words, "0"]) == 0
    write_acdc_patient(source / "training", 11)
    assert main(["merge", str(beside)]) == 1
    assert "are others than those that were converted: run --continue again" in capsys.readouterr().err
    for part_id in ("0", "1"):
        assert main([*words, part_id, "--continue"]) == 0
    assert main(["merge", str(beside)]) == 0
    assert "11 training patients" in capsys.readouterr().out


def test_a_patient_whose_files_changed_is_converted_again(source, raw, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("acnn_nnunet.challenges.conversion.split_by_patient", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            convert("acdc", source, 27)
    info = source / "training" / "patient002" / "Info.cfg"
    info.write_text(info.read_text() + "\n")
    read = []
    monkeypatch.setattr(
        "acnn_nnunet.challenges.staging._write", lambda *each: read.append(each[0].name) or write(*each)
    )
    convert("acdc", source, 27, execution=Execution(go_on=True))
    assert read == ["patient002"]


def test_two_conversions_into_one_dataset_are_refused(source, raw):
    beside = raw / ".Dataset027_ACDC.partial"
    with Journal.of_part(beside, num_parts=1, part_id=0).locked():
        (beside / ".patients").mkdir()
        with pytest.raises(ValueError, match=r"Another run is writing to .*\.Dataset027_ACDC\.partial: wait for it"):
            convert("acdc", source, 27)
        assert (beside / ".patients").is_dir()  # of the other one
