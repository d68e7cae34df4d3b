"""Data of the few-shot engine: from videos, VoxCeleb's layout among them, to shards, and what is read from these."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import SHARED
from gioconda import face, media
from gioconda.cli import run
from gioconda.engines.fewshot import crop
from gioconda.errors import GiocondaError, InputError, MissingFileError, OutputError
from gioconda.training.fewshot import prepare as prepare_module
from gioconda.training.fewshot import tracks, workers
from gioconda.training.fewshot.prepare import Plan, Shard, make_shard, prepare
from gioconda.training.fewshot.shards import LARGEST, MANIFEST, ShardClip, Shards, ShardWriter, write_json
from gioconda.training.sources import Clip
from gioconda.training.voxceleb import Take
from media_factory import write_clip
from test_voxceleb import box_file

LITTLE = Plan(clips=6, frames=5, size=128)
SIDE = 64  # of made-up pictures


@pytest.fixture(autouse=True)
def threads_as_before():
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


# ---- footage


def frames_of(path, most=40):
    frames = []
    with media.read_frames(path) as reader:
        for frame in reader:
            frames.append(frame.image)
            if len(frames) == most:
                break
    return frames


@pytest.fixture(scope="module")
def actors(request):
    """Videos of two or three people: real ones where they are here, else the astronaut's, twice."""
    if not (SHARED / "clips.tsv").is_file():
        return [request.getfixturevalue("talking_astronaut")] * 2
    with (SHARED / "clips.tsv").open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if (SHARED / r["path"]).is_file()]
    first = {row["identity"]: SHARED / row["path"] for row in reversed(rows) if "lrw" in row["path"]}
    return list(first.values())[:3]


