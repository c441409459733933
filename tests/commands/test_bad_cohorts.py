"""What goes wrong with many cases, as it is typed: one clear sentence, exit code 1, and nothing is lost."""

import errno
import os
import shutil

import pytest
from label_folders import heart, write_labels

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.casewise.recorded import opened_journal
from acnn_nnunet.cli import main

TABLES = ("cases.csv", "status.csv", "summary.json")


@pytest.fixture
def typed(tmp_path, capsys):
    """Type `evaluate` of four cases; return the exit code and the line on stderr."""
    for number in range(4):
        write_labels(tmp_path / "gt" / f"case{number}.nii.gz", heart())
        write_labels(tmp_path / "pred" / f"case{number}.nii.gz", heart(number % 2))

    def evaluate(*words, out="out", labels=("1", "2")):
        code = main(
            ["evaluate", f"{tmp_path}/gt", f"{tmp_path}/pred", "-o", f"{tmp_path}/{out}", "-l", *labels, *words]
        )
        said = capsys.readouterr().err.splitlines()
        return code, said[-1] if said else ""

    return evaluate


def merged(folder, capsys):
    code = main(["merge", str(folder)])
    return code, capsys.readouterr().err.strip()


def test_a_part_that_is_missing(typed, tmp_path, capsys):
    for part_id in ("0", "2"):
        assert typed("-num_parts", "3", "-part_id", part_id)[0] == 0

    code, said = merged(tmp_path / "out", capsys)

    assert (code, said.count("\n")) == (1, 0)
    assert "Part 1 of 3 is missing in" in said
    assert "run -part_id 1" in said
    assert typed("-num_parts", "3", "-part_id", "1")[0] == 0
    assert merged(tmp_path / "out", capsys)[0] == 0
    assert typed(out="whole")[0] == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_parts_of_different_runs(typed, tmp_path, capsys):
    assert typed("-num_parts", "2", "-part_id", "0")[0] == 0
    assert typed("-num_parts", "2", "-part_id", "1", labels=("1",))[0] == 0

    code, said = merged(tmp_path / "out", capsys)

    assert (code, said.count("\n")) == (1, 0)
    assert "are of different runs: delete them and run all again" in said
    assert not (tmp_path / "out" / "cases.csv").exists()


def test_a_case_that_comes_twice(typed, tmp_path):
    shutil.copy(tmp_path / "pred" / "case1.nii.gz", tmp_path / "pred" / "case1.NII.GZ")

    code, said = typed()

    assert code == 1
    assert "holds case1 twice, case1.NII.GZ and case1.nii.gz: remove one" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES])
def test_an_output_folder_that_is_read_only(typed, tmp_path, monkeypatch, reason):
    def refuse(*_, **__):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)

    code, said = typed()

    assert code == 1
    assert f"Could not write {tmp_path}/out/parts/part_0_of_1.jsonl ({os.strerror(reason)}): free some space or" in said


def test_a_disk_that_is_full_loses_nothing(typed, tmp_path, monkeypatch):
    assert typed(out="whole")[0] == 0
    append, written, room = Journal.append, [], [2]

    def fill_up(journal, entry):
        if len(written) == room[0]:
            raise journal._write_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        written.append(entry["case"])
        append(journal, entry)

    monkeypatch.setattr(Journal, "append", fill_up)
    code, said = typed()
    assert code == 1
    assert "(No space left on device): free some space" in said
    assert said.endswith("then go on with --continue.")
    monkeypatch.setattr(
        Journal, "append", lambda journal, entry: (written.append(entry["case"]), append(journal, entry))
    )

    assert typed("--continue")[0] == 0

    assert sorted(written) == [f"case{number}" for number in range(4)]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_disk_that_is_full_for_the_tables_keeps_the_cases(typed, tmp_path, monkeypatch):
    assert typed(out="whole")[0] == 0

    def fill_up(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("acnn_nnunet.files.safe_writes.os.replace", fill_up)
        code, said = typed()
    assert code == 1
    assert "Could not write" in said
    assert "No space left on device" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["parts"]

    assert typed("--continue")[0] == 0

    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_two_drivers_on_one_output_folder(typed, tmp_path):
    assert typed()[0] == 0
    before = contents(tmp_path / "out")
    journal = Journal.of_part(tmp_path / "out", num_parts=1, part_id=0)
    with opened_journal(tmp_path / "out", journal.header(), Execution(go_on=True)):
        code, said = typed("--continue")

    assert code == 1
    assert f"Another run is writing to {tmp_path}/out: wait for it, or name another folder" in said
    assert contents(tmp_path / "out") == before


def test_a_plan_with_unknown_keys(tmp_path, capsys):
    plan = "dataset: 77\nconfiguration: 3d_quick\ntrainer: ACNNTrainer\nfolds: [0]\nsettings: {a: {}}\nsede: 3\n"
    (tmp_path / "plan.yaml").write_text(plan)

    assert main(["sweep", str(tmp_path / "plan.yaml"), "-o", str(tmp_path / "out")]) == 1

    said = capsys.readouterr().err
    assert "plan.yaml: unknown keys sede; there are dataset, configuration" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_is_not_there_keeps_what_is_done(typed, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("acnn_nnunet.casewise.connection._SECONDS_TO_CONNECT", 0.3)

    code, said = typed("--scheduler", "127.0.0.1:1")

    assert code == 1
    assert "No Dask scheduler answers at 127.0.0.1:1" in said
    assert typed("--continue")[0] == 0
    assert typed(out="whole")[0] == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def contents(folder):
    return [(folder / name).read_bytes() for name in TABLES]
