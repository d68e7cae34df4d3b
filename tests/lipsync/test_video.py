"""The person of a video moves the mouth otherwise, and all else of the video stays."""

from contextlib import closing
from itertools import pairwise

import cv2
import numpy as np
import pytest

import gioconda
from gioconda import face, media, pipeline
from gioconda.cli import run
from gioconda.errors import InputError, NoFaceError, WeightsError
from gioconda.lipsync import cache, plan
from gioconda.lipsync.build import adapt_speech, build_database
from gioconda.lipsync.plan import plan_lipsync
from gioconda.lipsync.renderer import replaced_frames, target_images
from gioconda.training import metrics
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, Motion
from heads import lips_apart
from media_factory import write_clip

pytestmark = pytest.mark.xdist_group("lipsync")


def silent(*_):
    pass


def words(opening, fps=25.0):
    """A motion whose jaw opens as told, (T,) in 0..1."""
    count = len(opening)
    expression = np.zeros((count, len(ARKIT_NAMES)), np.float32)
    expression[:, ARKIT_INDEX["jawOpen"]] = opening
    return Motion(
        times=np.arange(count) / fps,
        rotation=np.repeat(np.eye(3, dtype=np.float32)[None], count, 0),
        translation=np.zeros((count, 2), np.float32),
        scale=np.ones(count, np.float32),
        expression=expression,
        gaze=np.zeros((count, 2), np.float32),
        confidence=np.ones(count, np.float32),
    )


def opened(images):
    """How far the lips are apart in each picture."""
    with face.FaceTracker() as tracker:
        return np.array([lips_apart(tracker.process(image)[0].landmarks) for image in images])


def frames_of(path):
    return [frame.image for frame in media.read_frames(path)]


def steps(images):
    """How much each picture differs from the one before."""
    return [float(np.abs(a.astype(int) - b).mean()) for a, b in pairwise(images)]


def planned(video, motion, **more):
    return plan_lipsync(video, motion, None, False, silent, **more)


def taken_and_made(job):
    """The target's frames in the order shown, and what became of them before the marks."""
    with closing(target_images(job.video, job.target)) as frames:
        taken = list(frames)
    with closing(replaced_frames(job)) as frames:
        return taken, [frame.image for frame in frames]


@pytest.fixture(scope="module")
def waves():
    """A mouth that opens three times in 1.6 s."""
    return words(0.25 * (1 - np.cos(np.arange(40) / 40 * 6 * np.pi)))


@pytest.fixture(scope="module")
def revoiced(talking_astronaut, waves, tmp_path_factory):
    out = tmp_path_factory.mktemp("revoiced") / "out.mp4"
    return gioconda.animate(talking_astronaut, waves, out, rights="mine", engine="lipsync")


def test_the_mouth_says_what_the_motion_says(revoiced, waves):
    got = opened(frames_of(revoiced.path))
    assert revoiced.frames == len(got) == len(waves)
    assert metrics.pearson(got, waves.expression[:, ARKIT_INDEX["jawOpen"]]) > 0.8


def lips_in_silence(video, folder, engine):
    """How far the lips of a video's person are apart in each frame of a second without a sound."""
    sound = media.write_sound(folder / "silence.wav", np.zeros(16000, np.float32), 16000)
    out = folder / f"{engine}.mp4"
    gioconda.speak(video, out, audio=sound, engine=engine)
    return opened(frames_of(out))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["lipsync", "warp"])
def test_silence_shuts_the_mouth_of_a_film(talking_astronaut, tmp_path, engine):
    assert opened(frames_of(talking_astronaut)[:25]).max() > 0.1
    gaps = lips_in_silence(talking_astronaut, tmp_path, engine)
    assert np.median(gaps) < 0.01
    assert gaps.max() < 0.035


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["lipsync", "warp"])
def test_silence_shuts_the_mouth_of_one_who_hardly_shuts_it(shared_data, tmp_path, engine):
    film = shared_data.parent / "cases" / "silence_open_mouth" / "t2398.mp4"
    if not film.is_file():
        pytest.skip("the film of ../shared/cases is not here")
    assert np.percentile(opened(frames_of(film)), 15) > 0.03
    assert lips_in_silence(film, tmp_path, engine).max() < 0.015


def test_the_file_is_marked_as_synthetic(revoiced):
    verdict = gioconda.verify(revoiced.path)
    assert verdict.status == "ours"
    assert verdict.watermark["engine"] == "lipsync"


def test_nothing_changes_outside_the_mouth(talking_astronaut, waves):
    taken, made = taken_and_made(planned(talking_astronaut, waves))
    changed = np.any([(a != b).any(2) for a, b in zip(taken, made, strict=True)], axis=0)
    landmarks = face.detect_faces(taken[0])[0].landmarks
    assert 0.01 < changed.mean() < 0.25
    above = int(landmarks[[33, 263], 1].max())
    assert not changed[:above].any()
    left, right = landmarks[:, 0].min(), landmarks[:, 0].max()
    margin = int(0.3 * (right - left))
    assert not changed[:, : max(int(left) - margin, 0)].any()
    assert not changed[:, int(right) + margin :].any()


@pytest.mark.slow
def test_a_short_video_lasts_as_long_as_the_words(talking_astronaut):
    job = planned(talking_astronaut, words(np.zeros(150)))
    taken, made = taken_and_made(job)
    assert len(made) == 150
    moved, usual = steps(taken), steps(frames_of(talking_astronaut))
    assert max(moved) < 2.5 * max(usual)


