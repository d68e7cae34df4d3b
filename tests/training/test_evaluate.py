"""`gioconda evaluate`: who is shown what, figures that mean what they say, intervals, and the report."""

import json
import math
import shutil
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from scipy.linalg import sqrtm

import gioconda
from gioconda.cli import run
from gioconda.cli.evaluation import spread
from gioconda.engines.fewshot import crop
from gioconda.errors import InputError, MissingFileError, OutputError, WeightsError
from gioconda.motion.pose import euler_from_rotation
from gioconda.training.evaluate import bootstrap, methods, protocol, report
from gioconda.training.evaluate.evaluate import evaluate
from gioconda.training.evaluate.methods import FEED_FORWARD, TUNED, Methods, ReportRow
from gioconda.training.evaluate.metrics import Judge
from gioconda.training.evaluate.portraits import shots_of
from gioconda.training.evaluate.protocol import EvaluationPlan, Stretch, find_people, gather
from gioconda.training.evaluate.results import Member, Results
from gioconda.training.frechet import frechet
from gioconda.types import Patch, Portrait
from heads import performed, person
from media_factory import write_clip

LITTLE = EvaluationPlan(shots=(1, 2), frames=8, size=96)
EMBEDDER, SQUEEZE = "metrics/mobilefacenet_112x96.onnx", "metrics/squeezenet11.safetensors"
CLIPS = {"ann": ("lrw_ar/id02", 2), "bob": ("lrw_ar/id20", 2)}


@pytest.fixture(scope="module")
def people(shared_data, tmp_path_factory):
    """Two real people with two clips each, a folder a person."""
    folder = tmp_path_factory.mktemp("people")
    for name, (source, count) in CLIPS.items():
        (folder / name).mkdir()
        for path in sorted((shared_data / source).iterdir())[:count]:
            shutil.copy(path, folder / name)
    return folder


@pytest.fixture(scope="module")
def alone(talking_astronaut, tmp_path_factory):
    """One person, made by ourselves, with a single clip of 40 frames."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "eileen").mkdir()
    shutil.copy(talking_astronaut, folder / "eileen" / "talk.mp4")
    return folder


@pytest.fixture(scope="module")
def eileen(alone):
    """What the protocol makes of the one clip."""
    return gather("eileen", find_people(alone)["eileen"], LITTLE, [], lambda _: None)


@pytest.fixture(scope="module")
def real(shared_data):
    """A judge with both networks."""
    pytest.importorskip("torch")
    return Judge(shared_data / EMBEDDER, shared_data / SQUEEZE)


class Painter:
    """An engine that gives back the portrait's picture, darker unless it was fitted; notes what it was given."""

    name = "fewshot"

    def __init__(self):
        self.seen = []

    def prepare(self, portrait):
        self.seen.append(portrait)
        return portrait

    def render(self, who, shots, *, ahead=False):
        image = who.image if who.fitted else (who.image * 0.6).astype(np.uint8)
        for shot in shots:
            yield Patch(image, (0, 0), shot.time, np.ones(image.shape[:2], np.float32))


@pytest.fixture
def painter(monkeypatch):
    """Engines and fine-tuning replaced by a fake; the fake notes the settings of fine-tuning."""
    fake, adaptation = Painter(), ModuleType("gioconda.training.fewshot.adapt")
    fake.asked = []

    def adapt(photos, settings, *, progress):
        fake.asked.append((len(photos), settings))
        progress("adapt", 1, 1)
        return {"psi": np.zeros(4, np.float16)}

    adaptation.adapt, adaptation.AdaptSettings = adapt, dict
    monkeypatch.setitem(sys.modules, adaptation.__name__, adaptation)
    monkeypatch.setattr(methods, "get_engine", lambda name, **options: fake)
    return fake


# ---- Frechet distance


def exact_samples(count, mean, spread, seed=0):
    """Samples whose mean and covariance are just these: diagonal, of standard deviations `spread`."""
    raw = np.random.default_rng(seed).normal(size=(count, len(mean)))
    basis, _ = np.linalg.qr(raw - raw.mean(0))
    return basis * np.sqrt(count - 1) * spread + mean


def test_the_frechet_distance_of_diagonal_gaussians_has_a_closed_form():
    means, spreads = np.array([[0.0, 1, 5], [2, 1, 4]]), np.array([[1.0, 2, 0.5], [3, 2, 1]])
    first, second = (exact_samples(50 + k, means[k], spreads[k], k) for k in (0, 1))
    wanted = np.sum((means[0] - means[1]) ** 2) + np.sum((spreads[0] - spreads[1]) ** 2)
    assert frechet(first, second) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("count", [6, 40])  # fewer and more samples than features
