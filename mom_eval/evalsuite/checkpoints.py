"""What `--model` names -> files on this machine: hub ids, folders, `.gguf` files, globs, labels."""

import hashlib
import re
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from mom_eval.errors import ModelError, nearest
from mom_eval.evalsuite.plan import GLOB
from mom_eval.models.zoo import shipped

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_CONFIG_FILES = ("config.json", "generation_config.json")
_PICKLE = (
    "{} holds its weights as a pickle, which can carry code; --allow-pickle reads it without"
    " running any"
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model whose files are here."""

    label: str
    """Its row's name in tables."""
    id: str
    """Hub id, or the last part of a local path: what run folders say, never an absolute path."""
    folder: Path
    gguf_file: str | None = None
    """File in `folder`, where the model is a GGUF file."""
    revision: str | None = None
    """Commit on the hub; None for local files."""

    @property
    def weight_files(self) -> list[Path]:
        """The files that hold the weights, safetensors before pickles.

        Raises:
            ModelError: there are none.
        """
        if self.gguf_file:
            return [self.folder / self.gguf_file]
        for pattern in ("*.safetensors", "*.bin"):
            if files := sorted(self.folder.glob(pattern)):
                return files
        raise ModelError(
            f"{self.id} holds no weights (*.safetensors, *.bin); name a folder that"
            " save_pretrained wrote"
        )

    def check_pickle(self, allowed: bool) -> None:
        """Refuse weights that are a pickle, which can carry code.

        Raises:
            ModelError: they are, and that is not allowed.
        """
        if not allowed and any(file.suffix == ".bin" for file in self.weight_files):
            raise ModelError(_PICKLE.format(self.id))

    @property
    def ours(self) -> bool:
        """Whether our own models know its layout."""
        from mom_eval.models.load import known

        return self.gguf_file is None and known(self.folder)

    def check_ours(self, mend: str) -> None:
        """Refuse a layout that our own models do not know; `mend` ends the sentence.

        Raises:
            ModelError: it is one.
        """
        if not self.ours:
            raise ModelError(
                f"{self.id} is of no layout that mom-eval's own models know (`mom-eval models`"
                f" lists them){mend}"
            )

    def sha256(self) -> str:
        """Hash over what decides the model's outputs: weights, configuration, code it brings."""
        files = self.weight_files
        if not self.gguf_file:
            beside = [self.folder / name for name in _CONFIG_FILES]
            files += [path for path in beside if path.exists()]
            files += sorted(self.folder.glob("*.py"))
        whole = hashlib.sha256()
        for path in files:
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        return whole.hexdigest()


def find(
    text: str, *, trust_remote_code: bool = False, allow_pickle: bool = False
) -> list[Checkpoint]:
    """Every checkpoint that one `--model` names, downloading from the hub where needed.

    Args:
        text: the name of a checkpoint that ships, a hub id, `id@revision`, a folder, a `.gguf`
            file, a glob over those, each with an optional `label=` before it. A folder of that name
            goes before what ships.
        trust_remote_code: fetch the code that the model brings, too.
        allow_pickle: fetch a pickle where there are no safetensors.

    Raises:
        ModelError: nothing is there, or the hub cannot be reached.
    """
    label = None
    if "=" in text and not Path(text).expanduser().exists():
        label, text = text.split("=", 1)
    path = Path(text).expanduser()
    if path.exists():
        return [_local(path, label)]
    if text in shipped():
        return [_local(shipped()[text], label)]
    if GLOB.search(text):
        return _glob(str(path), label)
    if text.startswith((".", "/", "~")) or text.endswith(".gguf") or text.count("/") != 1:
        beside = [entry.name for entry in path.parent.glob("*")] if path.parent.is_dir() else []
        known = [*shipped(), *sorted(beside)]
        hint = nearest(path.name, known) if known else "no such folder either"
        raise ModelError(f"there is no model at {text}; {hint}; a hub id has the form owner/name")
    return [_hub(text, label, trust_remote_code, allow_pickle)]


def _glob(pattern: str, label: str | None) -> list[Checkpoint]:
    paths = [Path(match) for match in glob(pattern)]
    if not paths:
        raise ModelError(f"no checkpoint matches {pattern}; quote the pattern and check the folder")
    paths.sort(
        key=lambda path: [
            int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)
        ]
    )
    return [_local(path, f"{label}/{path.name}" if label else None) for path in paths]


def _local(path: Path, label: str | None) -> Checkpoint:
    path = path.resolve()
    if path.is_file():
        if path.suffix != ".gguf":
            raise ModelError(
                f"{path.name} is neither a folder nor a .gguf file; name the folder it lies in"
            )
        return Checkpoint(
            label=label or path.stem, id=path.name, folder=path.parent, gguf_file=path.name
        )
    if not (path / "config.json").exists():
        raise ModelError(
            f"{path.name} holds no config.json, so it is no checkpoint; name a folder that"
            " save_pretrained wrote"
        )
    return Checkpoint(label=label or path.name, id=path.name, folder=path)


def _hub(text: str, label: str | None, trust_remote_code: bool, allow_pickle: bool) -> Checkpoint:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, _, revision = text.partition("@")
    patterns = _HUB_FILES + (["*.py"] if trust_remote_code else [])
    try:
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
        if not list(folder.glob("*.safetensors")):
            files = HfApi().list_repo_files(name, revision=revision or None)
            pickled = any(file.endswith(".bin") for file in files)
            if pickled and not allow_pickle:
                raise ModelError(_PICKLE.format(name))
            if pickled:
                folder = Path(
                    snapshot_download(
                        name, revision=revision or None, allow_patterns=[*patterns, "*.bin"]
                    )
                )
    except GatedRepoError as error:
        raise ModelError(
            f"{name} is gated; ask for access on its page, then `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"{name} has no revision {revision}; look it up on the model's page"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"there is no model {name} on the hub or in this folder; check its spelling"
        ) from error
    except HFValidationError as error:
        raise ModelError(f"{text} is neither a path nor a hub id of the form owner/name") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{name} is not on this machine and the hub cannot be reached ({type(error).__name__});"
            " fetch it where there is a network and give its folder"
        ) from error
    return Checkpoint(
        label=label or name.split("/")[-1], id=name, folder=folder, revision=folder.name
    )


def check_unique(checkpoints: list[Checkpoint]) -> None:
    """Two rows of one name cannot be told apart in a table.

    Raises:
        ModelError: two checkpoints share a label.
    """
    seen: dict[str, Checkpoint] = {}
    for checkpoint in checkpoints:
        if checkpoint.label in seen:
            raise ModelError(
                f"two models are called {checkpoint.label}; tell them apart with"
                f" NAME={checkpoint.id}"
            )
        seen[checkpoint.label] = checkpoint
