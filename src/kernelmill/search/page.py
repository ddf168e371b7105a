"""What our HTML pages share: one file each, no scripts, no fonts, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def page(template: str, folder: Path, **context: Any) -> str:
    """A page that extends ``page.html.j2``. All text is escaped.

    Args:
        template: its name in ``folder``. context: what it shows; ``name`` and ``version`` always.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(ms=_ms, error=_error, ratio=_ratio, pretty=pretty)
    return environment.get_template(template).render(**context)


def pretty(value: Any) -> str:
    """A setting as words."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {pretty(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(pretty, value))
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _ms(value: float | None) -> str:
    """Milliseconds with three digits; microseconds where that reads better."""
    if value is None:
        return "–"
    if value < 0.1:
        return f"{value * 1e3:.3g} µs"
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1e3:.3g} s"


def _error(value: float | None) -> str:
    return "–" if value is None else "exact" if value == 0 else f"{value:.1e}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}×"