def test_the_frechet_distance_is_that_of_the_matrix_square_root(count):
    random = np.random.default_rng(3)
    first, second = random.normal(size=(count, 12)), random.normal(1, 2, size=(count + 3, 12))
    covariances = [np.cov(features, rowvar=False) + 1e-10 * np.eye(12) for features in (first, second)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    wanted = np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(sum(covariances) - 2 * root)
    assert frechet(first, second) == pytest.approx(wanted, rel=1e-4)


def test_equal_sets_are_at_no_distance_and_strange_shapes_are_refused():
    features = np.random.default_rng(0).normal(size=(20, 5))
    assert frechet(features, features[::-1]) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet(features, features[:, :4])
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet(features[:1], features)


# ---- intervals


def test_the_bootstrap_of_many_values_is_the_normal_interval():
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = bootstrap.of_mean(list(values))
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == (
        pytest.approx(found.mean - half, abs=0.03),
        pytest.approx(found.mean + half, abs=0.03),
    )
    assert found.n == 400


def test_the_bootstrap_of_two_people_spans_both_and_of_one_says_nothing():
    assert bootstrap.of_mean([0.0, 1.0]) == bootstrap.Estimate(0.5, 0.0, 1.0, 2)
    assert bootstrap.of_mean([3.0, math.nan]) == bootstrap.Estimate(3.0, None, None, 1)
    assert bootstrap.of_mean([math.nan]) is None


def test_a_figure_of_all_people_lies_in_its_interval_though_repeats_shift_it():
    values = np.array([1.0, 2, 4, 8])

    def shifted(chosen):
        return float(values[chosen].mean() + 10 * (4 - len(set(chosen))))

    plain = bootstrap.of_whole(lambda chosen: float(values[chosen].mean()), 4)
    found = bootstrap.of_whole(shifted, 4)
    assert plain.low < plain.mean == 3.75 < plain.high
    assert found.low < found.mean == 3.75 < found.high


# ---- what is typed


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("d --shots 1 8 -o r", "d --shots 1 --shots 8 -o r"),
        ("d --shots 1,8,32", "d --shots 1 --shots 8 --shots 32"),
        ("d --shots=1,8 32 --size 64", "d --shots 1 --shots 8 --shots 32 --size 64"),
        (
            "--engines warp fewshot --shots 1 --shots 8",
            "--engines warp --engines fewshot --shots 1 --shots 8",
        ),
        ("-o r d", "-o r d"),
        ("--shots 1 -- d e", "--shots 1 -- d e"),
        ("--shots -o r", "--shots -o r"),
        ("d --shots", "d --shots"),
    ],
)
def test_several_values_may_follow_an_option(typed, meant):
    assert spread(typed.split(), {"--shots", "--engines"}) == meant.split()


# ---- who is shown what


def test_a_table_s_dev_rows_count_and_people_may_be_named(tmp_path):
    rows = [("path", "split", "identity"), ("a/1.mp4", "dev", "ann"), ("b/1.mp4", "train", "bob")]
    (tmp_path / "clips.tsv").write_text("\n".join("\t".join(row) for row in [*rows, ("c.mp4", "dev", "cid")]))
    assert list(find_people(tmp_path)) == ["ann", "cid"]
    assert list(find_people(tmp_path, ["cid"])) == ["cid"]
    with pytest.raises(InputError, match=r"--people bob: .* has nobody .* it has ann, cid"):
        find_people(tmp_path, ["bob"])


def test_shots_and_held_out_frames_come_from_different_clips(people):
    ann = gather("ann", find_people(people)["ann"], LITTLE, [], lambda _: None)
    shown = {shot.name.rpartition(":")[0] for shot in ann.shots}
    assert not ann.one_clip
    assert len(shown) == 1
    assert shown.isdisjoint(stretch.clip for stretch in ann.held)
    assert ann.frames == 8
    assert {one.role for one in ann.inputs} == {"portrait", "motion"}
    assert all(shot.image.shape[:2] == shot.person.shape for shot in ann.shots)


def test_of_one_clip_the_first_third_is_shown_and_the_last_held_out(eileen):
    assert eileen.one_clip
    frames = [int(shot.name.rpartition(":")[2]) for shot in eileen.shots]
    assert max(frames) < 40 / 3
    assert min(time for stretch in eileen.held for time in stretch.times) >= 2 / 3 * 40 / 25
    assert eileen.frames == 8


