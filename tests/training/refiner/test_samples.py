"""Samples of the refiner: from videos to what batches draw."""

import json

import numpy as np
import pytest

from gioconda.engines.warp import aligned
from gioconda.engines.warp.aligned import CHANNELS
from gioconda.errors import InputError, MissingFileError
from gioconda.training.refiner import prepare as prepare_module
from gioconda.training.refiner.data import Samples, read_index
from gioconda.training.refiner.prepare import INDEX, Plan, load_arrays, prepare
from gioconda.training.sources import Clip, balanced, find_clips
from refiner_world import (  # noqa: F401
    LAST,
    LITTLE,
    PEOPLE,
    SHAPE,
    WINDOW,
    arrays_of,
    folder_fixture,
    points_of,
    prepared_fixture,
    table,
    threads_as_before_fixture,
    write_samples,
)


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_table_says_whose_clips_there_are(tmp_path):
    table(tmp_path, ("x/1.mp4", "train", "ann"), ("2.mov", "dev", "bob"))
    touched(tmp_path, "x/1.mp4", "2.mov", "unlisted.mp4")
    assert find_clips(tmp_path) == [
        Clip(tmp_path / "x/1.mp4", "x/1.mp4", "ann", "train"),
        Clip(tmp_path / "2.mov", "2.mov", "bob", "dev"),
    ]


def test_further_columns_of_a_table_are_ignored(tmp_path):
    table(tmp_path, ("yes", "dev", "1.mp4", "ann"), columns=("sound", "split", "path", "identity"))
    assert find_clips(tmp_path) == [Clip(tmp_path / "1.mp4", "1.mp4", "ann", "dev")]


def test_a_table_without_a_column_is_told(tmp_path):
    with pytest.raises(InputError, match=r"clips\.tsv.*identity"):
        find_clips(table(tmp_path, ("1.mp4", "train"), columns=("path", "split")))


def test_a_row_that_is_cut_off_is_told(tmp_path):
    with pytest.raises(InputError, match=r"clips\.tsv"):
        find_clips(table(tmp_path, ("1.mp4", "train", "ann"), ("2.mp4", "train")))


def test_each_folder_is_a_person_and_each_loose_video_too(tmp_path):
    touched(tmp_path, "ann/1.mp4", "ann/deep/2.MKV", "bob/3.webm", "cid.avi", "bob/notes.txt", "cover.jpg")
    clips = find_clips(tmp_path)
    assert [(c.name, c.identity) for c in clips] == [
        ("ann/1.mp4", "ann"),
        ("ann/deep/2.MKV", "ann"),
        ("bob/3.webm", "bob"),
        ("cid.avi", "cid"),
    ]
    assert all(c.path == tmp_path / c.name for c in clips)


def test_every_tenth_person_is_kept_for_tests(tmp_path):
    touched(tmp_path, *(f"p{k:02}/{n}.mp4" for k in range(20) for n in range(3)))
    clips = find_clips(tmp_path)
    assert {c.identity for c in clips if c.split == "dev"} == {"p09", "p19"}
    assert {c.split for c in clips} == {"train", "dev"}
    assert len({(c.identity, c.split) for c in clips}) == 20, "nobody in both"
    assert {c.split for c in find_clips(tmp_path, dev_share=0)} == {"train"}


