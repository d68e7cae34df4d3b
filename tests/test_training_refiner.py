"""Training of the refiner: from videos to samples, from samples to a network, from a network to the file in use."""

import json
import shutil
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest

from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.aligned import CHANNELS, HEIGHT, WIDTH
from gioconda.errors import InputError, MissingFileError, WeightsError
from gioconda.training.refiner import prepare as prepare_module
from gioconda.training.refiner.augment import augment
from gioconda.training.refiner.data import Samples, read_index
from gioconda.training.refiner.prepare import INDEX, Entry, Plan, load_arrays, prepare
from gioconda.training.sources import Clip, balanced, find_clips
from heads import performed, person
from media_factory import write_clip

SHAPE = (HEIGHT, WIDTH)
LITTLE = Plan(clips=1, sources=1, targets=2)
PEOPLE = {"ann": ("train", 1), "bob": ("train", 12), "cid": ("dev", 3)}  # split, samples
LAST, WINDOW = slice(6, 9), 13


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def threads_as_before():
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def table(folder, *rows, columns=("path", "split", "identity")):
    text = "\n".join("\t".join(row) for row in (columns, *rows)) + "\n"
    (folder / "clips.tsv").write_text(text, encoding="utf-8")
    return folder


def points_of(seed, jaw):
    landmarks = performed(person(seed), 1, jawOpen=jaw)[0].landmarks
    return affine.apply(aligned.alignment(landmarks), landmarks)


def arrays_of(seed, count):
    """Samples of somebody made up: smooth pictures, all of one person near one colour."""
    random = np.random.default_rng(seed)
    colour = random.integers(60, 190, 3)
    small = random.integers(-40, 40, (count, 6, 10, 8, 3)) + colour
    pictures = [[cv2.resize(p.astype(np.uint8), SHAPE[::-1]) for p in six] for six in small]
    maps = random.integers(-60, 60, (count, 2, 2, 1, 1)) * np.ones(SHAPE)
    points = [[points_of(seed, jaw) for jaw in random.uniform(0, 0.8, 2)] for _ in range(count)]
    return {
        "pictures": np.uint8(pictures),
        "maps": np.abs(maps).astype(np.int8),
        "points": np.float32(points),
        "unit": np.float32(100),
    }


