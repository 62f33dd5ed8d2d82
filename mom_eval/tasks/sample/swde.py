"""SWDE-like rows: the visible text of a web page on one item, and an attribute to look up."""

from collections.abc import Iterator
from typing import Any

from mom_eval.tasks.sample.prose import length, padded
from mom_eval.tasks.sample.swde_words import SITES
from mom_eval.tasks.sample.world import World

_PIECES_AN_ATTRIBUTE = 34
_MOST_QUESTIONS = 6
_FORMS = ("{key}: {value}", "{key}\n{value}", "{key} - {value}", "{key} | {value}")


def questions(world: World, tokens: int) -> Iterator[dict[str, Any]]:
    """Rows on one document of about `tokens` pieces."""
    site = world.rng.choice(SITES)
    known = {slot: world.keep(kind) for slot, kind in site.names.items()}
    head = [world.fill(line, known) for line in site.head]
    foot = [world.fill(line, known) for line in site.foot]
    room = tokens - sum(length((line,)) + 1 for line in (*head, *foot))
    number = max(1, min(len(site.attributes), room // _PIECES_AN_ATTRIBUTE))
    keys = world.rng.sample(sorted(site.attributes), number)
    values = {key: world.keep_text(site.attributes[key]) for key in keys}
    form = world.rng.choice(_FORMS)
    lines = [form.format(key=key.capitalize(), value=value) for key, value in values.items()]
    lines = padded(lines, lambda: world.fill(world.next(site.lines), known), room, 1)
    world.rng.shuffle(lines)
    document = "\n".join((*head, *lines, *foot))
    file_name = f"{site.name}/{world.rng.randint(0, 1999):04d}.htm"
    for key in keys[:_MOST_QUESTIONS]:
        yield {
            "file_name": file_name,
            "key": key,
            "value": values[key],
            "text": f"{document}\n\nSummary of information above...\n{key}:",
        }
