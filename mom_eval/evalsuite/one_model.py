"""The one model of a command that looks inside it: one of our own, with a fast tokenizer."""

from typing import Any

from mom_eval.errors import SettingError
from mom_eval.evalsuite.checkpoints import find
from mom_eval.evalsuite.own_model import OwnModel
from mom_eval.evalsuite.run import versions
from mom_eval.evalsuite.subjects import Loaded, Options, from_checkpoint, pick_device


def find_own(
    model: str, tokenizer: str | None, device: str, dtype: str, kernels: str, allow_pickle: bool
) -> Loaded:
    """What MODEL names; its weights are read by `hold_own`.

    Raises:
        ModelError: there is no such model, our models do not know its layout, or it has no
            tokenizer.
        SettingError: several models, or a device that torch does not see.
    """
    options = Options(
        device=pick_device(device),
        dtype=dtype,
        kernels=kernels,
        backend="own",
        allow_pickle=allow_pickle,
    )
    found = find(model, allow_pickle=allow_pickle)
    if len(found) > 1:
        labels = ", ".join(checkpoint.label for checkpoint in found[:3])
        raise SettingError(
            f"{model} names {len(found)} models ({labels}, ...), and this command looks at one;"
            " name it"
        )
    checkpoint = found[0]
    checkpoint.check_ours(", and this command looks inside those alone; name one of them")
    return from_checkpoint(checkpoint, tokenizer, options)


def hold_own(loaded: Loaded, bos: bool) -> OwnModel:
    """The model with its weights; `bos` puts a first token before every text."""
    held = loaded.hold(bos)
    assert isinstance(held, OwnModel)
    return held


def described(loaded: Loaded, bos: bool) -> dict[str, Any]:
    """What a report says of the model it is about, once its weights are read."""
    subject = loaded.subject
    return {
        "label": subject.label,
        "model": subject.model,
        "tokenizer": subject.tokenizer,
        "bos": bos,
        "versions": versions(),
    }
