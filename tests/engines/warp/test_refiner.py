"""The refiner at use: what reaches the network, and what of its answer reaches the picture."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from gioconda.assets import asset_path
from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.mouth import Fill
from gioconda.engines.warp.refiner import SHIMMER, Network, Repair, build_references, crop_stage, load_network
from gioconda.errors import WeightsError
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.types import Face, Portrait
from heads import SIZE, performed, person

RED = np.array([1, -1, -1], np.float32)[:, None, None]
WINDOW = 13
WHOLE = (0, 0)


class Stub:
    """A network of our own, which keeps what it was shown."""

    def __init__(self, answer):
        self.answer = answer
        self.seen = []

    def __call__(self, planes):
        assert planes.shape == (1, 14, 160, 128)
        assert planes.dtype == np.float32
        self.seen.append(planes.copy())
        return self.answer(planes[0])


def same(planes):
    return planes[:3]


def red_in_window(planes):
    return planes[:3] + planes[WINDOW] * (RED - planes[:3])


def red_everywhere(planes):
    return np.broadcast_to(RED, (3, 160, 128))


def face(**how):
    return performed(person(2), 1, **how)[0].landmarks


def picture(seed=0):
    width, height = SIZE
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def portrait_of(seed=0, others=(), gain=1.0, **how):
    image = (picture(seed) * gain).astype(np.uint8)
    return Portrait(image, Face(face(**how)), others=tuple(others))


def repair_of(answer, portrait=None):
    return Repair(Stub(answer), build_references(portrait or portrait_of()))


def applied(repair, image, landmarks, corner=WHOLE):
    """The repaired copy of a picture, or of a stage of it, that was warped nowhere."""
    stage = image.copy()
    y, x = np.indices(stage.shape[:2], dtype=np.float32)
    crop = crop_stage(stage, (x + corner[0], y + corner[1]), None, landmarks, corner)
    if crop is not None:
        repair.repair(stage, crop, None)
    return stage


def changed(before, after):
    return np.abs(before.astype(int) - after).max(axis=2)


def window_in_picture(landmarks):
    matrix = aligned.alignment(landmarks)
    nothing = np.zeros((aligned.HEIGHT, aligned.WIDTH), np.float32)
    window = aligned.geometry(affine.apply(matrix, landmarks), nothing, nothing).window
    return cv2.warpAffine(window, matrix, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def lips_mask(landmarks):
    mask = np.zeros(SIZE[::-1], np.uint8)
    ring = np.rint(landmarks[load_topology().outer_lips, :2]).astype(np.int32)
    cv2.fillPoly(mask, [ring], 1)
    return mask > 0


@pytest.fixture(scope="module")
def astronaut_portrait():
    return load_portraits(asset_path("astronaut.jpg"), chosen=0, crop=True, size=256).portraits[0]


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """A network file that gives the warped picture back."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto
    crop = helper.make_tensor_value_info("crop", kind.FLOAT, [1, 14, 160, 128])
    out = helper.make_tensor_value_info("picture", kind.FLOAT, [1, 3, 160, 128])
    first = helper.make_tensor("first", kind.INT64, [3], [0, 1, 2])
    node = helper.make_node("Gather", ["crop", "first"], ["picture"], axis=1)
    graph = helper.make_graph([node], "same", [crop], [out], [first])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("network") / "same.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("how", [{}, {"near": 0.4}, {"near": 2.5}, {"roll": 40, "jawOpen": 0.7}])
def test_a_network_that_changes_nothing_leaves_every_byte(how):
    image = picture()
    assert np.array_equal(applied(repair_of(same), image, face(**how)), image)


@pytest.mark.parametrize("near", [0.5, 1.0, 1.8])
def test_red_within_the_window_reaches_the_mouth_and_nothing_else(near):
    image, landmarks = picture(), face(near=near, roll=15, jawOpen=0.4)
    after = applied(repair_of(red_in_window), image, landmarks)
    mouth, window = lips_mask(landmarks), window_in_picture(landmarks)
    assert after[mouth].reshape(-1, 3).mean(0) == pytest.approx([255, 0, 0], abs=45)
    reach = max(3, round(5 * near))
    away = cv2.dilate((window > 0).astype(np.uint8), np.ones((2 * reach + 1,) * 2)) == 0
    assert away.mean() > 0.3
    assert changed(image, after)[away].max() == 0


