"""Models as the suite sees them: known at once, loaded when a run needs their weights."""

import gc
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mom_eval.errors import ModelError, SettingError
from mom_eval.evalsuite.answerers import Answerer, Model, ModuleAnswerer, module_logits
from mom_eval.evalsuite.checkpoints import Checkpoint
from mom_eval.evalsuite.named_tokenizer import named_tokenizer
from mom_eval.evalsuite.run import Subject, with_model_facts
from mom_eval.tasks.tokens import HFTokens, load_tokens

if TYPE_CHECKING:
    from mom_eval.evalsuite.own_model import OwnModel
    from mom_eval.models.lm import LM


@dataclass(frozen=True)
class Options:
    """How models are run; what is asked stands in `Setting` and `Grid`."""

    batch_size: int | None = None
    """Questions at once; None: as many as memory holds."""
    device: str = "auto"
    dtype: str = "auto"
    kernels: str = "auto"
    """Of our own models: `torch`, `triton`, or `auto`: Triton where it can run."""
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
            self.subject = with_model_facts(self.subject, facts(held.module))
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


def facts(module: Any) -> dict[str, Any]:
    """What is written down of a loaded model besides what decides its answers."""
    parameters = list(module.parameters()) if hasattr(module, "parameters") else None
    dtype = parameters[0].dtype if parameters else "unknown"
    return {
        "parameters": sum(p.numel() for p in parameters) if parameters is not None else None,
        "dtype": str(getattr(module, "dtype", dtype)).removeprefix("torch."),
        "ran_on": _device_name(parameters[0].device) if parameters else "unknown",
    } | costs(module)


def costs(module: Any) -> dict[str, int]:
    """What one of our own models costs, counted from its shape; nothing of any other's is known.

    `decode_bytes` are read and written for one more token of one sequence: weights and state. What
    attention holds, `state_bytes_per_token`, comes on top, of the state and of these.
    """
    from mom_eval.models.cost import cost
    from mom_eval.models.lm import LM
    from mom_eval.models.work import ModelWork

    if not isinstance(module, LM):
        return {}
    dtype = module.embeddings.weight.dtype
    counted = cost(module.config, dtype)
    return {
        "activated": counted.activated,
        "state_bytes": counted.state_bytes,
        "state_bytes_per_token": counted.state_bytes_per_token,
        "decode_bytes": round(ModelWork(module.config, dtype).decode(1, 0).bytes),
    }


def _device_name(device: Any) -> str:
    """`cpu`, or a GPU with its place and name: `cuda:0, NVIDIA H100`."""
    import torch

    return (
        f"{device}, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
    )


def pick_device(device: str) -> str:
    """`auto` -> a GPU where there is one; `cpu`, `mps`, `cuda` and `cuda:N` as they are.

    Raises:
        SettingError: a GPU is asked for that torch does not see, or any other device.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, place = device.partition(":")
    if device not in ("cpu", "mps", "cuda") and not (kind == "cuda" and place.isdecimal()):
        raise SettingError(
            f"models do not run on a device {device!r}; take auto, cpu, mps, cuda or cuda:N"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise SettingError("--device mps: torch sees no Apple GPU here; take cpu")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise SettingError(
                f"--device {device}: torch sees no GPU here; `mom-eval doctor` says why"
            )
        if int(place or 0) >= count:
            raise SettingError(
                f"--device {device}: torch sees {count} GPUs here, the last is cuda:{count - 1}"
            )
    return device


def pick_backend(checkpoint: Checkpoint, backend: str) -> str:
    """`auto` -> `own` where our loader knows the checkpoint's layout, else `hf`.

    Raises:
        ModelError: `own` is asked for and our loader does not know it.
    """
    if backend == "own":
        checkpoint.check_ours("; take --backend hf")
    return "own" if backend != "hf" and checkpoint.ours else "hf"


def from_checkpoint(checkpoint: Checkpoint, tokenizer: str | None, options: Options) -> Loaded:
    """A model whose files are here; its own tokenizer, unless another is named.

    Raises:
        ModelError: no tokenizer can be loaded, the backend does not fit, or the weights are a
            pickle and that is not allowed.
    """
    checkpoint.check_pickle(options.allow_pickle)
    backend = pick_backend(checkpoint, options.backend)
    trust = options.trust_remote_code
    if tokenizer:
        tokens = named_tokenizer(tokenizer, trust_remote_code=trust)
    else:
        place, file = str(checkpoint.folder), checkpoint.gguf_file
        tokens = load_tokens(place, gguf_file=file, trust_remote_code=trust)
        tokens.name = checkpoint.id
    subject = Subject(
        kind="model",
        label=checkpoint.label,
        model=model_record(checkpoint, backend, options),
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


def model_record(checkpoint: Checkpoint, backend: str, options: Options) -> dict[str, Any]:
    """What is written down of a model before its weights are read: it decides its answers."""
    return {
        "id": checkpoint.id,
        "revision": checkpoint.revision,
        "weights_sha256": checkpoint.sha256(),
        "backend": backend,
        "device": options.device.split(":")[0],
        "asked_dtype": options.dtype,
    }


def load_own(checkpoint: Checkpoint, tokenizer: Any, bos: bool, options: Options) -> "OwnModel":
    """One of our own models from its files, with its tokenizer; raises as `load_lm` does."""
    from mom_eval.evalsuite.own_model import OwnModel

    return OwnModel(load_lm(checkpoint, options), tokenizer, bos)


def load_lm(checkpoint: Checkpoint, options: Options) -> "LM":
    """One of our own models from its files.

    Raises:
        CheckpointError: the files and the model do not agree.
        SettingError: torch knows no such dtype.
    """
    import torch

    from mom_eval.models.ahead import compile_kernels
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
    lm.kernels = options.kernels
    compile_kernels(lm)
    return lm


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
        named_tokenizer(tokenizer)
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
            "weights_sha256": _state_sha256(model, where),
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


def _state_sha256(model: Any, device: Any) -> str:
    """Hash of what decides a module's outputs: class, configuration, state and trial logits."""
    if not hasattr(model, "state_dict"):
        raise ModelError(
            f"{type(model).__name__} has no state_dict(), so its runs could not be told apart; wrap"
            " it in a torch.nn.Module"
        )
    whole = hashlib.sha256(type(model).__name__.encode())
    for name in ("config", "generation_config"):
        config = getattr(model, name, None)
        as_json: Callable[[], str] | None = getattr(config, "to_json_string", None)
        whole.update((as_json() if as_json else repr(config)).encode())
    for name, tensor in sorted(model.state_dict().items()):
        whole.update(name.encode())
        whole.update(tensor.detach().cpu().contiguous().flatten().view(_bytes()).numpy().tobytes())
    whole.update(_trial(model, device).encode())
    return whole.hexdigest()


def _trial(model: Any, device: Any) -> str:
    """What a module makes of sixteen fixed tokens: it shows a `forward` that was changed.

    Of each position the logits' mean, spread and largest, to three digits, so that the order of a
    sum does not show.
    """
    import torch

    from mom_eval.models.lm import LM

    training = model.training
    model.eval()
    if isinstance(model, LM):
        ids = torch.arange(16, device=device)
        with torch.inference_mode():
            logits = model(ids, at=ids).logits.float()
    else:
        logits = module_logits(model, list(range(16)), device)
    model.train(training)
    parts = (logits.mean(-1), logits.std(-1), logits.max(-1).values)
    return " ".join(f"{value:.2e}" for part in parts for value in part.tolist())


def _bytes() -> Any:
    import torch

    return torch.uint8
