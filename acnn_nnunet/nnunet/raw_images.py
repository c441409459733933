"""The images of nnUNet_raw from which a fold's validation cases come."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_raw
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets


def raw_images(dataset: str, dataset_json: Mapping[str, Any], cases: Sequence[str]) -> dict[str, list[Path]]:
    """Return the files of each case in the order of its channels.

    Args:
        dataset: full name.
        dataset_json: its dataset.json.
        cases: identifiers.

    Raises:
        FileNotFoundError: if nnUNet_raw is not set or has not all of them; names the remedy.
    """
    remedy = "set nnUNet_raw to the folder that the dataset was preprocessed from"
    if not nnUNet_raw.is_set():
        raise FileNotFoundError(f"The raw images of {dataset} are needed, and nnUNet_raw is not set: {remedy}.")
    folder = Path(nnUNet_raw.require()) / dataset
    if "dataset" in dataset_json:
        # The host writes absolute paths into what it is given.
        listed = get_filenames_of_train_images_and_targets(str(folder), deepcopy(dict(dataset_json)))
        files = {case: [Path(path) for path in listed[case]["images"]] for case in cases if case in listed}
    else:
        # As the host names them; its own search starts a dozen processes.
        channels = len(dataset_json.get("channel_names", dataset_json.get("modality", {})))
        ending = dataset_json["file_ending"]
        files = {case: [folder / "imagesTr" / f"{case}_{c:04d}{ending}" for c in range(channels)] for case in cases}
    missing = [case for case in cases if not all(path.is_file() for path in files.get(case, [Path("")]))]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks images of {len(missing)} of {len(cases)} cases (for one {missing[0]}): {remedy}."
        )
    return files