def test_few_frames_are_held_while_a_video_goes_to_and_fro(talking_astronaut, monkeypatch):
    size = 256 * 256 * 3
    monkeypatch.setattr(plan, "HELD_BYTES", 8 * size)
    job = planned(talking_astronaut, words(np.zeros(90)))
    assert job.target.held == 8
    whole = frames_of(talking_astronaut)
    with closing(target_images(job.video, job.target)) as frames:
        for t, image in enumerate(frames):
            if not job.target.repeated[t]:
                assert (image == whole[job.target.first[t]]).all()


def test_a_bank_is_made_once(talking_astronaut, waves, revoiced, monkeypatch):
    monkeypatch.setattr(cache, "build_database", lambda *_: pytest.fail("made again"))
    assert len(planned(talking_astronaut, waves).database) == 40


def test_a_damaged_cache_is_made_anew(talking_astronaut, waves, monkeypatch, tmp_path):
    monkeypatch.setenv("GIOCONDA_HOME", str(tmp_path))
    planned(talking_astronaut, waves)
    kept = next((tmp_path / "mouths").iterdir())
    kept.write_bytes(b"nonsense")
    assert len(planned(talking_astronaut, waves).database) == 40


def test_a_video_of_another_rate_keeps_its_own(talking_astronaut):
    job = planned(talking_astronaut, words(np.zeros(30), fps=30.0))
    assert len(job.times) == 25


def test_mouths_unlike_any_in_the_video_are_told(astronaut_image, tmp_path):
    still = np.ascontiguousarray(astronaut_image[:256, 96:352])
    clip = write_clip(tmp_path / "still.mp4", [still] * 6)
    job = planned(clip, words(np.full(20, 0.9)))
    assert "adapt --for speech" in job.warnings[0]


@pytest.mark.slow
def test_from_the_command_line(talking_astronaut, waves, tmp_path, capsys):
    from gioconda.motion import store

    bank, out, saved = tmp_path / "me.safetensors", tmp_path / "out.mp4", tmp_path / "words.npz"
    store.save(waves, saved)
    assert run(["adapt", str(talking_astronaut), "--for", "speech", "-o", str(bank)]) == 0
    assert "40 mouths of 40 frames" in capsys.readouterr().out
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(talking_astronaut.read_bytes())
    (folder / "notes.txt").write_text("no video")
    assert len(build_database([folder, talking_astronaut], silent)) == 80
    made = gioconda.animate(talking_astronaut, saved, out, bank=bank, label=True, engine="lipsync")
    assert made.frames == len(waves)


def test_what_cannot_be_used_is_told(talking_astronaut, waves, astronaut, tmp_path):
    out = tmp_path / "out.mp4"
    with pytest.raises(InputError, match="still picture"):
        gioconda.animate(astronaut, waves, out, engine="lipsync")
    with pytest.raises(InputError, match="still picture"):
        build_database([astronaut], silent)
    with pytest.raises(InputError, match="no video"):
        build_database([tmp_path], silent)
    empty = write_clip(tmp_path / "empty.mp4")
    with pytest.raises(NoFaceError, match=r"empty\.mp4"):
        gioconda.animate(empty, waves, out, engine="lipsync")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"{}" * 50)
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        gioconda.animate(talking_astronaut, waves, out, bank=other, engine="lipsync")
    assert not out.exists()


@pytest.fixture(scope="module")
def his(shared_data, tmp_path_factory):
    """Two clips of one man, and a bank of eight others of his."""
    clips = sorted((shared_data / "grid_s1").glob("*.mp4"))
    if len(clips) < 40:
        pytest.skip("the real media of ../shared/data/grid_s1 is not here")
    bank = tmp_path_factory.mktemp("his") / "bank.safetensors"
    adapt_speech(clips[3:40:5], bank, silent)
    return clips[0], clips[1], bank


@pytest.mark.slow
def test_a_man_says_another_sentence(his, tmp_path):
    clip, other, bank = his
    out = tmp_path / "out.mp4"
    gioconda.animate(clip, other, out, engine="lipsync", bank=bank, retime=False)
    spoken, got = frames_of(other), frames_of(out)
    assert metrics.pearson(opened(got), opened(spoken)) > 0.85
    job = plan_lipsync(clip, other, bank, False, silent, retimed=False)
    taken, made = taken_and_made(job)
    changed = np.any([(a != b).any(2) for a, b in zip(taken, made, strict=True)], axis=0)
    error = (np.stack(got).astype(np.float64) - np.stack(taken))[:, ~changed]
    assert 10 * np.log10(255**2 / (error**2).mean()) > 39.5


@pytest.mark.slow
def test_his_own_sentence_comes_near_to_the_truth(his):
    clip, _, bank = his
    motion = pipeline.track(clip)
    job = plan_lipsync(clip, motion, bank, False, silent, retimed=False)
    taken, made = taken_and_made(job)
    scores, sharp = [], []
    for t, pair in enumerate(zip(made, taken, strict=True)):
        corner = job.layout.matrix[t] @ (0, 0.9, 1)
        x, y = corner.astype(int)
        r = int(0.4 * job.layout.scale[t])
        parts = [image[y - r : y + r, x - r : x + r] for image in pair]
        scores.append(metrics.psnr(*parts))
        sharp.append([cv2.Laplacian(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var() for p in parts])
    assert np.mean(scores) > 31
    ours, theirs = np.mean(sharp, axis=0)
    assert 0.8 < ours / theirs < 1.2
