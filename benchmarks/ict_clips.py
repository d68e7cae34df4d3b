"""Clips of ICT-FaceKit heads whose pose and expression are known, read by the project's own tracker.

Each clip shows one person at one pose, who makes one face after another and rests between them. The pictures are
plain renders (`scripts/ict_paint.py`); the tracker takes them for people. Beside the tracked landmarks stand the true
ones: the points of the packaged basis, moved by the same weights and laid on the picture by the same pose.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import say

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

SIZE = 480  # pixels, a side of the pictures
UNIT = 110.0  # pixels between the outer eye corners of the mean face
PLACE = np.array([240.0, 200.0, 0.0])  # pixels, where the canonical origin lies
MODES = 40  # the identity modes that the packaged basis knows
SPREAD = 0.8  # of the modes' weights: the full spread makes some faces that nobody has
REST, HELD = 5, 5  # frames of rest before each face, and of its full strength: more than smoothing reaches
RISE = (0.25, 0.5, 0.75)

POSES = ((0, 0), (20, 0), (-20, 0), (0, 20), (0, -20), (14, -14))  # yaw, pitch in degrees

FACES: dict[str, tuple[str, ...]] = {
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "smileLeft": ("mouthSmileLeft",),
    "smileRight": ("mouthSmileRight",),
    "jawOpen": ("jawOpen",),
    "laugh": ("mouthSmileLeft", "mouthSmileRight", "jawOpen"),
    "browsUp": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "browLeft": ("browOuterUpLeft",),
    "browsDown": ("browDownLeft", "browDownRight"),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "winkLeft": ("eyeBlinkLeft",),
    "winkRight": ("eyeBlinkRight",),
    "pucker": ("mouthPucker",),
    "funnel": ("mouthFunnel",),
    "frown": ("mouthFrownLeft", "mouthFrownRight"),
    "sneer": ("noseSneerLeft", "noseSneerRight"),
}

TAUGHT = range(1, 7)  # people of the faces above whom the package's assets have seen
PEOPLE = range(100, 160)  # who make random faces, to learn from; others than those of the clips
RANDOM_POSES, RANDOM_FACES = 4, 12  # of each of them; the first pose is straight
RANDOM_ANGLES = (24.0, 20.0, 15.0)  # degrees, yaw, pitch and roll at most


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{side}" for name in names for side in ("Left", "Right"))


# What people do most, of which random faces are made; twice, so that it comes up more often.
_COMMON = [
    *(_both("mouthSmile"), ("jawOpen",), _both("eyeBlink"), ("browInnerUp", *_both("browOuterUp"))),
    *(("mouthPucker",), ("mouthFunnel",)),
]
UNITS: list[tuple[str, ...]] = [
    *(_COMMON * 2),
    *((name,) for name in (*_both("mouthSmile"), *_both("eyeBlink"), *_both("browOuterUp"), "browInnerUp")),
    *(
        _both("browDown"),
        _both("mouthFrown"),
        _both("noseSneer"),
        _both("mouthDimple"),
        _both("mouthStretch"),
    ),
    *(_both("mouthUpperUp"), _both("mouthLowerDown"), ("jawLeft",), ("jawRight",), ("jawForward",)),
    *(("mouthLeft",), ("mouthRight",), _both("mouthPress"), ("mouthRollLower", "mouthRollUpper")),
    *(("mouthShrugLower", "mouthShrugUpper"), _both("eyeSquint"), _both("eyeWide"), ("cheekPuff",)),
    *(_both("cheekSquint"), ("eyeSquintLeft", "cheekSquintLeft"), _both("eyeLookDown"), _both("eyeLookUp")),
]


@dataclass(frozen=True)
class ICTClip:
    """tracked, true: (T, 478, 3) pixels. weights: (T, 52) ARKit. face: (T,) which of FACES, level: (T,) 0..1."""

    person: int
    yaw: float
    pitch: float
    tracked: np.ndarray
    true: np.ndarray
    weights: np.ndarray
    face: np.ndarray
    level: np.ndarray

    def held(self, face: int) -> tuple[int, slice]:
        """The middle frame in which a face stands at its full strength, and the rest before it."""
        frames = np.flatnonzero((self.face == face) & (self.level == 1))
        start = int(np.flatnonzero(self.face == face)[0])
        return int(frames[len(frames) // 2]), slice(start + 1, start + REST - 1)


def script() -> list[tuple[int, float]]:
    """Which face at what strength each frame shows."""
    levels = [*([0.0] * REST), *RISE, *([1.0] * HELD), 0.5]
    return [(face, level) for face in range(len(FACES)) for level in levels]


def clips(people: Iterable[int], kept: Path) -> Iterator[ICTClip]:
    """One clip a person and pose; what was tracked is kept in the folder `kept`."""
    kept.mkdir(parents=True, exist_ok=True)
    for person in people:
        for yaw, pitch in POSES:
            path = kept / f"ict_{person}_{yaw}_{pitch}.npz"
            if not path.is_file():
                say(f"rendering person {person} at yaw {yaw}, pitch {pitch}")
                _render(person, yaw, pitch, path)
            with np.load(path, allow_pickle=False) as data:
                yield ICTClip(person, yaw, pitch, *(data[k] for k in ICTClip.__annotations__ if k in data))


def _render(person: int, yaw: float, pitch: float, path: Path) -> None:
    from gioconda.face import FaceTracker
    from gioconda.motion.expression import load_basis, offsets

    stage = person_at(person, yaw, pitch)
    basis, seen = load_basis(), dict[tuple[int, float], np.ndarray]()
    shape = basis.neutral + np.tensordot(stage.identity, basis.identity.astype(np.float64), 1)
    tracked, true, weights = [], [], []
    with FaceTracker() as tracker:
        for face, level in script():
            row = stage.weights(face, level)
            key = (face, level) if level else (0, 0.0)
            if key not in seen:
                seen[key] = stage.picture(row)
            faces = tracker.process(seen[key])
            if not faces:
                raise SystemExit(f"no face is found in the render of person {person}, {yaw}, {pitch}, {key}")
            tracked.append(faces[0].landmarks)
            true.append(stage.laid(shape + offsets(row[None])[0]))
            weights.append(row)
    face, level = (np.array(v) for v in zip(*script(), strict=True))
    arrays = {"tracked": tracked, "true": true, "weights": weights}
    np.savez(path, face=face, level=level, **{k: np.array(v, np.float32) for k, v in arrays.items()})


def random_weights(rng: np.random.Generator) -> np.ndarray:
    """ARKit weights (52,) of one to three of UNITS, each at a strength of .3 to 1."""
    from gioconda.types import ARKIT_INDEX

    row = np.zeros(len(ARKIT_INDEX), np.float32)
    for unit in rng.choice(len(UNITS), rng.choice([1, 1, 2, 3]), replace=False):
        strength = rng.uniform(0.3, 1)
        for name in UNITS[unit]:
            row[ARKIT_INDEX[name]] = max(row[ARKIT_INDEX[name]], strength * rng.uniform(0.8, 1))
    return row


def random_people(kept: Path) -> Iterator[np.ndarray]:
    """Tracked landmarks (poses * (1 + faces), 478, 3) of each of PEOPLE, at rest first at each pose."""
    kept.mkdir(parents=True, exist_ok=True)
    for person in PEOPLE:
        path = kept / f"{person}.npy"
        if not path.is_file():
            say(f"rendering person {person}")
            np.save(path, _random_person(person))
        yield np.load(path, allow_pickle=False)


def random_rows(person: int) -> np.ndarray:
    """ARKit weights (poses * (1 + faces), 52) that one of PEOPLE shows in turn."""
    rng = np.random.default_rng(10000 + person)
    _random_poses(rng)
    rest = np.zeros((1, 52), np.float32)
    faces = [np.stack([random_weights(rng) for _ in range(RANDOM_FACES)]) for _ in range(RANDOM_POSES)]
    return np.concatenate([part for each in faces for part in (rest, each)])


def _random_poses(rng: np.random.Generator) -> list[np.ndarray]:
    """Yaw, pitch and roll in degrees of each of a person's poses."""
    return [np.zeros(3), *(rng.uniform(-1, 1, 3) * RANDOM_ANGLES for _ in range(RANDOM_POSES - 1))]


