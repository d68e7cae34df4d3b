"""The few-shot networks in onnxruntime: graphs without weights, and weights of a training or fitted to a person."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import LimitError, MissingFileError, WeightsError
from gioconda.limits import LIMITS
from gioconda.runtime.onnx import Tensors, open_graph, run_graph
from gioconda.runtime.safetensors import decode
from gioconda.types import FloatArray

WEIGHTS, EMBEDDER, GENERATOR = "fewshot.safetensors", "fewshot_embedder.onnx", "fewshot_generator.onnx"
# Threads of a graph: more gain little at this size.
THREADS = 2
# What to do with a person's weights that were fitted to other networks.
REFIT = "give as --weights the networks of that fitting, or adapt the person again"
# Characters of an error's reason that a message quotes.
REASON_LENGTH = 160


class Graph:
    """A graph with its tensors. Several threads may run it at once.

    Attributes:
        shapes: The shape of each input, by name.
    """

    def __init__(self, file: Path, tensors: Tensors) -> None:
        """Open a graph.

        Args:
            file: An .onnx file without weights.
            tensors: The weights by the graph's names, of any float type.

        Raises:
            WeightsError: A tensor is missing or has another shape.
        """
        self._name = file.name
        try:
            self._session = open_graph(file, THREADS, tensors)
        except ValueError as error:
            reason = str(error)[:REASON_LENGTH]
            raise WeightsError(f"the weights do not fit the network {file.name} ({reason})") from None
        self.shapes = {entry.name: tuple(entry.shape) for entry in self._session.get_inputs()}

    def __call__(self, **inputs: FloatArray) -> FloatArray:
        """Run the graph on its named inputs; returns its only output, (1, ...) float32.

        Raises:
            WeightsError: The inputs do not fit.
        """
        try:
            return np.asarray(run_graph(self._session, inputs), np.float32)
        except ValueError as error:
            reason = str(error)[:REASON_LENGTH]
            raise WeightsError(f"{self._name} is not a few-shot network ({reason})") from None


class Networks:
    """Embedder and generator of one training, and their weights.

    Attributes:
        generator: With the weights of the training.
        size: Pixels of the pictures' side.
        style: Number of AdaIN parameters.
    """

    def __init__(self, weights: Path) -> None:
        """Open the networks.

        Args:
            weights: fewshot.safetensors with the two graphs beside it.

        Raises:
            MissingFileError: The file or a graph does not exist.
            LimitError: The file is too large.
            WeightsError: The file is damaged, or its weights do not fit.
        """
        self._folder = weights.parent
        self._tensors = read_tensors(weights)
        self._embedder: Graph | None = None
        self.generator = self.fitted({})
        self.size: int = self.generator.shapes["landmarks"][-1]
        self.style: int = self.generator.shapes["psi"][-1]

    def _graph(self, name: str) -> Path:
        """The file of a graph; MissingFileError where it does not exist."""
        if not (self._folder / name).is_file():
            raise MissingFileError(
                f"{self._folder / name} does not exist; write it with gioconda export-weights fewshot"
            )
        return self._folder / name

    def fitted(self, tensors: Tensors) -> Graph:
        """The generator with a person's own weights, or with those of the training where `tensors` is empty.

        Raises:
            WeightsError: The weights do not fit.
        """
        own = {k: v for k, v in self._tensors.items() if k.startswith("generator.")}
        for name in sorted(own.keys() | tensors.keys()) if tensors else ():
            if name not in own or name not in tensors or own[name].shape != tensors[name].shape:
                raise WeightsError(f"the weights {name} are fitted to other networks; {REFIT}")
        return Graph(self._graph(GENERATOR), tensors or own)

    def embed(self, picture: FloatArray, landmarks: FloatArray) -> FloatArray:
        """Embed one photo: its AdaIN parameters (1, style).

        Args:
            picture: (3, size, size) float32, -1 to 1, the head's square.
            landmarks: (3, size, size) float32, -1 to 1, its landmark picture.
        """
        if self._embedder is None:
            own = {k: v for k, v in self._tensors.items() if k.startswith(("embedder.", "projection."))}
            self._embedder = Graph(self._graph(EMBEDDER), own)
        return self._embedder(picture=picture[None], landmarks=landmarks[None])


def read_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the tensors of a safetensors file.

    Raises:
        MissingFileError: The file does not exist.
        LimitError: The file is too large.
        WeightsError: The file is damaged.
    """
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist; write it with gioconda export-weights fewshot")
    if path.stat().st_size > LIMITS.weights_bytes:
        raise LimitError(
            f"{path} is larger than {LIMITS.weights_bytes >> 20} MiB, the limit of a weights file"
        )
    try:
        return decode(path.read_bytes())[0]
    except (OSError, ValueError) as error:
        reason = str(error)[:REASON_LENGTH]
        raise WeightsError(f"{path} is damaged or is not a safetensors file ({reason})") from None


@lru_cache(maxsize=2)
def load_networks(weights: Path) -> Networks:
    """Open the networks of a file; arguments and errors are those of `Networks`. The last two are cached."""
    return Networks(weights)
