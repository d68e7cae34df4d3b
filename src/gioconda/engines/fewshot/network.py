"""The few-shot networks in onnxruntime: graphs without weights, and the weights of the packaged or a fitted person."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import LimitError, MissingFileError, WeightsError
from gioconda.graphs import Tensors, open_graph, run_graph
from gioconda.limits import LIMITS
from gioconda.tensors import decode
from gioconda.types import FloatArray
from gioconda.weights import asset_path

WEIGHTS, EMBEDDER, GENERATOR = "fewshot.safetensors", "fewshot_embedder.onnx", "fewshot_generator.onnx"
THREADS = 2


class Graph:
    """One graph with the tensors that it names; may be run from several threads.

    file: an .onnx without weights. tensors: by the graph's names, any float type. Raises WeightsError where one is
    absent or of another shape.
    """

    def __init__(self, file: Path, tensors: Tensors) -> None:
        self._name = file.name
        try:
            self._session = open_graph(file, THREADS, tensors)
        except ValueError as error:
            raise WeightsError(f"{file.name}: its weights do not fit ({str(error)[:160]})") from None
        self.shapes = {one.name: tuple(one.shape) for one in self._session.get_inputs()}

    def __call__(self, **inputs: FloatArray) -> FloatArray:
        """The graph's one output for its named inputs, (1, ...) float32; WeightsError where they do not fit."""
        try:
            return np.asarray(run_graph(self._session, inputs), np.float32)
        except ValueError as error:
            raise WeightsError(f"{self._name}: not such a network ({str(error)[:160]})") from None


class Networks:
    """Embedder and generator of one training, and their weights.

    weights: fewshot.safetensors with the two graphs beside it; None for the packaged ones.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self._folder = None if weights is None else weights.parent
        self._tensors = read_tensors(weights or asset_path(WEIGHTS))
        self._embedder: Graph | None = None
        self.generator = self.fitted({})
        self.size: int = self.generator.shapes["landmarks"][-1]
        self.style: int = self.generator.shapes["psi"][-1]

    def _graph(self, name: str) -> Path:
        if self._folder is None:
            return asset_path(name)
        if not (self._folder / name).is_file():
            raise MissingFileError(f"{self._folder / name} does not exist: gioconda export fewshot writes it")
        return self._folder / name

    def fitted(self, tensors: Tensors) -> Graph:
        """The generator, with a person's own weights if there are any; WeightsError where they do not fit."""
        own = {k: v for k, v in self._tensors.items() if k.startswith("generator.")}
        for name in sorted(own.keys() | tensors.keys()) if tensors else ():
            if name not in own or name not in tensors or own[name].shape != tensors[name].shape:
                raise WeightsError(f"{name} is not as in this generator; adapt the person again")
        return Graph(self._graph(GENERATOR), tensors or own)

    def embed(self, picture: FloatArray, landmarks: FloatArray) -> FloatArray:
        """AdaIN parameters (1, style) that one photo asks for; picture, landmarks: (3, size, size) in -1..1."""
        if self._embedder is None:
            wanted = ("embedder.", "projection.")
            own = {k: v for k, v in self._tensors.items() if k.startswith(wanted)}
            self._embedder = Graph(self._graph(EMBEDDER), own)
        return self._embedder(picture=picture[None], landmarks=landmarks[None])


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a safetensors file.

    MissingFileError where it is absent, LimitError where it is too large, WeightsError where it is damaged.
    """
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist: gioconda export fewshot writes it")
    if path.stat().st_size > LIMITS.weights_bytes:
        raise LimitError(f"{path}: larger than {LIMITS.weights_bytes >> 20} MiB, so no weights of Gioconda")
    try:
        return decode(path.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file: {str(error)[:120]}") from None


@lru_cache(maxsize=2)
def load_networks(weights: Path | None = None) -> Networks:
    """The packaged networks, or others of the same kind."""
    return Networks(weights)
