"""The main job, from files to a signed file, told by what can be seen, heard, tracked and verified in it."""

from fractions import Fraction

import av
import numpy as np
import pytest

import gioconda
from gioconda import composite, face, media, output
from gioconda.errors import OutputError
from gioconda.limits import WHOLE_SIDE
from gioconda.motion.templates import template
from gioconda.provenance import read_watermark
from gioconda.types import ARKIT_INDEX, Frame, Motion, Portrait
from heads import lips_apart
from media_factory import click_flash, clicks, write_clip

EYES = ((33, 133), (362, 263))
CROP = {"crop": True, "size": 256}
FIELDS = ("times", "rotation", "translation", "scale", "expression", "gaze", "confidence")


def edited(portrait, **options):
    return next(gioconda.frames_of(gioconda.Edit(portrait, **options))).image


def part(motion, start, stop):
    """Some frames of a motion."""
    cut = {name: getattr(motion, name)[start:stop] for name in FIELDS}
    return motion.with_(**{**cut, "times": cut["times"] - cut["times"][0]}, reference=0)


def widest(motion):
    """The frame in which the jaw is most open."""
    return int(motion.expression[:, ARKIT_INDEX["jawOpen"]].argmax())


def times_in(path):
    """The moments of a file's frames, seconds, by its packets."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [float(p.pts * stream.time_base) for p in container.demux(stream) if p.pts is not None]
    return np.sort(found)


def has_sound(path):
    with av.open(str(path)) as container:
        return bool(container.streams.audio)


def images_in(path):
    return [frame.image for frame in media.read_frames(path)]


def lips_in(path):
    """How far the lips are apart in each frame, nan where no face is seen."""
    with face.FaceTracker() as tracker:
        found = [tracker.process(image) for image in images_in(path)]
    return np.array([lips_apart(f[0].landmarks) if f else np.nan for f in found])


@pytest.fixture(scope="module")
def short():
    """Twelve frames of the template in which somebody talks, up to the widest mouth."""
    end = widest(template("talk")) + 1
    return part(template("talk"), end - 12, end)


@pytest.fixture(scope="module")
def made(astronaut, driver, tmp_path_factory):
    """The astronaut moved by the driver's video."""
    seen = []
    out = tmp_path_factory.mktemp("made") / "out.mp4"
    result = gioconda.animate(
        astronaut, driver, out, rights="public domain", progress=lambda *step: seen.append(step), **CROP
    )
    return result, seen


def test_a_driven_video_has_the_drivers_frames_and_times(made, driver):
    result, _ = made
    wanted = times_in(driver)
    assert result.frames == len(wanted)
    assert np.abs(times_in(result.path) - wanted).max() < 1e-3
    assert (result.size, result.bridged) == ((256, 256), 0)
    assert images_in(result.path)[0].shape == (256, 256, 3)


def test_it_is_signed_and_tells_its_inputs(made, astronaut, driver):
    verdict = gioconda.verify(made[0].path)
    assert verdict.status == "ours"
    assert verdict.watermark["engine"] == "warp"
    assert verdict.manifest["rights"] == "public domain"
    inputs = {one["role"]: (one["name"], one["sha256"]) for one in verdict.manifest["inputs"]}
    assert inputs == {
        role: (path.name, media.sha256_file(path))
        for role, path in (("portrait", astronaut), ("motion", driver))
    }


def test_nothing_is_left_beside_it(made):
    assert [path.name for path in made[0].path.parent.iterdir()] == ["out.mp4"]


def test_progress_and_stages_are_told(made):
    result, seen = made
    for stage in ("track", "render"):
        steps = [(done, total) for name, done, total in seen if name == stage]
        assert [done for done, _ in steps] == list(range(1, result.frames + 1))
        assert steps[-1] == (result.frames, result.frames)
    assert {"portrait", "track", "render", "watermark", "encode", "sign"} <= set(result.stages)
    assert result.seconds > 0


def test_the_mouth_follows_the_drivers(made, driver):
    theirs, ours = lips_in(driver), lips_in(made[0].path)
    assert not np.isnan(ours).any(), "a face in each frame"
    assert np.ptp(ours) > 0.03
    assert np.corrcoef(theirs, ours)[0, 1] > 0.8


def test_the_drivers_sound_is_kept_in_time(made, driver):
    if not has_sound(driver):
        pytest.skip("the driver made without ../shared/data is silent; see the clicks below")
    assert has_sound(made[0].path)


