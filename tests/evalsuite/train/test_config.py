"""What a configuration may say, and the one sentence where it says something else."""

from dataclasses import fields
from pathlib import Path

import pytest

from mom_eval.errors import SettingError
from mom_eval.evalsuite.train import read
from mom_eval.evalsuite.train.config import Training
from mom_eval.evalsuite.train.optimizer import rate
from mom_eval.evalsuite.train.sources import KINDS, MqarSource
from mom_eval.models import FAMILIES, Memories

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def test_a_configuration_is_read_whole(config):
    found = config()
    assert found.model.memories == Memories(num_memories=3, top_k=2)
    assert found.model.options == FAMILIES["gated_deltanet"].Options(num_heads=1, head_dim=8)
    assert found.data == (
        MqarSource(length=16, pairs=2),
        MqarSource(length=24, pairs=3, weight=3.0),
    )
    assert found.train.accumulate == 2
    assert found.start is None


def test_a_model_is_made_for_the_longest_document_unless_told(config):
    assert config().model.max_positions == 24
    assert (
        config(("num_layers = 2", "num_layers = 2\nmax_positions = 99")).model.max_positions == 99
    )


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_that_ships_is_sound(path):
    assert read(path).train.steps > 0


def test_the_configuration_in_the_documentation_is_sound(tmp_path):
    text = (CONFIGS.parent / "docs" / "training.md").read_text("utf-8")
    path = tmp_path / "documented.toml"
    path.write_text(text.partition("```toml")[2].partition("```")[0], "utf-8")
    found = read(path)
    assert {source.kind for source in found.data} == set(KINDS)
    documented = {line.split(" ")[0] for line in path.read_text().splitlines()}
    assert {field.name for field in fields(Training)} <= documented | {"z_loss"}


