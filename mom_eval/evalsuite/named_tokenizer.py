"""What `--tokenizer` names -> a tokenizer."""

from pathlib import Path

from mom_eval.errors import ModelError
from mom_eval.models.zoo import shipped
from mom_eval.tasks.tokens import HFTokens, load_tokens


def named_tokenizer(text: str, *, trust_remote_code: bool = False) -> HFTokens:
    """That of a `.gguf` file, a folder, a checkpoint that ships, or a hub id, in this order.

    Raises:
        ModelError: not found, no network, or not loadable.
    """
    path = Path(text).expanduser()
    if path.suffix == ".gguf":
        if not path.exists():
            raise ModelError(f"there is no file {text} to take a tokenizer from; check --tokenizer")
        return load_tokens(str(path.parent), gguf_file=path.name)
    place = path if path.exists() else shipped().get(text, text)
    return load_tokens(str(place), trust_remote_code=trust_remote_code)
