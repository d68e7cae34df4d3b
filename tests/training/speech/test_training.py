"""Speech networks learn to follow a voice, and what is exported is what was trained."""

import json

import numpy as np
import onnx
import pytest
import torch

import gioconda
from gioconda.cli import run
from gioconda.errors import InputError
from gioconda.runtime.onnx import open_graph
from gioconda.speech import features
from gioconda.training import loop
from gioconda.training.speech import augment, data, evaluate
from gioconda.training.speech.audio_encoder import AudioEncoder, load_pretrained
from gioconda.training.speech.export import SMALL, export, load_network
from gioconda.training.speech.task import SpeechSettings, SpeechTask, correlation_loss, predictor, train
from speech_world import buzz, prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("speech") / "prepared")


def quick(**changes):
    return SpeechSettings(
        **{"steps": 60, "width": 32, "batch": 16, "ema": 0.9, "threads": 1, "dropout": 0.0, **changes}
    )


def as_stored(net):
    """A network whose large tensors have the 16 bits that an exported file keeps."""
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.numel() >= SMALL:
                value.copy_(value.half().float())
    return net


def test_what_is_learnt_from_is_off_the_persons_own_rest(folder):
    takes = data.load_clips(folder, "train")
    assert len(takes) == 16
    for take in takes:
        gap = evaluate.gap(take.points)
        assert abs(np.quantile(gap, 0.05)) < 0.01
        assert gap.max() > 0.1
        assert take.mel.shape == (2 * len(take), features.BANDS)
        made = np.corrcoef(take.coefficients[:, 3], gap)[0, 1]  # jawOpen
        assert made > 0.95


def test_a_batch_depends_on_its_number_alone(folder):
    voices = data.Voices(data.load_clips(folder, "train"))
    first, again, other = voices.batch(0, 3, 4), voices.batch(0, 3, 4), voices.batch(0, 4, 4)
    assert np.array_equal(first.mel, again.mel)
    assert not np.array_equal(first.mel, other.mel)
    assert first.mel.shape == (4, 120, features.BANDS)
    assert first.points.shape == (4, 60, 44, 2)
    assert np.isfinite(voices.batch(0, 5, 4).mel).all()


def test_augmentation_keeps_time(folder):
    take = data.load_clips(folder, "train")[0]
    loud = np.exp(take.mel).mean(1)
    for seed in range(20):
        random = np.random.default_rng(seed)
        augmented = augment.augment_mel(take.mel, take.mel[::-1].copy(), random)
        assert augmented.shape == take.mel.shape
        assert np.isfinite(augmented).all()
        assert np.corrcoef(np.log(loud), np.log(np.exp(augmented).mean(1)))[0, 1] > 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("network", "steps", "rate"), [("lips", 40, 3e-3), ("obama", 120, 1e-2)])
