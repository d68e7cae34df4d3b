"""The refiner's augmentation, network, losses and features."""

import numpy as np
import pytest

from gioconda.engines.warp import aligned
from gioconda.engines.warp.aligned import CHANNELS
from gioconda.errors import MissingFileError, WeightsError
from gioconda.training.refiner.augment import augment
from refiner_world import (  # noqa: F401
    LAST,
    PEOPLE,
    SHAPE,
    WINDOW,
    arrays_of,
    folder_fixture,
    nudged,
    planes_of,
    points_of,
    refiner,
    squeeze_file_fixture,
    threads_as_before_fixture,
    torch_fixture,
    write_samples,
)


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


def test_no_grid_of_single_pixels_comes_out_and_smooth_change_stays(torch):
    from gioconda.training.refiner.network import Evened

    y, x = np.indices((32, 48))
    waves = {
        "columns": (-1.0) ** x,
        "rows": (-1.0) ** y,
        "board": (-1.0) ** (x + y),
        "slow": np.sin(2 * np.pi * x / 12) * np.cos(2 * np.pi * y / 16),
    }
    planes = torch.tensor(np.stack(list(waves.values())), dtype=torch.float32)[None]
    made = Evened(4)(planes)[0, :, 4:-4, 4:-4]
    assert made[:3].abs().max() < 1e-6
    assert (made[3] - planes[0, 3, 4:-4, 4:-4]).abs().max() < 0.02


def test_what_the_refiner_changes_holds_no_grid(torch, folder):
    """A head that wants a grid of single pixels and nothing else."""
    planes, _ = planes_of(torch, folder)
    network = refiner(torch)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([0.5, -0.5, 0.5, -0.5] * 3 + [0.0] * 4))
        change = network(planes) - planes[:, :3]
    assert change.abs().max() < 0.05
