"""Plain values -> one HTML file that needs nothing beside it.

Everything that comes out of runs reaches the page as JSON and is put there by the script as text,
never as HTML. The page's policy lets run and look only what is written in it, named by hash.
"""

import hashlib
import json
from base64 import b64encode
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

_FOLDER: Final = files("mom_eval.results.report")
_SCRIPTS: Final = ("dom.js", "board.js", "models.js", "opened.js", "questions.js", "page.js")


def render(data: dict[str, Any]) -> str:
    """The page that shows the data."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(_text("template.html"))
    # One function around all of them, so that the parts are files and the page has no globals.
    script = "\n".join(["(() => {", '"use strict";', *map(_text, _SCRIPTS), "})();"])
    style = _text("page.css")
    return template.render(
        policy=_policy(script, style),
        style=Markup(style),
        script=Markup(script),
        data=Markup(as_json(data)),
    )


def as_json(data: dict[str, Any]) -> str:
    """JSON that cannot end the element it stands in, nor begin another one."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # JSON has these characters in texts alone, where an escape means the same. A lone surrogate,
    # which a model's output may hold, cannot be written as UTF-8.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)


def _policy(script: str, style: str) -> str:
    """A content security policy: this script, this style, pictures written in the page."""
    parts = {
        "default-src": "'none'",
        "script-src": f"'sha256-{_digest(script)}'",
        "style-src": f"'sha256-{_digest(style)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _digest(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _text(name: str) -> str:
    """A file beside this one, without the line break at its end."""
    return (_FOLDER / name).read_text(encoding="utf-8").rstrip("\n")
