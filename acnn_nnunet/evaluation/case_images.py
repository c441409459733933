"""The images that label maps were made of, for pictures: a picture is no result, so a missing image costs nothing."""

from pathlib import Path

import numpy as np

from acnn_nnunet.files.folders import image_path
from acnn_nnunet.nnunet.label_files import LabelFileReader


def images_beside(reference: Path) -> Path | None:
    """Return the folder `imagesTr` that lies next to `labelsTr` and the like, if it is there."""
    if not reference.name.startswith("labels"):
        return None
    images = reference.parent / reference.name.replace("labels", "images", 1)
    return images if images.exists() else None


def find_image(images: Path | None, case: str, file_ending: str) -> Path | None:
    """Return the first channel of a case's image, `<case>_0000` or `<case>`, if it is there."""
    if images is None:
        return None
    candidates = (image_path(images, f"{case}{channel}", file_ending) for channel in ("_0000", ""))
    return next((path for path in candidates if path.is_file()), None)


def read_image(path: Path | None, reader_name: str, shape: tuple[int, ...]) -> tuple[np.ndarray | None, str]:
    """Return the first channel as an array of a shape, or None and why not in words.

    Args:
        path: of the image; None where there is none.
        reader_name: of the host's reader.
        shape: of the label map that it belongs to.
    """
    if path is None:
        return None, ""
    try:
        values = LabelFileReader(reader_name).read_image(path)[0][0]
    except (ValueError, OSError) as error:
        return None, f"; without its image: {error}"
    if [size for size in values.shape if size > 1] != [size for size in shape if size > 1]:
        return None, f"; without its image: {path} has {values.shape} voxels."
    return values.reshape(shape), ""