def test_more_shots_begin_with_the_fewer_and_the_seed_decides(alone, eileen):
    clips = find_people(alone)["eileen"]
    more, other = (
        gather("eileen", clips, plan, [], lambda _: None)
        for plan in (replace(LITTLE, shots=(5,)), replace(LITTLE, seed=1))
    )
    names = [shot.name for shot in more.shots]
    assert len(set(names)) == 5
    assert names[:2] == [shot.name for shot in eileen.shots]
    assert [shot.name for shot in other.shots] != names[:2]


def tracked(clip, count, lost=()):
    """A clip in which a face is seen in all frames but some."""
    faces = tuple(None if k in lost else one for k, one in enumerate(performed(person(), count)))
    return protocol._Track(clip, faces, tuple(np.arange(count) / 25), (640, 480))


def test_shots_are_spread_over_clips_and_far_apart_in_each():
    tracks = [tracked(name, 30) for name in "abc"]
    places = protocol._spread_shots(tracks, 9, (1.0, ()), np.random.default_rng(0))
    assert [track.clip for track, _ in places] == list("abcabcabc")
    for track in tracks:
        frames = sorted(k for t, k in places if t is track)
        assert np.diff(frames).min() >= 5


def test_runs_are_consecutive_seen_and_as_many_as_the_clip_holds():
    random = np.random.default_rng(0)
    runs = protocol._runs(tracked("a", 60, lost=(20, 21)), 0.0, [8, 8, 8, 8], random)
    assert [len(run) for run in runs] == [8, 8, 8, 8]
    assert not {20, 21} & {k for run in runs for k in run}
    assert all(a.stop <= b.start for a, b in pairwise(runs))
    assert len(protocol._runs(tracked("a", 30), 0.0, [8, 8, 8, 8], random)) == 3
    assert [len(run) for run in protocol._runs(tracked("a", 6), 0.5, [8], random)] == [3]


def test_clips_that_cannot_be_used_are_listed(people, tmp_path):
    folder = tmp_path / "people"
    shutil.copytree(people, folder)
    write_clip(folder / "ann" / "wall.mp4")
    (folder / "ann" / "text.mp4").write_text("no video")
    (folder / "cid").mkdir()
    write_clip(folder / "cid" / "wall.mp4")
    failures = []
    found = find_people(folder)
    assert gather("ann", found["ann"], LITTLE, failures, lambda _: None).frames == 8
    assert sorted(line.split(":")[0] for line in failures) == ["ann/text.mp4", "ann/wall.mp4"]
    assert gather("cid", found["cid"], LITTLE, failures, lambda _: None) is None
    assert failures[-1].startswith("cid: too few frames")


def test_frames_at_rest_are_laid_on_the_portrait_where_its_own_points_lie():
    shape = person(4)
    still, turned = performed(shape, 2, yaw=0, x=40)[0], performed(shape, 2, yaw=12, near=0.5)
    portrait = Portrait(np.zeros((480, 640, 3), np.uint8), still)
    square = crop.head_square(still.landmarks)

    def laid(points):
        expression = np.zeros((len(points), 52), np.float32)
        own = crop.head_square(np.stack(points))
        inside = crop.to_square(np.stack(points), own, 96)
        times = tuple(np.arange(len(points)) / 25.0)
        stretch = Stretch("a", (), inside, expression, times, shape, own)
        return list(shots_of(stretch, portrait, crop.head_square(portrait.face.landmarks), 96))

    same = laid([still.landmarks])[0]
    np.testing.assert_allclose(same.landmarks, still.landmarks, atol=0.01)
    np.testing.assert_allclose(same.turn, np.eye(3), atol=1e-3)
    assert same.grow == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(same.shift, 0, atol=0.2)
    other = laid([face.landmarks for face in turned])[0]
    assert euler_from_rotation(other.turn)[0] == pytest.approx(12, abs=0.5)
    np.testing.assert_allclose(crop.head_square(other.landmarks).side, square.side, rtol=0.01)


# ---- figures


def judged(judge, eileen, change):
    """The score of the truth after a change of each picture."""
    tracked = [judge.track(stretch.truth) for stretch in eileen.held]
    made = [[change(picture) for picture in stretch.truth] for stretch in eileen.held]
    return judge.score(made, eileen.held, tracked)


