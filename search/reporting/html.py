"""`search report --html`: the page of a study as one file that needs nothing else, no network among it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from optuna.trial import FrozenTrial

from search.analysis import front
from search.analysis.view import StudyView
from search.files.atomic import write_text
from search.reporting.page import Report
from search.reporting.plots import canvas
from search.reporting.plots.front import ACROSS
from search.study.storage import internals

DASHBOARD = "http://127.0.0.1:8080/dashboard"
"""Where `search dashboard` is found on the same machine, unless another port was asked for."""
LINES = 300
"""At most so many curves of a kind."""
_Plot = dict[str, Any]


def write(view: StudyView, report: Report) -> Path:
    """Write the page beside the Markdown `report`, with its pictures, gallery and curves in it; returns its path."""
    parts = [_rendered(file, view) for file in (report.path, report.gallery) if file.is_file()]
    plots = {kind: plot for kind, draw in PLOTS.items() if (plot := draw(view)) is not None}
    home = f"{DASHBOARD}/studies/{internals.study_id(view.study)}"
    content = _PAGE.replace("@TITLE@", escape(view.name)).replace("@STUDY@", escape(home))
    content = content.replace("@BODY@", "\n".join(parts)).replace("@PLOTS@", _script(plots))
    library = _plotly() if plots else ""
    path = report.path.with_suffix(".html")
    write_text(path, content.replace("@HOME@", _script(home)).replace("@PLOTLY@", library))
    return path


def _plotly() -> str:
    """The library as its package carries it, to stand in a page."""
    text = files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script")


def _script(value: Any) -> str:
    """JSON that can stand in a script: the names in it are the user's."""
    return json.dumps(value).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _rendered(page: Path, view: StudyView) -> str:
    """A Markdown page as HTML: raw HTML stays text, pictures are in it, and what can be zoomed is drawn by plotly."""
    from markdown_it import MarkdownIt

    def image(tokens: Any, place: int, *_: Any) -> str:
        file = page.parent / unquote(str(tokens[place].attrs["src"]))
        alt = escape(str(tokens[place].content))
        if file.stem in PLOTS and PLOTS[file.stem](view) is not None:
            return f'<div class="plot" data-plot="{file.stem}" role="img" aria-label="{alt}"></div>'
        if not file.is_file():
            return f"<em>{alt}</em>"
        return f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}">'

    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("image", lambda renderer, *words: image(*words))
    return str(made.render(page.read_text(encoding="utf-8")))


def _curves(view: StudyView) -> _Plot | None:
    best = canvas.drawable(view)[:1]
    others = [trial for trial in view.completed if trial not in best]
    groups = [("pruned", view.pruned, canvas.FADED, 1.0), ("completed", others, canvas.DONE, 1.2)]
    groups.append(("the best", best, canvas.BEST, 3.0))
    lines = []
    for label, trials, color, width in groups:
        for place, trial in enumerate(canvas.some([one for one in trials if one.intermediate_values], LINES)):
            lines.append(_line(trial, label, color, width) | {"showlegend": not place})
    if not any(len(line["x"]) > 1 for line in lines):
        return None
    return {"data": lines, "layout": _axes("epoch", view.metric)}


def _line(trial: FrozenTrial, label: str, color: str, width: float) -> _Plot:
    points = [(step, value) for step, value in sorted(trial.intermediate_values.items()) if canvas.fits(value)]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) == 1 else "lines",
        "x": [step for step, _ in points],
        "y": [value for _, value in points],
        "name": label,
        "legendgroup": label,
        "opacity": 0.45 if label == "pruned" else 0.9,
        "line": {"color": color, "width": width},
        "hovertemplate": f"trial {trial.number}<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def _front(view: StudyView) -> _Plot | None:
    """The first objective against each further one, in panels side by side; None of more than fit there."""
    done, further = front.done(view), range(1, len(view.metrics))
    if not view.several or len(done) < 2 or len(further) > ACROSS:
        return None
    best = {trial.number for trial in view.ranked}
    word = "both" if len(further) == 1 else "all"
    groups = {"a completed trial": (canvas.DONE, [trial for trial in done if trial.number not in best])}
    groups[f"not beaten in {word}"] = (canvas.BEST, [trial for trial in done if trial.number in best])
    data, layout = [], _Plot()
    for place in further:
        axis = "" if place == 1 else f"{place}"
        ours = {"xaxis": f"x{axis}", "yaxis": f"y{axis}", "showlegend": place == 1}
        if len(further) > 1:
            data.append(_front_line(view, place) | ours)
        for label, (color, trials) in groups.items():
            line = color == canvas.BEST and len(further) == 1
            data.append(_points(trials, label, color, place, line) | ours)
        made = _axes(view.metrics[0], view.metrics[place])
        width = 1 / len(further)
        made["xaxis"] |= {"domain": [(place - 1) * width, place * width - (0.08 if place < len(further) else 0)]}
        made["yaxis"] |= {"anchor": f"x{axis}"}
        layout |= {f"xaxis{axis}": made["xaxis"], f"yaxis{axis}": made["yaxis"]}
    return {"data": data, "layout": layout}


def _front_line(view: StudyView, place: int) -> _Plot:
    """Through the trials that no other beats in the first objective and that at `place`."""
    steps = front.under(view, place)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [step.best for step in steps],
        "y": [step.limit for step in steps],
        "name": "not beaten in the two",
        "legendgroup": "not beaten in the two",
        "line": {"color": canvas.BEST, "width": 1},
        "hoverinfo": "skip",
    }


def _points(trials: list[FrozenTrial], label: str, color: str, place: int, line: bool) -> _Plot:
    trials = sorted(trials, key=lambda trial: tuple(trial.values))
    return {
        "type": "scatter",
        "mode": "lines+markers" if line else "markers",
        "x": [trial.values[0] for trial in trials],
        "y": [trial.values[place] for trial in trials],
        "text": [f"trial {trial.number}" for trial in trials],
        "name": label,
        "legendgroup": label,
        "marker": {"color": color, "size": 9 if color == canvas.BEST else 6},
        "line": {"color": color, "width": 1},
        "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
    }


def _hypervolume(view: StudyView) -> _Plot | None:
    grown = front.growth(view)
    if grown is None:
        return None
    line = {"type": "scatter", "mode": "lines", "line": {"color": canvas.BEST, "shape": "hv"}, "y": grown.shares}
    line |= {"x": list(range(1, len(grown.shares) + 1)), "text": [f"trial {trial.number}" for trial in grown.ended]}
    line["hovertemplate"] = "%{text}: %{y:.3f}<extra></extra>"
    return {"data": [line], "layout": _axes("completed trials", "hypervolume, a share")}


def _axes(x: str, y: str) -> _Plot:
    """A layout; the names of the axes are the user's, and plotly reads some HTML in them."""
    return {"xaxis": {"title": {"text": escape(x)}}, "yaxis": {"title": {"text": escape(canvas.short(y, 40))}}}


PLOTS: dict[str, Callable[[StudyView], _Plot | None]] = {
    "curves": _curves,
    "front": _front,
    "hypervolume": _hypervolume,
}
"""By the name of the picture in whose place it stands, what plotly draws; None where there is nothing to draw."""

_PAGE = Path(__file__).with_suffix(".template").read_text(encoding="utf-8")
