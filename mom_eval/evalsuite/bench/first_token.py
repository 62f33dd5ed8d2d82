"""What a process does until it has written a token: `start` runs this in fresh ones.

    python -m mom_eval.evalsuite.bench.first_token '{"name": "mom-tiny", "spawned": 1.7e9, ...}'

Prints the label and the seconds of each phase as JSON, or what a user can mend.
"""

import json
import sys
import time
from itertools import pairwise
from typing import Any

import click
import torch

from mom_eval.errors import MomEvalError
from mom_eval.evalsuite.bench.machine import Machine
from mom_eval.evalsuite.bench.presets import model
from mom_eval.evalsuite.bench.reading import prefill
from mom_eval.evalsuite.engine.limits import room_of
from mom_eval.models.decoder import Decoder
from mom_eval.results.bench_start import PHASES


@torch.inference_mode()
def phases(
    name: str, spawned: float, prompt: int, *, allow_pickle: bool, **how: Any
) -> tuple[str, dict[str, float]]:
    """The model's label, and seconds of each of `PHASES`, from `spawned` (Unix time) on.

    Raises MomEvalError where the model or the device is not there.
    """
    ends = [spawned, time.time()]
    machine = Machine.of(**how)
    torch.zeros(1, device=machine.device)
    machine.wait()
    ends.append(time.time())
    label, lm = model(name, machine, allow_pickle=allow_pickle)
    machine.wait()
    ends.append(time.time())
    tokens = torch.randint(
        lm.config.vocab_size, (1, prompt), generator=machine.random(), device=machine.device
    )
    (read,) = prefill(lm, tokens, room_of(lm).tokens)
    token = int(read.logits[0].argmax())
    ends.append(time.time())
    decoder = Decoder(lm, 1, capacity=prompt + 1)
    decoder.write([0], read.state)
    decoder.step({0: token})
    ends.append(time.time())
    spent = (end - begin for begin, end in pairwise(ends))
    return label, dict(zip(PHASES, spent, strict=True))


def main() -> None:
    """As the module says."""
    try:
        label, spent = phases(**json.loads(sys.argv[1]))
        found: dict[str, Any] = {"label": label, "phases": spent}
    except MomEvalError as error:
        found = {"error": str(error)}
    click.echo(json.dumps(found))


if __name__ == "__main__":
    main()
