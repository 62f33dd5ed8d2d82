"""The folder of `--full`: pages of questions alone, which together hold the words of all of them.

A page opened from a disk may read no file beside it, so the words are no data for the one page but
pages of their own, which it links to.
"""

from collections.abc import Callable, Iterator
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mom_eval.results.notes import task_name
from mom_eval.results.report import tables
from mom_eval.results.report.page import render
from mom_eval.results.report.sheet import Sheet
from mom_eval.results.report.text import Texts
from mom_eval.results.report.words import TEXT_BYTES, size, words
from mom_eval.results.store import answers_file, disk_errors

Words = list[tuple[int, dict[str, Any]]]
"""Place of a question and what is shown of it."""


def write_full(
    sheets: dict[int, Sheet], texts: Texts, folder: Path, page: Path, say: Callable[[str], None]
) -> dict[int, list[tuple[str, int]]]:
    """Write the pages of every board.

    Args:
        sheets: by the place of the board.
        texts: where prompts come from.
        folder: for the pages.
        page: the one page, to which they lead back.
        say: gets each page's name.

    Returns:
        Of each board the address of every page as seen from the one page, and the place behind its
        last question.

    Raises:
        RunError: the folder cannot be written, or a line does not hold what is shown.
    """
    found: dict[int, list[tuple[str, int]]] = {board: [] for board in sheets}
    for board, sheet in sheets.items():
        for number, part in enumerate(_parts(sheet, texts), 1):
            task = sheet.questions[part[0][0]].task
            stem = answers_file(task).removesuffix(".jsonl")
            path = folder / f"board{board + 1}-{number:03d}-{stem}.html"
            text = render(_data(sheet, part, task, _address(page, folder)))
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            say(f"wrote {path}")
            found[board].append((_address(path, page.parent), part[-1][0] + 1))
    return found


def _parts(sheet: Sheet, texts: Texts) -> Iterator[Words]:
    """The questions in their order, parted by task and by how much a page holds."""
    part: Words = []
    used = 0
    for place, question in enumerate(sheet.questions):
        one = words(question, texts)
        new_task = bool(part) and sheet.questions[part[0][0]].task != question.task
        if part and (new_task or used + size(one) > TEXT_BYTES):
            yield part
            part, used = [], 0
        part.append((place, one))
        used += size(one)
    if part:
        yield part


def _data(sheet: Sheet, part: Words, task: str, back: str) -> dict[str, Any]:
    places = [place for place, _ in part]
    first = next(at for at, question in enumerate(sheet.questions) if question.task == task)
    begin, end = places[0] - first + 1, places[-1] - first + 1
    return {
        "boards": [tables.record(sheet.board, {})],
        "plots": [],
        "models": [],
        "questions": {"0": sheet.record(places)},
        "words": {"0": {str(number): one for number, (_, one) in enumerate(part)}},
        "pages": {},
        "missing": [],
        "withWords": True,
        "part": {
            "title": f"{task_name(task)}, questions {begin:,} to {end:,}",
            "back": back,
        },
    }


def _address(path: Path, folder: Path) -> str:
    """Where a file lies as a page in `folder` links to it."""
    return quote(Path(relpath(path.resolve(), folder.resolve())).as_posix())
