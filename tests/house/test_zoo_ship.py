"""The script that ships trained models, and writes the cards of those that do not ship."""

from click.testing import CliRunner

from tests.house.scripts import script

CONFIG = """
[model]
family = "gla"
vocab_size = 64
hidden_size = 16
num_layers = 1
intermediate_size = 32
tie_embeddings = true

[model.options]
num_heads = 1

[train]
steps = 2
batch_tokens = 64
rate = 2e-3
seed = 7

[[data]]
kind = "mqar"
length = 16
pairs = 4
weight = 3

[[data]]
kind = "mqar"
length = 32
pairs = 8
weight = 1

[[heldout]]
kind = "mqar"
length = 16
pairs = 4
"""
LOSS = """\
step,tokens,loss,balance,rate,gradient_norm,tokens_per_second
1,1000,3.5,0.0,0.002,1.0,100
2,3000,1.5,0.0,0.001,1.0,400
"""
HELDOUT = "step,tokens,source,loss,accuracy\n1,1000,mqar 16/4,4,0.1\n2,3000,mqar 16/4,2.346,0.5\n"


def test_a_card_says_what_was_trained_on_and_how_far(tmp_path):
    trained = tmp_path / "small-gla"
    trained.mkdir()
    for name, text in (("config.toml", CONFIG), ("loss.csv", LOSS), ("heldout.csv", HELDOUT)):
        (trained / name).write_text(text)
    command = [str(trained), "--cards", str(tmp_path / "cards")]
    done = CliRunner().invoke(script("zoo_ship").main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    written = sorted(path.name for path in (tmp_path / "cards").iterdir())
    assert written == ["small-gla.md", "small-gla.png"]
    card = (tmp_path / "cards" / "small-gla.md").read_text()
    for words in (
        "configs/zoo/small/gla.toml",
        # 1,000 tokens at 100 a second, then 2,000 at 400.
        "2 steps, 3,000 tokens, a learning rate of 0.002 at most, seed 7;\nits steps took 15 s of",
        "![Loss and share of right tokens, in training and held out, by tokens trained on]"
        "(small-gla.png)",
    ):
        assert words in card
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines()]
    assert ["mqar 16/4", "16", "75%", "-"] in cells
    assert ["mqar 16/4", "2.35", "50.0"] in cells