def test_no_network_reaches_beyond_its_crop():
    image, landmarks = picture(), face(roll=20, jawOpen=0.3)
    after = applied(repair_of(red_everywhere), image, landmarks)
    box = np.zeros(image.shape[:2], np.uint8)
    corners = np.float32([[-2, -2], [130, -2], [130, 162], [-2, 162]])
    inverse = cv2.invertAffineTransform(aligned.alignment(landmarks))
    cv2.fillConvexPoly(box, np.rint(affine.apply(inverse, corners)).astype(np.int32), 1)
    assert changed(image, after)[box == 0].max() == 0
    assert changed(image, after)[box > 0].mean() > 60


def test_skin_between_lids_and_brows_becomes_hardly_brighter_while_lids_change_freely():
    grey, landmarks = np.full((*SIZE[::-1], 3), 100, np.uint8), face()
    portrait = Portrait(grey, Face(face(jawOpen=0.3)))
    rises = {}
    for level in (1.0, -1.0):
        repair = repair_of(lambda planes, v=level: np.full((3, 160, 128), v, np.float32), portrait)
        change = applied(repair, grey, landmarks).astype(int)[..., 0] - 100
        lid, brow = landmarks[159, :2], landmarks[52, :2]
        rises[level] = [change[tuple(np.rint(at)[::-1].astype(int))] for at in (lid, 0.4 * lid + 0.6 * brow)]
    assert rises[1.0][0] > 100
    assert 2 < rises[1.0][1] < 20
    assert rises[-1.0][1] == pytest.approx(-100, abs=2), "shadows may deepen"


@pytest.mark.parametrize(("jaw", "least", "most"), [(0.1, 90, 256), (1.0, 0, 40)])
def test_a_drivers_teeth_keep_their_light_where_the_mouth_is_wide_open(jaw, least, most):
    grey, landmarks = np.full((*SIZE[::-1], 3), 120, np.uint8), face(jawOpen=jaw)
    repair = repair_of(lambda planes: np.full((3, 160, 128), -1, np.float32), Portrait(grey, Face(face())))
    y, x = np.indices(grey.shape[:2], dtype=np.float32)
    mouth = cv2.erode(lips_mask(landmarks).astype(np.uint8), np.ones((9, 9)))
    fill = Fill((0, 0, *SIZE), lips_mask(landmarks).astype(np.float32), borrowed=True, lip_light=1.0)
    after = grey.copy()
    repair.repair(after, crop_stage(after, (x, y), fill, landmarks, WHOLE), fill)
    assert least <= 120 - after[mouth > 0].mean() <= most


def test_answers_beyond_the_range_are_cut():
    image, landmarks = picture(), face(jawOpen=0.3)
    far, near = (
        applied(repair_of(lambda planes, v=v: np.full((3, 160, 128), v, np.float32)), image, landmarks)
        for v in (7.0, 1.0)
    )
    assert np.array_equal(far, near)


def test_a_stage_is_repaired_like_the_picture_it_lies_in():
    image, landmarks = picture(), face(jawOpen=0.3)
    whole = applied(repair_of(red_in_window), image, landmarks)
    left, top, right, bottom = 150, 60, 500, 450
    part = image[top:bottom, left:right]
    stage = applied(repair_of(red_in_window), part, landmarks, corner=(left, top))
    assert changed(whole[top:bottom, left:right], stage).max() <= 8, "of noise, a 32nd of a pixel apart"


def test_the_network_sees_the_face_the_photo_and_the_geometry():
    image, landmarks = picture(4), face(jawOpen=0.5)
    portrait = portrait_of(1)
    repair = repair_of(same, portrait)
    applied(repair, image, landmarks)
    (planes,) = repair.network.seen
    matrix = aligned.alignment(landmarks)
    crop = aligned.cut(image, matrix)
    photo = aligned.cut(portrait.image, aligned.alignment(portrait.face.landmarks))
    for first, wanted in ((0, crop), (3, photo)):
        got = (planes[0, first : first + 3].transpose(1, 2, 0) + 1) * 127.5
        assert np.abs(got - wanted).max() < 1e-3
    assert planes[0, 9].max() == 1, "an open mouth"
    assert np.abs(planes[0, 11, 4:-4, 4:-4]).max() < 0.01, "nothing was stretched"
    assert planes[0, 12].max() == 0, "nothing was filled"
    assert planes[0, WINDOW].max() == 1


