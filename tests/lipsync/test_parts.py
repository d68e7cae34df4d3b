"""The parts of the lip-sync engine: which frames, which mouths, how they are mixed and kept."""

import json
from itertools import product

import numpy as np
import pytest

from gioconda.errors import WeightsError
from gioconda.lipsync import blend, database, retime, texture
from gioconda.lipsync import select as shapes
from gioconda.lipsync.points import COUNT, LIP_PAIRS
from gioconda.lipsync.retime import halfway
from gioconda.motion.expression import load_basis

DRIFT = 25  # positions by which retiming may leave the target's own pace


def some_bank(count=6, width=100, seed=0):
    """A bank of noise that holds together, of a head that is one."""
    rng = np.random.default_rng(seed)
    head = load_basis().neutral
    return database.MouthDatabase(
        crops=rng.integers(0, 256, (count, width * 6 // 5, width), dtype=np.uint8),
        points=rng.normal(size=(count, COUNT, 2)).astype(np.float32),
        pose=rng.normal(size=(count, 2)).astype(np.float32),
        colour=rng.uniform(50, 200, (count, 3)).astype(np.float32),
        sharp=rng.uniform(1, 9, count).astype(np.float32),
        source=np.zeros(count, np.int32),
        frame=np.arange(count, dtype=np.int32),
        head=head,
        rest=head,
        about={"sources": [{"name": "a.mp4", "sha256": "0" * 64}]},
    )


@pytest.mark.parametrize("seed", range(4))
def test_weighted_median_is_the_value_that_splits_the_weight(seed):
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (9, 7, 5, 3), dtype=np.uint8)
    weights = rng.uniform(0, 1, 9).astype(np.float32) ** 3
    whole = texture.whole_weights(weights).astype(int)
    assert whole.sum() == texture.TOTAL
    np.testing.assert_allclose(whole / texture.TOTAL, weights / weights.sum(), atol=1 / texture.TOTAL)
    got = texture.weighted_median(pictures, weights)
    for place in np.ndindex(*pictures.shape[1:]):
        values = pictures[(slice(None), *place)].astype(int)
        half = [v for v in values if 2 * whole[values <= v].sum() >= texture.TOTAL]
        assert got[place] == min(half)


def cost_of(way, moving, resting):
    """What a way costs, by the rules as told; None where they forbid it."""
    cost, steps = moving[way[0]] * resting[0], np.diff(way)
    for t, step in enumerate(steps, 1):
        if step != 1 and t > 1 and steps[t - 2] != 1:
            return None
        cost += moving[way[t]] * resting[t]
        cost += {0: retime.REPEAT - 0.5 * resting[t], 1: 0.0, 2: retime.SKIP}[int(step)]
    return cost


@pytest.mark.parametrize("seed", range(8))
def test_retiming_finds_the_cheapest_way(seed):
    rng = np.random.default_rng(seed)
    count = 7
    moving = rng.exponential(1.5, count + DRIFT + 2).astype(np.float32)
    resting = rng.uniform(0, 1, count).round().astype(np.float32)
    got = retime.retime(moving, resting, DRIFT)
    drift = max(count // 2, 1)
    ways = [
        np.cumsum([start, *steps]) for start in range(3) for steps in product((0, 1, 2), repeat=count - 1)
    ]
    near = [way for way in ways if (np.abs(way - np.arange(count)) <= drift).all()]
    costs = [c for way in near if (c := cost_of(way, moving, resting)) is not None]
    assert cost_of(got, moving, resting) == pytest.approx(min(costs), abs=1e-4)


def test_the_head_rests_where_speech_does():
    moving = np.full(200, 0.3, np.float32)
    moving[40:44] = 5  # a nod of the target
    resting = np.zeros(120, np.float32)
    resting[38:46] = 1
    shown = moving[retime.retime(moving, resting, DRIFT)]
    assert shown[38:46].max() < 5


def test_a_short_target_goes_to_and_fro_without_a_jump():
    frames = retime.to_and_fro(np.arange(100), 10, 4)
    assert frames[:13].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6]
    assert np.abs(np.diff(frames)).max() == 1
    assert frames[10:].min() == 6
    assert retime.to_and_fro(np.arange(5), 1, 1).tolist() == [0] * 5


def test_the_nearest_hold_nine_tenths_of_the_weight():
    rng = np.random.default_rng(0)
    squared = np.sort(rng.uniform(0, 1, (5, 300)) ** 2, axis=1)
    near = squared[:, :14]
    s = shapes.kernel_widths(squared, near)
    share = np.exp(-near / (2 * s[:, None] ** 2)).sum(1) / np.exp(-squared / (2 * s[:, None] ** 2)).sum(1)
    np.testing.assert_allclose(share, shapes.SHARE, atol=0.01)


def test_a_mouth_of_the_bank_is_found_and_its_run_is_followed():
    points = np.zeros((40, COUNT, 2), np.float32)
    points[:, LIP_PAIRS[:, 1], 1] = np.linspace(0, 0.4, 40)[:, None]
    pose = np.zeros((40, 2), np.float32)
    own = shapes.features(points, pose)
    # frames 10 to 19 lie in one run; the same shapes stand in single frames of other videos too
    source = np.r_[np.zeros(40), np.arange(1, 41)].astype(np.int32)
    frame = np.r_[np.arange(40), np.zeros(40)].astype(np.int32)
    found = shapes.select_mouths(np.concatenate([own, own]), own[10:20], source, frame)
    assert found.distance.max() < 1e-3
    assert set(found.proxy.tolist()) <= set(range(40))
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-5)


