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
from mom_eval.models.trial import try_out

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
    kernels: str = "auto"
    """auto, torch or triton: Triton wherever it can, or as told."""
    recompute: bool = False
    """Keep nothing of a layer but what it is given, and run it anew in the backward pass: less
    memory, the same gradients, a third more time."""
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
        for name in ("weight_decay", "balance", "z_loss", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)}; it must be 0 or more")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas = {list(self.betas)}; they must be from 0 to below 1")
        if not 0 <= self.final_rate <= 1:
            raise ValueError(f"final_rate = {self.final_rate}; it must be from 0 to 1, a share")
        if not 0 <= self.warmup <= self.steps:
            raise ValueError(f"warmup = {self.warmup} of {self.steps} steps")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype = {self.dtype!r}; known: float32, bfloat16")
        if self.kernels not in ("auto", "torch", "triton"):
            raise ValueError(f"kernels = {self.kernels!r}; known: auto, torch, triton")


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
        model=_trained_for(_model(raw["model"], f"{path} [model]"), data)
        if "model" in raw
        else None,
        start=_folder(raw, "start", path),
        tokenizer=_folder(raw, "tokenizer", path),
        train=_build(Training, raw.get("train", {}), f"{path} [train]"),
        data=data,
        heldout=heldout,
        raw=raw,
    )
    if config.tokenizer is None and config.start is None:
        for name, sources in (("data", data), ("heldout", heldout)):
            for number, source in enumerate(sources, 1):
                if source.needs_tokenizer:
                    raise SettingError(
                        f"{path}: [[{name}]] {number} is text, and no tokenizer is named; add"
                        ' tokenizer = "FOLDER or hub id"'
                    )
    return config


def _tables(raw: Mapping[str, Any], name: str, path: Path) -> list[Any]:
    tables = raw.get(name, [])
    if not isinstance(tables, list):
        raise SettingError(f"{path}: {name} is written [[{name}]], one section a source")
    return tables


def _source(table: Any, where: str, folder: Path) -> Any:
    if not isinstance(table, dict):
        raise SettingError(f"{where} is a section, not {table!r}; write its keys below it")
    kind = table.get("kind")
    if kind not in list(KINDS):
        raise SettingError(f"{where}: kind = {kind!r}; known: {', '.join(KINDS)}")
    rest = {key: value for key, value in table.items() if key != "kind"}
    source = _build(KINDS[kind], rest, where)
    if source.weight <= 0:
        raise SettingError(f"{where}: weight = {source.weight}; it must be above 0")
    for name in KINDS[kind].paths:
        source = replace(source, **{name: _place(getattr(source, name), folder)})
    return source


def _place(text: str, folder: Path) -> str:
    """A path relative to the configuration; absolute ones and the names of sources stay."""
    text = os.path.expandvars(os.path.expanduser(text))
    return text if text in ("sample", "hub") else str(folder / text)


def _folder(raw: Mapping[str, Any], name: str, path: Path) -> str | None:
    """A folder relative to the configuration, or whatever else names a model on the hub."""
    text = raw.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise SettingError(f"{path}: {name} is a folder or a hub id, not {text!r}")
    place = _place(text, path.parent)
    return place if Path(place).exists() else os.path.expandvars(os.path.expanduser(text))


def _trained_for(model: ModelConfig, data: tuple[Any, ...]) -> ModelConfig:
    """A model that does not name its longest context is trained for the longest document's."""
    if model.max_positions is not None:
        return model
    return replace(model, max_positions=max(source.length for source in data))


def _model(table: Any, where: str) -> ModelConfig:
    if not isinstance(table, dict):
        raise SettingError(f"{where} is a section, not {table!r}; write its keys below it")
    values, family = dict(table), table.get("family")
    if family is not None:
        if family not in list(FAMILIES):
            hint = nearest(str(family), list(FAMILIES))
            raise SettingError(f"{where}: no family {family!r}; {hint}")
        options = FAMILIES[family].Options
        values["options"] = _build(options, values.get("options", {}), f"{where} options")
    for name, kind in (("memories", Memories), ("attention", AttentionOptions)):
        if name in values:
            values[name] = _build(kind, values[name], f"{where} {name}")
    config = _build(ModelConfig, values, where)
    idle = {
        "options": family is None and config.options is not None,
        "memories": family is None and config.memories is not None,
        "attention": config.attention is not None and not config.attention_layers,
    }
    for name, unused in idle.items():
        if unused:
            needs = "attention_layers" if name == "attention" else "a family"
            raise SettingError(
                f"{where} {name} changes nothing without {needs}; add it or leave {name} out"
            )
    try:
        try_out(config)
    except ValueError as error:
        raise SettingError(f"{where}: {error}") from None
    return config


def _build(kind: type[T], values: Any, where: str) -> T:
    """A dataclass out of a table.

    Raises:
        SettingError: an unknown key, one that is missing, or a value that cannot be.
    """
    if not isinstance(values, dict):
        raise SettingError(f"{where} is a section, not {values!r}; write its keys below it")
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    _known(values, known, where)
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    try:
        return build(kind, {**values, **lists})
    except TypeError as error:
        missing = str(error).partition("argument")[2].lstrip("s: ")
        raise SettingError(f"{where} lacks {missing}; add it") from None
    except (ValueError, ArithmeticError) as error:
        mend = "" if ";" in str(error) else ", which cannot be"
        raise SettingError(f"{where}: {error}{mend}") from None


def _known(values: Mapping[str, Any], known: Any, where: str) -> None:
    for key in values:
        if key not in known:
            raise SettingError(f"{where} has no key {key!r}; {nearest(key, list(known))}")