def as_track(source, path, most=20):
    """A clip as VoxCeleb2 hands it out: the face in a square of 224 px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, [cv2.resize(image, (224, 224)) for image in frames_of(source, most)])


@pytest.fixture(scope="module")
def imitation(actors, tmp_path_factory):
    """VoxCeleb2's folders made of our own clips: six utterances with a face, one damaged, one of a wall."""
    root = tmp_path_factory.mktemp("vox") / "vox2"
    for k in range(5):
        as_track(actors[k % 2], root / f"dev/mp4/id0001{k % 2}/VIDEO{k}/00001.mp4")
        box_file(root / f"dev/txt/id0001{k % 2}/VIDEO{k}/00001.txt", (f"{100 * k:06}", 0.3, 0.1, 0.4, 0.7))
    as_track(actors[-1], root / "test/mp4/id00020/OTHER/00001.mp4")
    write_clip(root / "dev/mp4/id00010/VIDEO0/00002.mp4")
    whole = (root / "dev/mp4/id00010/VIDEO0/00001.mp4").read_bytes()
    (root / "dev/mp4/id00011/VIDEO1/00002.mp4").write_bytes(whole[: len(whole) // 8])
    return root


@pytest.fixture(scope="module")
def prepared(imitation, tmp_path_factory):
    """The imitation, brought to shards by one process: the folder and what was told of it."""
    out = tmp_path_factory.mktemp("shards") / "one"
    told = []
    done = prepare(imitation, out, LITTLE, processes=1, report=lambda *line: told.append(line))
    return out, done, told


def content(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def tracked(picture):
    """Landmarks of a stored picture, found anew."""
    (found, *_) = face.detect_faces(cv2.resize(picture, (512, 512), interpolation=cv2.INTER_CUBIC))
    return found.landmarks[:, :2] * picture.shape[0] / 512


# ---- from videos to shards


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
    assert "6 clips of 3 people, 30 frames, in 3 shards; 2 left out; all were there already" in told.out
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
    program = subprocess.Popen([sys.executable, "-m", "gioconda", *map(str, line)], stdout=subprocess.DEVNULL)
    while not list(out.glob("*.json")) and program.poll() is None:
        time.sleep(0.01)
    program.kill()
    program.wait()
    kept = {p: p.stat().st_mtime_ns for p in out.glob("*.json")}
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
    program = subprocess.Popen(
        [sys.executable, "-m", "gioconda", *map(str, line)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while not list(out.glob("*.at")) and program.poll() is None:
        time.sleep(0.01)
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
        ("--seed 1", "--seed means nothing with --for fewshot"),
        ("--for refiner --frames 8", "--frames means nothing with --for refiner"),
        ("--for refiner --ray auto", "--ray means nothing"),
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


def takes_of(count, split="train", person="ann"):
    clips = [Clip(Path(f"{person}{k}.mp4"), f"{person}{k}.mp4", person, split) for k in range(count)]
    return [Take(clip, clip.name) for clip in clips]


def test_clips_are_dealt_to_shards_of_one_split(tmp_path):
    takes = [*takes_of(500), *takes_of(9, "dev", "bob")]
    jobs = prepare_module._dealt(takes, tmp_path, Plan())
    assert [len(job) for job in jobs] == [48] * 10 + [20, 4, 4, 1]
    assert [take for job in jobs for take in job.takes] == takes
    assert [job.name for job in jobs[9:]] == [
        "train-00009",
        "train-00010",
        "dev-00000",
        "dev-00001",
        "dev-00002",
    ]
    large = prepare_module._dealt(takes, tmp_path, Plan(size=512, frames=32))
    assert max(len(job) for job in large) * 32 * 512 * 512 * 0.9 < LARGEST
    assert len({job.asked for job in [*jobs, *large]}) == 2


# ---- one take


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
        ([(k, 365, 70, 75, 75) for k in range(900, 930)], "beyond the end"),
        ([(k, 365, 70, 75, 75) for k in range(5, 20)], "no face"),
        ([(k, 365, 70, 75, 75) for k in range(22, 27)], "a face in . frames alone, 4 are needed"),
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


# ---- reading


def made_up(seed, count, size=SIDE):
    random = np.random.default_rng(seed)
    small = random.integers(0, 255, (count, 6, 6, 3)).astype(np.uint8)
    pictures = [cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC) for image in small]
    return pictures, random.uniform(0, size, (count, 478, 3)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Two shards of made-up clips: three to learn from, one to test with."""
    shards = []
    for split, counts in (("train", (4, 7, 5)), ("dev", (6,))):
        writer = ShardWriter(tmp_path / f"{split}-00000.tar")
        for k, count in enumerate(counts):
            clip = ShardClip(f"{split}-00000-{k:03}", f"ä {k}.mp4", f"{split} person", "v/1", split, count)
            assert writer.add(clip, *made_up(count, count), {"size": SIDE})
        size = writer.publish()
        shards.append({"file": f"{split}-00000.tar", "split": split, "bytes": size, "clips": writer.rows})
    head = {"version": 1, "size": SIDE, "margin": 1.15, "crop": "head"}
    write_json(tmp_path / MANIFEST, {**head, "shards": shards, "failures": []})
    return tmp_path


def test_what_was_written_is_read_back(folder):
    shards = Shards(folder)
    assert [(c.clip, c.split, c.count) for c in shards.clips] == [
        ("ä 0.mp4", "train", 4),
        ("ä 1.mp4", "train", 7),
        ("ä 2.mp4", "train", 5),
        ("ä 0.mp4", "dev", 6),
    ]
    for index in (3, 1, 0, 2):
        clip = shards.clips[index]
        pictures, landmarks = made_up(clip.count, clip.count)
        read = shards.landmarks(index)
        assert read.dtype == np.float32
        assert np.array_equal(read, landmarks)
        for frame in (clip.count - 1, 0):
            picture = shards.picture(index, frame)
            assert (picture.shape, picture.dtype) == ((SIDE, SIDE, 3), np.uint8)
            assert np.abs(picture.astype(int) - pictures[frame]).mean() < 4
    assert [c.split for c in Shards(folder, "dev").clips] == ["dev"]


def test_many_threads_may_read_at_once(folder):
    from concurrent.futures import ThreadPoolExecutor

    shards = Shards(folder)
    order = [(index, frame) for index, clip in enumerate(shards.clips) for frame in range(clip.count)] * 8
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda at: shards.picture(*at).tobytes(), order))
    assert read == [shards.picture(*at).tobytes() for at in order]


def test_pictures_that_are_not_there_are_refused(folder):
    shards = Shards(folder)
    for frame in (-1, 4):
        with pytest.raises(IndexError):
            shards.picture(0, frame)


def test_folders_that_were_not_prepared_are_told(folder, tmp_path):
    with pytest.raises(MissingFileError, match=r"gioconda prepare VIDEOS -o .*absent"):
        Shards(tmp_path / "absent")
    with pytest.raises(InputError, match="'test'"):
        Shards(folder, "test")


def changed(folder, change):
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(version=2),
        lambda m: m.pop("size"),
        lambda m: m.update(shards=3),
        lambda m: m["shards"][0].update(file="../train-00000.tar"),
        lambda m: m["shards"][0].update(file="/etc/passwd"),
        lambda m: m["shards"][0].update(bytes=5),
        lambda m: m["shards"][0]["clips"][1].update(at=-512),
        lambda m: m["shards"][0]["clips"][1].update(at=10**9),
        lambda m: m["shards"][0]["clips"][1].update(sizes=[10**12] * 8),
        lambda m: m["shards"][0]["clips"][1].update(sizes=[]),
        lambda m: m["shards"][0]["clips"][1].update(count=-1),
        lambda m: m["shards"][0]["clips"][1].update(count=60),
        lambda m: m["shards"][0]["clips"][1].update(key="../../x"),
    ],
)
def test_manifests_that_lie_are_refused(folder, change):
    changed(folder, change)
    with pytest.raises(InputError, match="prepare"):
        Shards(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\x00"])
def test_damaged_manifests_are_refused(folder, text):
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        Shards(folder)


def test_a_shard_that_is_absent_or_cut_short_is_told(folder):
    tar = folder / "train-00000.tar"
    tar.write_bytes(tar.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"train-00000\.tar is absent or cut short"):
        Shards(folder)
    tar.unlink()
    with pytest.raises(InputError, match=r"train-00000\.tar is absent or cut short"):
        Shards(folder)
    assert len(Shards(folder, "dev")) == 1


def overwritten(folder, name, at, what):
    """Bytes of a member of the first shard, changed from its content's byte `at` on."""
    tar = folder / "train-00000.tar"
    with tarfile.open(tar) as file:
        offset = file.getmember(name).offset_data + at
    data = bytearray(tar.read_bytes())
    data[offset : offset + len(what)] = what
    tar.write_bytes(data)
    return Shards(folder)


@pytest.mark.parametrize(
    ("name", "at", "what"),
    [
        ("train-00000-001.landmarks.npy", 0, b"xxxxxx"),
        ("train-00000-001.landmarks.npy", 10, b"{'descr': '|O'"),
        ("train-00000-001.landmarks.npy", 400, np.float32("nan").tobytes()),
        ("train-00000-001.landmarks.npy", -512, b"other"),
    ],
)
def test_damaged_landmarks_are_told(folder, name, at, what):
    shards = overwritten(folder, name, at, what)
    with pytest.raises(InputError, match=r"train-00000\.tar is damaged"):
        shards.landmarks(1)
    assert len(shards.landmarks(2)) == 5, "others remain"


@pytest.mark.parametrize(
    ("at", "what"),
    [(0, b"GIF89a"), (-512, b"\x00" * 512), (-400, b"9"), (163, b"\xff" * 4), (2, b"\xff\xd9")],
)
def test_damaged_pictures_are_told(folder, at, what):
    shards = overwritten(folder, "train-00000-001.0002.jpg", at, what)
    with pytest.raises(InputError, match=r"train-00000\.tar is damaged"):
        shards.picture(1, 2)


def test_a_picture_of_another_size_is_not_decoded(folder, monkeypatch):
    content_ = (folder / "train-00000.tar").read_bytes()
    start = content_.index(b"\xff\xc0", content_.index(b"train-00000-001.0002.jpg"))
    with tarfile.open(folder / "train-00000.tar") as file:
        at = start - file.getmember("train-00000-001.0002.jpg").offset_data
    shards = overwritten(folder, "train-00000-001.0002.jpg", at + 5, b"\xff\xff\xff\xff")
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InputError, match="damaged"):
        shards.picture(1, 2)


def test_a_shard_takes_no_more_than_it_may(tmp_path, monkeypatch):
    monkeypatch.setattr("gioconda.training.fewshot.shards.LARGEST", 100_000)
    writer = ShardWriter(tmp_path / "train-00000.tar")
    clips = [ShardClip(f"train-00000-{k:03}", "c", "i", "v", "train", 4) for k in range(4)]
    assert [writer.add(clip, *made_up(1, 4), {}) for clip in clips] == [True, True, False, False]
    assert writer.publish() <= 100_000
    assert len(writer.rows) == 2
    writer.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["train-00000.tar"]


def test_a_shard_that_is_given_up_leaves_nothing(tmp_path):
    ShardWriter(tmp_path / "train-00000.tar").discard()
    assert not list(tmp_path.iterdir())


# ---- processes


@dataclass(frozen=True)
class Errand:
    """A job that ends its process where it is told to."""

    folder: Path
    name: str
    deadly: tuple[int, ...] = ()
    once: bool = False
    error: bool = False
    left_out: tuple[int, ...] = ()

    def __len__(self):
        return 3

    @property
    def marker(self):
        return self.folder / f"{self.name}.at"

    def without(self, index):
        return replace(self, left_out=(*self.left_out, index))


def carry_out(errand):
    if errand.error:
        raise InputError("the disk is full")
    for index in range(len(errand)):
        errand.marker.write_text(str(index))
        if index in errand.deadly and index not in errand.left_out:
            tried = errand.folder / f"{errand.name}.tried"
            if not (errand.once and tried.exists()):
                tried.touch()
                os._exit(9)
    (errand.folder / f"{errand.name}.done").write_text(str(errand.left_out))
    errand.marker.unlink()


@pytest.mark.slow
def test_a_crash_costs_the_clip_that_caused_it_alone(tmp_path):
    errands = [
        Errand(tmp_path, "calm"),
        Errand(tmp_path, "killed", deadly=(1,), once=True),
        Errand(tmp_path, "deadly", deadly=(0, 2)),
        Errand(tmp_path, "later"),
    ]
    told = []
    workers.in_processes(errands, carry_out, 2, told.append)
    done = {p.stem: p.read_text() for p in tmp_path.glob("*.done")}
    assert done == {"calm": "()", "killed": "()", "deadly": "(0, 2)", "later": "()"}
    assert sum(told) == 12
    assert not list(tmp_path.glob("*.at"))


@pytest.mark.slow
def test_an_error_of_a_job_stops_all(tmp_path):
    with pytest.raises(InputError, match="disk is full"):
        workers.in_processes([Errand(tmp_path, "a", error=True), Errand(tmp_path, "b")], carry_out, 1, print)


@pytest.mark.slow
def test_processes_that_cannot_begin_are_told(tmp_path):
    with pytest.raises(GiocondaError, match="before they begin"):
        workers.in_processes([Errand(tmp_path / "absent", "a")] * 2, end_at_once, 2, print)


def end_at_once(_errand):
    os._exit(9)


def test_a_clip_that_crashes_is_left_out_and_named(tmp_path):
    (tmp_path / "ann0.mp4").touch()
    job = Shard(tmp_path, "train-00000", "train", tuple(takes_of(1)), LITTLE, "digest").without(0)
    make_shard(job)
    told = json.loads(job.sidecar.read_text(encoding="utf-8"))
    assert told["failures"] == [["ann0.mp4", prepare_module.CRASHED]]
    assert not told["clips"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    job = Shard(tmp_path / "absent", "train-00000", "train", tuple(takes_of(1)), LITTLE, "digest")
    with pytest.raises(OutputError, match=r"train-00000\.tar cannot be written"):
        make_shard(job)


# ---- a cluster


def test_without_ray_the_way_to_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    with pytest.raises(MissingFileError, match=r"pip install 'gioconda\[cluster\]'"):
        workers.over_ray([Errand(tmp_path, "a")], carry_out, "local", 1, print)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two machines' worth of processes, one processor each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


@pytest.mark.slow
def test_a_cluster_makes_the_same_bytes(cluster, prepared, imitation, tmp_path, capsys):
    line = (
        f"prepare {imitation} -o {tmp_path / 'far'} --clips 6 --frames 5 --size 128 --ray {cluster.address}"
    )
    assert run(line.split()) == 0
    assert "6 clips of 3 people" in capsys.readouterr().out
    assert content(tmp_path / "far") == content(prepared[0])


@pytest.mark.slow
def test_a_crash_on_a_cluster_costs_one_clip_too(cluster, tmp_path):
    import ray

    tests = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}
    ray.init(address=cluster.address, runtime_env=tests, log_to_driver=False, logging_level="ERROR")
    try:
        errands = [Errand(tmp_path, "calm"), Errand(tmp_path, "deadly", deadly=(1,))]
        told = []
        workers.over_ray(errands, carry_out, "auto", 1, told.append)
        assert {p.stem: p.read_text() for p in tmp_path.glob("*.done")} == {"calm": "()", "deadly": "(1,)"}
        assert sum(told) == 6
        with pytest.raises(InputError, match="disk is full"):
            workers.over_ray([Errand(tmp_path, "full", error=True)], carry_out, "auto", None, print)
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:x"])
def test_a_cluster_that_is_not_there_is_told(tmp_path, address):
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=f"{address}.*ray start --head"):
        workers.over_ray([Errand(tmp_path, "a")], carry_out, address, 1, print)
