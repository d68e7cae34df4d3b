"""The background as a layer of its own: it stands still, shows nothing of the person, and hair keeps its soft edge."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from gioconda import composite
from gioconda.assets import asset_path
from gioconda.engines.warp.background import build_layers, complete, composite_layers
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.matte import (
    claim_wisps,
    doubtful,
    edge_colours,
    guided_coefficients,
    plain_rim,
    push_pull,
    refine_matte,
)
from gioconda.inputs.portrait import load_portraits, person_around
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import RetargetedMotion, Style

ENGINE = WarpEngine()
UNIT = 60.0


@cache
def before_stripes():
    """The astronaut, cut out softly, before a wall of slanting stripes; and how much of each pixel is she."""
    found = load_portraits(asset_path("astronaut.jpg"), chosen=0, crop=True, size=512).portraits[0]
    y, x = np.indices(found.image.shape[:2])
    edges = np.cumsum(
        np.random.default_rng(2).integers(6, 30, 120)
    )  # uneven, so that no stripe is like the next
    stripe = np.searchsorted(edges, x + y // 2)
    wall = np.where((stripe % 2)[..., None], (205, 190, 160), (120, 140, 150))
    grain = np.random.default_rng(3).normal(0, 60, (*x.shape, 1)).astype(np.float32)
    wall = np.clip(
        wall + cv2.GaussianBlur(grain, (0, 0), 1.5)[..., None], 0, 255
    )  # or flow slides along stripes
    share = cv2.GaussianBlur(found.person, (0, 0), 1.0)[..., None]
    image = np.rint(wall + share * (found.image - wall)).astype(np.uint8)
    return replace(found, image=image), share[..., 0]


@cache
def moved(yaw, *, filmed=False):
    portrait = replace(before_stripes()[0], filmed=filmed)
    shot = RetargetedMotion(still_motion(yaw, -6, 5, 0, 0, {}), portrait, Style()).target(0)
    (patch,) = ENGINE.render(ENGINE.prepare(portrait), [shot])
    return composite.compose(portrait.image, [patch])


def wall_flow(image):
    """Mean way in pixels of the wall beside the head, by optical flow, and that of the person."""
    portrait, _ = before_stripes()
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    ways = flow.calc(*(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (portrait.image, image)), None)
    ways = np.linalg.norm(ways, axis=2)
    someone = np.maximum(portrait.person, person_around(image, portrait.face)) > 0.1
    points = portrait.face.landmarks
    unit = np.linalg.norm(points[263] - points[33])
    near, beside = (  # flow still sees the person up to the first
        cv2.dilate(someone.astype(np.uint8), np.ones((round(2 * r * unit),) * 2)) > 0 for r in (0.3, 0.9)
    )
    return ways[beside & ~near].mean(), ways[portrait.person > 0.95].mean()


@pytest.mark.parametrize("yaw", [-18, 18])
def test_a_striped_wall_stands_still_while_the_head_moves(yaw):
    wall, person = wall_flow(moved(yaw))
    assert person > 4
    assert wall < 0.3


def test_a_frame_of_a_film_has_a_background_of_its_own():
    portrait, _ = before_stripes()
    assert ENGINE.prepare(replace(portrait, filmed=True)).layers is None
    assert ENGINE.prepare(replace(portrait, person=None)).layers is None
    assert wall_flow(moved(18, filmed=True))[0] > 2 * wall_flow(moved(18))[0]


def test_while_nothing_moves_the_layers_make_up_the_picture():
    portrait, _ = before_stripes()
    who = ENGINE.prepare(portrait)
    left, top, right, bottom = who.background_warp.box
    picture = composite_layers(who.layers.front[top:bottom, left:right], who.layers.back)
    change = np.abs(picture.astype(int) - portrait.image[top:bottom, left:right])
    assert change.mean() < 0.6
    assert np.percentile(change, 99) < 12


def test_the_completed_ground_shows_no_piece_of_the_person():
    height, width = 200, 240
    y, x = np.indices((height, width))
    picture = np.where((x // 10 % 2)[..., None], (60, 90, 200), (40, 60, 150)).astype(np.float32)
    person = ((x - 120) / 50) ** 2 + ((y - 110) / 70) ** 2 < 1
    picture[person] = (220, 40, 30)
    filled = complete(picture, person, UNIT)
    assert np.array_equal(filled[~person], picture[~person])
    assert filled[..., 0].max() <= 61, "red"
    assert filled[..., 2].min() >= 149
    edge = person & ~(cv2.erode(person.astype(np.uint8), np.ones((9, 9))) > 0)
    assert filled[edge].std(0)[2] > 10, "the stripes go on behind the person"


def test_the_completed_ground_begins_without_a_step_at_a_clean_edge():
    height, width = 200, 240
    y, x = np.indices((height, width))
    dark_to_light = 40 + 160 / (1 + np.exp((x - 75 + 0.2 * y) / 6))
    picture = np.repeat(dark_to_light[..., None], 3, 2).astype(np.float32)
    person = ((x - 120) / 60) ** 2 + ((y - 110) / 70) ** 2 < 1
    seen = picture.copy()
    seen[person] = 0
    filled = complete(seen, person, UNIT, clean=True)[..., 0]
    crosses = person[:, 1:] != person[:, :-1]
    own = np.abs(np.diff(picture[..., 0], axis=1))[crosses]
    steps = np.abs(np.diff(filled, axis=1))[crosses]
    assert own.max() > 4, "the ground itself changes quickly where the person begins"
    assert (steps - own).max() < 6


def test_the_ground_behind_a_real_head_holds_none_of_its_colours():
    portrait, _ = before_stripes()
    who = ENGINE.prepare(portrait)
    left, top, _, _ = who.background_warp.box
    points = portrait.face.landmarks[:, :2] - (left, top)
    low, high = points.min(0).astype(int), points.max(0).astype(int)
    behind = who.layers.back[low[1] : high[1], low[0] : high[0], :3].astype(int)
    skin = (behind[..., 0] - behind[..., 2]) > 60  # the wall's stripes stay below 46
    assert skin.mean() < 0.01


def hair(soft):
    """Dark hair with strands before a light wall: picture (h, w, 3) in 0..1, true shares, a coarse mask of blocks."""
    share = np.zeros((160, 160), np.float32)
    cv2.circle(share, (80, 100), 45, 1.0, -1)
    for angle in np.linspace(-150, -30, 9):
        end = 80 + 51 * np.cos(np.radians(angle)), 100 + 51 * np.sin(np.radians(angle))
        cv2.line(share, (80, 100), (round(end[0]), round(end[1])), 1.0, 2, cv2.LINE_AA)
    share = cv2.GaussianBlur(share, (0, 0), soft)
    y, x = np.indices(share.shape)
    wall = np.where((x // 3 + y // 3) % 2, 0.72, 0.88)[..., None] * np.ones(3)
    picture = wall + share[..., None] * (np.array([0.2, 0.14, 0.1]) - wall)
    core = np.zeros_like(share)
    cv2.circle(core, (80, 100), 45, 1.0, -1)
    coarse = cv2.resize(cv2.resize(core, (40, 40), interpolation=cv2.INTER_AREA), (160, 160))
    return picture.astype(np.float32), share, coarse


def test_the_matte_finds_hair_that_the_mask_leaves_out():
    picture, share, coarse = hair(0.7)
    matte = refine_matte(picture, coarse, UNIT)
    strands = (share > 0.6) & (coarse < 0.05)
    assert strands.sum() > 40
    assert matte[strands].mean() > 0.3
    assert matte[share < 0.02].mean() < 0.03
    assert np.abs(matte - share).mean() < 0.6 * np.abs(coarse - share).mean()


def test_the_edge_of_hair_keeps_its_share_when_the_head_moves():
    front = np.full((8, 256, 4), (40, 30, 20, 0), np.uint8)
    front[..., 3] = np.arange(256)
    back = np.full((8, 256, 4), (240, 200, 90, 255), np.uint8)
    share = np.arange(256)[None, :, None] / 255
    expected = back[..., :3] + share * (front[..., :3].astype(float) - back[..., :3])
    assert np.abs(composite_layers(front, back) - expected).max() <= 0.51


def test_the_persons_colour_at_the_edge_is_free_of_the_wall():
    picture, share, _ = hair(1.5)
    front = edge_colours(255 * picture, share, UNIT)
    edge = (share > 0.3) & (share < 0.9)
    light = (255 * picture)[edge].mean()
    assert light > 80
    assert front[edge].mean() < 55, "hair is at 37"


def test_a_lone_curl_before_a_plain_wall_is_the_persons_and_a_rail_is_not():
    picture = np.full((240, 240, 3), 0.6, np.float32)
    share = np.zeros((240, 240), np.float32)
    cv2.circle(share, (120, 150), 50, 1.0, -1)
    picture[share > 0] = 0.15
    curl, rail = picture.copy(), picture.copy()
    cv2.line(curl, (120, 98), (126, 90), (0.15,) * 3, 3)
    rail[84:90] = 0.15
    assert claim_wisps(curl, share, UNIT)[92, 124] > 0.8
    assert claim_wisps(rail, share, UNIT)[87, 120] < 0.1


def test_only_a_plain_wall_goes_along():
    picture, share = np.full((160, 160, 3), 0.6, np.float32), np.zeros((160, 160), np.float32)
    cv2.circle(share, (80, 90), 40, 1.0, -1)
    bricks = picture + 0.2 * (np.indices((160, 160)).sum(0) // 6 % 2)[..., None].astype(np.float32)
    beside = (90, 122)
    assert plain_rim(picture, share, UNIT)[beside] > 0.7
    assert plain_rim(bricks, share, UNIT)[beside] < 0.1
    assert plain_rim(picture, share, UNIT)[20, 20] == 0


def test_the_mask_is_in_doubt_where_it_stays_unsure_and_not_along_an_edge():
    mask = np.zeros((200, 200), np.float32)
    cv2.circle(mask, (100, 120), 50, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.5)
    assert doubtful(mask, UNIT).max() < 0.01
    mask[10:40, 20:60] = 0.5
    assert doubtful(mask, UNIT)[25, 40] > 0.99
    assert doubtful(mask, UNIT)[150, 150] < 0.01


def test_where_the_mask_is_in_doubt_nothing_is_taken_apart():
    portrait, _ = before_stripes()
    unsure = replace(portrait, person=np.full_like(portrait.person, 0.5))
    box = (0, 0, 512, 512)
    layers = build_layers(unsure, box, 90.0, np.ones((512, 512), np.float32))
    assert layers.front[..., 3].min() == 255
    assert np.array_equal(layers.front[..., :3], portrait.image)


def test_the_guided_filter_is_the_least_squares_fit_of_every_window():
    rng = np.random.default_rng(3)
    guide, values = rng.random((12, 12, 3), np.float32), rng.random((12, 12), np.float32)
    radius, smooth = 2, 1e-2
    models = {}
    for y in range(2, 10):
        for x in range(2, 10):
            part = (slice(y - 2, y + 3), slice(x - 2, x + 3))
            a, b = guide[part].reshape(-1, 3).astype(float), values[part].ravel().astype(float)
            centred = a - a.mean(0)
            slope = np.linalg.solve(
                centred.T @ centred / len(a) + smooth * np.eye(3), centred.T @ (b - b.mean()) / len(a)
            )
            models[y, x] = np.append(slope, b.mean() - a.mean(0) @ slope)
    expected = np.mean([models[y, x] for y in range(4, 9) for x in range(4, 9)], axis=0)
    assert np.allclose(guided_coefficients(guide, values, radius, smooth)[6, 6], expected, atol=1e-4)


def test_push_pull_continues_a_plane_and_keeps_what_is_known():
    y, x = np.indices((64, 96), np.float32)
    picture = np.stack([x, y, 100 + 0 * x], -1).astype(np.float32)
    known = np.ones((64, 96), np.float32)
    known[20:40, 30:60] = 0
    filled = push_pull(np.where(known[..., None] > 0, picture, 0).astype(np.float32), known)
    assert np.allclose(filled[known > 0], picture[known > 0])
    inside = known == 0
    assert np.abs(filled[inside, 2] - 100).max() < 0.1
    assert np.abs(filled[inside, :2] - picture[inside, :2]).mean() < 6