@pytest.mark.slow
@pytest.mark.parametrize("audio", [True, False])
def test_clicks_stay_where_they_are_or_are_left_out(astronaut_image, astronaut, tmp_path, audio):
    crop = np.ascontiguousarray(astronaut_image[:256, 96:352])
    noise = click_flash(tmp_path / "noise.mp4", seconds=0.8, flashes=(0.2, 0.6))
    with av.open(str(noise)) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    driver = write_clip(tmp_path / "driver.mp4", [crop] * 20, sound=sound)
    result = gioconda.animate(astronaut, driver, tmp_path / "out.mp4", audio=audio, **CROP)
    assert has_sound(result.path) == audio
    if audio:
        assert np.abs(np.subtract(clicks(result.path, 2), clicks(driver, 2))).max() < 0.03


def test_times_of_variable_rate_are_kept(astronaut, astronaut_image, tmp_path):
    crop = np.ascontiguousarray(astronaut_image[:256, 96:352])
    pts = [0, 40, 70, 200, 220, 500, 533, 640]
    driver = write_clip(tmp_path / "odd.mp4", [crop] * len(pts), pts=pts, time_base=Fraction(1, 1000))
    result = gioconda.animate(astronaut, driver, tmp_path / "out.mp4", **CROP)
    assert np.abs(times_in(result.path) - np.array(pts) / 1000).max() < 1e-3


def test_frames_without_a_face_are_bridged_and_counted(astronaut, driver, tmp_path):
    images = images_in(driver)[:16]
    for lost in (5, 6, 11):
        images[lost] = np.full_like(images[lost], 110)
    broken = write_clip(tmp_path / "broken.mp4", images)
    result = gioconda.animate(astronaut, broken, tmp_path / "out.mp4", **CROP)
    assert (result.frames, result.bridged) == (16, 3)
    assert not np.isnan(lips_in(result.path)).any()


def test_a_driver_that_gives_fewer_frames_at_the_second_reading(astronaut, driver, tmp_path, monkeypatch):
    read, calls = media.read_frames, []

    class Shrunk(list):
        def __enter__(self):
            return iter(self)

        def __exit__(self, *_):
            pass

    def shrinking(path):
        calls.append(path)
        if path != driver or len(calls) == 1:
            return read(path)
        return Shrunk(frame for _, frame in zip(range(20), read(path), strict=False))

    monkeypatch.setattr(media, "read_frames", shrinking)
    # So little memory for faces that the driver is decoded again.
    monkeypatch.setattr("gioconda.inputs.driver.MOST_BYTES", 0)
    result = gioconda.animate(astronaut, driver, tmp_path / "out.mp4", **CROP)
    monkeypatch.undo()
    assert len(calls) == 4, "tracked, seen for the manifest, looked at for the face at rest, rendered"
    assert result.frames == len(images_in(result.path)) == len(images_in(driver))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", media.VIDEO_SUFFIXES)
def test_every_container_holds_the_motion_and_the_marks(astronaut, short, tmp_path, suffix):
    result = gioconda.animate(astronaut, short, tmp_path / f"out{suffix}", **CROP)
    assert len(images_in(result.path)) == result.frames == 12
    assert gioconda.verify(result.path).status == "ours"
    beside = [tmp_path / "out.c2pa"] if suffix == ".webm" else []
    assert sorted(tmp_path.iterdir()) == sorted([result.path, *beside])


def test_the_whole_picture_is_the_default(astronaut, short, tmp_path):
    result = gioconda.animate(astronaut, short, tmp_path / "out.mp4")
    assert result.size == (512, 512)
    before, after = media.read_picture(astronaut)[0].astype(int), images_in(result.path)[-1]
    change = np.abs(before - after)
    assert change[430:, 430:].mean() < 6, "the background: watermark and compression alone"


@pytest.mark.parametrize(
    ("options", "size"),
    [({"size": 320}, (320, 320)), ({"crop": True}, (512, 512)), ({"crop": True, "size": 100}, (100, 100))],
)
def test_sizes_are_as_asked(astronaut, options, size):
    frame = next(gioconda.frames(astronaut, template("nod"), **options))
    assert frame.image.shape == (size[1], size[0], 3)


def test_wide_pictures_are_shrunk_by_their_longer_side(astronaut_image):
    wide = np.full((512, 2000, 3), 150, np.uint8)
    wide[:, 700:1212] = astronaut_image
    assert next(gioconda.frames(wide, "nod", size=1000)).image.shape == (256, 1000, 3)
    assert next(gioconda.frames(wide, "nod")).image.shape[1] == WHOLE_SIDE


def test_frames_stream_without_a_file(astronaut, short):
    frames = gioconda.frames(astronaut, short, **CROP)
    first = next(frames)
    assert isinstance(first, Frame)
    rest = list(frames)
    assert len(rest) == 11
    assert [first.time, *(f.time for f in rest)] == short.times.tolist()
    assert np.abs(rest[-1].image.astype(int) - first.image).max() > 20, "it moves"


