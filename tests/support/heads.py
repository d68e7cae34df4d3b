"""Heads whose every angle and expression is known, to see what is read off them."""

import numpy as np

from gioconda.motion.expression import load_basis, offsets
from gioconda.motion.pose import rotation_from_euler, to_unit_head
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, Face

SIZE = (640, 480)
FPS = 25
UNIT = 110.0  # pixels between the outer eye corners
PLACE = (320.0, 210.0)

# Inner lips above and below, lids above and below, viewer's left eye first.
LIPS = np.array([[13, 14], [82, 87], [312, 317]])
LIDS = np.array([[[160, 144], [159, 145], [158, 153]], [[385, 380], [386, 374], [387, 373]]])


def wave(count, high, *, at=0.5, width=0.12):
    """A smooth hill of a height, its top at a fraction of the way: (count,)."""
    x = np.linspace(0, 1, count)
    return high * np.exp(-0.5 * ((x - at) / width) ** 2)


def person(seed=0, spread=1.0):
    """The face at rest (478, 3) of somebody made up, canonical frame."""
    basis = load_basis()
    weights = np.random.default_rng(seed).normal(size=len(basis.identity)) * spread
    shape = basis.neutral + np.tensordot(weights, basis.identity.astype(np.float64), 1)
    return to_unit_head(shape.astype(np.float32))


def performed(shape, count=50, *, yaw=0, pitch=0, roll=0, x=0, y=0, near=1, **coefficients):
    """Faces (list of `count`) of somebody who turns, moves and makes faces; all values may be curves."""
    expression = np.zeros((count, len(ARKIT_NAMES)), np.float32)
    for name, value in coefficients.items():
        expression[:, ARKIT_INDEX[name]] = value
    angles = [np.broadcast_to(np.asarray(a, np.float64), (count,)) for a in (yaw, pitch, roll)]
    turns = rotation_from_euler(*angles)
    canonical = shape + offsets(expression)
    size = UNIT * np.broadcast_to(np.asarray(near, np.float64), (count,))
    points = size[:, None, None] * (canonical @ turns.transpose(0, 2, 1))
    points[..., 0] += PLACE[0] + np.broadcast_to(x, (count,))[:, None]
    points[..., 1] += PLACE[1] + np.broadcast_to(y, (count,))[:, None]
    return [Face(one.astype(np.float32)) for one in points]


def times(count):
    """Seconds of so many frames."""
    return np.arange(count) / FPS


def gap(points, pairs):
    """Mean distance of pairs of points over the distance of the outer eye corners."""
    apart = np.linalg.norm(points[pairs[:, 1], :2] - points[pairs[:, 0], :2], axis=1).mean()
    return float(apart / np.linalg.norm(points[263, :2] - points[33, :2]))


def lips_apart(points):
    """How far the lips are apart, in eye distances; signed: below 0 they cross."""
    down = points[152, :2] - points[168, :2]
    down = down / np.linalg.norm(down)
    apart = ((points[LIPS[:, 1], :2] - points[LIPS[:, 0], :2]) @ down).mean()
    return float(apart / np.linalg.norm(points[263, :2] - points[33, :2]))


def eyes_open(points):
    """How far the eyes are open, in eye distances: viewer's left, viewer's right."""
    return [gap(points, LIDS[0]), gap(points, LIDS[1])]
