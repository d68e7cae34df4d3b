"""The networks in tests/data/fewshot, on people and films that their training left out."""

import csv

import numpy as np
import pytest

from gioconda import media
from gioconda.engines.fewshot import crop
from gioconda.engines.fewshot.engine import FewshotEngine
from gioconda.engines.fewshot.network import Networks
from gioconda.face import detect_faces
from gioconda.types import Portrait
from places import FEWSHOT_EXAMPLE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fewshot")]
SIDE = 64
PEOPLE = 12


@pytest.fixture(scope="module")
def engine():
    return FewshotEngine(Networks(FEWSHOT_EXAMPLE))


@pytest.fixture(scope="module")
def people(shared_data):
    """The neutral and the smiling photo of people of the split that was not trained on."""
    photos = {}
    with (shared_data / "stills" / "stills.tsv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            if row["split"] == "dev":
                photos.setdefault(row["identity"], {})[row["expression"]] = shared_data / row["path"]
    both = [(of["neutral"], of["smile"]) for of in photos.values() if len(of) == 2][:PEOPLE]
    return [tuple(map(photo, pair)) for pair in both]


def photo(path):
    image, _ = media.read_picture(path)
    return Portrait(image, detect_faces(image)[0])


def film(path, indices):
    """Some frames of a film."""
    with media.read_frames(path) as frames:
        images = [frame.image for index, frame in enumerate(frames) if index in indices]
    return [Portrait(image, detect_faces(image)[0]) for image in images]


def seen(portrait):
    """The square of a head as it is, (SIDE, SIDE, 3) float32."""
    return crop.cut_square(portrait.image, crop.head_square(portrait.face.landmarks), SIDE).astype(np.float32)


def drawn(engine, portrait, pose):
    """The head of a portrait's person, drawn by the landmarks of another portrait in that one's square."""
    square = crop.head_square(pose.face.landmarks)
    points = crop.to_square(pose.face.landmarks, square, SIDE)
    identity = engine.prepare(portrait)
    plane = crop.planes(crop.draw(points, SIDE))
    return crop.picture(identity.generator(landmarks=plane[None], psi=identity.psi)[0]).astype(np.float32)


def test_strangers_are_nearer_to_themselves_than_to_others(engine, people):
    """By chance, half of the comparisons would go the right way; these networks get all right."""
    neutral = [pair[0] for pair in people]
    right = []
    for who in neutral:
        errors = [np.abs(drawn(engine, other, who) - seen(who)).mean() for other in neutral]
        own = errors[[other is who for other in neutral].index(True)]
        right += [own < error for error in errors if error != own]
    assert np.mean(right) > 0.9


def test_a_mouth_smiles_where_the_landmarks_do(engine, people):
    """From a neutral photo; by neutral landmarks the mouth would be off by a quarter more."""
    smiling, still = [], []
    for neutral, smile in people:
        points = crop.to_square(smile.face.landmarks, crop.head_square(smile.face.landmarks), SIDE)
        (left, top), (right, bottom) = (
            f(points[list(crop.OUTER_LIPS), :2], 0).astype(int) for f in (np.min, np.max)
        )
        mouth = slice(top - 3, bottom + 4), slice(left - 3, right + 4)
        errors = (
            np.abs(drawn(engine, neutral, pose)[mouth] - seen(smile)[mouth]).mean()
            for pose in (smile, neutral)
        )
        for found, error in zip((smiling, still), errors, strict=True):
            found.append(error)
    assert np.mean(smiling) < 0.87 * np.mean(still)


def test_a_film_that_was_left_out_shows_its_man(engine, people, shared_data):
    films = sorted((shared_data / "grid_s1").glob("s*.mp4"))
    (man,) = film(films[0], {10})
    own, others = [], []
    for target in [frame for path in films[10:14] for frame in film(path, {15, 45})]:
        own.append(np.abs(drawn(engine, man, target) - seen(target)).mean())
        others += [np.abs(drawn(engine, who, target) - seen(target)).mean() for who, _ in people]
    assert np.mean(own) < 0.5 * np.mean(others)