def test_streams_may_be_left_early_and_run_side_by_side(astronaut, driver, short):
    left = gioconda.frames(astronaut, driver, **CROP)
    other = gioconda.frames(astronaut, short, **CROP)
    pairs = [(next(left).image, next(other).image) for _ in range(4)]
    left.close()
    alone = [frame.image for frame in gioconda.frames(astronaut, short, **CROP)]
    for (_, seen), expected in zip(pairs, alone, strict=False):
        assert np.array_equal(seen, expected)


def test_streamed_frames_carry_the_watermark(astronaut, short):
    images = [frame.image for frame in gioconda.frames(astronaut, short)]
    assert read_watermark(iter(images)).payload is not None


def test_regions_and_strength_reach_the_picture(astronaut, short):
    def last(**options):
        *_, frame = gioconda.frames(astronaut, short, crop=True, size=256, **options)
        return frame.image.astype(int)

    still = last(strength=0.0)
    assert np.abs(last(strength=0.0, region="pose") - last(strength=1.0, region="pose")).max() > 10
    changed = np.abs(last(region="lips") - still).max(axis=2)
    mouth, brow = changed[140:200, 100:160], changed[60:90, 90:170]
    assert mouth.max() > 20
    assert brow.mean() < 3


@pytest.mark.slow
def test_all_faces_of_a_group_move(shared_data, short, tmp_path):
    path = shared_data / "hard" / "two_faces.jpg"
    picture = media.read_picture(path)[0]
    faces = face.detect_faces(picture)
    change = {}
    for chosen in ("all", 0, 1):
        *_, frame = gioconda.frames(path, short, face=chosen, strength=1.5)
        scale = frame.image.shape[1] / picture.shape[1]
        first = composite.resize(picture, frame.image.shape[1::-1]).astype(int)
        moved = []
        for one in faces:
            left, top = (one.landmarks[:, :2].min(0) * scale).astype(int)
            right, bottom = (one.landmarks[:, :2].max(0) * scale).astype(int)
            moved.append(float(np.abs(frame.image - first)[top:bottom, left:right].mean()))
        change[chosen] = moved
    assert change["all"][0] > 2 * change[1][0]
    assert change["all"][1] > 2 * change[0][1]


@pytest.mark.slow
def test_a_video_may_be_the_portrait(driver, tmp_path):
    smile = part(template("smile"), 0, 30)
    result = gioconda.animate(driver, smile, tmp_path / "out.mp4", size=192)
    assert (result.frames, result.size) == (30, (192, 192))
    before, after = images_in(driver), images_in(result.path)
    grey = [
        np.mean([np.abs(composite.resize(before[i], (192, 192)).astype(int) - after[i])]) for i in (1, 25)
    ]
    assert max(grey) < 25, "frame by frame it is the same video"
    assert not np.isnan(lips_in(result.path)).any()


def test_a_portrait_video_is_held_at_its_end(driver, short, tmp_path):
    brief = write_clip(tmp_path / "brief.mp4", images_in(driver)[:5])
    assert len(list(gioconda.frames(brief, short, size=128))) == 12


@pytest.mark.slow
def test_a_portrait_video_may_begin_without_a_face(driver, short, tmp_path):
    images = images_in(driver)[:14]
    late = write_clip(tmp_path / "late.mp4", [np.full_like(images[0], 90)] * 7 + images)
    frames = list(gioconda.frames(late, short, crop=True, size=128))
    assert len(frames) == 12


def test_a_label_is_seen(astronaut, short):
    plain, labelled = (next(gioconda.frames(astronaut, short, label=on)).image for on in (False, True))
    change = np.abs(plain.astype(int) - labelled).max(axis=2) > 60
    assert 100 < change.sum() < 0.05 * change.size


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_a_tracked_motion_moves_as_its_video(astronaut, driver, made, tmp_path, suffix):
    motion = gioconda.track(driver, tmp_path / f"motion{suffix}")
    assert isinstance(motion, Motion)
    assert [path.name for path in tmp_path.iterdir()] == [f"motion{suffix}"]
    again = gioconda.animate(astronaut, tmp_path / f"motion{suffix}", tmp_path / "out.mp4", **CROP)
    assert again.frames == made[0].frames
    assert np.abs(times_in(again.path) - times_in(made[0].path)).max() < 0.02
    ours, theirs = lips_in(again.path), lips_in(made[0].path)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.8


@pytest.mark.slow
def test_self_reenactment_lands_on_the_driver(driver, tmp_path):
    images = images_in(driver)
    first = tmp_path / "first.png"
    media.write_picture(first, images[0])
    frames = [f.image for f in gioconda.frames(first, driver, absolute=True)]
    with face.FaceTracker() as one, face.FaceTracker() as other:
        pairs = [(one.process(a), other.process(b)) for a, b in zip(frames, images, strict=True)]
    unit = np.linalg.norm(pairs[0][1][0].landmarks[263] - pairs[0][1][0].landmarks[33])
    far = [np.linalg.norm((a[0].landmarks - b[0].landmarks)[:, :2], axis=1).mean() for a, b in pairs]
    assert np.mean(far) < 0.03 * unit