def blurred(picture):
    moved = np.roll(picture, 3, axis=1)
    return cv2.GaussianBlur(moved, (0, 0), 1.5)


def test_the_truth_itself_has_perfect_figures(eileen):
    metrics = judged(Judge(), eileen, lambda picture: picture).metrics
    assert metrics["SSIM"] == pytest.approx(1)
    assert metrics["PSNR"] == 60
    assert all(metrics[name] == pytest.approx(0, abs=1e-6) for name in ("L1", "L1 face", "AKD", "AED", "APD"))
    assert metrics["lost"] == 0


def test_a_worse_picture_has_worse_figures(eileen):
    metrics = judged(Judge(), eileen, blurred).metrics
    assert metrics["SSIM"] < 0.95
    assert metrics["PSNR"] < 40
    assert metrics["AKD"] == pytest.approx(3 * 256 / 96, abs=2)
    grey = judged(Judge(), eileen, lambda picture: np.full_like(picture, 128)).metrics
    assert grey["lost"] == 1
    assert math.isnan(grey["AKD"])
    assert grey["L1"] > metrics["L1"]


def test_networks_see_the_truth_as_itself_and_a_worse_picture_as_worse(real, eileen):
    true = real.features_of(eileen.held)
    perfect, worse = (judged(real, eileen, change) for change in (lambda picture: picture, blurred))
    assert perfect.metrics[real.csim] == pytest.approx(1)
    assert perfect.metrics[real.perceptual] == pytest.approx(0, abs=1e-4)
    assert frechet(perfect.features, true) == pytest.approx(0, abs=0.1)
    assert worse.metrics[real.csim] < 0.99
    assert worse.metrics[real.perceptual] > 0.1
    assert frechet(worse.features, true) > 10


def test_networks_are_named_and_never_plain(real):
    assert (real.frechet, real.csim) == ("FID (SqueezeNet 1.1)", "CSIM (MobileFaceNet)")
    assert real.networks["features"]["sha256"].startswith("30b64a48")
    assert not {"FID", "CSIM", "LPIPS"} & set(real.names)


def test_files_that_are_no_such_network_are_refused(tmp_path, astronaut):
    with pytest.raises(MissingFileError, match="--embedder"):
        Judge(embedder=tmp_path / "none.onnx")
    with pytest.raises(MissingFileError, match="--features"):
        Judge(features=tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="not a face embedder"):
        Judge(embedder=astronaut)
    pytest.importorskip("torch")
    with pytest.raises(WeightsError, match="not the known SqueezeNet"):
        Judge(features=astronaut)


# ---- the whole


