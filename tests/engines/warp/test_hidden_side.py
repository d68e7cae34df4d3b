"""The side that a portrait hides: its outline, what is seen of it, and what stands in its place when the head turns."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from gioconda import composite
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.maps import target_maps
from gioconda.engines.warp.mesh import facing, load_topology
from gioconda.engines.warp.mirror import build_mirror, face_outline
from gioconda.engines.warp.outline import outline, oval_sides
from gioconda.engines.warp.reveal import shown_share
from gioconda.engines.warp.turns import limit_rotation, rotated_about_neck
from gioconda.engines.warp.visibility import SIDE, continued, layout, unwrap_colours, visibility
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.pose import euler_from_rotation, rotation_from_euler
from gioconda.types import Face, Portrait
from heads import person
from places import SHARED

SIZE, UNIT, SEED = 512, 130.0, 0
HAIR = (40, 26, 18)
ENGINE = WarpEngine()


def head(yaw):
    """The landmarks of somebody made up who looks aside, in the middle of a picture."""
    points = UNIT * person(SEED) @ rotation_from_euler(yaw, 0, 0).T
    return np.asarray(points + np.array([SIZE / 2, 0.42 * SIZE, 0]), np.float32)


@cache
def painted(yaw, lit=0.0):
    """A head of skin before a blue wall, its colour known at each point; lit: how much brighter its right side is."""
    landmarks = head(yaw)
    image = np.full((SIZE, SIZE, 3), (30, 40, 90), np.uint8)
    triangles = load_topology().triangles
    middle = person(SEED)[:468, 0][triangles].mean(1)
    order = np.argsort(-landmarks[triangles, 2].mean(1))
    for i in order[facing(landmarks[:, :2], triangles)[order] > 0]:
        colour = np.array([200, 150, 120]) * (1 + lit * middle[i])
        cv2.fillConvexPoly(image, np.rint(landmarks[triangles[i], :2]).astype(np.int32), colour.tolist())
    hull = cv2.convexHull(np.rint(landmarks[:468, :2]).astype(np.int32))
    cover = cv2.fillConvexPoly(np.zeros((SIZE, SIZE), np.float32), hull, 1.0)
    return Portrait(image, Face(landmarks), person=cover)


@cache
def identity(yaw, lit=0.0):
    return ENGINE.prepare(painted(yaw, lit))


def drawn(yaw, degrees, lit=0.0):
    portrait, who = painted(yaw, lit), identity(yaw, lit)
    shot = rotated_about_neck(portrait, who.background_warp, degrees)
    (patch,) = ENGINE.render(who, [shot])
    return composite.compose(portrait.image, [patch]), shot


def silhouette(landmarks):
    cover = np.zeros((SIZE, SIZE), np.uint8)
    for triangle in load_topology().triangles:
        cv2.fillConvexPoly(cover, np.rint(landmarks[triangle, :2]).astype(np.int32), 1)
    return cover > 0


@pytest.mark.parametrize("yaw", [-35, -20, 0, 20, 35])
def test_the_outline_is_the_silhouette_of_the_mesh(yaw):
    landmarks = head(yaw)
    inside = cv2.fillPoly(
        np.zeros((SIZE, SIZE), np.uint8), [np.rint(outline(landmarks)[:, :2]).astype(np.int32)], 1
    )
    seen = silhouette(landmarks)
    assert (seen != (inside > 0)).sum() < 0.02 * seen.sum()
    if abs(yaw) > 30:
        oval = np.rint(landmarks[load_topology().oval, :2]).astype(np.int32)
        border = cv2.fillPoly(np.zeros((SIZE, SIZE), np.uint8), [oval], 1) > 0
        assert (seen != border).sum() > 0.04 * seen.sum(), "the border alone is not the silhouette"


def test_the_outline_of_a_face_from_the_front_is_the_border_of_the_mesh(astronaut_image):
    landmarks = load_portraits(astronaut_image, chosen=0, crop=True, size=512).portraits[0].face.landmarks
    frontal = landmarks.copy()
    frontal[:, 2] = 0
    side, _ = oval_sides()
    moved = np.linalg.norm(outline(frontal) - frontal[load_topology().oval], axis=1)
    assert moved.max() < 0.08 * np.linalg.norm(landmarks[263] - landmarks[33])
    assert set(side) == {-1.0, 1.0}


def test_what_a_turned_head_hides_is_its_far_side():
    seen, cheeks = visibility(head(-30)), layout().skin > 0
    left, right = seen[:, : SIDE // 4][cheeks[:, : SIDE // 4]], seen[:, -SIDE // 4 :][cheeks[:, -SIDE // 4 :]]
    assert left.mean() < 0.25
    assert right.mean() > 0.55
    mirrored = visibility(head(30))[:, ::-1]
    assert np.abs(seen - mirrored)[cheeks].mean() < 0.05, "the layout is the same in a mirror"


def test_a_nose_hides_the_cheek_behind_it():
    landmarks = head(-50)
    beside = layout().points[[126, 142, 36]].astype(int)  # of the far side of the nose
    shown = visibility(landmarks)[beside[:, 1], beside[:, 0]]
    flat = landmarks.copy()
    flat[:, 2] = 0
    assert shown.max() < 0.2 < visibility(flat)[beside[:, 1], beside[:, 0]].min()


def test_values_are_continued_from_where_they_are_known():
    values = np.zeros((64, 64, 2), np.float32)
    values[:, :32] = (3, -5)
    weight = np.zeros((64, 64), np.float32)
    weight[:, :20] = 1
    assert np.abs(continued(values, weight) - (3, -5)).max() < 1e-3
    assert np.abs(continued(values[..., 0], weight) - 3).max() < 1e-3


@pytest.mark.parametrize("yaw", [-2, 0, 2])
def test_a_portrait_from_the_front_has_no_mirror(yaw):
    portrait = painted(yaw)
    assert build_mirror(portrait, outline(portrait.face.landmarks)) is None
    assert identity(yaw).limit == float("inf")


def test_a_frame_of_a_video_has_no_mirror():
    assert identity(-25).mirror is not None
    assert ENGINE.prepare(replace(painted(-25), filmed=True)).mirror is None


@pytest.mark.parametrize(("yaw", "degrees"), [(-25, 20), (-35, 25), (25, -20)])
def test_turned_to_its_hidden_side_a_face_shows_skin_up_to_its_outline(yaw, degrees):
    image, shot = drawn(yaw, degrees)
    inside = silhouette(shot.landmarks)
    inside = cv2.erode(inside.astype(np.uint8), np.ones((9, 9))) > 0
    wall = np.abs(image.astype(int) - (30, 40, 90)).sum(2) < 60
    assert (wall & inside).sum() < 0.004 * inside.sum()
    beside = cv2.dilate(silhouette(shot.landmarks).astype(np.uint8), np.ones((31, 31))) == 0
    skin = np.abs(image.astype(int) - (200, 150, 120)).sum(2) < 60
    assert (skin & beside).sum() < 0.01 * inside.sum(), "no second contour beside it"


@pytest.mark.parametrize(("yaw", "degrees"), [(-25, 20), (25, -20)])
def test_no_part_of_what_is_seen_is_folded(yaw, degrees):
    portrait, who = painted(yaw), identity(yaw)
    shot = rotated_about_neck(portrait, who.background_warp, degrees)
    map_x, map_y, shown = target_maps(who, shot)
    assert shown is not None
    area = np.diff(map_x, axis=1)[:-1] * np.diff(map_y, axis=0)[:, :-1]
    area -= np.diff(map_x, axis=0)[:, :-1] * np.diff(map_y, axis=1)[:-1]
    face = np.zeros(map_x.shape, np.uint8)
    cv2.fillPoly(
        face, [np.rint(outline(shot.landmarks)[:, :2] - who.background_warp.box[:2]).astype(np.int32)], 1
    )
    face = cv2.erode(face, np.ones((7, 7)))[:-1, :-1] > 0
    own = shown_share(who.mirror, shown, map_x.shape)[:-1, :-1] < 0.5
    assert (area < 0)[face & own].mean() < 0.01
    assert (~own & face).sum() > 0.03 * face.sum()


@pytest.mark.parametrize("lit", [-0.6, 0.6])
def test_the_filled_side_is_in_the_light_of_the_far_cheek(lit):
    image, shot = drawn(-30, 22, lit)
    far, near = shot.landmarks[[117, 123, 147], :2], shot.landmarks[[346, 352, 376], :2]
    light = [np.mean([image[int(y), int(x)].mean() for x, y in points]) for points in (far, near)]
    own = painted(-30, lit).image
    inner = np.mean([own[int(y), int(x)].mean() for x, y in painted(-30, lit).face.landmarks[[101, 36], :2]])
    assert abs(light[0] - inner) < 0.5 * abs(light[1] - light[0]), "its own light, not the other side's"
    assert abs(light[0] / inner - 1) < 0.2


def test_hair_over_the_far_cheek_stays():
    portrait = painted(-12)
    hair = portrait.image.copy()
    flat = unwrap_colours(
        np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).astype(np.float32),
        portrait.face.landmarks,
    )
    lock = flat[30:100, 8:28].reshape(-1, 2)
    for x, y in lock:
        cv2.circle(hair, (int(x), int(y)), 3, (25, 18, 10), -1)
    who = ENGINE.prepare(replace(portrait, image=hair))
    shot = rotated_about_neck(portrait, who.background_warp, 18)
    (patch,) = ENGINE.render(who, [shot])
    image = composite.compose(hair, [patch])
    spots = shot.landmarks[[123, 147, 187], :2].astype(int)
    dark = [image[y, x].mean() < 90 for x, y in spots[:2]]
    assert all(dark), "no slab of skin over it"


def test_turned_the_other_way_or_at_rest_nothing_is_mirrored():
    portrait, who = painted(-25), identity(-25)
    for degrees in (0, -10):
        assert target_maps(who, rotated_about_neck(portrait, who.background_warp, degrees))[2] is None
    image, _ = drawn(-25, 0)
    assert np.abs(image.astype(int) - portrait.image).max() <= 1


def test_turns_beyond_the_limit_are_bent_and_others_are_not():
    portrait, who = painted(-25), identity(-25)
    yaw = []
    for degrees in (-30, 5, 15, 25, 40):
        shot = rotated_about_neck(portrait, who.background_warp, degrees)
        held = limit_rotation(shot, who.mirror, who.background_warp, 20.0)
        yaw.append(float(euler_from_rotation(held.turn)[0]))
        moved = held.grow * portrait.face.landmarks @ held.turn.T + held.shift
        assert np.abs(moved - held.landmarks).max() < 0.01, "points and pose stay together"
    assert yaw[:3] == pytest.approx([-30, 5, 15], abs=0.01)
    assert 15 < yaw[3] < yaw[4] < 20


@pytest.mark.parametrize("name", ["mona_lisa.jpg", "girl_with_a_pearl_earring.jpg"])
def test_a_painting_turned_to_its_hidden_side_keeps_one_contour(name, shared_data):
    portrait = load_portraits(SHARED / "portraits" / name, chosen=0, crop=True, size=512).portraits[0]
    who = ENGINE.prepare(portrait)
    assert who.mirror is not None
    assert who.limit > 15
    shot = rotated_about_neck(portrait, who.background_warp, 18)
    (patch,) = ENGINE.render(who, [shot])
    image = composite.compose(portrait.image, [patch])
    cheek = shot.landmarks[[50, 101, 118, 117], :2]
    colours = np.array(
        [image[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].mean((0, 1)) for x, y in cheek]
    )
    own = portrait.face.landmarks[[50, 101], :2]
    skin = np.array([portrait.image[int(y), int(x)] for x, y in own]).mean(0)
    assert np.abs(np.log((colours + 8) / (skin + 8))).max() < 0.4


def test_at_rest_the_astronaut_stays_as_it_is(astronaut_image):
    portrait = load_portraits(astronaut_image, chosen=0, crop=True, size=512).portraits[0]
    who = ENGINE.prepare(portrait)
    (patch,) = ENGINE.render(who, [rotated_about_neck(portrait, who.background_warp, 0)])
    assert np.abs(composite.compose(portrait.image, [patch]).astype(int) - portrait.image).mean() < 0.2


def with_lock(portrait, columns):
    """The portrait with dark hair over some columns of the laid out face, its whole height, and around its head."""
    image = portrait.image.copy()
    image[np.abs(image.astype(int) - (30, 40, 90)).sum(2) == 0] = HAIR
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).astype(np.float32)
    for x, y in unwrap_colours(grid, portrait.face.landmarks)[20:100, columns].reshape(-1, 2):
        cv2.circle(image, (int(x), int(y)), 3, HAIR, -1)
    return replace(portrait, image=image, person=np.ones((SIZE, SIZE), np.float32))


def far_edge(who, degrees, portrait):
    """How far the far side's outline lies from the middle of the face, at the cheek, in a turn; pixels."""
    shot = rotated_about_neck(portrait, who.background_warp, degrees)
    ring = face_outline(shot.landmarks, who.mirror)
    oval = list(load_topology().oval)
    return float(np.mean([abs(ring[oval.index(k), 0] - shot.landmarks[168, 0]) for k in (127, 234, 93)]))


