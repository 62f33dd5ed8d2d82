"""The TOML file of a training, read and checked before anything is loaded."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from mom_eval.errors import SettingError, nearest
from mom_eval.evalsuite.train.sources import KINDS
from mom_eval.models import FAMILIES, AttentionOptions, Memories, ModelConfig
from mom_eval.models.fields import build

T = TypeVar("T")
SECTIONS = ("model", "train", "data", "heldout", "tokenizer", "start")


@dataclass(frozen=True, kw_only=True)
class Training:
    """The section `[train]`: what is done at each step."""

    steps: int
    batch_tokens: int
    """Tokens of one forward pass; the document that fills it may reach beyond."""
    accumulate: int = 1
    """Forward passes a step."""
    rate: float
    """Learning rate at its highest."""
    warmup: int = 0
    """Steps over which it rises; then it falls as a cosine."""
    final_rate: float = 0.0
    """Where it ends, as a share of `rate`."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    """Of matrices alone."""
    clip: float = 1.0
    """Norm that gradients are scaled down to."""
    balance: float = 0.0
    """Weight of the router's load-balancing loss."""
    z_loss: float = 0.0
    """Weight of the router's z-loss."""
    dtype: str = "float32"
    """float32, or bfloat16: the optimizer keeps its own weights in float32 all the same."""
    device: str = "auto"
    seed: int = 0
    heldout_every: int | None = None
    """Steps from one measurement of the held-out loss to the next; None: at the end alone."""
    heldout_tokens: int = 65_536
    """At most so many of each held-out source."""
    save_every: int | None = None
    """Steps from one checkpoint to the next; None: at the end alone."""

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_tokens",
            "accumulate",
            "heldout_every",
            "heldout_tokens",
            "save_every",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} = {value}; it must be 1 or more")
        if self.rate <= 0 or self.clip <= 0:
            raise ValueError("rate and clip must be above 0")
        if not 0 <= self.warmup <= self.steps:
            raise ValueError(f"warmup = {self.warmup} of {self.steps} steps")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype = {self.dtype!r}; known: float32, bfloat16")


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of one training."""

    model: ModelConfig | None
    """A new model, drawn from the seed; None: `start` is gone on with."""
    start: str | None
    """A checkpoint to begin from, as `--model` of `mom-eval run` names one."""
    tokenizer: str | None
    """A folder or a hub id; None where no source is text."""
    train: Training
    data: tuple[Any, ...]
    """One of `sources.KINDS` each."""
    heldout: tuple[Any, ...]
    raw: Mapping[str, Any]
    """The file, as read."""


def read(path: Path) -> Config:
    """Read and check a configuration; paths in it are relative to its folder.

    Raises:
        SettingError: the file, the section, and what is wrong there.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} is no TOML: {error}") from None
    _known(raw, SECTIONS, f"{path}")
    if ("model" in raw) == ("start" in raw):
        raise SettingError(
            f"{path} needs one of [model], a new model's shape, and start, a checkpoint to go on"
            " from"
        )
    if not raw.get("data"):
        raise SettingError(f"{path} names no data; add a [[data]] section, one a source")
    data, heldout = (
        tuple(_source(table, f"{path} [[{name}]] {number}", path.parent)
              for number, table in enumerate(_tables(raw, name, path), 1))
        for name in ("data", "heldout")
    )  # fmt: skip
    config = Config(
        model=_model(raw["model"], f"{path} [model]") if "model" in raw else None,
        start=_place(raw["start"], path.parent) if "start" in raw else None,
        tokenizer=_place(raw["tokenizer"], path.parent) if "tokenizer" in raw else None,
        train=_build(Training, raw.get("train", {}), f"{path} [train]"),
        data=data,
        heldout=heldout,
        raw=raw,
    )
    if config.tokenizer is None and config.start is None:
        texts = [source.kind for source in (*data, *heldout) if source.needs_tokenizer]
        if texts:
            raise SettingError(f"{path}: {texts[0]} is text and no tokenizer is named")
    return config


def _tables(raw: Mapping[str, Any], name: str, path: Path) -> list[Any]:
    tables = raw.get(name, [])
    if not isinstance(tables, list):
        raise SettingError(f"{path}: {name} is written [[{name}]], one section a source")
    return tables


def _source(table: dict[str, Any], where: str, folder: Path) -> Any:
    kind = table.get("kind")
    if kind not in KINDS:
        raise SettingError(f"{where}: kind = {kind!r}; known: {', '.join(KINDS)}")
    rest = {key: value for key, value in table.items() if key != "kind"}
    source = _build(KINDS[kind], rest, where)
    for name in KINDS[kind].paths:
        source = replace(source, **{name: _place(getattr(source, name), folder)})
    return source


def _place(text: str, folder: Path) -> str:
    """A path relative to the configuration; hub ids, `sample` and absolute paths stay."""
    text = os.path.expandvars(os.path.expanduser(text))
    return str(folder / text) if (folder / text).exists() else text


def _model(table: dict[str, Any], where: str) -> ModelConfig:
    values, family = dict(table), table.get("family")
    if family is not None:
        if family not in FAMILIES:
            raise SettingError(f"{where}: no family {family!r}; {nearest(family, list(FAMILIES))}")
        options = FAMILIES[family].Options
        values["options"] = _build(options, values.get("options", {}), f"{where} options")
    for name, kind in (("memories", Memories), ("attention", AttentionOptions)):
        if name in values:
            values[name] = _build(kind, values[name], f"{where} {name}")
    return _build(ModelConfig, values, where)


def _build(kind: type[T], values: Any, where: str) -> T:
    """A dataclass out of a table.

    Raises:
        SettingError: an unknown key, one that is missing, or a value that cannot be.
    """
    if not isinstance(values, dict):
        raise SettingError(f"{where} is a section, not {values!r}")
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    _known(values, known, where)
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    try:
        return build(kind, {**values, **lists})
    except TypeError as error:
        missing = str(error).partition("argument")[2].lstrip("s: ")
        raise SettingError(f"{where} lacks {missing}") from None
    except ValueError as error:
        raise SettingError(f"{where}: {error}, which cannot be") from None


def _known(values: Mapping[str, Any], known: Any, where: str) -> None:
    for key in values:
        if key not in known:
            raise SettingError(f"{where} has no key {key!r}; {nearest(key, list(known))}")
