"""Counts of a model, by hand and against what the model hub says of published ones."""

from dataclasses import replace

import pytest
import torch

from mom_eval.models import FAMILIES, LM, cost
from mom_eval.models.describe import checkpoint, families, published
from mom_eval.models.memory import Memories
from mom_eval.models.save import save
from tests.models.shapes import CASES, config_of, new_model

FLOAT = 4


@pytest.mark.parametrize("case", CASES)
def test_parameters_and_state_are_those_of_the_model(case: str):
    model = LM(CASES[case])
    counted = cost(CASES[case], torch.float32)
    assert counted.parameters == sum(p.numel() for p in model.parameters())
    assert counted.state_bytes == model.empty_state(1).nbytes()
    assert counted.activated <= counted.parameters
    assert counted.flops_per_token > 0


def test_a_gla_by_hand():
    """Two heads of 8 key and 16 value channels, gates of rank 16, convolutions of 4 taps."""
    config = config_of("gla")
    convolutions = 4 * (16 + 16 + 32)
    products = 32 * (16 + 16 + 32 + 16 + 32) + 16 * 16 + convolutions + 32 * 32 + 3 * 32 * 48
    recurrence = 4 * (2 * 8 * 16)
    counted = cost(config)
    assert counted.flops_per_token == 2 * (2 * products + recurrence) + 2 * 32 * 50
    others = 16 + 16 + 2 * 32  # the gate's bias, the norms
    assert counted.parameters == 2 * (products + others) + 32 + 2 * 50 * 32
    tied = cost(replace(config, tie_embeddings=True))
    assert tied.parameters == counted.parameters - 50 * 32
    assert tied.flops_per_token == counted.flops_per_token


def test_a_token_uses_top_k_of_the_memories():
    def of(**keys) -> tuple[int, int]:
        counted = cost(config_of("gla", Memories(**keys)))
        return counted.parameters, counted.flops_per_token

    def used(**keys) -> int:
        return cost(config_of("gla", Memories(**keys))).activated

    writer = 2 * (32 * (16 + 32 + 16) + 16 * 16 + 16)  # two layers of k, v, gk
    router = 2 * 32
    two, four = {"num_memories": 2, "top_k": 2}, {"num_memories": 4, "top_k": 2}
    assert of(**four)[0] - of(**two)[0] == 2 * (writer + router)
    assert used(**four) - used(**two) == 2 * router
    assert of(**four)[1] - of(**two)[1] == 2 * 2 * router
    assert used(**four, shared=True) - used(**four) == writer
    products, convolutions, recurrence = writer - 2 * 16, 2 * 4 * (16 + 16 + 32), 2 * 4 * 2 * 8 * 16
    more = of(**four, shared=True)[1] - of(**four)[1]
    assert more == 2 * (products + convolutions) + recurrence
    assert used(**four, common_kv=True) == of(**four, common_kv=True)[0]


def test_what_attention_keeps_grows_by_the_token():
    counted = cost(CASES["transformer"], torch.float32)
    assert counted.state_bytes == torch.tensor(0).nbytes  # how many tokens were read
    assert counted.state_bytes_per_token == 2 * 2 * (2 * 8) * FLOAT  # layers, k and v, heads
    assert cost(CASES["gla-1"]).state_bytes_per_token == 0


def test_published_counts_agree_with_the_hub():
    rows = {row["id"]: row for row in published()}
    small = rows["linear-moe-hub/Gated-Deltanet-340M"]
    # 399,531,296 numbers in its file: these, the embeddings a second time, and an unused D.
    assert small["parameters"] == 399_531_296 - 32_000 * 1024 - 24 * 4
    mom = rows["linear-moe-hub/MoM-Gated-Deltanet-1.3B"]
    assert round((mom["parameters"] + 32_000 * 2048) / 1e9, 2) == 1.62
    states, rings = 5 * 4 * 256 * 256 * FLOAT, 5 * 4 * 3 * 1024 * 2
    assert mom["state_bytes"] == 24 * (states + rings + 5 * 8) + 8
    assert [row["parameters"] for row in rows.values() if "130m" in row["id"]] == [128_989_632]
    assert rows["fla-hub/retnet-1.3B-100B"]["parameters"] is None


def test_every_family_is_listed_with_its_paper():
    rows = {row["name"]: row for row in families()}
    assert set(rows) == {*FAMILIES, "transformer", "mom-*"}
    assert rows["gated_deltanet"]["title"] == "Gated DeltaNet"
    assert rows["gated_deltanet"]["arxiv"] == "2412.06464"


def test_a_checkpoint_is_counted_without_its_numbers(tmp_path, monkeypatch):
    config = CASES["gated_deltanet-4+shared"]
    save(new_model(config), tmp_path)
    monkeypatch.setattr(LM, "to_empty", None)
    row = checkpoint(tmp_path)
    assert row["architecture"] == "mom-gated_deltanet"
    assert (row["layers"], row["dtype"]) == (2, "float32")
    assert row["parameters"] == cost(config).parameters