def write_samples(folder, people):
    entries = []
    for seed, (name, (split, count)) in enumerate(people.items()):
        (folder / name).mkdir(parents=True)
        for key, array in arrays_of(seed, count).items():
            np.save(folder / name / f"{key}.npy", array)
        entries.append(Entry(name, f"{name}.mp4", name, split, count, 100.0))
    (folder / INDEX).write_text(json.dumps([asdict(e) for e in entries]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prepared samples of two people to learn from and one to test with."""
    return write_samples(tmp_path_factory.mktemp("made") / "samples", PEOPLE)


@pytest.fixture(scope="module")
def prepared(talking_astronaut, tmp_path_factory):
    """The astronaut's video, as of two people, brought to samples: the folder, its entries, what was left out."""
    source, out = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("prepared") / "samples"
    for name in ("one/a.mp4", "two/b.mp4"):
        (source / name).parent.mkdir()
        shutil.copy(talking_astronaut, source / name)
    write_clip(source / "wall.mp4")
    table(source, ("one/a.mp4", "train", "one"), ("two/b.mp4", "dev", "two"), ("wall.mp4", "train", "wall"))
    threads = cv2.getNumThreads()
    entries, failures = prepare(source, out, LITTLE, workers=1)
    cv2.setNumThreads(threads)
    return out, entries, failures


# ---- clips


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


# ---- preparation


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
    entries, failures = prepare(source, out, LITTLE, workers=1, report=lambda *line: told.append(line))
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


# ---- batches


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


# ---- augmentation


def sample(seed=0, fill=0.0):
    pictures, _, points = (part[0] for part in list(arrays_of(seed, 1).values())[:3])
    nothing = np.zeros(SHAPE, np.float32)
    told = [aligned.geometry(points[k], nothing, nothing + np.float32(fill)) for k in range(2)]
    return list(pictures[:5]), told


def changed_by(seed, crops, told):
    return augment(crops, told, np.random.default_rng(seed))


def test_changed_samples_stay_pictures_of_their_size():
    crops, told = sample()
    before = [c.copy() for c in crops]
    different = 0
    for seed in range(100):
        out = changed_by(seed, crops, told)
        assert len(out) == 5
        assert all(c.shape == (*SHAPE, 3) and c.dtype == np.uint8 for c in out)
        different += any(not np.array_equal(a, b) for a, b in zip(out, before, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(crops, before, strict=True)), "not in place"
    assert 70 < different < 100, "some are left as they are"


def test_changes_follow_from_the_generator_alone():
    crops, told = sample()
    for seed in range(10):
        pairs = zip(changed_by(seed, crops, told), changed_by(seed, crops, told), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_outside_the_window_warp_and_truth_are_changed_alike():
    crops, told = sample()
    crops[1], crops[3] = crops[0], crops[2]
    damaged = 0
    for seed in range(60):
        out = changed_by(seed, crops, told)
        for moment in range(2):
            warped, true = out[2 * moment].astype(int), out[2 * moment + 1]
            away = told[moment].window == 0
            assert np.array_equal(warped[away], true[away])
            damaged += not np.array_equal(warped, true)
    assert damaged > 10, "the warp alone"


def test_what_was_filled_in_has_no_grain():
    crops, told = sample(fill=0.5)
    flat = [np.full_like(c, 128) for c in crops]
    rough = 0
    for seed in range(60):
        out = changed_by(seed, flat, told)
        away = told[1].window == 0
        assert np.ptp(out[2][away].astype(int), axis=0).max() == 0
        rough += np.ptp(out[4][..., 0]) > 0
    assert rough > 5


@pytest.mark.parametrize("value", [0, 255])
def test_black_stays_dark_and_white_stays_light(value):
    crops, told = sample()
    flat = [np.full_like(c, value) for c in crops]
    for seed in range(80):
        means = [c.mean() for c in changed_by(seed, flat, told)[:4]]
        assert min(means) > 130 if value else max(means) < 40


# ---- network and losses


def planes_of(torch, folder, count=2):
    batch = Samples(folder, "dev").fixed(count)
    return torch.from_numpy(batch.inputs[1]), torch.from_numpy(batch.truths[1])


def nudged(torch, network):
    """The network with a head that no longer gives zero."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def refiner(torch, width=8):
    from gioconda.training.refiner.network import Refiner

    torch.manual_seed(0)
    return Refiner(width)


def test_an_untrained_network_gives_the_warp_back(torch, folder):
    inputs, _ = planes_of(torch, folder)
    made = refiner(torch)(inputs)
    assert made.shape == (2, 3, *SHAPE)
    assert torch.equal(made, inputs[:, :3])


def test_outside_the_window_no_weights_change_the_picture(torch, folder):
    inputs, _ = planes_of(torch, folder)
    made = nudged(torch, refiner(torch))(inputs)
    change = (made - inputs[:, :3]).abs().amax(1)
    assert change[inputs[:, WINDOW] == 0].max() == 0
    assert change[inputs[:, WINDOW] == 1].mean() > 1e-3


def test_the_crop_is_folded_to_half_its_side_and_halved_from_there(torch, folder):
    network, sizes = refiner(torch), {}
    for name in ("stem", "level0", "level1", "level2", "level3", "up2", "up1", "up0", "head"):
        layer = getattr(network, name)
        layer.register_forward_hook(lambda _, __, out, name=name: sizes.update({name: tuple(out.shape[1:])}))
    network(planes_of(torch, folder)[0])
    assert network.stem.in_channels == 4 * CHANNELS
    assert sizes == {
        "stem": (8, 80, 64),
        "level0": (8, 80, 64),
        "level1": (24, 40, 32),
        "level2": (48, 20, 16),
        "level3": (80, 10, 8),
        "up2": (48, 20, 16),
        "up1": (24, 40, 32),
        "up0": (8, 80, 64),
        "head": (16, 80, 64),
    }


def test_the_loss_reaches_every_weight(torch, folder):
    from gioconda.training.refiner.losses import pixel_loss, pixel_weights

    inputs, true = planes_of(torch, folder)
    network = nudged(torch, refiner(torch))
    pixel_loss(network(inputs), true, pixel_weights(inputs)).backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not without


def test_pixels_weigh_in_the_window_and_most_between_lips_and_lids(torch, folder):
    from gioconda.training.refiner.losses import pixel_weights

    inputs, _ = planes_of(torch, folder)
    weights = pixel_weights(inputs)
    assert weights.shape == (2, 1, *SHAPE)
    assert weights.mean((1, 2, 3)).numpy() == pytest.approx([1, 1], abs=1e-5)
    window, inside = inputs[:, WINDOW], inputs[:, 9] == 1
    assert weights[:, 0][window == 0].max() == 0
    for k in range(2):
        lips, rest = (weights[k, 0][(window[k] == 1) & part] for part in (inside[k], inputs[k, 9] == 0))
        assert float(lips.min()) == pytest.approx(4 * float(rest.min()), rel=1e-4)


def test_a_sample_without_a_window_weighs_nothing(torch):
    from gioconda.training.refiner.losses import pixel_weights

    assert pixel_weights(torch.zeros(1, CHANNELS, *SHAPE)).abs().max() == 0


def test_losses_are_zero_where_nothing_is_wrong_and_known_where_something_is(torch):
    from gioconda.training.refiner import losses

    true, before = (torch.rand(2, 3, 8, 8) for _ in range(2))
    weights = torch.ones(2, 1, 8, 8)
    assert losses.pixel_loss(true, true, weights) == 0
    assert float(losses.pixel_loss(true + 0.25, true, weights)) == pytest.approx(0.25)
    light = [t + 0.5 for t in (true, before)]
    assert float(losses.temporal_loss(*light, true, before, weights)) == pytest.approx(0, abs=1e-6)
    assert float(losses.temporal_loss(light[0], before, true, before, weights)) == pytest.approx(0.5)
    one = torch.ones(4)
    assert losses.critic_loss(one, -one) == 0
    assert losses.critic_loss(0 * one, 0 * one) == 2
    assert losses.matching_loss([true, before], [true, before]) == 0
    assert float(losses.matching_loss([true + 1, before], [true, before])) == pytest.approx(0.5)


def test_the_critic_judges_patches(torch):
    from gioconda.training.refiner.network import PatchCritic

    scores, features = PatchCritic(5, 8)(torch.rand(2, 5, *SHAPE))
    assert scores.shape == (2, 1, 20, 16)
    assert [tuple(f.shape[1:]) for f in features] == [(8, 80, 64), (16, 40, 32), (32, 20, 16)]


# ---- features


@pytest.fixture(scope="module")
def squeeze_file(torch, shared_data):
    return shared_data / "metrics" / "squeezenet11.safetensors"


def features_of(file, *layers):
    from gioconda.training.perceptual import LAYERS, SqueezeFeatures

    return SqueezeFeatures(file, layers or LAYERS)


def faces_as_tensor(torch, folder):
    return planes_of(torch, folder)[1]


def convolved_by_hand(rgb, weight, bias):
    """conv1 of a picture (H, W, 3) uint8 in float64: BGR less the mean, 3x3, steps of 2, no border, rectified."""
    x = rgb[..., ::-1].astype(np.float64) - (103.939, 116.779, 123.68)
    rows, columns = (rgb.shape[0] - 3) // 2 + 1, (rgb.shape[1] - 3) // 2 + 1
    out = np.zeros((len(weight), rows, columns))
    for i, j in np.ndindex(rows, columns):
        window = x[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].transpose(2, 0, 1)
        out[:, i, j] = (weight * window).sum((1, 2, 3)) + bias
    return np.maximum(out, 0)


def test_the_first_layer_is_what_numpy_makes_of_it(torch, squeeze_file):
    from safetensors.numpy import load_file

    rgb = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    tensors = load_file(squeeze_file)
    wanted = convolved_by_hand(rgb, tensors["conv1.weight"].astype(float), tensors["conv1.bias"])
    picture = torch.from_numpy(rgb.transpose(2, 0, 1)[None] / np.float32(127.5) - 1)
    got = features_of(squeeze_file, "conv1")(picture)
    assert list(got) == ["conv1"]
    assert np.abs(got["conv1"][0].numpy() - wanted).max() < 2e-3 * wanted.max()


def test_features_are_of_the_layers_that_were_asked_for_and_frozen(torch, squeeze_file, folder):
    pictures = faces_as_tensor(torch, folder).requires_grad_()
    found = features_of(squeeze_file, "fire3", "fire5")(pictures)
    assert {name: tuple(f.shape[1:]) for name, f in found.items()} == {
        "fire3": (128, 39, 31),
        "fire5": (256, 19, 15),
    }
    whole = features_of(squeeze_file)
    assert list(whole(pictures)) == ["conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"]
    assert not any(p.requires_grad for p in whole.parameters())
    found["fire5"].mean().backward()
    assert pictures.grad.abs().max() > 0


def test_equal_pictures_are_at_no_distance_and_others_the_farther_the_worse(torch, squeeze_file, folder):
    from gioconda.training.perceptual import feature_distance

    squeeze, true = features_of(squeeze_file), faces_as_tensor(torch, folder)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=true.shape).astype(np.float32))
    of = [squeeze((true + noise * s).clamp(-1, 1)) for s in (0.0, 0.02, 0.1, 0.4)]
    same, little, more, most = (float(feature_distance(one, of[0])) for one in of)
    assert same == pytest.approx(0, abs=1e-4)
    assert 0.01 < little < more < most
    assert float(feature_distance(of[0], of[2])) == pytest.approx(more, rel=1e-4)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_equal_flat_pictures_are_at_no_distance(torch, squeeze_file, value):
    from gioconda.training.perceptual import feature_distance

    one = features_of(squeeze_file)(torch.full((1, 3, 64, 64), value))
    assert float(feature_distance(one, one)) == pytest.approx(0, abs=1e-4)


def test_files_that_are_not_the_known_network_are_told(torch, tmp_path):
    with pytest.raises(MissingFileError, match="absent"):
        features_of(tmp_path / "absent.safetensors")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not the known SqueezeNet"):
        features_of(other)


# ---- training


@pytest.fixture
def little(torch, monkeypatch):
    """Settings of a run that takes a second."""
    from gioconda.training.refiner import task

    monkeypatch.setattr(task, "DEV_SAMPLES", 4)
    monkeypatch.setattr("gioconda.training.machine.MOST_THREADS", 1)
    torch.set_num_threads(1)
    return task.Settings(
        steps=4,
        batch=2,
        width=8,
        precision="32-true",
        accelerator="cpu",
        critic_from=0.5,
        validate_every=2,
        save_seconds=0.0,
    )


def task_of(settings, folder):
    from gioconda.training.refiner.task import RefinerTask

    return RefinerTask(settings, folder)


def flat(torch, state):
    """The tensors in a nested state."""
    if isinstance(state, dict):
        return [t for key in state for t in flat(torch, state[key])]
    if isinstance(state, list | tuple):
        return [t for one in state for t in flat(torch, one)]
    return [state.detach().clone()] if isinstance(state, torch.Tensor) else []


def stopped_at(index, task):
    own = task.step

    def step(k, progress):
        if k == index:
            raise KeyboardInterrupt
        return own(k, progress)

    task.step = step
    return task


@pytest.mark.slow
def test_a_stopped_and_resumed_run_is_an_unbroken_one(torch, little, folder, tmp_path):
    from gioconda.training.loop import fit, statistics

    whole, part, rest = (task_of(little, folder) for _ in range(3))
    start = flat(torch, whole.state()["net"])
    assert fit(whole, tmp_path / "whole", little.schedule()) == 4
    with pytest.raises(KeyboardInterrupt):
        fit(stopped_at(3, part), tmp_path / "parts", little.schedule())
    assert fit(rest, tmp_path / "parts", little.schedule()) == 4
    one, other = (flat(torch, task.state()) for task in (whole, rest))
    assert len(one) == len(other) > 50
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(start, flat(torch, whole.state()["net"]), strict=True))
    figures = {key for line in statistics(tmp_path / "whole") for key in line}
    assert {"l1", "temporal", "adversarial", "matching", "critic", "dev_score", "dev_l1_warp"} <= figures


@pytest.mark.slow
def test_an_untrained_network_scores_as_the_warp(torch, little, folder):
    task = task_of(little, folder)
    figures = task.validate()
    assert figures["score"] == pytest.approx(1.0)
    assert figures["l1"] == pytest.approx(figures["l1_warp"]) != 0
    grid = task.grid()
    assert grid.dtype == np.uint8
    assert grid.ndim == 3


def learnt(folder, settings, steps):
    task = task_of(settings, folder)
    losses = [task.step(index, 0.0)["l1"] for index in range(steps)]
    return losses, task


@pytest.mark.slow
def test_a_network_learns_what_it_is_shown_again(torch, little, tmp_path):
    one = write_samples(tmp_path / "s", {"ann": ("train", 1), "bob": ("dev", 1)})
    settings = replace(little, style=False, critic_from=1.0, learning_rate=0.006, temporal=0.0)
    losses, _ = learnt(one, settings, 30)
    assert np.mean(losses[-3:]) < 0.97 * np.mean(losses[:3])


@pytest.mark.slow
def test_features_are_part_of_loss_and_score_where_their_file_is(torch, little, folder, squeeze_file):
    task = task_of(replace(little, features=str(squeeze_file)), folder)
    assert task.step(0, 0.0)["perceptual"] > 0
    figures = task.validate()
    assert figures["features"] > 0
    assert figures["score"] < 1.1


def test_two_runs_of_one_seed_take_the_same_steps(torch, little, folder):
    first, second = (task_of(little, folder) for _ in range(2))
    assert first.step(0, 0.9) == second.step(0, 0.9)
    other = task_of(replace(little, seed=1), folder)
    assert other.step(0, 0.9) != pytest.approx(first.step(0, 0.9))


@pytest.mark.parametrize("part", ["reference", "last", "geometry"])
def test_what_an_ablation_leaves_out_does_not_reach_the_network(torch, little, folder, part):
    task = task_of(replace(little, **{part: False}), folder)
    seen = []
    task._net.module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    task.step(0, 0.0)
    away = {"reference": [3, 4, 5], "last": [6, 7, 8], "geometry": [9, 10, 11]}[part]
    kept = [k for k in range(CHANNELS) if k not in (*away, *range(6, 9))]
    assert len(seen) == 2
    for planes in seen:
        assert planes[:, away].abs().max() == 0
        assert all(planes[:, k].abs().max() > 0 for k in kept)


@pytest.mark.parametrize("dropped", [0.0, 1.0])
def test_all_samples_or_none_may_do_without_a_last_output(torch, little, folder, dropped):
    task = task_of(replace(little, last_dropped=dropped), folder)
    seen = []
    task._net.module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert np.isfinite(list(task.step(0, 0.0).values())).all()
    lasts = seen[-1][:, LAST].abs().amax((1, 2, 3))
    assert (lasts > 0).tolist() == [not dropped] * 2


@pytest.mark.slow
def test_a_dry_run_leaves_nothing(torch, little, folder, tmp_path):
    from gioconda.training.refiner.task import train

    told = []
    done = train(little, folder, tmp_path / "run", dry_run=True, report=lambda *line: told.append(line))
    assert done == 2
    assert told == [("train", 1, 2), ("train", 2, 2)]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}])
def test_runs_of_nothing_are_refused(torch, little, folder, tmp_path, wrong):
    from gioconda.training.refiner.task import train

    with pytest.raises(InputError, match="at least 1"):
        train(replace(little, **wrong), folder, tmp_path / "run")


@pytest.mark.slow
def test_videos_are_learnt_from(torch, little, prepared, tmp_path):
    from gioconda.training.loop import BEST, read
    from gioconda.training.refiner.task import train

    assert train(replace(little, steps=2), prepared[0], tmp_path / "run") == 2
    assert read(tmp_path / "run" / BEST)["done"] == 2


# ---- export


@pytest.fixture
def run_folder(torch, little, tmp_path):
    """Makes a run whose checkpoint holds weights of any kind, and gives its folder."""
    from gioconda.training import loop
    from gioconda.training.config import as_dict

    def write(**changes):
        settings = as_dict(replace(little, **changes))
        state = nudged(torch, refiner(torch)).state_dict()
        whole = {"settings": settings, "done": 4, "best": 0.5, "spent": 1.0, "task": {"ema": state}}
        loop.save(tmp_path / loop.BEST, whole)
        return tmp_path

    return write


def exported(run):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from gioconda.training.refiner.export import export

    return export(run, run / "out")


@pytest.mark.slow
def test_an_exported_network_says_in_use_what_it_says_in_training(torch, run_folder, folder):
    from safetensors import safe_open
    from safetensors.torch import load_file

    from gioconda.engines.warp.refiner import Network

    onnx_file, tensors = exported(run_folder())
    assert [file.name for file in (onnx_file, tensors)] == ["refiner.onnx", "refiner.safetensors"]
    network = refiner(torch).eval()
    network.load_state_dict(load_file(tensors))
    inputs, _ = planes_of(torch, folder)
    use = Network(onnx_file, 1)
    with torch.no_grad():
        wanted = network(inputs).numpy()
    for k in range(2):
        assert np.abs(use(inputs[k : k + 1].numpy()) - wanted[k]).max() < 1e-4
    assert np.abs(wanted - inputs[:, :3].numpy()).max() > 0.01
    with safe_open(tensors, "pt") as file:
        assert file.metadata()["steps"] == "4"
        assert json.loads(file.metadata()["settings"])["width"] == 8


@pytest.mark.slow
def test_an_exported_network_ignores_what_it_never_saw(torch, run_folder, folder):
    from gioconda.engines.warp.refiner import Network

    use = Network(exported(run_folder(reference=False))[0], 1)
    inputs = planes_of(torch, folder, 1)[0].numpy()
    other, without = inputs.copy(), inputs.copy()
    other[:, 3:6] = 0.5
    without[:, 0:3] += 0.1
    assert np.abs(use(other) - use(inputs)).max() < 1e-6
    assert np.abs(use(without) - use(inputs)).max() > 0.01


def test_a_run_without_a_checkpoint_cannot_be_exported(torch, tmp_path):
    with pytest.raises(WeightsError, match=r"best\.pt"):
        exported(tmp_path)
