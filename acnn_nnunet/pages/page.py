"""Self-contained HTML pages: one style, pictures inside the file, nothing fetched."""

import base64
import io
import warnings
from typing import Any

from acnn_nnunet import __version__

# Light on screen and on paper, and told apart by people who do not see red and green.
LABEL_COLOURS = ("#0072b2", "#e69f00", "#cc3311", "#009e73", "#cc79a7", "#56b4e9", "#f0e442", "#7f7f7f")


def render_page(template: str, **values: Any) -> str:
    """Return the page of a template in `templates/`; every value is escaped unless it is `markupsafe.Markup`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("acnn_nnunet.pages", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = format_number
    return environment.get_template(template).render(version=__version__, **values)


def format_number(value: float | None, digits: int = 3) -> str:
    """Return a number for a table, "–" where there is none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def new_figure(width_in: float, height_in: float) -> Any:
    """Return a matplotlib figure that needs no display and leaves no trace in pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def literal(text: str) -> str:
    """Return text that matplotlib draws as it stands: no formula, and no underscore in front, which hides a name."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def figure_data_uri(figure: Any, *, dpi: int = 100) -> str:
    """Return a figure as a PNG in a `data:` address for `<img src>`."""
    png = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a box for a letter that the font lacks says enough
        figure.savefig(png, format="png", dpi=dpi)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")
