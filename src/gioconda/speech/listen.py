"""A voice -> movements of mouth and jaw, piece by piece, by the packaged network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_path
from gioconda.errors import InputError, WeightsError
from gioconda.runtime.onnx import open_graph
from gioconda.speech import features
from gioconda.speech.mouth import COLUMNS, MOVED
from gioconda.types import ARKIT_NAMES, FloatArray

WEIGHTS = "speech.onnx"
# Hertz, of the network's output.
OUT_HERTZ = 50
# Frames of sound in a piece, 20 s.
PIECE = 2000
# Frames around a piece that are read as well: REACH of the loudness, and context for the network.
MARGIN = 400
# Frames for which the network gives coefficients in one run, and frames of context to either side.
STRETCH, CONTEXT = 600, 100
# Energy from which somebody speaks.
VOICED = 0.25
# Frames by which a voice is prolonged to either side: lips need not meet between two words.
PAUSE = 12
# Seconds; standard deviation of the fade with which a mouth goes to rest in silence.
CLOSING = 0.06
# Characters of onnxruntime's message that are repeated.
MESSAGE = 120

Net = Callable[[FloatArray], FloatArray]
"""Levelled spectra (2 * T, BANDS) -> coefficients (T, 27)."""


@dataclass(frozen=True, eq=False)
class Heard:
    """What the network and the features find in a voice, T frames.

    Attributes:
        times: (T,) float64, seconds.
        expression: (T, 52) float32 ARKit coefficients, 0 to 1; only jaw and mouth move.
        energy: (T,) float32, 0 to 1.
        voiced: (T,), whether somebody speaks.
    """

    times: npt.NDArray[np.float64]
    expression: FloatArray
    energy: FloatArray
    voiced: npt.NDArray[np.bool_]


def listen(blocks: Iterable[FloatArray], fps: float = 25.0, *, weights: Path | None = None) -> Heard:
    """Turn a voice into movements of jaw and mouth. In silence the mouth is shut.

    Memory grows by some 20 KB a second of sound: spectra are computed piece by piece.

    Args:
        blocks: Mono samples (n,) float32, -1 to 1, at 16 kHz.
        fps: Frames a second of the result.
        weights: An exported speech.onnx; the packaged one if None.

    Raises:
        InputError: The sound is empty.
        WeightsError: The network is absent or damaged.
    """
    net = network(weights or asset_path(WEIGHTS))
    coefficients, energies, length = [], [], 0
    for mel, inner in pieces(blocks):
        coefficients.append(in_stretches(net, features.levelled(mel), inner))
        energies.append(features.energy(mel)[inner])
        length += inner.stop - inner.start
    if not length:
        raise InputError("the sound is empty; choose a file with a voice")
    seconds = length / features.HERTZ
    times = np.arange(max(1, round(seconds * fps))) / fps
    energy = np.concatenate(energies)
    voiced = voiced_at(energy)
    return Heard(
        times,
        expression_at(np.concatenate(coefficients), voiced, times),
        _at(energy, features.HERTZ, times),
        _at(voiced.astype(np.float32), features.HERTZ, times) > 0.5,
    )


def in_stretches(net: Net, mel: FloatArray, inner: slice | None = None) -> FloatArray:
    """Run the network on a sound of any length, in stretches that overlap: it takes eight seconds at most.

    Args:
        net: The network.
        mel: (2 * T, BANDS), levelled spectra.
        inner: Frames of `mel` to return coefficients for, all if None. It starts at an even frame.

    Returns:
        (T, 27) float32, 0 to 1, in the order of `gioconda.speech.mouth.MOVED`.
    """
    if len(mel) % 2:
        mel = np.concatenate([mel, mel[-1:]])
    begin, end = (inner.start, inner.stop) if inner else (0, len(mel))
    outputs = []
    for start in range(begin, end, STRETCH):
        stop, first = min(start + STRETCH, end), max(start - CONTEXT, 0)
        output = net(mel[first : min(stop + stop % 2 + CONTEXT, len(mel))])
        outputs.append(output[(start - first) // 2 : -(-(stop - first) // 2)])
    return np.concatenate(outputs)


@lru_cache(maxsize=2)
def network(file: Path) -> Net:
    """Open an exported speech.onnx; WeightsError if the file is not one."""
    try:
        graph = open_graph(file, 1)
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0][:MESSAGE]
        raise WeightsError(f"{file} is not a speech network: {reason}") from None
    return lambda mel: np.asarray(graph.run(None, {"mel": mel[None]})[0][0], np.float32)


def pieces(blocks: Iterable[FloatArray]) -> Iterator[tuple[FloatArray, slice]]:
    """Split a sound into consecutive pieces of PIECE frames, the last one shorter, with margins.

    Args:
        blocks: Mono samples (n,), -1 to 1, at 16 kHz.

    Yields:
        Log-mel spectra (t, BANDS) of a piece with its margins, and the slice of their frames that is the piece.
    """
    window = features.WINDOW
    # Samples from frame `first` on.
    buffer = np.zeros(0, np.float32)
    # Frames: of the buffer's first sample, and of the next piece.
    first, start = 0, 0
    for block in blocks:
        buffer = np.concatenate([buffer, np.asarray(block, np.float32)])
        while len(buffer) >= (start + PIECE + MARGIN - first) * features.HOP + window:
            mel = features.log_mel(buffer[: (start + PIECE + MARGIN - first) * features.HOP + window])
            stop = start + PIECE + MARGIN - first
            yield mel[:stop], slice(start - first, start - first + PIECE)
            start += PIECE
            dropped = max(start - MARGIN - first, 0)
            buffer, first = buffer[dropped * features.HOP :], first + dropped
    rest = -(-len(buffer) // features.HOP) - (start - first)
    if rest > 0:
        # The networks halve the rate, and so need two frames at least.
        buffer = np.pad(buffer, (0, max(2 * features.HOP - len(buffer), 0)))
        yield features.log_mel(buffer), slice(start - first, start - first + rest)


def voiced_at(energy: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether somebody speaks within PAUSE frames of each frame, (T,), of the energy (T,)."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(energy > VOICED, iterations=PAUSE), bool)


def expression_at(
    coefficients: FloatArray, voiced: npt.NDArray[np.bool_], times: npt.NDArray[np.float64]
) -> FloatArray:
    """Coefficients (T, 52) at `times` (T,), faded to 0 where nobody speaks, of the network's (n, 27) at OUT_HERTZ."""
    from scipy.ndimage import gaussian_filter1d

    fade = gaussian_filter1d(voiced.astype(np.float32), CLOSING * features.HERTZ, mode="nearest")
    fade = fade[np.minimum(2 * np.arange(len(coefficients)), len(fade) - 1)]
    full = np.zeros((len(times), len(ARKIT_NAMES)), np.float32)
    for k, column in enumerate(COLUMNS[: len(MOVED)]):
        full[:, column] = _at(coefficients[:, k] * fade, OUT_HERTZ, times)
    return full


def _at(values: FloatArray, hertz: int, times: npt.NDArray[np.float64]) -> FloatArray:
    """Values (n,) of a rate, interpolated at `times` (T,) seconds."""
    return np.interp(times, np.arange(len(values)) / hertz, values).astype(np.float32)