def test_networks_learn_to_follow_a_voice(folder, tmp_path, network, steps, rate):
    settings = quick(network=network, steps=steps, learning_rate=rate, augment=False, validate_every=steps)
    assert train(settings, folder, tmp_path / "run") == steps
    net, header = load_network(tmp_path / "run")
    assert header["steps"] == str(steps)
    clips = [evaluate.evaluate_clip(t, predictor(net)) for t in data.load_clips(folder, "dev")]
    late = [evaluate.evaluate_clip(t, predictor(net), 0.2) for t in data.load_clips(folder, "dev")]
    assert np.mean([c.correlation for c in clips]) > 0.8
    assert np.mean([c.correlation for c in late]) < np.mean([c.correlation for c in clips]) - 0.3
    told = evaluate.by_person(clips)["who0"]
    assert abs(told["offset"]) <= 0.06
    onnx_file = export([tmp_path / "run"], tmp_path / "out")
    mel = np.random.default_rng(0).normal(0, 1, (1, 130, features.BANDS)).astype(np.float32)
    made = open_graph(onnx_file, 1).run(None, {"mel": mel})[0]
    with torch.no_grad():
        wanted = as_stored(net)(torch.from_numpy(mel)).numpy()
    assert made.shape == (1, 65, 27)
    assert np.allclose(made, wanted, atol=1e-4)


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(folder, tmp_path, monkeypatch):
    assert train(quick(steps=3, dropout=0.2), folder, tmp_path / "whole") == 3
    with monkeypatch.context() as hurried:
        hurried.setattr(loop._Run, "out_of_time", property(lambda run: run.done == 1))
        assert train(quick(steps=3, dropout=0.2), folder, tmp_path / "parts") == 1
    assert train(quick(steps=3, dropout=0.2), folder, tmp_path / "parts") == 3
    one, other = (load_network(tmp_path / name, "last.pt")[0].state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_several_runs_answer_together_in_one_file(folder, tmp_path):
    for seed in (1, 2):
        train(quick(steps=2, seed=seed), folder, tmp_path / str(seed))
    runs = [tmp_path / "1", tmp_path / "2"]
    onnx_file = export(runs, tmp_path / "out", "last.pt")
    mel = np.random.default_rng(0).normal(0, 1, (1, 90, features.BANDS)).astype(np.float32)
    made = open_graph(onnx_file, 1).run(None, {"mel": mel})[0]
    with torch.no_grad():
        each = [as_stored(load_network(r, "last.pt")[0])(torch.from_numpy(mel)).numpy() for r in runs]
    assert np.abs(each[0] - each[1]).max() > 1e-2
    assert np.allclose(made, np.mean(each, 0), atol=1e-4)
    props = {p.key: p.value for p in onnx.load(str(onnx_file)).metadata_props}
    assert [json.loads(h["settings"])["seed"] for h in json.loads(props["runs"])] == [1, 2]


@pytest.mark.slow
def test_training_goes_on_from_the_ear_of_an_exported_network(folder, tmp_path):
    train(quick(steps=2), folder, tmp_path / "run")
    net, _ = load_network(tmp_path / "run", "last.pt")
    file = export([tmp_path / "run"], tmp_path / "out", "last.pt")
    other = AudioEncoder()
    load_pretrained(other, str(file))
    one = net.encoder.state_dict()
    assert all(torch.allclose(one[k], v, atol=1e-3, rtol=1e-3) for k, v in other.state_dict().items())


def test_unlikeness_is_one_less_the_correlation_where_mouths_move():
    random = np.random.default_rng(0)
    made, true = random.normal(0, 0.1, (2, 3, 60)), random.normal(0, 0.1, (3, 60))
    true[2] = 0.2  # a mouth that stands still does not count
    wanted = np.mean([[1 - np.corrcoef(m[k], true[k])[0, 1] for k in range(2)] for m in made])
    assert float(correlation_loss(torch.from_numpy(made), torch.from_numpy(true))) == pytest.approx(
        wanted, abs=1e-4
    )


def test_what_cannot_be_learnt_from_is_told(folder, tmp_path):
    with pytest.raises(InputError, match="not prepared with gioconda prepare"):
        data.load_clips(tmp_path, "train")
    with pytest.raises(InputError, match="lips or obama"):
        SpeechTask(quick(network="telepathy"), folder)


def test_correlation_finds_the_lag():
    _, strength = buzz(3.0)
    true = strength[::320].astype(np.float32)
    late = np.roll(true, 5)
    assert evaluate.correlation(late, true, 5) == pytest.approx(1, abs=1e-3)
    assert evaluate.correlation(late, true) < 0.9
    assert np.isnan(evaluate.correlation(true, np.zeros_like(true)))


@pytest.mark.slow
def test_the_commands_prepare_train_and_export(astronaut, tmp_path, capsys):
    videos = tmp_path / "videos"
    for who, text in (("ann", "My mother may buy a big map."), ("bob", "Papa and Bob beat time.")):
        (videos / who).mkdir(parents=True)
        gioconda.speak(astronaut, videos / who / "said.mp4", text=text, crop=True, size=192, refine=False)
    gioconda.animate(astronaut, "nod", videos / "ann" / "still.mp4", crop=True, size=192, refine=False)
    voices, run_folder = str(tmp_path / "voices"), str(tmp_path / "run")
    assert run(["prepare", str(videos), "--for", "speech", "-o", voices, "--workers", "1"]) == 0
    told = capsys.readouterr()
    assert "2 clips, 2 people; 1 left out" in told.out
    assert "ann/still.mp4" in told.err
    takes = data.load_clips(tmp_path / "voices", "train")
    assert [t.identity for t in takes] == ["ann"]
    assert max(evaluate.gap(takes[0].points)) > 0.03
    more = ["--batch", "4", "--width", "16", "--threads", "1"]
    assert run(["train", "speech", "--data", voices, "-o", run_folder, "--dry-run", *more]) == 0
    assert "2 steps tried" in capsys.readouterr().out
    assert run(["export-weights", "speech", run_folder, "-o", str(tmp_path / "out")]) == 2
    assert "run first: gioconda train speech" in capsys.readouterr().err
