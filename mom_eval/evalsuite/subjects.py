"""Models as the suite sees them: known at once, loaded when a run needs their weights."""

import gc
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.answerers import Answerer, Model, ModuleAnswerer
from mom_eval.evalsuite.checkpoints import Checkpoint
from mom_eval.evalsuite.run import Subject, with_model_facts
from mom_eval.tasks.tokens import HFTokens, load_tokens

if TYPE_CHECKING:
    from mom_eval.evalsuite.own_model import OwnModel


@dataclass(frozen=True)
class Options:
    """How models are run; what is asked stands in `Setting` and `Grid`."""

    batch_size: int | None = None
    """Questions at once; None: as many as memory holds."""
    device: str = "auto"
    dtype: str = "auto"
    backend: str = "auto"
    """`own`: our models, `hf`: transformers, `auto`: ours where they know the checkpoint."""
    bos: str = "auto"
    """`yes`, `no`, or `auto`: none under `paper`, the tokenizer's habit under `full`."""
    trust_remote_code: bool = False
    """Run code that a checkpoint brings."""
    allow_pickle: bool = False
    """Read weights that are a pickle."""
    force: bool = False
    """Do runs anew that are there already."""


class Loaded:
    """A model to be asked: its subject and tokenizer now, its answerer on demand."""

    def __init__(self, subject: Subject, tokens: HFTokens, load: Callable[[bool], Model]) -> None:
        """`load(bos)` reads the weights; `bos` puts a first token before every text."""
        self.subject, self.tokens, self._load = subject, tokens, load
        self._held: tuple[bool, Model] | None = None

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

    def hold(self, bos: bool) -> Model:
        """Load the model, or take it as it was loaded before."""
        if self._held is None or self._held[0] != bos:
            self._held = None
            held = self._load(bos)
            self._held = (bos, held)
            self.subject = with_model_facts(self.subject, _facts(held.module))
        return self._held[1]

    def check_limit(self, tokens: int, bos: bool) -> None:
        """Refuse what is longer than the model was made for.

        Raises:
            SettingError: it is.
        """
        limit = self.hold(bos).limit
        if limit is not None and tokens > limit:
            raise SettingError(
                f"{self.subject.label} was made for {limit} tokens and {tokens} are asked for; take"
                " a smaller --context-length, --haystack or --repeat"
            )

    def answerer(self, bos: bool, batch_size: int | None, room: int) -> Answerer:
        """Who answers for this model; prompts and answers take at most `room` tokens."""
        return self.hold(bos).answerer(batch_size, room)

    def forget(self) -> None:
        """Let the weights go."""
        self._held = None
        gc.collect()


def _facts(module: Any) -> dict[str, Any]:
    """What `run.json` says of a loaded model besides what decides the run."""
    parameters = list(module.parameters()) if hasattr(module, "parameters") else None
    dtype = parameters[0].dtype if parameters else "unknown"
    return {
        "parameters": sum(p.numel() for p in parameters) if parameters is not None else None,
        "dtype": str(getattr(module, "dtype", dtype)).removeprefix("torch."),
    }


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


def pick_backend(checkpoint: Checkpoint, backend: str) -> str:
    """`auto` -> `own` where our loader knows the checkpoint's layout, else `hf`.

    Raises:
        ModelError: `own` is asked for and our loader does not know it.
    """
    from mom_eval.models.load import known

    if backend == "hf":
        return backend
    ours = checkpoint.gguf_file is None and known(checkpoint.folder)
    if backend == "own" and not ours:
        raise ModelError(
            f"{checkpoint.id} is of no layout that mom-eval's own models know (`mom-eval models`"
            " lists them); take --backend hf"
        )
    return "own" if ours else "hf"