def _random_person(person: int) -> np.ndarray:
    from gioconda.face import FaceTracker

    seen = list[np.ndarray]()
    poses = _random_poses(np.random.default_rng(10000 + person))
    rows = random_rows(person).reshape(RANDOM_POSES, 1 + RANDOM_FACES, -1)
    with FaceTracker() as tracker:
        for pose, faces in zip(poses, rows, strict=True):
            stage = person_at(person, *pose)
            for row in faces:
                picture = stage.picture(row)
                # Three looks, since the tracker aims at where the face was.
                found = [tracker.process(picture) for _ in range(3)][-1]
                if not found:
                    raise SystemExit(f"no face is found in a render of person {person}")
                seen.append(found[0].landmarks)
    return np.array(seen, np.float32)


def person_at(person: int, yaw: float, pitch: float, roll: float = 0) -> Stage:
    """A made-up person at a pose in degrees, to be painted."""
    from gioconda.motion.pose import rotation_from_euler

    return Stage(person, rotation_from_euler(yaw, pitch, roll).astype(np.float64))


class Stage:
    """One ICT head at one pose, to be painted."""

    def __init__(self, person: int, turn: np.ndarray) -> None:
        from gioconda.assets import asset_path
        from ict_head import PARTS, load_head
        from ict_paint import paint

        self._head = load_head()
        self._colours, self._all = paint(self._head), self._head.part(*PARTS)
        self._turn = turn
        with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
            self._origin, self._centimetres = data["origin"].astype(np.float64), float(data["centimetres"])
        self.identity = SPREAD * np.random.default_rng(person).normal(size=MODES)

    def weights(self, face: int, level: float) -> np.ndarray:
        """ARKit weights (52,) of a face."""
        from gioconda.types import ARKIT_INDEX

        row = np.zeros(len(ARKIT_INDEX), np.float32)
        for name in list(FACES.values())[face]:
            row[ARKIT_INDEX[name]] = level
        return row

    def laid(self, canonical: np.ndarray) -> np.ndarray:
        """Canonical points as pixels."""
        return UNIT * canonical @ self._turn.T + PLACE

    def picture(self, row: np.ndarray) -> np.ndarray:
        """The render, (SIZE, SIZE, 3) uint8, of ARKit weights (52,)."""
        from gioconda.types import ARKIT_NAMES
        from ict_paint import shade

        made: dict[str, float] = {}
        for name, weight in zip(ARKIT_NAMES, row, strict=True):
            if weight:
                made.update(dict.fromkeys(self._ict_names(name), float(weight)))
        vertices = self._head.posed(self.identity, **made)
        canonical = (vertices - self._origin) * [1, -1, -1] / self._centimetres
        points = self.laid(canonical) * [1, 1, -1]  # the painter's depth grows towards the viewer
        turned = points * [1, -1, 1]
        return shade(turned, points, self._all, self._colours, SIZE)

    def _ict_names(self, name: str) -> list[str]:
        """What ICT-FaceKit calls an ARKit blendshape: one of its own, or a left and a right half."""
        short = (
            f"{name.removesuffix('Left')}_L" if name.endswith("Left") else f"{name.removesuffix('Right')}_R"
        )
        return [n for n in (name, short, f"{name}_L", f"{name}_R") if n in self._head.expression]