@pytest.mark.slow
def test_real_people_through_the_whole_command(people, shared_data, tmp_path, capsys):
    pytest.importorskip("torch")
    networks = ["--embedder", str(shared_data / EMBEDDER), "--features", str(shared_data / SQUEEZE)]
    out = tmp_path / "report"
    words = ["evaluate", str(people), "--engines", "warp", "--shots", "1", "2", "-o", str(out)]
    assert run([*words, "--frames", "8", "--size", "96", *networks]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["ann.png", "bob.png", "report.json", "report.md"]
    told = json.loads((out / "report.json").read_text())
    assert [one["name"] for one in told["people"]] == ["ann", "bob"]
    copy, warp = told["figures"]["copy"]["feed-forward"]["1"], told["figures"]["warp"]["feed-forward"]
    assert set(warp) == {"1", "2"}
    for name in (
        "SSIM",
        "CSIM (MobileFaceNet)",
        "FID (SqueezeNet 1.1)",
        "perceptual (SqueezeNet 1.1)",
        "perceptual of hair and contour (SqueezeNet 1.1)",
        "AKD",
    ):
        found = warp["1"][name]
        assert set(found) == {"mean", "low", "high", "n"}
        assert found["n"] == 2
        assert found["low"] <= found["mean"] <= found["high"]
    assert warp["1"]["AKD"]["mean"] < copy["AKD"]["mean"] / 2  # it moves as the person does
    assert warp["1"]["L1 face"]["mean"] < copy["L1 face"]["mean"]
    page = (out / "report.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("| warp, feed-forward (2) |"))
    assert line in capsys.readouterr().out
    assert "| *Zakharov et al. on VoxCeleb1 (1)* | *43.0* | *0.67* | *0.15* |" in page
    assert "circular" in page
    assert "no FID of Inception" in page
    assert gioconda.verify(out / "ann.png").exit_code == 0


@pytest.mark.slow
def test_fine_tuning_is_compared_with_feed_forward_person_by_person(people, painter, tmp_path):
    tune = tmp_path / "squeeze.safetensors"
    tune.write_bytes(b"checked by those who read it")
    chosen = Methods(("fewshot",), (FEED_FORWARD, TUNED), tmp_path / "w", tune)
    results = evaluate(people, tmp_path / "out", LITTLE, chosen)
    plain, tuned = ReportRow("fewshot", FEED_FORWARD, 2), ReportRow("fewshot", TUNED, 2)
    assert (tuned, plain) in set(results.pairs())
    assert (plain, ReportRow("fewshot", FEED_FORWARD, 1)) in set(results.pairs())
    gain = results.difference(tuned, plain, "L1")
    apart = results.estimate(tuned, "L1").mean - results.estimate(plain, "L1").mean
    assert gain.mean == pytest.approx(apart)
    assert gain.low <= gain.mean <= gain.high < 0  # darker is worse for both people
    assert results.estimate(tuned, "SSIM").mean == pytest.approx(
        results.estimate(results.rows[0], "SSIM").mean
    )
    assert [count for count, _ in painter.asked] == [1, 2, 1, 2]
    assert painter.asked[0][1] == {"weights": str(tmp_path / "w"), "features": str(tune)}
    assert {len(portrait.others) for portrait in painter.seen} == {0, 1}


def test_what_is_absent_is_said(alone, painter, tmp_path):
    plan = EvaluationPlan(shots=(1, 40), frames=32, size=96)
    out = tmp_path / "out"
    results = evaluate(alone, out, plan, Methods(("fewshot",)))
    page, told = (out / "report.md").read_text(), json.loads((out / "report.json").read_text())
    assert "FID and perceptual distance are absent" in page
    assert "CSIM is absent" in page
    assert "T = 40 is left out there" in page
    assert "of 32 held-out frames" in page
    assert "One clip gave both shots" in page
    assert "One person gives no interval" in page
    assert [row.shots for row in results.evaluated] == [1, 1]
    assert told["figures"]["fewshot"]["feed-forward"]["1"]["L1"]["low"] is None
    assert list(told["figures"]["fewshot"]["feed-forward"]) == ["1"]


@pytest.mark.parametrize(
    ("plan", "chosen", "error", "told"),
    [
        (LITTLE, Methods(("warped",)), InputError, "engine 'warped' is not known"),
        (LITTLE, Methods(("warp",), (TUNED,)), InputError, "warp cannot be tuned"),
        (LITTLE, Methods(("warp",), ("best",)), InputError, "--modes best"),
        (LITTLE, Methods(tune_features=Path("none.safetensors")), MissingFileError, "none.safetensors"),
        (replace(LITTLE, shots=(0,)), Methods(), InputError, "--shots"),
        (replace(LITTLE, size=32), Methods(), InputError, "--size 32"),
        (replace(LITTLE, shots=(500,)), Methods(), InputError, "nobody has more than"),
    ],
)
def test_what_cannot_be_measured_is_told(alone, tmp_path, plan, chosen, error, told):
    with pytest.raises(error, match=told):
        evaluate(alone, tmp_path / "out", plan, chosen)
    assert not (tmp_path / "out").exists()


def test_no_videos_nobody_usable_and_no_folder_are_told(tmp_path, alone):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no video"):
        evaluate(empty, tmp_path / "out", LITTLE, Methods())
    write_clip(empty / "wall.mp4")
    with pytest.raises(InputError, match="nobody could be evaluated"):
        evaluate(empty, tmp_path / "out", LITTLE, Methods())
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file is in the way"):
        evaluate(alone, tmp_path / "file", LITTLE, Methods())


def test_who_is_stopped_leaves_nothing(alone, painter, tmp_path):
    def stopping(stage, done, total):
        if stage == "render" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(alone, tmp_path / "out", LITTLE, Methods(("fewshot",)), progress=stopping)
    assert not (tmp_path / "out").exists()


def test_names_cannot_break_the_page():
    results = Results("data", LITTLE, [], [], "", {}, people=[Member("a|b\n# c", 1, 8, False)])
    assert "| a\\|b # c | 1 | 8 |" in report.as_markdown(replace_rows(results))


def replace_rows(results):
    """The results with a line of no figures, as a report needs one."""
    row = ReportRow("copy", FEED_FORWARD, 1)
    results.rows, results.scores = [row], {row: {}}
    return results
