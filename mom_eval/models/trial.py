"""Whether a configuration makes a model that runs, learns and can be written.

Widths and heads meet in products deep inside a forward pass, and a checkpoint has bounds of its
own: what does not fit there is to be known before a training begins, not when it is to be saved.
"""

from dataclasses import replace

import torch

from mom_eval.errors import CheckpointError
from mom_eval.models.config import ModelConfig
from mom_eval.models.lm import LM
from mom_eval.models.published_config import own_config, read_config
from mom_eval.models.save import fla_config

TOKENS = 4


def try_out(config: ModelConfig) -> None:
    """Write and read the configuration, then run a layer of each kind over a few tokens.

    Raises:
        ValueError: what does not fit.
    """
    try:
        written = fla_config(config) or own_config(config)
        read_config(written)
    except CheckpointError as error:
        raise ValueError(str(error).removeprefix("config.json ").removeprefix("has ")) from None
    kinds = sorted({layer in config.attention_layers for layer in range(config.num_layers)})
    small = replace(
        config,
        vocab_size=2,
        num_layers=len(kinds),
        attention_layers=tuple(place for place, attention in enumerate(kinds) if attention),
    )
    state = torch.get_rng_state()
    try:
        lm = LM(small)
        if empty := [name for name, part in lm.named_parameters() if not part.numel()]:
            raise ValueError(f"{empty[0]} is empty")
        lm.reset_parameters()
        lm(torch.zeros(TOKENS, dtype=torch.int64)).logits.sum().backward()
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as e:
        first = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ValueError(f"the shape makes no model that runs ({first})") from None
    finally:
        torch.set_rng_state(state)