def test_the_last_answer_is_shown_with_the_next_frame():
    repair = repair_of(red_in_window)
    for jaw in (0.1, 0.2, 0.3):
        applied(repair, picture(), face(jawOpen=jaw))
    first, second, third = (planes[0] for planes in repair.network.seen)
    assert first[6:9].min() == first[6:9].max() == 0
    assert np.array_equal(second[6:9], red_in_window(first))
    assert np.array_equal(third[6:9], red_in_window(second))


def test_two_jobs_share_no_memory():
    portrait = portrait_of()
    for _ in range(2):
        repair = repair_of(red_everywhere, portrait)
        applied(repair, picture(), face())
        assert repair.network.seen[0][0, 6:9].max() == 0


def test_faces_too_small_to_repair_are_left_alone():
    repair, image = repair_of(red_everywhere), picture()
    assert np.array_equal(applied(repair, image, face(near=0.1)), image)
    assert not repair.network.seen


@pytest.mark.parametrize("shift", [-260, 260, 4000])
def test_faces_at_the_edge_and_beyond_are_no_error(shift):
    image = picture()
    for near in (0.5, 2.0):
        after = applied(repair_of(red_in_window), image, face(x=shift, near=near))
        assert after.shape == image.shape
        assert shift < 1000 or np.array_equal(after, image)


def shown_photo(planes, references):
    shown = np.rint((planes[0, 3:6].transpose(1, 2, 0) + 1) * 127.5)
    (index,) = (k for k, one in enumerate(references) if np.array_equal(shown, one.crop))
    return index


def photos_shown(jaws, photos=(0.0, 1.0)):
    """Which photo the network sees at each opening of the jaw, of a person with photos of other openings."""
    others = [portrait_of(seed, jawOpen=jaw) for seed, jaw in enumerate(photos[1:], 1)]
    repair = repair_of(same, portrait_of(0, others, jawOpen=photos[0]))
    for jaw in jaws:
        applied(repair, picture(9), face(jawOpen=jaw))
    return [shown_photo(planes, repair.references) for planes in repair.network.seen]


def test_the_photo_whose_lips_are_nearest_is_shown():
    assert photos_shown([0.0, 1.0, 0.05, 0.95]) == [0, 1, 0, 1]
    assert photos_shown([0.5, 1.0, 0.0, 0.45], photos=(0.0, 0.5, 1.0)) == [1, 2, 0, 1]


def test_a_photo_is_kept_while_another_is_hardly_nearer():
    jaws = np.linspace(0, 1, 21)
    up, down = photos_shown(jaws), photos_shown(jaws[::-1])[::-1]
    assert up[0] == down[0] == 0
    assert up[-1] == down[-1] == 1
    assert sum(down) > sum(up), "on the way down the open mouth is kept for longer"
    assert (np.diff(up) >= 0).all()
    assert (np.diff(down) >= 0).all()
    middle = float(jaws[(np.array(up) != np.array(down))].mean())
    trembling = [middle - 0.01, middle + 0.01] * 5
    assert len(set(photos_shown([0.0, *trembling]))) == 1
    assert set(photos_shown([1.0, *trembling])) == {1}


def test_further_photos_come_in_the_portraits_light():
    first, second = build_references(portrait_of(0, [portrait_of(1, gain=0.6)]))
    assert second.crop.mean((0, 1)) == pytest.approx(first.crop.mean((0, 1)), abs=3)
    assert second.crop.std((0, 1)) == pytest.approx(first.crop.std((0, 1)), rel=0.1)


def test_a_flat_photo_is_no_error():
    flat = Portrait(np.full((SIZE[1], SIZE[0], 3), 7, np.uint8), Face(face()))
    _, other = build_references(portrait_of(0, [flat]))
    assert np.isfinite(other.crop).all()