def test_what_no_mouth_of_the_bank_shows_is_taken_off():
    points = np.zeros((200, COUNT, 2), np.float32)
    points[:, LIP_PAIRS[:, 1], 1] = np.random.default_rng(1).uniform(0, 0.3, (200, 1))
    pose = np.zeros((200, 2), np.float32)
    wider = points[:50].copy()
    wider[..., 0] += 0.02
    shift = shapes.shape_bias(shapes.features(points, pose), points, wider, pose[:50])
    np.testing.assert_allclose(shift, [[-0.02, 0]] * COUNT, atol=0.003)


def a_quick_speaker(count=96, shut=(0, 80)):
    """Points and pose of a bank in which the lips meet in a few frames alone."""
    points = np.zeros((count, COUNT, 2), np.float32)
    points[:, LIP_PAIRS[:, 1], 1] = np.linspace(0.05, 0.25, count)[:, None]
    points[list(shut), :, 1] = 0
    return points, np.zeros((count, 2), np.float32)


def test_a_shut_mouth_is_made_of_shut_ones_however_few():
    points, pose = a_quick_speaker()
    own, row = shapes.features(points, pose), np.zeros(96, np.int32)
    silent = np.zeros((30, COUNT, 2), np.float32)
    found = shapes.select_mouths(own, shapes.features(silent, pose[:30]), row, np.arange(96, dtype=np.int32))
    of_shut = np.isin(found.index, (0, 80)) * found.weights
    np.testing.assert_allclose(of_shut.sum(1), 1, atol=1e-5)
    assert set(found.proxy.tolist()) <= {0, 80}
    talking = shapes.select_mouths(own, own[20:40], row, np.arange(96, dtype=np.int32))
    assert not np.isin(talking.proxy, (0, 80)).any()


def test_a_quick_speakers_shut_mouth_is_found_and_not_bent_open():
    points, pose = a_quick_speaker()
    assert sorted(shapes.closed_mouths(points)) == [0, 80]
    assert not len(shapes.closed_mouths(points[1:80]))
    silent = np.zeros((30, COUNT, 2), np.float32)
    assert not shapes.shape_bias(shapes.features(points, pose), points, silent, pose[:30]).any()


