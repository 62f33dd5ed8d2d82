"""`mom-eval report`: a page of runs with the prompts of their questions."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mom_eval.evalsuite.quiet import quiet_libraries
from mom_eval.evalsuite.rebuilt import Rebuilt
from mom_eval.results import report as page
from mom_eval.results.report import NO_TEXTS


def report(
    runs: Sequence[Path],
    out: Path,
    *,
    no_text: bool = False,
    full: Path | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    tokenizers: Sequence[str] = (),
    say: Callable[[str], None],
) -> None:
    """Write one HTML page of runs.

    Args:
        runs: run folders, or folders that hold some.
        out: the page.
        no_text: no word of a question, document or output.
        full: a folder for the words of those questions that the page has no room for.
        data, data_dir, tokenizers: as `Rebuilt` takes them.
        say: gets each sentence of progress.

    Raises:
        MomEvalError: anything the user can mend.
    """
    quiet_libraries()
    texts = NO_TEXTS if no_text else Rebuilt(data, data_dir, tokenizers, say)
    page.write(runs, out, texts=texts, with_words=not no_text, full=full, say=say)
