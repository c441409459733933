"""Where a command's anatomical rules come from: a set's name, a JSON file, or the dataset.json."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from acnn_nnunet.evaluation.anatomy.presets import PRESETS
from acnn_nnunet.evaluation.anatomy.rules import DATASET_KEY, AnatomicalRule, parse_rules
from acnn_nnunet.files.safe_writes import read_text


def find_rules(
    given: Path | None, dataset_json: Mapping[str, Any], *, names: Iterable[str], where: str
) -> tuple[AnatomicalRule, ...]:
    """Return the rules that a user names, or else those that the dataset declares, if any.

    Args:
        given: name of a set of rules, or a JSON file with rules or a dataset.json that declares some; None for neither.
        dataset_json: content of the dataset's own.
        names: of the dataset's labels.
        where: the dataset's own file, for errors.

    Raises:
        FileNotFoundError: if there is neither such a set nor such a file; lists the sets.
        ValueError: naming the file, if it holds no rules or they do not suit the labels.
    """
    if given is None:
        return parse_rules(dataset_json.get(DATASET_KEY, []), names=names, where=where)
    if str(given) in PRESETS and not Path(given).exists():
        return parse_rules(str(given), names=names, where=f"the set of rules {given}")
    content = _read_json(Path(given))
    if isinstance(content, dict):
        if DATASET_KEY not in content:
            raise ValueError(f"{given} declares no {DATASET_KEY}.")
        content = content[DATASET_KEY]
    return parse_rules(content, names=names, where=str(given))


def _read_json(path: Path) -> Any:
    wanted = f"a JSON list of rules, a dataset.json that declares some, or the name of a set ({', '.join(PRESETS)})"
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: it should be {wanted}.")
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): it should be {wanted}.") from None