def test_every_family_has_a_configuration_for_mqar():
    families = {read(path).model.family for path in (CONFIGS / "mqar").glob("*.toml")}
    assert families == {*FAMILIES, None}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[train]", "[trian]", r"small.toml has no key 'trian'; did you mean train\?"),
        ("steps = 12", "stesp = 12", r"\[train\] has no key 'stesp'; did you mean steps"),
        ("steps = 12\n", "", r"\[train\] lacks 'steps'"),
        ("steps = 12", "steps = 0", r"steps = 0; it must be 1 or more"),
        ("steps = 12", 'steps = "12"', r"steps = '12', which cannot be"),
        ("warmup = 3", "warmup = 13", r"warmup = 13 of 12 steps"),
        ("rate = 1e-2", "rate = 0.0", r"rate and clip must be above 0"),
        ('device = "cpu"', 'dtype = "float16"', r"dtype = 'float16'; known: float32, bfloat16"),
        ('"gated_deltanet"', '"gated_delta"', r"no family 'gated_delta'; did you mean gated_delt"),
        ("head_dim = 8", "heads_dim = 8", r"options has no key 'heads_dim'; did you mean head_di"),
        ("top_k = 2", "top_k = 4", r"\[model\] memories: top_k 4 of 3 memories"),
        ("num_layers = 2", "num_layers = 2.5", r"\[model\]: num_layers = 2.5, which cannot be"),
        ('kind = "mqar"', 'kind = "maqr"', r"\[\[data\]\] 1: kind = 'maqr'; known: text, recall,"),
        ('kind = "mqar"', "", r"\[\[data\]\] 1: kind = None; known: text, recall, mqar"),
        ("weight = 3.0", "weight = 0.0", r"\[\[data\]\] 2: weight = 0.0; it must be above 0"),
        ("pairs = 2", "pair = 2", r"\[\[data\]\] 1 has no key 'pair'; did you mean pairs"),
        ("[[heldout]]", "[heldout]", r"heldout is written \[\[heldout\]\]"),
        ("[model]", 'start = "folder"\n[model]', r"needs one of \[model\].* and start"),
        ('kind = "mqar"\nlength = 16\npairs = 2', 'kind = "text"\nfile = "a"\nlength = 9',
         r"small.toml: \[\[data\]\] 1 is text, and no tokenizer is named"),
        ("steps = 12", "steps = ", r"small.toml is no TOML"),
        ("warmup = 3", "seed = -1", r"seed = -1; it must be 0 or more$"),
        ("warmup = 3", "betas = [0.9, 1.0]", r"betas = \[0.9, 1.0\]; they must be from 0 to below"),
        ("warmup = 3", "final_rate = 1.5", r"final_rate = 1.5; it must be from 0 to 1, a share$"),
        ("balance = 0.01", "balance = -0.01", r"balance = -0.01; it must be 0 or more$"),
        ('"gated_deltanet"', "3", r"\[model\]: no family 3; known: linear_attn, "),
        ('kind = "mqar"', 'kind = ["mqar"]', r"\[\[data\]\] 1: kind = \['mqar'\]; known: text"),
        ('kind = "mqar"\nlength = 16\npairs = 2', 'kind = "text"\nfile = "a"\nlength = 0',
         r"\[\[data\]\] 1: length = 0; it must be 1 or more$"),
        ('kind = "mqar"\nlength = 16\npairs = 2', 'kind = "recall"\ndata = "sample"\nlength = 9',
         r"\[\[data\]\] 1: length = 9; beside an answer of 48 tokens it must be 96 or more$"),
        ('kind = "mqar"\nlength = 16\npairs = 2',
         'kind = "recall"\ndata = "sample"\nlength = 96\ntasks = []', r"tasks = \[\]; known: fda"),
        ("[model]", "tokenizer = 3\n[model]", r"small.toml: tokenizer is a folder or a hub id, no"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(small, old, new, sentence):
    with pytest.raises(SettingError, match=sentence) as error:
        read(small((old, new)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        # Deep inside a forward pass, or only once a checkpoint is written.
        ("hidden_size = 16", "hidden_size = -4", r"\[model\]: hidden_size = -4; expected a"),
        ("num_layers = 2", "num_layers = 0", r"num_hidden_layers = 0; expected a whole number"),
        ("head_dim = 8", "head_dim = 8\nconv_size = 65", r"conv_size = 65; expected a whole"),
        ("num_heads = 1", "num_heads = 2\nnum_v_heads = 3", r"runs \(axis HV of v must be a multi"),
        ("head_dim = 8", "head_dim = 8\nexpand_v = 0.1", r"runs \(layers.0.mixer.* is empty"),
        ("num_layers = 2", "num_layers = 2\ninit_std = -1.0", r"runs \(normal expects std"),
        ("[model.memories]\nnum_memories = 3\ntop_k = 2",
         "[model.attention]\nnum_heads = 2\nnum_kv_heads = 1\nhead_dim = 8",
         r"attention changes nothing without attention_layers; add it or leave attention out"),
        ("[model.memories]\nnum_memories = 3\ntop_k = 2",
         "[model.attention]\nnum_heads = 2\nnum_kv_heads = 0\nhead_dim = 8",
         r"\[model\] attention: integer modulo by zero, which cannot be"),
        ('family = "gated_deltanet"', "attention_layers = [0, 1]", r"attention_layers are named"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_shape_that_makes_no_model_is_one_sentence(small, old, new, sentence):
    with pytest.raises(SettingError, match=sentence) as error:
        read(small((old, new)))
    assert "\n" not in str(error.value)


MQAR = "[[data]]\nkind = 'mqar'\nlength = 16\npairs = 2"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model = 3\n" + MQAR, r"\[model\] is a section, not 3"),
        ("data = [3]\n[model]", r"\[\[data\]\] 1 is a section, not 3"),
        ("start = 3\n" + MQAR, r"start is a folder or a hub"),
    ],
)  # fmt: skip
def test_a_value_in_place_of_a_section_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / "broken.toml").write_text(text)
    with pytest.raises(SettingError, match=sentence):
        read(tmp_path / "broken.toml")


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(SettingError, match=r"none.toml cannot be read: No such file"):
        read(tmp_path / "none.toml")


def test_paths_are_relative_to_the_configuration(small, tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("words")
    (tmp_path / "tok").mkdir()
    text = '[[data]]\nkind = "text"\nfile = "text.txt"\nlength = 8\n\n[[data]]'
    path = small(("[model]", 'tokenizer = "tok"\n[model]'), ("[[data]]", text))
    monkeypatch.chdir("/")
    found = read(path)
    assert found.data[0].file == str(tmp_path / "text.txt")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "text.txt").rename(tmp_path / "elsewhere" / "text.txt")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read(path).data[0].file == str(tmp_path / "text.txt"), "taken from where one stands"
    assert found.tokenizer == str(tmp_path / "tok")


def test_the_rate_rises_and_falls_as_a_cosine(config):
    training = config(("rate = 1e-2", "rate = 1e-2\nfinal_rate = 0.1")).train
    rates = [rate(training, step) for step in range(12)]
    assert rates[:3] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2])
    assert rates[3] == pytest.approx(1e-2)
    assert rates[7] == pytest.approx(1e-3 + 9e-3 * 0.5868, rel=1e-3)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 1e-3 < rates[-1] < 1.5e-3