def test_blending_keeps_what_the_mask_leaves_out():
    rng = np.random.default_rng(0)
    below, above = rng.uniform(0, 255, (2, 96, 112, 3)).astype(np.float32)
    mask = np.zeros((96, 112), np.float32)
    np.testing.assert_allclose(blend.pyramid_blend(below, above, mask), below, atol=1e-3)
    np.testing.assert_allclose(blend.pyramid_blend(below, above, mask + 1), above, atol=1e-2)
    flat = np.full_like(below, 100)
    mask[30:60, 30:80] = 1
    mixed = blend.pyramid_blend(flat, flat + 40, mask)
    assert 99 <= mixed.min() <= mixed[:8].max() < 104
    assert mixed[45, 55].min() > 132


def test_the_light_of_the_frame_reaches_the_mouth():
    mask = np.zeros((64, 80), np.float32)
    mask[16:48, 16:64] = 1
    mask = np.asarray(database.cv2.GaussianBlur(mask, (0, 0), 3), np.float32)
    mouth, frame = np.full((64, 80, 3), 90, np.float32), np.full((64, 80, 3), 130, np.float32)
    assert np.abs(blend.match_lighting(mouth, frame, mask, 60.0) - 130).max() < 1


def test_between_two_frames_lies_the_moment_between():
    x = np.arange(160)
    pictures = [
        np.repeat(
            np.repeat((np.exp(-(((x - at) / 9) ** 2)) * 200).astype(np.uint8)[None], 120, 0)[..., None], 3, 2
        )
        for at in (70, 78)
    ]
    between = halfway(*pictures)
    assert abs(int(between[60, :, 0].argmax()) - 74) <= 1


def test_mouths_are_thinned_to_different_ones():
    rng = np.random.default_rng(0)
    points = np.zeros((300, COUNT, 2), np.float32)
    points[:, :, 1] = np.r_[np.full(280, 0.1), np.linspace(0.2, 0.5, 20)][:, None]
    points += rng.normal(0, 1e-4, points.shape).astype(np.float32)
    kept = database.select_diverse(points, np.zeros((300, 2), np.float32), 30)
    assert len(kept) == len(set(kept.tolist())) == 30
    assert (kept >= 280).sum() == 20


def test_a_bank_is_read_back_as_written(tmp_path):
    made = some_bank()
    path = tmp_path / "me.safetensors"
    path.write_bytes(database.encode(made))
    got = database.read(path)
    for name in database.FIELDS:
        np.testing.assert_array_equal(getattr(got, name), getattr(made, name))
    assert got.about == made.about
    assert len(got.sha256) == 64


def broken(kind):
    """The bytes of a bank that is not one."""
    from safetensors.numpy import load, save

    good = database.encode(some_bank())
    if kind == "cut":
        return good[: len(good) // 2]
    if kind == "noise":
        return np.random.default_rng(0).bytes(4000)
    if kind == "long header":
        return (2**62).to_bytes(8, "little") + good[8:]
    if kind == "deep header":
        deep = b'{"__metadata__":' + b"[" * 100_000
        return len(deep).to_bytes(8, "little") + deep
    arrays, about = load(good), {"kind": database.KIND, "version": database.VERSION, "about": "{}"}
    changes = {
        "other kind": lambda: about.update(kind="gioconda identity"),
        "newer": lambda: about.update(version="99"),
        "no settings": lambda: about.update(about=json.dumps([1])),
        "nan": lambda: arrays["points"].fill(np.nan),
        "too few": lambda: arrays.update(pose=arrays["pose"][:2]),
        "other type": lambda: arrays.update(pose=arrays["pose"].astype(np.float64)),
        "none": lambda: arrays.update(crops=arrays["crops"][:0]),
        "odd size": lambda: arrays.update(crops=arrays["crops"][:, :-1]),
        "missing": lambda: arrays.pop("rest"),
    }
    changes[kind]()
    return save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, about)


@pytest.mark.parametrize(
    "kind",
    [
        *("cut", "noise", "long header", "deep header", "other kind", "newer", "no settings"),
        *("nan", "too few", "other type", "none", "odd size", "missing"),
    ],
)
def test_a_hostile_bank_is_told(kind, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(broken(kind))
    with pytest.raises(WeightsError, match=r"bad\.safetensors.*adapt --for speech"):
        database.read(path)
