"""`manifest.json`: what `mom-eval data prepare` put into a data folder, and from where."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from mom_eval.errors import DataError

NAME = "manifest.json"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of the folder."""

    task: str
    file: str
    hub: str
    """The data set's id on the hub."""
    revision: str
    """Its commit."""
    sha256: str
    """Of the file in the folder."""
    rows: int
    left_out: int
    """Rows of the hub that cannot be asked (no key, no answer), so they are not in the file."""
    columns: list[str]
    date: str
    """Of the download, UTC, ISO."""


def exists(folder: Path) -> bool:
    """Whether a folder was prepared from the hub; without a manifest its files are the user's."""
    return (folder / NAME).is_file()


def read(folder: Path) -> dict[str, Entry]:
    """File stem -> entry; empty where there is no manifest yet.

    Raises:
        DataError: there is a manifest that cannot be read.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA:
            raise DataError(
                f"{path} has schema {content['schema']}, this mom-eval reads {SCHEMA}; prepare the"
                " data in a new folder"
            )
        return {stem: Entry(**entry) for stem, entry in content["files"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; see who may read it, or prepare the data"
            " anew"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError(
            f"{path} is not what `mom-eval data prepare` writes; remove it if the files beside it"
            " are your own, else prepare the data again"
        ) from None


def write(folder: Path, entries: dict[str, Entry]) -> None:
    """Replace the manifest at once, so that a killed program leaves the old or the new one."""
    content = {"schema": SCHEMA, "files": {stem: asdict(entries[stem]) for stem in sorted(entries)}}
    partial = folder / (NAME + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / NAME)