def from_checkpoint(checkpoint: Checkpoint, tokenizer: str | None, options: Options) -> Loaded:
    """A model whose files are here; its own tokenizer, unless another is named.

    Raises:
        ModelError: no tokenizer can be loaded, the backend does not fit, or the weights are a
            pickle and that is not allowed.
    """
    checkpoint.check_pickle(options.allow_pickle)
    backend = pick_backend(checkpoint, options.backend)
    tokens = load_tokens(
        tokenizer or str(checkpoint.folder),
        gguf_file=None if tokenizer else checkpoint.gguf_file,
        trust_remote_code=options.trust_remote_code,
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
            "backend": backend,
            "device": options.device.split(":")[0],
            "asked_dtype": options.dtype,
        },
        tokenizer={"id": tokens.name, "sha256": tokens.sha256},
    )

    def load(bos: bool) -> Model:
        if backend == "own":
            return load_own(checkpoint, tokens.tokenizer, bos, options)
        from mom_eval.evalsuite.lm_eval_model import load_hflm

        return load_hflm(
            checkpoint,
            tokens.tokenizer,
            device=options.device,
            dtype=options.dtype,
            bos=bos,
            trust_remote_code=options.trust_remote_code,
        )

    return Loaded(subject, tokens, load)


def load_own(checkpoint: Checkpoint, tokenizer: Any, bos: bool, options: Options) -> "OwnModel":
    """One of our own models from its files.

    Raises:
        CheckpointError: the files and the model do not agree.
        SettingError: torch knows no such dtype.
    """
    import torch

    from mom_eval.evalsuite.own_model import OwnModel
    from mom_eval.models.load import load

    dtype = None
    if options.dtype != "auto":
        dtype = getattr(torch, options.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise SettingError(
                f"torch knows no dtype {options.dtype!r}; take auto, float32, bfloat16 or float16"
            )
    elif torch.device(options.device).type == "cpu":
        dtype = torch.float32  # a CPU would only convert to it and back
    folder, pickled = checkpoint.folder, options.allow_pickle
    lm = load(folder, device=options.device, dtype=dtype, allow_pickle=pickled)
    return OwnModel(lm, tokenizer, bos)


def from_memory(model: Any, tokenizer: Any, device: str) -> Loaded:
    """A `PreTrainedModel`, an `LM` of ours, or any module that maps tokens to logits.

    Raises:
        ModelError: no tokenizer, or nothing to tell the weights by.
    """
    from transformers import PreTrainedModel

    from mom_eval.evalsuite.own_model import OwnModel
    from mom_eval.models.lm import LM

    if tokenizer is None:
        raise ModelError("a model in memory needs its tokenizer: evaluate(model, tokenizer)")
    tokens = (
        load_tokens(tokenizer)
        if isinstance(tokenizer, str)
        else HFTokens(tokenizer, type(tokenizer).__name__)
    )
    parameter = next(iter(model.parameters()), None) if hasattr(model, "parameters") else None
    where = parameter.device if parameter is not None else device
    own = isinstance(model, LM)
    name = model.config.name if own else type(model).__name__
    subject = Subject(
        kind="model",
        label=name,
        model={
            "id": name,
            "revision": None,
            "weights_sha256": _state_sha256(model, repr(model.config) if own else name),
            "backend": "own" if own else "hf" if isinstance(model, PreTrainedModel) else "module",
            "device": str(where).split(":")[0],
            "asked_dtype": str(parameter.dtype) if parameter is not None else "unknown",
        },
        tokenizer={"id": tokens.name, "sha256": tokens.sha256},
    )

    def load(bos: bool) -> Model:
        if isinstance(model, LM):
            return OwnModel(model, tokens.tokenizer, bos)
        if isinstance(model, PreTrainedModel):
            from mom_eval.evalsuite.lm_eval_model import wrap_model

            return wrap_model(model.eval(), tokens.tokenizer, bos)
        return ModuleAnswerer(model.eval(), tokens.tokenizer, bos, where)

    return Loaded(subject, tokens, load)


def _state_sha256(model: Any, what: str) -> str:
    """Hash of `what` a module is and of its parameters and buffers by name."""
    if not hasattr(model, "state_dict"):
        raise ModelError(
            f"{type(model).__name__} has no state_dict(), so its runs could not be told apart; wrap"
            " it in a torch.nn.Module"
        )
    whole = hashlib.sha256(what.encode())
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(name.encode())
        whole.update(tensor.detach().cpu().contiguous().flatten().view(_bytes()).numpy().tobytes())
    return whole.hexdigest()


def _bytes() -> Any:
    import torch

    return torch.uint8
