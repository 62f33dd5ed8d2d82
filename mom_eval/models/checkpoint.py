"""Reading a checkpoint's tensors: names and shapes first, values one by one.

safetensors files, whole or in shards; pickles only where the caller allows them, and then without
running code.
"""

import json
import math
import pickle
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mom_eval.errors import CheckpointError


class Tensors:
    """The tensors in a folder; `shapes` is read from headers alone."""

    def __init__(self, folder: Path, *, allow_pickle: bool = False) -> None:
        """Open every file.

        Raises:
            CheckpointError: there are no weights, a shard is missing, or a file is broken.
        """
        self.folder = folder
        self._files: dict[str, Any] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._pickled: dict[str, Tensor] = {}
        paths = _weight_files(folder)
        if paths[0].suffix != ".safetensors":
            self._unpickle(paths, allow_pickle)
            return
        for path in paths:
            try:
                file = safe_open(path, framework="pt")
                for name in file.keys():  # noqa: SIM118 (not a dictionary)
                    self._files[name] = file
                    self.shapes[name] = tuple(file.get_slice(name).get_shape())
            except (SafetensorError, OSError) as error:
                raise CheckpointError(
                    f"{path.name} in {folder.name} is broken: {error}; fetch it again"
                ) from error

    def _unpickle(self, paths: list[Path], allow_pickle: bool) -> None:
        if not allow_pickle:
            raise CheckpointError(
                f"{self.folder.name} holds its weights as a pickle ({paths[0].name}), which can"
                " carry code; --allow-pickle reads it without running any"
            )
        for path in paths:
            try:
                zipped = is_zipfile(path)  # files of before torch 1.6 are none and cannot be mapped
                tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
            except (pickle.UnpicklingError, RuntimeError, OSError, EOFError) as error:
                first = str(error).splitlines()[0]
                raise CheckpointError(
                    f"{path.name} in {self.folder.name} is no file of tensors: {first};"
                    " fetch it again"
                ) from error
            if not isinstance(tensors, dict):
                raise CheckpointError(
                    f"{path.name} in {self.folder.name} holds no dictionary of tensors; fetch"
                    " it again"
                )
            self._pickled |= {
                str(name): tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)
            }
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self._pickled.items()}

    def numel(self) -> int:
        """Numbers in all tensors."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def __getitem__(self, name: str) -> Tensor:
        """One tensor, read now."""
        if name in self._pickled:
            return self._pickled[name]
        return self._files[name].get_tensor(name)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: the file is missing or holds something else.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} in {path.parent.name} cannot be read: {error}; fetch it again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path.name} in {path.parent.name} is no JSON object; fetch it again"
        )
    return value


def _weight_files(folder: Path) -> list[Path]:
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = folder / f"{stem}.{suffix}.index.json"
        if index.exists():
            shards = read_json(index).get("weight_map")
            if not isinstance(shards, dict):
                raise CheckpointError(
                    f"{index.name} in {folder.name} names no shards; fetch it again"
                )
            paths = [folder / Path(name).name for name in sorted(set(map(str, shards.values())))]
            missing = [path.name for path in paths if not path.exists()]
            if missing or not paths:
                raise CheckpointError(
                    f"{folder.name} lacks {', '.join(missing) or 'shards'}, named in {index.name};"
                    " fetch it again"
                )
            return paths
        single = folder / f"{stem}.{suffix}"
        if single.exists():
            return [single]
    raise CheckpointError(
        f"{folder.name} holds neither model.safetensors nor pytorch_model.bin; name a folder with"
        " weights"
    )
