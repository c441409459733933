"""Pieces of SVG pictures. Matplotlib needs half a second before its first line; a page with these opens as it did."""

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

import numpy as np

_DASHES = {"solid": "", "dashed": ' stroke-dasharray="6 2.6"'}
_LETTER = 0.6  # mean width of a letter, of its height


def svg_data_uri(width: float, height: float, pieces: Iterable[str]) -> str:
    """Return a picture on white as a `data:` address for `<img src>`.

    Args:
        width: in pixels.
        height: in pixels.
        pieces: SVG elements.
    """
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="DejaVu Sans, Verdana, sans-serif">'
        f"{ground}{''.join(pieces)}</svg>"
    )
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode("ascii")


def text(x: float, y: float, words: str, *, size: float, anchor: str = "middle", turned: float = 0) -> str:
    """Return words whose baseline lies at `y`; `anchor` is start, middle or end; `turned` in degrees."""
    turn = f' transform="rotate({-turned:g} {x:g} {y:g})"' if turned else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}"{turn}>{escape(_drawable(words))}</text>'
    )


def text_width(words: str, *, size: float) -> float:
    """Return about how wide words are."""
    return _LETTER * size * len(words)


def line(
    x: Sequence[float], y: Sequence[float], *, colour: str = "#222", width: float = 1, style: str = "solid"
) -> str:
    """Return a line from one point to the next."""
    points = " ".join(f"{a:.5g},{b:.5g}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width:g}"{_DASHES[style]}/>'


def dots(x: np.ndarray, y: np.ndarray, *, colour: str, width: float) -> str:
    """Return dots, half transparent."""
    path = "".join(f"M{a:.1f},{b:.1f}h0" for a, b in zip(x, y, strict=True))
    stroke = f'stroke="{colour}" stroke-opacity="0.6" stroke-width="{width:g}" stroke-linecap="round"'
    return f'<path d="{path}" {stroke}/>'


def grey_image(values: np.ndarray) -> str:
    """Return intensities (Y, X), the lowest black and the highest white, in a frame one unit wide per voxel."""
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 1.0)
    share = (np.where(finite, values, low) - low) / (high - low or 1.0)
    png = _png(np.rint(255 * share).astype(np.uint8))
    rows, columns = values.shape
    source = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    size = f'width="{columns}" height="{rows}" preserveAspectRatio="none"'
    return f'<image {size} style="image-rendering:pixelated" href="{source}"/>'


def outline(mask: np.ndarray, *, colour: str, style: str = "solid") -> str:
    """Return the outline of a bool mask (Y, X), closed where it touches the edge; nothing for an empty one.

    The units are voxels, and the first voxel lies between 0 and 1, as in `grey_image`.
    """
    from contourpy import contour_generator

    if not mask.any():
        return ""
    # A frame of background makes the outline end at the edge; voxel centres lie at a half.
    lines = contour_generator(z=np.pad(mask, 1).astype(float)).lines(0.5)
    path = "".join("M" + "L".join(f"{x:g},{y:g}" for x, y in np.asarray(points) - 0.5) for points in lines)
    stroke = f'stroke="{colour}" stroke-width="1.6"{_DASHES[style]} vector-effect="non-scaling-stroke"'
    return f'<path d="{path}" fill="none" {stroke}/>'


def _png(grey: np.ndarray) -> bytes:
    """Return a PNG file of grey values (Y, X), uint8."""
    rows, columns = grey.shape
    lines = np.pad(grey, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter, 0 for none
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _drawable(words: str) -> str:
    """Return words without the characters that XML cannot hold."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)
