"""A portrait with alpha: over a colour, over a picture, or kept transparent, with the marks in force."""

import cv2
import numpy as np
import PIL.Image
import pytest

import gioconda
from gioconda import composite, media
from gioconda.assets import asset_path
from gioconda.engines import get_engine
from gioconda.errors import InputError
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import RetargetedMotion, Style
from media_factory import write_clip

SIDE = 256
GREEN = (0, 255, 0)
HIDDEN = (255, 0, 255)
"""What the file has where it is transparent."""
FACE, CORNER = (slice(60, 110), slice(100, 150)), (slice(0, 12), slice(0, 12))


def oval():
    """Alpha (SIDE, SIDE) of a soft oval around the astronaut's head."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(mask, (115, 95), (62, 90), 0, 0, 360, (255,), -1)
    return cv2.GaussianBlur(mask, (0, 0), 1.5)


def rgba():
    image, _ = media.read_picture(asset_path("astronaut.jpg"))
    image = cv2.resize(image[:310, 60:370], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    alpha = oval()
    image[alpha == 0] = HIDDEN
    return np.dstack([image, alpha])


@pytest.fixture(name="portrait", scope="module")
def portrait_fixture(tmp_path_factory):
    path = tmp_path_factory.mktemp("alpha") / "me.png"
    PIL.Image.fromarray(rgba()).save(path)
    return path


@pytest.fixture(name="turned", scope="module")
def turned_fixture(portrait):
    """A transparent result, turned far, and its path."""
    out = portrait.with_name("turned.png")
    gioconda.edit(portrait, out, yaw=30, background="transparent")
    return out, np.asarray(PIL.Image.open(out))


def magenta(image):
    """How much of HIDDEN's colour each pixel of (..., 3) shows."""
    red, green, blue = (image[..., k].astype(int) for k in range(3))
    return np.minimum(red, blue) - green


def test_alpha_moves_with_the_head(portrait, turned):
    _, image = turned
    assert image.shape == (SIDE, SIDE, 4)
    assert image[FACE][..., 3].min() == 255
    assert image[CORNER][..., 3].max() == 0
    gioconda.edit(portrait, portrait.with_name("rest.png"), background="transparent")
    rest = np.asarray(PIL.Image.open(portrait.with_name("rest.png")))
    assert (np.abs(rest[..., 3].astype(int) - oval()) > 20).sum() < 40
    assert (np.abs(image[..., 3].astype(int) - rest[..., 3]) > 128).sum() > 100


def test_nothing_of_what_was_hidden_shows(turned):
    _, image = turned
    over = composite.over(image, np.full((SIDE, SIDE, 3), 128, np.uint8))
    assert magenta(over).max() < 60
    # The edge has the person's colours, not white.
    edge = (image[..., 3] > 20) & (image[..., 3] < 200)
    inside = image[image[..., 3] == 255][:, :3].mean()
    assert abs(image[edge][:, :3].mean() - inside) < 60


def test_a_turned_face_has_no_holes(portrait):
    source = load_portraits(portrait, chosen=0, crop=False, size=None, cut_out=True)
    engine, identity = get_engine("warp"), None
    (single,) = source.portraits
    identity = engine.prepare(single)
    for yaw in (-45, 45):
        target = RetargetedMotion(still_motion(yaw, 0, 0, 0, 0, {}), single, Style()).target(0)
        patch = next(iter(engine.render(identity, [target])))
        hull = cv2.convexHull(np.rint(target.landmarks[:468, :2]).astype(np.int32) - patch.corner)
        face = cv2.erode(cv2.fillConvexPoly(np.zeros_like(patch.alpha), hull, (1,)), np.ones((9, 9)))
        assert patch.alpha[face > 0].min() > 200


def test_marks_stay_in_force(turned):
    path, _ = turned
    verdict = gioconda.verify(path)
    assert verdict.status == "ours"
    assert verdict.watermark is not None


def test_a_colour_or_a_picture_lies_behind(portrait, tmp_path):
    gioconda.edit(portrait, tmp_path / "green.png", background="#00ff00")
    image, _ = media.read_picture(tmp_path / "green.png")
    assert np.abs(image[CORNER].astype(int) - GREEN).max() <= 6
    ramp = np.repeat(np.arange(400)[None, :, None] // 2, 200, 0).repeat(3, 2)
    PIL.Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "wall.png")
    gioconda.edit(portrait, tmp_path / "wall_out.png", background=tmp_path / "wall.png")
    image, _ = media.read_picture(tmp_path / "wall_out.png")
    assert image.shape == (SIDE, SIDE, 3)
    # Covered and cut at the middle: a quarter of the ramp is lost on either side.
    assert image[4, 2].mean() == pytest.approx(50, abs=8)
    assert image[4, -3].mean() == pytest.approx(150, abs=8)


def test_white_is_behind_unless_something_else_is_asked_for(portrait, tmp_path):
    result = gioconda.edit(portrait, tmp_path / "plain.jpg")
    image, _ = media.read_picture(tmp_path / "plain.jpg")
    assert image[CORNER].min() > 245
    assert "over white" in result.warnings[0]


@pytest.mark.parametrize("out", ["a.mp4", "a.gif"])
def test_a_format_without_alpha_is_refused(portrait, tmp_path, out):
    with pytest.raises(InputError, match=r"choose one of \.webm"):
        gioconda.animate(portrait, "smile", tmp_path / out, background="transparent")
    assert list(tmp_path.iterdir()) == []


def test_a_background_that_is_nothing_is_refused(portrait, tmp_path):
    with pytest.raises(InputError, match="neither a colour nor a picture"):
        gioconda.edit(portrait, tmp_path / "a.png", background="nowhere.png")
    with pytest.raises(InputError, match="choose the engine warp"):
        gioconda.animate(portrait, "smile", tmp_path / "a.webm", background="red", engine="fewshot")


def test_an_opaque_portrait_says_so(tmp_path):
    result = gioconda.edit(
        asset_path("astronaut.jpg"), tmp_path / "a.png", size=SIDE, background="transparent"
    )
    assert "not transparent" in result.warnings[0]
    assert PIL.Image.open(tmp_path / "a.png").mode == "RGB"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".webm", ".mov", ".apng"])
def test_a_film_keeps_its_alpha(tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    clip = write_clip(tmp_path / "me.webm", [rgba()] * 6, codec="libvpx-vp9", pix_fmt="yuva420p")
    motion = still_motion(15, 0, 0, 0, 0, {})
    gioconda.animate(clip, motion, out, background="transparent", label=True)
    frames = list(media.read_frames(out))
    assert len(frames) == len(motion)
    for frame in frames:
        assert frame.alpha is not None
        assert frame.alpha[FACE].min() > 240
        assert frame.alpha[CORNER].max() < 20
    assert gioconda.verify(out).status == "ours"
