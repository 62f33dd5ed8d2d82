"""Runs -> `report.html`, and with `--full` a folder of pages beside it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mom_eval.errors import RunError, SettingError
from mom_eval.results.board import Board
from mom_eval.results.leaderboard import build
from mom_eval.results.report import tables
from mom_eval.results.report.beside import Beside
from mom_eval.results.report.cards import Card, cards
from mom_eval.results.report.cards import record as card_record
from mom_eval.results.report.full import write_full
from mom_eval.results.report.page import render
from mom_eval.results.report.sheet import Sheet, sheets
from mom_eval.results.report.text import Texts
from mom_eval.results.report.words import within
from mom_eval.results.store import disk_errors, read_runs


def write(
    paths: Sequence[Path],
    out: Path,
    *,
    texts: Texts,
    with_words: bool,
    full: Path | None,
    say: Callable[[str], None],
) -> None:
    """Write the page of some run folders.

    Args:
        paths: run folders, or folders that hold some.
        out: the page.
        texts: where prompts come from.
        with_words: False: scores alone, no word of a question, document or output.
        full: a folder for pages with the words of all questions.
        say: gets the name of each file written.

    Raises:
        SettingError: a folder for words that are to be left out.
        RunError: the runs cannot be read, or the files not be written.
    """
    if full is not None and not with_words:
        raise SettingError("--no-text leaves out what --full would write; give one of them")
    if out.is_dir():
        raise RunError(f"{out} is a folder; name a file, as {out / 'report.html'}")
    runs = read_runs(paths)
    boards = build(runs)
    asked = sheets(boards, runs)
    links = write_full(asked, texts, full, out, say) if full is not None else {}
    models = cards(runs, boards)
    text = render(
        {
            "boards": _boards(boards, models),
            "plots": _plots(boards),
            "models": _models(models, Beside(paths)),
            "questions": {
                str(board): sheet.record(range(len(sheet.questions)))
                for board, sheet in asked.items()
            },
            "words": _words(asked, texts) if with_words else {},
            "pages": {str(board): addresses for board, addresses in links.items()},
            "missing": list(texts.missing),
            "withWords": with_words,
            "part": None,
        }
    )
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    say(f"wrote {out}")


def _boards(boards: Sequence[Board], found: Sequence[Card]) -> list[dict[str, Any]]:
    models = {run.info["id"]: place for place, card in enumerate(found) for run in card.runs}
    return [tables.record(board, models) for board in boards]


def _models(found: Sequence[Card], beside: Beside) -> list[dict[str, Any]]:
    return [card_record(card, beside.of(card)) for card in found]


def _words(asked: Mapping[int, Sheet], texts: Texts) -> dict[str, Any]:
    questions = {board: sheet.questions for board, sheet in asked.items()}
    orders = {board: sheet.order for board, sheet in asked.items()}
    return {str(board): some for board, some in within(questions, orders, texts).items()}


def _plots(boards: Sequence[Board]) -> list[dict[str, Any]]:
    from mom_eval.results.frames import leaderboard_frame
    from mom_eval.results.plot import figures
    from mom_eval.results.plot_svg import pictures

    return [picture._asdict() for picture in pictures(figures(leaderboard_frame(boards)).values())]