@pytest.mark.slow
def test_absolute_crops_are_cut_after_the_pose(driver, tmp_path):
    first = tmp_path / "first.png"
    media.write_picture(first, images_in(driver)[0])
    result = gioconda.animate(first, driver, tmp_path / "out.mp4", absolute=True, crop=True, size=128)
    assert result.size == (128, 128)
    assert not np.isnan(lips_in(result.path)).any()


def test_portraits_may_be_values(astronaut_image, short):
    found = face.detect_faces(astronaut_image)[0]
    as_value = Portrait(astronaut_image, found)
    images = [next(gioconda.frames(p, short)).image for p in (astronaut_image, as_value)]
    assert np.abs(images[0].astype(int) - images[1]).mean() < 3, "watermarks differ"


def test_the_refiner_changes_mouth_and_eyes_alone(astronaut, short):
    plain, refined = (
        [frame.image.astype(int) for frame in gioconda.frames(astronaut, short, refine=refine, **CROP)]
        for refine in (False, True)
    )
    change = np.abs(refined[-1] - plain[-1]).max(-1)
    points = face.detect_faces(plain[-1].astype(np.uint8))[0].landmarks
    unit = np.linalg.norm(points[263] - points[33])
    y, x = np.indices(change.shape)
    places = [(points[[61, 291], :2].mean(0), 0.9), *((points[[a, b], :2].mean(0), 0.6) for a, b in EYES)]
    near = np.any([np.hypot(x - at[0], y - at[1]) < reach * unit for at, reach in places], axis=0)
    assert change[near].max() > 8
    assert np.percentile(change[~near], 99) <= 3, "watermarks differ by a level or two"


def test_a_photo_that_does_not_move_stays_as_it_is(astronaut):
    plain, refined = (edited(astronaut, refine=refine).astype(int) for refine in (False, True))
    assert np.array_equal(plain, refined)


def test_a_grey_portrait_stays_grey_when_refined(astronaut_image, short):
    grey = np.repeat(astronaut_image.mean(-1, keepdims=True).astype(np.uint8), 3, axis=2)
    *_, last = gioconda.frames(grey, short, **CROP)
    assert np.ptp(last.image.astype(int), axis=2).max() <= 2


def test_further_photos_are_told_in_the_manifest(astronaut, astronaut_image, short, tmp_path):
    smile = edited(astronaut, coefficients={"mouthSmileLeft": 1, "mouthSmileRight": 1}, refine=False)
    photo = tmp_path / "smile.png"
    media.write_picture(photo, smile)
    result = gioconda.animate(astronaut, short, tmp_path / "out.mp4", photos=[photo], **CROP)
    inputs = gioconda.verify(result.path).manifest["inputs"]
    assert (photo.name, media.sha256_file(photo)) in {(one["name"], one["sha256"]) for one in inputs}


def test_edit_gives_a_picture_or_writes_one(astronaut, tmp_path):
    picture = edited(astronaut, yaw=12, coefficients={"jawOpen": 0.5})
    result = gioconda.edit(astronaut, tmp_path / "out.png", yaw=12, coefficients={"jawOpen": 0.5})
    assert np.array_equal(media.read_picture(result.path)[0], picture)
    assert (result.frames, result.size) == (1, (512, 512))
    assert gioconda.verify(result.path).status == "ours"
    assert list(tmp_path.iterdir()) == [result.path]


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_edits_are_signed_in_every_picture_format(astronaut, tmp_path, suffix):
    result = gioconda.edit(astronaut, tmp_path / f"out{suffix}", gaze_x=0.6, crop=True)
    verdict = gioconda.verify(result.path)
    assert verdict.status == "ours"
    assert verdict.watermark
    assert verdict.manifest["action"] == "c2pa.edited"


def test_an_old_file_is_replaced_at_once(astronaut, short, tmp_path):
    out = tmp_path / "out.mp4"
    out.write_text("old")
    gioconda.animate(astronaut, short, out, **CROP)
    assert gioconda.verify(out).status == "ours"


@pytest.mark.parametrize("when", ["render", "sign"])
def test_a_failure_midway_leaves_the_old_file_alone(astronaut, short, tmp_path, monkeypatch, when):
    out = tmp_path / "out.webm"
    out.write_text("old")

    def fail(*_, **__):
        raise OutputError("the disk went away")

    if when == "sign":
        monkeypatch.setattr(output.provenance, "sign", fail)
    stop = fail if when == "render" else None
    with pytest.raises(OutputError, match="went away"):
        gioconda.animate(astronaut, short, out, progress=stop, **CROP)
    assert [path.name for path in tmp_path.iterdir()] == ["out.webm"]
    assert out.read_text() == "old"
