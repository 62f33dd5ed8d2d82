"""Models as the suite sees them: known at once, loaded when a run needs their weights."""

import gc
import hashlib
from collections.abc import Callable
from typing import Any

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.answerers import Answerer, ModuleAnswerer
from mom_eval.evalsuite.checkpoints import Checkpoint
from mom_eval.evalsuite.run import Subject, with_model_facts
from mom_eval.tasks.tokens import HFTokens, load_tokens


class Loaded:
    """A model to be asked: its subject and tokenizer now, its answerer on demand."""

    def __init__(self, subject: Subject, tokens: HFTokens, load: Callable[[bool], Any]) -> None:
        """`load(bos)` returns an HFLM, or a `ModuleAnswerer` for a plain module."""
        self.subject, self.tokens, self._load = subject, tokens, load
        self._held: tuple[bool, Any] | None = None

    def uses_bos(self, bos: str, protocol: str) -> bool:
        """Resolve `--bos`: `auto` is none under `paper`, the tokenizer's own habit under `full`.

        Raises:
            ModelError: a first token is asked for and the tokenizer has none.
        """
        if bos == "auto":
            return protocol == "full" and self.tokens.adds_bos()
        if bos == "yes" and not self.tokens.adds_bos():
            raise ModelError(
                f"the tokenizer {self.tokens.name} puts no beginning-of-sequence token before a"
                " text, so there is none to add; take --bos no"
            )
        return bos == "yes"

    def hold(self, bos: bool) -> Any:
        """Load the model, or take it as it was loaded before."""
        if self._held is None or self._held[0] != bos:
            self._held = None
            self._held = (bos, self._load(bos))
            held = self._held[1]
            model = getattr(held, "model", getattr(held, "module", None))
            listed = getattr(model, "parameters", None)
            parameters = sum(p.numel() for p in listed()) if listed else None
            dtype = str(getattr(model, "dtype", "unknown")).removeprefix("torch.")
            self.subject = with_model_facts(
                self.subject, {"parameters": parameters, "dtype": dtype}
            )
        return self._held[1]

    def check_limit(self, tokens: int, bos: bool) -> None:
        """Refuse what is longer than the model was made for.

        Raises:
            SettingError: it is.
        """
        from mom_eval.evalsuite.lm_eval_model import context_limit

        held = self.hold(bos)
        limit = None if isinstance(held, ModuleAnswerer) else context_limit(held)
        if limit is not None and tokens > limit:
            raise SettingError(
                f"{self.subject.label} was made for {limit} tokens and {tokens} are asked for; take"
                " a smaller --context-length, --haystack or --repeat"
            )

    def answerer(self, bos: bool, batch_size: int | None, room: int) -> Answerer:
        """Who answers for this model; prompts and answers take at most `room` tokens."""
        from mom_eval.evalsuite.lm_eval_model import HFAnswerer

        held = self.hold(bos)
        return held if isinstance(held, ModuleAnswerer) else HFAnswerer(held, batch_size, room)

    def forget(self) -> None:
        """Let the weights go."""
        self._held = None
        gc.collect()


def pick_device(device: str) -> str:
    """`auto` -> a GPU where there is one.

    Raises:
        SettingError: a GPU is asked for and torch sees none, or torch knows no such device.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise SettingError(f"torch knows no device {device!r}; take auto, cpu or cuda") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise SettingError(f"--device {device}: torch sees no GPU here; `mom-eval doctor` says why")
    return device


def from_checkpoint(
    checkpoint: Checkpoint, tokenizer: str | None, device: str, dtype: str, trust_remote_code: bool
) -> Loaded:
    """A model whose files are here."""
    tokens = load_tokens(
        tokenizer or str(checkpoint.folder),
        gguf_file=None if tokenizer else checkpoint.gguf_file,
        trust_remote_code=trust_remote_code,
    )
    if not tokenizer:
        tokens.name = checkpoint.id
    subject = Subject(
        kind="model",
        label=checkpoint.label,
        model={
            "id": checkpoint.id,
            "revision": checkpoint.revision,
            "weights_sha256": checkpoint.sha256(),
            "device": device.split(":")[0],
            "asked_dtype": dtype,
        },
        tokenizer={"id": tokens.name, "sha256": tokens.sha256},
    )

    def load(bos: bool) -> Any:
        from mom_eval.evalsuite.lm_eval_model import load_hflm

        return load_hflm(
            checkpoint,
            tokens.tokenizer,
            device=device,
            dtype=dtype,
            bos=bos,
            trust_remote_code=trust_remote_code,
        )

    return Loaded(subject, tokens, load)


def from_memory(model: Any, tokenizer: Any, device: str) -> Loaded:
    """A `PreTrainedModel`, or any module that maps tokens to logits.

    Raises:
        ModelError: no tokenizer, or nothing to tell the weights by.
    """
    from transformers import PreTrainedModel

    if tokenizer is None:
        raise ModelError("a model in memory needs its tokenizer: evaluate(model, tokenizer)")
    tokens = (
        load_tokens(tokenizer)
        if isinstance(tokenizer, str)
        else HFTokens(tokenizer, type(tokenizer).__name__)
    )
    parameter = next(iter(model.parameters()), None) if hasattr(model, "parameters") else None
    where = parameter.device if parameter is not None else device
    subject = Subject(
        kind="model",
        label=type(model).__name__,
        model={
            "id": type(model).__name__,
            "revision": None,
            "weights_sha256": _state_sha256(model),
            "device": str(where).split(":")[0],
            "asked_dtype": str(parameter.dtype) if parameter is not None else "unknown",
        },
        tokenizer={"id": tokens.name, "sha256": tokens.sha256},
    )

    def load(bos: bool) -> Any:
        from mom_eval.evalsuite.lm_eval_model import wrap_model

        if isinstance(model, PreTrainedModel):
            return wrap_model(model.eval(), tokens.tokenizer, bos)
        return ModuleAnswerer(model.eval(), tokens.tokenizer, bos, where)

    return Loaded(subject, tokens, load)


def _state_sha256(model: Any) -> str:
    """Hash of a module's parameters and buffers by name."""
    if not hasattr(model, "state_dict"):
        raise ModelError(
            f"{type(model).__name__} has no state_dict(), so its runs could not be told apart; wrap"
            " it in a torch.nn.Module"
        )
    whole = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(name.encode())
        whole.update(tensor.detach().cpu().contiguous().flatten().view(_bytes()).numpy().tobytes())
    return whole.hexdigest()


def _bytes() -> Any:
    import torch

    return torch.uint8
