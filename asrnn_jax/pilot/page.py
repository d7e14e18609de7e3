"""The page of a pilot: one file of HTML, made from the result alone."""

from __future__ import annotations

from typing import Any

from asrnn_jax.estimators.findings import counted
from asrnn_jax.pilot.numbers import marked

NAMES = {
    "boosting": "gradient boosting on rolling windows",
    "majority": "the most frequent class",
    "persistence": "the last value",
    "seasonal": "the value one period before",
}
"""What methods without recurrence are called in sentences."""
SHORT = {
    "boosting": "trees on windows",
    "majority": "most frequent",
    "seasonal": "a period before",
    "persistence": "last value",
}
"""And in tables."""
EXAMPLE = "tail -n +1 -f rows.csv | python stream.py"


def page(result: dict[str, Any]) -> str:
    """The page, with figures inside and nothing from outside.

    Args:
      result: JSON values, as in ``result.json``.

    Raises:
      ImportError: jinja2 or matplotlib is not installed.
    """
    from markupsafe import Markup

    from asrnn_jax.pilot.figures import figures

    timed = result["data"]["has_times"]
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            r=result,
            n=lambda key, kind="number": Markup(marked(result, key, kind)),
            title=title(result),
            figures=dict.fromkeys(("along", "stretch", "disturbed", "training", "reach", "contributions"), "")
            | figures(result),
            names={name: NAMES.get(name, "") for name in result["methods"]},
            short={name: SHORT.get(name, name) for name in result["methods"]},
            monitors=[
                name for name in result["monitors"]["limits"] if name != "gap_entropy" or result["kind"] != "forecast"
            ],
            unit="seconds" if timed else "steps",
            per="an hour" if timed else "in 3,600 steps",
            example=EXAMPLE,
        )
    )


def environment() -> Any:
    """What fills in the templates; text of the data has no tags on the page."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("asrnn_jax.pilot", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )


def title(result: dict[str, Any]) -> str:
    """What the pilot is about, in a line."""
    if result["kind"] == "forecast":
        return f"{', '.join(result['pilot']['target'])}, {counted(result['pilot']['horizon'], 'step')} ahead: a pilot"
    return f"{result['pilot']['label']} from {len(result['data']['channels'])} channels: a pilot"