def test_folders_that_are_absent_or_without_video_are_told(tmp_path):
    with pytest.raises(MissingFileError, match="absent"):
        find_clips(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no video.*\.mp4"):
        find_clips(touched(tmp_path, "ann/notes.txt"))
    with pytest.raises(InputError, match="no video"):
        find_clips(table(tmp_path))


def clip_named(person_, k):
    return Clip(prepare_module.Path(f"{person_}{k}.mp4"), f"{person_}{k}.mp4", person_, "train")


def test_people_of_many_clips_give_some_evenly_and_others_all():
    many, few = ([clip_named(who, k) for k in range(n)] for who, n in (("ann", 10), ("bob", 2)))
    chosen = balanced([*many, *few], 5)
    assert chosen == [*many[1::2], *few]
    assert balanced(many, 1) == [many[5]]
    assert balanced([], 3) == []


@pytest.fixture
def quick(monkeypatch):
    """Preparation that looks at no video; those called dark fail."""
    done = []

    def samples(path, plan):
        if path.stem.startswith("dark"):
            raise InputError("no face")
        done.append((path.name, plan))
        return arrays_of(1, plan.sources * plan.targets)

    monkeypatch.setattr(prepare_module, "clip_samples", samples)
    return done


def test_preparing_again_does_what_is_missing_alone(tmp_path, quick):
    source, out, told = touched(tmp_path / "in", "ann/1.mp4", "bob/2.mp4"), tmp_path / "out", []
    entries, failures = prepare(source, out, LITTLE, workers=1, progress=lambda *line: told.append(line))
    assert told == [("prepare", 1, 2), ("prepare", 2, 2)]
    assert [(e.clip, e.identity, e.split, e.samples) for e in entries] == [
        ("ann/1.mp4", "ann", "train", 2),
        ("bob/2.mp4", "bob", "dev", 2),
    ]
    assert not failures
    touched(source, "cid/3.mp4")
    more, _ = prepare(source, out, LITTLE, workers=1)
    assert [name for name, _ in quick] == ["1.mp4", "2.mp4", "3.mp4"]
    assert [(e.file, e.samples) for e in more[:2]] == [(e.file, e.samples) for e in entries]
    assert read_index(out) == more


def test_clips_that_fail_are_named_and_leave_nothing(tmp_path, quick):
    source, out = touched(tmp_path / "in", "ann/1.mp4", "bob/dark.mp4"), tmp_path / "out"
    entries, failures = prepare(source, out, LITTLE, workers=1)
    assert failures == ["bob/dark.mp4: no face"]
    assert sorted(p.name for p in out.iterdir()) == sorted([INDEX, entries[0].file])


@pytest.mark.parametrize("split", ["train", "test"])
def test_nothing_to_prepare_is_told(tmp_path, quick, split):
    source = table(touched(tmp_path / "in", "dark.mp4"), ("dark.mp4", split, "ann"))
    with pytest.raises(InputError, match="no clip"):
        prepare(source, tmp_path / "out", LITTLE, workers=1)


def test_clips_of_like_names_do_not_fall_together(tmp_path, quick):
    source = touched(tmp_path / "in", "a/1.mp4", "a/1.mov", "a_1.mp4")
    entries, _ = prepare(source, tmp_path / "out", Plan(5, 1, 2), workers=1)
    assert len({e.file for e in entries}) == 3


def test_people_of_few_clips_give_more_of_each(tmp_path, quick):
    source = touched(tmp_path / "in", *(f"ann/{k}.mp4" for k in range(6)), "bob/9.mp4")
    prepare(source, tmp_path / "out", Plan(clips=6, sources=1, targets=2), workers=1)
    sources = {name: plan.sources for name, plan in quick}
    assert sources == {**{f"{k}.mp4": 1 for k in range(6)}, "9.mp4": 6}
    assert len({plan.seed for _, plan in quick}) == 7


@pytest.mark.slow
def test_videos_become_samples(prepared):
    out, entries, failures = prepared
    assert [(e.clip, e.identity, e.split, e.samples) for e in entries] == [
        ("one/a.mp4", "one", "train", 2),
        ("two/b.mp4", "two", "dev", 2),
    ]
    assert len(failures) == 1
    assert failures[0].startswith("wall.mp4: ")
    for entry in entries:
        pictures, maps, points = load_arrays(out / entry.file)
        assert (pictures.shape, pictures.dtype) == ((2, 6, *SHAPE, 3), np.uint8)
        assert (maps.shape, maps.dtype) == ((2, 2, 2, *SHAPE), np.int8)
        assert (points.shape, points.dtype) == ((2, 2, 478, 2), np.float32)
        assert 40 < entry.unit < 100


@pytest.mark.slow
def test_a_warped_crop_is_like_the_true_one_and_the_points_lie_on_it(prepared):
    out, entries, _ = prepared
    for entry in entries:
        pictures, maps, points = load_arrays(out / entry.file)
        warped, true = (pictures[:, k].astype(int) for k in ([0, 2], [1, 3]))
        assert 0.1 < np.abs(warped - true).mean() < 20
        eyes = points[:, :, [33, 263]].mean(2)
        assert np.abs(eyes - aligned.ORIGIN).max() < 12
        middle = maps[:, :, 0, 30:130, 30:100]
        assert np.abs(middle / 127).mean() < 0.4, "no stretch beyond that of a face that talks"
        assert maps[:, :, 1].min() >= 0


def raw(folder, name):
    return load_arrays(folder / name)


def as_crop(planes):
    return np.rint((planes.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)


def test_a_batch_is_two_moments_of_some_people(folder):
    batch = Samples(folder, "train").batch(0, 0, 3)
    assert batch.inputs.shape == (2, 3, CHANNELS, *SHAPE)
    assert batch.truths.shape == (2, 3, 3, *SHAPE)
    for array in (batch.inputs, batch.truths):
        assert array.dtype == np.float32
        assert np.abs(array).max() <= 1 + 1e-6
    assert np.abs(batch.inputs[:, :, LAST]).max() == 0
    assert batch.inputs[:, :, WINDOW].max() == 1


def test_batches_follow_from_seed_and_step_alone(folder):
    first, second = Samples(folder, "train"), Samples(folder, "train")
    first.batch(0, 3, 2)
    one, other = first.batch(7, 5, 4), second.batch(7, 5, 4)
    assert np.array_equal(one.inputs, other.inputs)
    assert np.array_equal(one.truths, other.truths)
    for seed, index in ((8, 5), (7, 6)):
        assert not np.array_equal(one.truths, first.batch(seed, index, 4).truths)


@pytest.mark.parametrize("source_share", [0.0, 1.0])
def test_without_style_samples_are_what_was_prepared_or_its_mirror(folder, source_share):
    batch = Samples(folder, "train").batch(1, 2, 10, source_share=source_share, style=False)
    known = [row for name in ("ann", "bob") for row in zip(*raw(folder, name), strict=True)]
    flips = set()
    for k in range(10):
        matches = [
            (flip, row)
            for row in known
            for flip in (False, True)
            if np.array_equal(as_crop(batch.truths[0, k]), row[0][1][:, ::-1] if flip else row[0][1])
        ]
        ((flip, (pictures, maps, points)),) = matches
        flips.add(flip)
        turn = slice(None, None, -1 if flip else 1)
        for moment in range(2):
            planes = batch.inputs[moment, k][..., turn]
            assert np.array_equal(as_crop(planes[:3]), pictures[2 * moment])
            assert np.array_equal(as_crop(planes[3:6]), pictures[4 if source_share else 5])
            assert np.array_equal(as_crop(batch.truths[moment, k][..., turn]), pictures[2 * moment + 1])
            stretch, fill = (maps[moment] / 127).astype(np.float32)
            told = aligned.geometry(points[moment], stretch, fill)
            for channel, plane in enumerate((told.openings, told.lines, stretch, fill, told.window)):
                assert np.allclose(planes[9 + channel], plane, atol=1e-6)
    assert flips == {False, True}


def test_people_weigh_alike_however_many_samples_they_have(folder):
    samples = Samples(folder, "train")
    own = {name: raw(folder, name)[0].mean((0, 1, 2, 3)) for name in samples.people}
    drawn = samples.batch(3, 0, 60, style=False).truths[0].mean((2, 3))
    colours = (drawn + 1) * 127.5
    nearest = [min(own, key=lambda name, c=c: np.abs(own[name] - c).sum()) for c in colours]
    assert 18 <= nearest.count("ann") <= 42


def test_test_samples_are_always_the_same_and_of_people_in_turn(tmp_path):
    write_samples(tmp_path / "s", {"ann": ("dev", 4), "bob": ("dev", 1)})
    samples = Samples(tmp_path / "s", "dev")
    one, other = samples.fixed(6), samples.fixed(6)
    assert np.array_equal(one.inputs, other.inputs)
    bob = raw(tmp_path / "s", "bob")[0][0]
    for k in (1, 3, 5):
        assert np.array_equal(as_crop(one.truths[1, k]), bob[3])
        assert np.array_equal(as_crop(one.inputs[1, k, 3:6]), bob[4]), "the portrait itself"
    assert len({one.truths[1, k].tobytes() for k in (0, 2, 4)}) == 3


def test_fewer_people_may_be_asked_for(folder):
    assert Samples(folder, "train").people == ["ann", "bob"]
    few = Samples(folder, "train", people=1)
    assert len(few.people) == 1
    assert len(few) == PEOPLE[few.people[0]][1]
    assert Samples(folder, "train", people=9).people == ["ann", "bob"]
    assert Samples(folder, "train", people=1).people == few.people


def test_folders_that_were_not_prepared_are_told(tmp_path):
    with pytest.raises(MissingFileError, match="gioconda prepare"):
        Samples(tmp_path, "train")
    write_samples(tmp_path / "s", {"ann": ("train", 1)})
    with pytest.raises(InputError, match="'dev'"):
        Samples(tmp_path / "s", "dev")


def test_photos_of_a_person_are_one_clip_where_they_are_asked_for(tmp_path):
    touched(tmp_path, "ann/1.mp4", "ann/b.JPG", "ann/deep/a.png", "bob/c.webp", "bob/d.jpeg", "cover.jpg")
    assert [c.name for c in find_clips(tmp_path)] == ["ann/1.mp4"]
    clips = find_clips(tmp_path, photos=True, dev_share=0)
    assert [(c.identity, c.photos) for c in clips] == [
        ("ann", ()),
        ("ann", (tmp_path / "ann/b.JPG", tmp_path / "ann/deep/a.png")),
        ("bob", (tmp_path / "bob/c.webp", tmp_path / "bob/d.jpeg")),
    ]
    assert len({c.name for c in clips}) == 3


def test_a_table_may_list_photos_too(tmp_path):
    rows = [("x.jpg", "train", "ann"), ("1.mp4", "dev", "bob"), ("y.jpg", "train", "ann")]
    table(tmp_path, *rows)
    clips = find_clips(tmp_path, photos=True)
    assert [(c.identity, c.split, c.photos) for c in clips] == [
        ("bob", "dev", ()),
        ("ann", "train", (tmp_path / "x.jpg", tmp_path / "y.jpg")),
    ]
    with pytest.raises(InputError, match="no video or photo"):
        find_clips(touched(tmp_path / "in", "ann/notes.txt"), photos=True)


def test_people_of_photos_alone_are_drawn_by_their_share(tmp_path):
    write_samples(tmp_path / "s", dict.fromkeys(("ann", "bob", "cid", "dan"), ("train", 2)))
    rows = json.loads((tmp_path / "s" / INDEX).read_text(encoding="utf-8"))
    told = [{**row, "photos": row["identity"] != "ann"} for row in rows]
    (tmp_path / "s" / INDEX).write_text(json.dumps(told), encoding="utf-8")
    ann = raw(tmp_path / "s", "ann")[0][:, 1]
    for share, low, high in ((0.0, 60, 60), (0.25, 35, 55), (1.0, 0, 0)):
        truths = Samples(tmp_path / "s", "train", photo_share=share).batch(3, 0, 60, style=False).truths[0]
        count = sum(any(np.array_equal(as_crop(t)[:, ::s], a) for a in ann for s in (1, -1)) for t in truths)
        assert low <= count <= high


def test_one_kind_alone_is_drawn_whatever_its_share(folder):
    assert len(Samples(folder, "train", photo_share=1.0).batch(0, 0, 3).truths[0]) == 3
