"""Data of the few-shot engine: from videos, VoxCeleb's layout among them, to shards."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fewshot_footage import (  # noqa: F401
    LITTLE,
    SIDE,
    actors_fixture,
    as_track,
    content,
    folder_fixture,
    frames_of,
    imitation_fixture,
    made_up,
    prepared_fixture,
    takes_of,
    threads_as_before_fixture,
)
from gioconda import face, media
from gioconda.cli import run
from gioconda.engines.fewshot import crop
from gioconda.errors import InputError, MissingFileError
from gioconda.training.fewshot import prepare as prepare_module
from gioconda.training.fewshot import tracks
from gioconda.training.fewshot.prepare import FewshotPlan, prepare
from gioconda.training.fewshot.shards import LARGEST, MANIFEST, Shards
from gioconda.training.sources import Clip
from gioconda.training.voxceleb import Take
from media_factory import write_clip
from programs import running, wait_for
from voxceleb_world import box_file


def tracked(picture):
    """Landmarks of a stored picture, found anew."""
    (found, *_) = face.detect_faces(cv2.resize(picture, (512, 512), interpolation=cv2.INTER_CUBIC))
    return found.landmarks[:, :2] * picture.shape[0] / 512


@pytest.mark.slow
def test_an_imitation_of_voxceleb_becomes_shards(prepared):
    out, done, told = prepared
    assert (done.clips, done.people, done.frames, done.tried) == (6, 3, 30, 8)
    assert [line.split(":")[0] for line in done.failures] == [
        "dev/mp4/id00010/VIDEO0/00002.mp4",
        "dev/mp4/id00011/VIDEO1/00002.mp4",
    ]
    assert "no face" in done.failures[0]
    assert "damaged" in done.failures[1]
    assert str(out.parent.parent) not in " ".join(done.failures), "no path of this machine"
    assert told[-1] == ("prepare", 8, 8)
    assert [line[1] for line in told] == sorted(line[1] for line in told)
    shards = Shards(out)
    assert (shards.size, shards.crop, len(shards)) == (128, "head", 6)
    assert shards.margin == crop.MARGIN
    assert [c.video for c in Shards(out, "dev").clips] == ["id00020/OTHER"]
    assert [(c.identity, c.video, c.split, c.count) for c in Shards(out, "train").clips] == [
        *[("id00010", f"id00010/VIDEO{k}", "train", 5) for k in (0, 2, 4)],
        *[("id00011", f"id00011/VIDEO{k}", "train", 5) for k in (1, 3)],
    ]
    assert len({c.key for c in shards.clips}) == 6
    assert not any("." in c.key for c in shards.clips)


@pytest.mark.slow
@pytest.mark.parametrize("group", ["video", "person"])
def test_an_imitation_of_voxceleb_can_be_trained_on(prepared, tmp_path, capsys, group):
    run_folder = tmp_path / "run"
    words = [
        "train",
        "fewshot",
        "--preset",
        "tiny",
        "--data",
        str(prepared[0]),
        "-o",
        str(run_folder),
        "--dry-run",
    ]
    assert run([*words, "--group", group, "--accelerator", "cpu", "--threads", "1"]) == 0
    assert "2 steps tried, nothing written" in capsys.readouterr().out
    assert not run_folder.exists()


@pytest.mark.slow
def test_landmarks_lie_where_the_pictures_show_the_face(prepared):
    shards = Shards(prepared[0])
    for index, clip in enumerate(shards.clips):
        landmarks = shards.landmarks(index)
        for frame in (0, clip.count - 1):
            picture = shards.picture(index, frame)
            off = np.linalg.norm(tracked(picture) - landmarks[frame, :, :2], axis=1)
            assert off.mean() < 128 * 0.015
        square = crop.head_square(landmarks).enlarged(crop.MARGIN)
        assert np.allclose((square.left, square.top, square.side), (0, 0, 128), atol=0.5), (
            "fixed over the clip"
        )


@pytest.mark.slow
def test_shards_are_plain_tars_as_others_read_them(prepared):
    out = prepared[0]
    with tarfile.open(out / "dev-00000.tar") as tar:
        members = tar.getmembers()
        told = json.load(tar.extractfile("dev-00000-000.json"))
    names = ["json", "landmarks.npy", *(f"{k:04}.jpg" for k in range(5))]
    assert [m.name for m in members] == [f"dev-00000-000.{name}" for name in names]
    assert all((m.mtime, m.uid, m.uname, m.isreg()) == (0, 0, "", True) for m in members)
    assert told == {
        "key": "dev-00000-000",
        "clip": "test/mp4/id00020/OTHER/00001.mp4",
        "identity": "id00020",
        "video": "id00020/OTHER",
        "count": 5,
        "split": "dev",
        "size": 128,
        "crop": "head",
        "margin": crop.MARGIN,
    }
    assert not [p.name for p in out.iterdir() if p.suffix not in (".tar", ".json")], "no marker, no part"


@pytest.mark.slow
def test_two_processes_make_the_same_bytes_as_one(prepared, imitation, tmp_path):
    prepare(imitation, tmp_path / "two", LITTLE, processes=2)
    assert content(tmp_path / "two") == content(prepared[0])


@pytest.mark.slow
def test_preparing_again_does_nothing(prepared, imitation, capsys):
    out = prepared[0]
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    line = f"prepare {imitation} -o {out} --clips 6 --frames 5 --size 128"
    assert run(line.split()) == 0
    told = capsys.readouterr()
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before
    assert "6 clips of 3 people, 30 frames, in 3 shards; 2 left out; all existed already" in told.out
    assert told.err.count("left out: dev/mp4/") == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "words"),
    [({"size": 96}, "size 128, not 96"), ({"crop": "paper", "frames": 4}, "frames 5, not 4 and crop head")],
)
def test_other_options_in_the_same_folder_are_refused(prepared, imitation, changed, words):
    with pytest.raises(InputError, match=words):
        prepare(imitation, prepared[0], replace(LITTLE, **changed), processes=1)


@pytest.mark.slow
def test_other_videos_in_the_same_folder_are_refused(prepared, actors, tmp_path):
    as_track(actors[0], tmp_path / "ann/1.mp4", 5)
    with pytest.raises(InputError, match="other videos"):
        prepare(tmp_path, prepared[0], LITTLE, processes=1)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(prepared, imitation, tmp_path):
    out = tmp_path / "killed"
    line = ["prepare", imitation, "-o", out, "--clips", 6, "--frames", 5, "--size", 128, "--workers", 1]
    command = [sys.executable, "-m", "gioconda", *map(str, line)]
    with running(command, stdout=subprocess.DEVNULL) as program:
        wait_for(lambda: list(out.glob("[!.]*.json")) or program.poll() is not None, 120)
    kept = {p: p.stat().st_mtime_ns for p in out.glob("[!.]*.json")}
    assert kept
    assert not (out / MANIFEST).exists()
    with pytest.raises(MissingFileError, match="gioconda prepare"):
        Shards(out)
    time.sleep(1.5)  # its worker ends by itself once the parent is gone
    done = prepare(imitation, out, LITTLE, processes=2)
    assert 0 < done.tried < 8
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert content(out) == content(prepared[0])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGTERM")
def test_a_run_that_is_asked_to_end_leaves_no_part(imitation, tmp_path):
    out = tmp_path / "stopped"
    line = ["prepare", imitation, "-o", out, "--size", 128, "--workers", 2]
    command = [sys.executable, "-m", "gioconda", *map(str, line)]
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as program:
        wait_for(lambda: list(out.glob("*.at")) or program.poll() is not None, 120)
        program.send_signal(signal.SIGTERM)
        _, told = program.communicate(timeout=60)
    assert program.returncode == 130
    assert told.decode().strip() == "gioconda: stopped"
    assert not list(out.glob(".*"))


@pytest.mark.slow
def test_a_folder_for_each_person_will_do(talking_astronaut, tmp_path, capsys):
    for name in ("ann/1.mp4", "bob/2.mp4"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        shutil.copy(talking_astronaut, tmp_path / "in" / name)
    line = f"prepare {tmp_path / 'in'} -o {tmp_path / 'out'} --frames 4 --size 64 --workers 1"
    assert run(line.split()) == 0
    assert "2 clips of 2 people, 8 frames, in 2 shards; 0 left out;" in capsys.readouterr().out
    assert [(c.clip, c.split) for c in Shards(tmp_path / "out").clips] == [
        ("ann/1.mp4", "train"),
        ("bob/2.mp4", "dev"),
    ]


@pytest.mark.slow
def test_nothing_but_walls_is_told(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "wall.mp4")
    assert run(f"prepare {tmp_path / 'in'} -o {tmp_path / 'out'} --workers 1".split()) == 2
    assert "no clip could be prepared; the first is wall.mp4: no face" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--frames 3", "give 4 to 100"),
        ("--size 32", "give 64 to 1024"),
        ("--seed 1", "--seed does not apply to --for fewshot"),
        ("--for refiner --frames 8", "--frames does not apply to --for refiner"),
        ("--for refiner --crop paper", "--crop does not apply"),
        ("--clips 0", "clips"),
        ("--crop face", "crop"),
    ],
)
def test_options_that_cannot_be_are_told(tmp_path, capsys, options, words):
    assert run(f"prepare {tmp_path} -o {tmp_path / 'out'} {options}".split()) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_told(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "wall.mp4")
    (tmp_path / "out").touch()
    assert run(f"prepare {tmp_path / 'in'} -o {tmp_path / 'out'}".split()) == 5
    assert "cannot be written" in capsys.readouterr().err


def test_the_refiner_is_prepared_for_as_before(tmp_path, capsys):
    assert run(f"prepare {tmp_path / 'absent'} --for refiner -o {tmp_path / 'out'}".split()) == 2
    assert "not a folder" in capsys.readouterr().err


def test_clips_are_dealt_to_shards_of_one_split(tmp_path):
    takes = [*takes_of(500), *takes_of(9, "dev", "bob")]
    jobs = prepare_module._dealt(takes, tmp_path, FewshotPlan())
    assert [len(job) for job in jobs] == [48] * 10 + [20, 4, 4, 1]
    assert [take for job in jobs for take in job.takes] == takes
    assert [job.name for job in jobs[9:]] == [
        "train-00009",
        "train-00010",
        "dev-00000",
        "dev-00001",
        "dev-00002",
    ]
    large = prepare_module._dealt(takes, tmp_path, FewshotPlan(size=512, frames=32))
    assert max(len(job) for job in large) * 32 * 512 * 512 * 0.9 < LARGEST
    assert len({job.digest for job in [*jobs, *large]}) == 2


@pytest.fixture(scope="module")
def two_people(astronaut_image, tmp_path_factory):
    """One second of nothing, then two talk beside each other: the smaller, in blue, is the one who is meant."""
    path = tmp_path_factory.mktemp("long") / "REF.mp4"
    images = []
    for k in range(60):
        image = np.full((300, 500, 3), 90, np.uint8)
        if k >= 25:
            image[10:290, 10:290] = cv2.resize(astronaut_image, (280, 280))
            small = cv2.resize(astronaut_image, (170, 170)) * np.array([0.3, 0.5, 1.0])
            image[60 + k % 5 : 230 + k % 5, 320:490] = small.astype(np.uint8)
        images.append(image)
    return write_clip(path, images, options={"crf": "12"})


@pytest.fixture
def meant(two_people, tmp_path):
    """Take of the one in blue, by a box file in pixels."""
    rows = [(k, 320 + 45, 60 + 10, 75, 75) for k in range(25, 60)]
    text = box_file(tmp_path / "00001.txt", *rows)
    return Take(Clip(two_people, "00001.txt", "id10001", "train"), "id10001/REF", text)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["head", "paper"])
def test_the_face_in_the_box_is_taken(meant, kind):
    pictures, landmarks = tracks.cropped(tracks.Reel(), meant, 6, kind, 128)
    assert len(pictures) == 6
    for picture, points in zip(pictures, landmarks, strict=True):
        middle = picture[48:80, 48:80].reshape(-1, 3).mean(0)
        assert middle[2] > 1.2 * middle[0], "blue"
        assert np.linalg.norm(tracked(picture) - points[:, :2], axis=1).mean() < 2.5


@pytest.mark.slow
def test_boxes_may_be_shares_of_the_picture(meant, tmp_path):
    rows = [(k, 365 / 500, 70 / 300, 75 / 500, 75 / 300) for k in range(25, 60)]
    shares = replace(meant, boxes=box_file(tmp_path / "2.txt", *rows))
    one, other = (tracks.cropped(tracks.Reel(), take, 6, "head", 128) for take in (meant, shares))
    assert np.array_equal(one[0], other[0])
    assert np.allclose(one[1], other[1])


def test_stretches_of_a_video_take_one_pass(two_people, monkeypatch):
    opened = []
    real = media.read_frames
    monkeypatch.setattr(media, "read_frames", lambda path: opened.append(path) or real(path))
    reel = tracks.Reel()
    moments = []
    for start, end in ((0.2, 0.4), (0.44, 0.5), (1.0, 1.1), (0.0, 0.1)):
        reel.open(two_people, start)
        moments.append([round(frame.time * 25) for frame in reel.frames(start, end)])
    assert moments == [[5, 6, 7, 8, 9, 10], [11, 12], [25, 26, 27], [0, 1, 2]]
    assert len(opened) == 2, "the last stretch goes back"
    reel.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(k, 600, 400, 75, 75) for k in range(25, 60)], "outside the picture"),
        ([(k, 365, 70, 75, 75) for k in range(900, 930)], "after the end"),
        ([(k, 365, 70, 75, 75) for k in range(5, 20)], "no face"),
        ([(k, 365, 70, 75, 75) for k in range(22, 27)], "only . frames with a face, 4 are needed"),
    ],
)
def test_boxes_that_do_not_suit_the_video_are_told(meant, tmp_path, rows, words):
    take = replace(meant, boxes=box_file(tmp_path / "3.txt", *rows))
    with pytest.raises(InputError, match=words):
        tracks.cropped(tracks.Reel(), take, 6, "head", 128)


@pytest.mark.slow
def test_the_papers_crop_is_the_track_with_its_edge_repeated(imitation):
    path = imitation / "dev/mp4/id00010/VIDEO0/00001.mp4"
    take = Take(Clip(path, path.name, "id00010", "train"), "VIDEO0", cropped=True)
    pictures, landmarks = tracks.cropped(tracks.Reel(), take, 12, "paper", 256)
    frames = frames_of(path)
    assert np.array_equal(pictures[0][16:240, 16:240], frames[0])
    assert np.array_equal(pictures[-1][:16, 16:240], np.repeat(frames[-1][:1], 16, 0))
    assert np.array_equal(pictures[0][16:240, 240:], np.repeat(frames[0][:, -1:], 16, 1))
    for picture, points in zip(pictures, landmarks, strict=True):
        assert np.linalg.norm(tracked(picture) - points[:, :2], axis=1).mean() < 4
    assert tracks.margin_of("paper") == 256 / 224


@pytest.mark.slow
def test_frames_are_spread_over_the_clip(talking_astronaut):
    take = Take(Clip(talking_astronaut, "a.mp4", "ann", "train"), "a")
    pictures, _ = tracks.cropped(tracks.Reel(), take, 8, "paper", 128)
    assert len(pictures) == 8
    few, _ = tracks.cropped(tracks.Reel(), take, 60, "paper", 128)
    assert len(few) == 40, "no more than there are"
    at = [int(np.argmin([np.abs(p.astype(int) - f).mean() for f in few])) for p in pictures]
    assert at[0] == 0
    assert at[-1] >= 36
    assert max(np.diff(at)) <= 8
