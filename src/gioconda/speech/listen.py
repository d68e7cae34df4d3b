"""A voice -> how mouth and jaw move, piece by piece, by the packaged network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError, WeightsError
from gioconda.graphs import open_graph
from gioconda.speech import features
from gioconda.speech.mouth import COLUMNS, MOVED
from gioconda.types import ARKIT_NAMES, FloatArray
from gioconda.weights import asset_path

WEIGHTS = "speech.onnx"
OUT_HERTZ = 50  # of the network
PIECE = 2000  # frames of sound at a time, 20 s
MARGIN = 400  # frames around them that are read too: REACH of the loudness, and what the network hears
STRETCH, BESIDE = (
    600,
    100,
)  # frames that the network tells of at once, and those to either side that it hears too
VOICED = 0.25  # energy from which somebody is taken to speak
PAUSE = 12  # frames to either side that a voice lasts: lips need not meet between two words
CLOSING = 0.06  # seconds in which a mouth goes to rest in silence

Net = Callable[[FloatArray], FloatArray]
"""Levelled spectra (2 * T, BANDS) -> coefficients (T, 27)."""


@dataclass(frozen=True, eq=False)
class Heard:
    """What a voice does to a face, T frames. times (T,) seconds; expression (T, 52), ARKit's names, of which only
    jaw and mouth move; energy (T,) in 0..1; voiced (T,) bool, whether somebody speaks.
    """

    times: npt.NDArray[np.float64]
    expression: FloatArray
    energy: FloatArray
    voiced: npt.NDArray[np.bool_]


def listen(blocks: Iterable[FloatArray], fps: float = 25.0, *, weights: Path | None = None) -> Heard:
    """Listen to mono blocks (n,) in -1..1 at 16 kHz. In silence the mouth is shut.

    weights: an exported speech.onnx; the packaged one if None. InputError for no sound at all, WeightsError.
    Memory grows by some 20 KB a second of sound, not with the sound itself.
    """
    net = network(weights or asset_path(WEIGHTS))
    moved, loud, length = [], [], 0
    for mel, inner in pieces(blocks):
        moved.append(in_stretches(net, features.levelled(mel), inner))
        loud.append(features.energy(mel)[inner])
        length += inner.stop - inner.start
    if not length:
        raise InputError("there is no sound to speak with: the file holds none")
    seconds = length / features.HERTZ
    times = np.arange(max(1, round(seconds * fps))) / fps
    energy = np.concatenate(loud)
    voiced = _voiced(energy)
    return Heard(
        times,
        _expression(np.concatenate(moved), voiced, times),
        _at(energy, features.HERTZ, times),
        _at(voiced.astype(np.float32), features.HERTZ, times) > 0.5,
    )


def in_stretches(net: Net, mel: FloatArray, inner: slice | None = None) -> FloatArray:
    """Coefficients (T, 27) of levelled spectra (2 * T, BANDS), or of the frames `inner` of them, which begin evenly.

    The network hears eight seconds at most, so a longer sound goes through it in stretches that overlap.
    """
    if len(mel) % 2:
        mel = np.concatenate([mel, mel[-1:]])
    begin, end = (inner.start, inner.stop) if inner else (0, len(mel))
    made = []
    for start in range(begin, end, STRETCH):
        stop, first = min(start + STRETCH, end), max(start - BESIDE, 0)
        told = net(mel[first : min(stop + stop % 2 + BESIDE, len(mel))])
        made.append(told[(start - first) // 2 : -(-(stop - first) // 2)])
    return np.concatenate(made)


@lru_cache(maxsize=2)
def network(file: Path) -> Net:
    """An exported speech.onnx; WeightsError for another file."""
    try:
        graph = open_graph(file, 1)
    except (ValueError, OSError) as error:
        raise WeightsError(f"{file} is no speech network: {str(error).splitlines()[0][:120]}") from None
    return lambda mel: np.asarray(graph.run(None, {"mel": mel[None]})[0][0], np.float32)


def pieces(blocks: Iterable[FloatArray]) -> Iterator[tuple[FloatArray, slice]]:
    """Log-mel spectra (t, BANDS) of stretches of the sound with margins, and which of their frames are the stretch.

    The stretches follow each other without a gap; all but the last have PIECE frames.
    """
    window = features.WINDOW
    held = np.zeros(0, np.float32)  # samples from frame `first` on
    first, start = 0, 0  # frames: of the first sample held, of the stretch to come
    for block in blocks:
        held = np.concatenate([held, np.asarray(block, np.float32)])
        while len(held) >= (start + PIECE + MARGIN - first) * features.HOP + window:
            mel = features.log_mel(held[: (start + PIECE + MARGIN - first) * features.HOP + window])
            stop = start + PIECE + MARGIN - first
            yield mel[:stop], slice(start - first, start - first + PIECE)
            start += PIECE
            gone = max(start - MARGIN - first, 0)
            held, first = held[gone * features.HOP :], first + gone
    rest = -(-len(held) // features.HOP) - (start - first)
    if rest > 0:
        # networks halve the rate: two frames at least
        held = np.pad(held, (0, max(2 * features.HOP - len(held), 0)))
        yield features.log_mel(held), slice(start - first, start - first + rest)


def _voiced(energy: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether somebody speaks in or close to each frame."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(energy > VOICED, iterations=PAUSE), bool)


def _expression(
    moved: FloatArray, voiced: npt.NDArray[np.bool_], times: npt.NDArray[np.float64]
) -> FloatArray:
    """Coefficients (T, 52) at `times`, brought to rest where nobody speaks."""
    from scipy.ndimage import gaussian_filter1d

    open_ = gaussian_filter1d(voiced.astype(np.float32), CLOSING * features.HERTZ, mode="nearest")
    open_ = open_[np.minimum(2 * np.arange(len(moved)), len(open_) - 1)]
    full = np.zeros((len(times), len(ARKIT_NAMES)), np.float32)
    for k, column in enumerate(COLUMNS[: len(MOVED)]):
        full[:, column] = _at(moved[:, k] * open_, OUT_HERTZ, times)
    return full


def _at(values: FloatArray, hertz: int, times: npt.NDArray[np.float64]) -> FloatArray:
    return np.interp(times, np.arange(len(values)) / hertz, values).astype(np.float32)