def test_a_network_file_is_run(onnx_file):
    planes = np.random.default_rng(1).uniform(-1, 1, (1, 14, 160, 128)).astype(np.float32)
    made = Network(onnx_file, 1)(planes)
    assert made.dtype == np.float32
    assert np.array_equal(made, planes[0, :3])


def test_a_network_serves_several_threads(onnx_file):
    network = Network(onnx_file, 2)
    inputs = [np.full((1, 14, 160, 128), k, np.float32) for k in range(6)]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(network, inputs))
    assert [float(a.mean()) for a in answers] == list(range(6))


def test_a_network_is_loaded_once(onnx_file):
    assert load_network(onnx_file) is load_network(onnx_file)


@pytest.mark.parametrize("content", [b"", b"no network", None])
def test_damaged_and_absent_network_files_are_told(tmp_path, content):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "refiner.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"refiner\.onnx"):
        Network(path, 1)


def astronaut_patches(portrait, network):
    engine = WarpEngine(network)
    shots = [
        RetargetedMotion(still_motion(5, 0, 0, 0, 0, {"jawOpen": jaw}), portrait, Style()).target(0)
        for jaw in (0.2, 0.6)
    ]
    return shots, list(engine.render(engine.prepare(portrait), shots))


def test_the_engine_with_a_network_that_changes_nothing_is_the_engine_without(astronaut_portrait):
    _, plain = astronaut_patches(astronaut_portrait, None)
    _, refined = astronaut_patches(astronaut_portrait, Stub(same))
    assert np.array_equal(plain[0].image, refined[0].image)
    for one, other in zip(plain[1:], refined[1:], strict=True):
        held_back = cv2.absdiff(one.image, other.image)
        assert held_back.max() <= SHIMMER / 4 + 0.5, "no more than the filter over time may"
        assert (held_back > 0).mean() < 0.2


def test_the_engine_lets_the_network_repair_the_mouth_alone(astronaut_portrait):
    stub = Stub(red_in_window)
    shots, refined = astronaut_patches(astronaut_portrait, stub)
    _, plain = astronaut_patches(astronaut_portrait, None)
    assert len(stub.seen) == 2
    assert np.abs(stub.seen[1][0, 6:9]).max() > 0, "the frame before"
    assert stub.seen[1][0, 12].max() > 0.3, "a mouth that was filled"
    assert stub.seen[1][0, 11].min() < -0.1, "lips that were stretched"
    for shot, one, other in zip(shots, plain, refined, strict=True):
        change = changed(one.image, other.image)
        lips = (shot.landmarks[[13, 14], :2].mean(0) - one.corner).astype(int)
        forehead, ear = (shot.landmarks[k, :2].astype(int) - one.corner for k in (10, 234))
        assert change[lips[1], lips[0]] > 80
        assert change[forehead[1], forehead[0]] == change[ear[1], ear[0]] == 0


def test_a_network_of_ones_own_that_is_broken_is_named_with_its_cure(tmp_path):
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"mine\.onnx.*export it again"):
        load_network(mine)


def after_a_frame_of(grey, image, window):
    """What is shown of a picture when the frame before was of one grey; window: of the repair, 0 to 1."""
    portrait = Portrait(picture(), Face(face()))
    repair = Repair(Stub(same), build_references(portrait))
    repair._shown = np.full_like(image, grey)
    change = np.zeros((aligned.HEIGHT, aligned.WIDTH, 3), np.float32)
    everywhere = np.full((aligned.HEIGHT, aligned.WIDTH), window, np.float32)
    shown = image.copy()
    repair._add(shown, change, everywhere, np.array([[1, 0, 0], [0, 1, 0]], np.float32))
    return shown[20:-20, 20:-20]


def test_small_changes_are_held_back_within_the_window_alone():
    little, much = (np.full((aligned.HEIGHT, aligned.WIDTH, 3), grey, np.uint8) for grey in (103, 140))
    assert (after_a_frame_of(100, little, 1.0) == 101).all()
    assert (after_a_frame_of(100, little, 0.0) == 103).all()
    assert (after_a_frame_of(100, much, 1.0) == 140).all()