def test_the_hidden_side_ends_at_the_near_sides_hairline():
    hidden = painted(-30)
    bare, covered = with_lock(hidden, slice(0, 0)), with_lock(hidden, slice(SIDE - 9, SIDE))
    edges = [far_edge(ENGINE.prepare(one), 28, one) for one in (bare, covered)]
    assert edges[1] < edges[0] - 0.05 * UNIT, (
        "hair comes in over the far temple, as it does over the near one"
    )
    who = ENGINE.prepare(covered)
    image = composite.compose(
        covered.image, [next(iter(ENGINE.render(who, [rotated_about_neck(covered, who.background_warp, 0)])))]
    )
    assert np.abs(image.astype(int) - covered.image).mean() < 0.3, "at rest nothing moves"


def test_where_the_far_side_shows_skin_there_is_no_hairline():
    slight = with_lock(painted(-8), slice(SIDE - 16, SIDE))
    mirror = build_mirror(slight, outline(slight.face.landmarks))
    assert mirror is None or mirror.hairline is None


def test_a_further_photo_shows_the_hidden_side_in_the_portraits_light():
    portrait, photo = painted(-32), painted(32)
    marked = photo.image.copy()
    spot = photo.face.landmarks[[123, 147, 187], :2]
    for x, y in spot:
        cv2.circle(marked, (int(x), int(y)), 7, (90, 40, 30), -1)
    marked = np.clip(marked * 0.6, 0, 255).astype(np.uint8)
    who = ENGINE.prepare(replace(portrait, others=(Portrait(marked, photo.face),)))
    shot = rotated_about_neck(portrait, who.background_warp, 30)
    image = composite.compose(portrait.image, [next(iter(ENGINE.render(who, [shot])))])
    places = shot.landmarks[[123, 147, 187], :2].astype(int)
    assert all(image[y, x].mean() < 110 for x, y in places), "what only the photo shows"
    skin = shot.landmarks[[117, 50], :2].astype(int)
    light = np.mean([image[y, x].mean() for x, y in skin])
    assert abs(light / portrait.image[tuple(portrait.face.landmarks[4, 1::-1].astype(int))].mean() - 1) < 0.15


def test_a_photo_of_the_same_side_is_of_no_use():
    portrait = painted(-32)
    again = replace(portrait, others=(painted(-35),))
    a, b = (build_mirror(one, outline(one.face.landmarks)) for one in (portrait, again))
    assert np.array_equal(a.image, b.image)


def test_an_ear_beside_the_far_cheek_is_not_covered():
    portrait = painted(-15)
    image, contour = portrait.image.copy(), outline(portrait.face.landmarks)
    k = list(load_topology().oval).index(234)
    x, y = contour[k, :2] - (0.07 * UNIT, 0)
    cv2.ellipse(image, (int(x), int(y)), (int(0.09 * UNIT), int(0.2 * UNIT)), 0, 0, 360, (200, 150, 120), -1)
    who = ENGINE.prepare(replace(portrait, image=image))
    assert who.mirror.push[k] < 0.07 * UNIT
