"""Where rules come from."""

import json
from pathlib import Path

import pytest

from acnn_nnunet.evaluation.anatomy.declared import find_rules

NAMES = ("RV", "MYO", "LV")
ONE = [{"rule": "one_piece", "label": "LV"}]


def test_the_dataset_declares_them_unless_a_user_names_some(tmp_path):
    declared = {"anatomical_rules": ONE}
    assert [rule.name for rule in find_rules(None, declared, names=NAMES, where="d")] == ["LV one_piece"]
    assert len(find_rules(Path("acdc"), declared, names=NAMES, where="d")) == 16
    assert len(find_rules(None, {"anatomical_rules": "acdc"}, names=NAMES, where="d")) == 16
    assert find_rules(None, {}, names=NAMES, where="d") == ()
    for content, encoding in ((ONE, "utf-8"), ({"anatomical_rules": ONE}, "utf-8-sig")):
        (tmp_path / "rules.json").write_text(json.dumps(content), encoding=encoding)
        assert len(find_rules(tmp_path / "rules.json", {}, names=NAMES, where="d")) == 1


def test_what_is_neither_a_set_nor_a_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file acdcc: .* the name of a set \(acdc\)"):
        find_rules(Path("acdcc"), {}, names=NAMES, where="d")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match=r"bad\.json is no JSON"):
        find_rules(tmp_path / "bad.json", {}, names=NAMES, where="d")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match=r"bad\.json declares no anatomical_rules"):
        find_rules(tmp_path / "bad.json", {}, names=NAMES, where="d")
