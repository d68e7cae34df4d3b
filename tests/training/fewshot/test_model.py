"""The few-shot networks: their size, where gradients reach, what their parts compute."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from gioconda.engines.fewshot import crop
from gioconda.errors import InputError, MissingFileError, WeightsError
from gioconda.training import metrics
from gioconda.training.config import load
from gioconda.training.fewshot import content, model, task
from gioconda.training.fewshot.data import STRAIGHT, CropTransform, eyes_and_mouth, input_pair
from gioconda.training.fewshot.model import Shape
from gioconda.training.perceptual import MEAN_BGR

TINY = Shape(64, 8, 1)


def millions(net):
    return sum(p.numel() for p in net.parameters()) / 1e6


@pytest.fixture(scope="module")
def paper():
    with torch.device("meta"):
        shape = load(task.FewshotSettings, "paper").shape
        return shape, model.TalkingHead(shape), model.Discriminator(shape, 1)


@pytest.mark.slow
def test_the_papers_networks_have_the_papers_size(paper):
    shape, talking_head, critic = paper
    assert shape.embedding == 512
    assert millions(talking_head.embedder) == pytest.approx(15, rel=0.05)
    assert millions(talking_head.generator) == pytest.approx(38, rel=0.1)
    assert millions(critic) == pytest.approx(20, rel=0.05)


@pytest.mark.slow
def test_the_papers_levels_and_attention_lie_where_it_says(paper):
    shape, talking_head, _ = paper
    assert shape.levels(4) == [64, 128, 256, 512, 512, 512]
    assert shape.levels(8) == [64, 128, 256, 512, 512]
    seen_at = {}
    generator = talking_head.generator
    for name, net in (("embedder", talking_head.embedder.trunk.attention), ("down", generator.attention_down),
                      ("up", generator.attention_up)):  # fmt: skip
        net.register_forward_hook(lambda _, x, __, name=name: seen_at.update({name: tuple(x[0].shape[1:])}))
    picture = torch.zeros(1, 3, 256, 256, device="meta")
    embedding = talking_head.embedder(picture, picture)
    made = talking_head.generator(picture, talking_head.projection(embedding))
    assert made.shape == (1, 3, 256, 256)
    assert seen_at == {"embedder": (256, 32, 32), "down": (256, 32, 32), "up": (128, 64, 64)}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["paper", "paper_b", "small", "tiny"])
def test_every_preset_can_be(preset):
    settings = load(task.FewshotSettings, preset)
    settings.check()
    with torch.device("meta"):
        talking_head, critic = model.TalkingHead(settings.shape), model.Discriminator(settings.shape, 3)
        picture = torch.zeros(2, 3, settings.size, settings.size)
        photos = torch.zeros(2, settings.shots, 2, 3, settings.size, settings.size)
        made, embedding = talking_head(photos, picture)
        scores, _ = critic(made, picture, embedding)
    assert made.shape == picture.shape
    assert scores.shape == (2,)


def test_both_weightings_of_the_losses_are_there():
    first, second = load(task.FewshotSettings, "paper"), load(task.FewshotSettings, "paper_b")
    names = ("vgg19", "vggface", "matching", "columns")
    assert [getattr(first, n) for n in names] == [1e-2, 2e-3, 10, 80]
    assert [getattr(second, n) for n in names] == [1.5e-1, 2.5e-2, 10, 10]
    assert (first.learning_rate, first.critic_rate, first.critic_steps, first.shots) == (5e-5, 2e-4, 2, 8)


def test_adaptive_norm_is_instance_norm_under_a_style():
    x, style = torch.randn(3, 5, 6, 7), torch.randn(3, 10)
    shift, gain = style[:, :5, None, None], style[:, 5:, None, None]
    expected = F.instance_norm(x) * (1 + gain) + shift
    torch.testing.assert_close(model.adaptive_norm(x, style), expected, rtol=1e-4, atol=1e-4)


def test_attention_begins_as_nothing_and_mixes_all_places():
    attention = model.Attention(8, spectral=False)
    x = torch.randn(2, 8, 3, 4)
    torch.testing.assert_close(attention(x), x)
    torch.nn.init.ones_(attention.gamma)
    flat = [part(x).flatten(2) for part in (attention.query, attention.key, attention.value)]
    weights = torch.softmax(torch.einsum("ncq,nck->nqk", flat[0], flat[1]), -1)
    expected = x + torch.einsum("nqk,nck->ncq", weights, flat[2]).view_as(x)
    torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_spectral_norms_hold_embedder_and_discriminator():
    critic = model.Discriminator(TINY, 2)
    picture = torch.randn(2, 3, 64, 64)
    for _ in range(30):
        critic(picture, picture, torch.zeros(2, TINY.embedding))
    for module in critic.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert float(torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2)) == pytest.approx(
                1, abs=0.1
            )


def test_a_score_is_the_projection_of_what_was_seen():
    critic = model.Discriminator(TINY, 2).eval()
    picture, person = torch.randn(1, 3, 64, 64), torch.randn(2, TINY.embedding)
    both = torch.cat([picture, picture])
    scores, _ = critic(both, both, person)
    nobody, _ = critic(both, both, torch.zeros_like(person))
    seen_ = model._pooled(critic.more(critic.trunk(picture, picture)[-1])) / model.POOLED
    torch.testing.assert_close(scores - nobody, (person @ seen_[0]).float(), rtol=1e-4, atol=1e-4)


def test_losses_by_hand():
    assert float(model.hinge_loss(torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5]))) == pytest.approx(
        0.25 + 0.75
    )
    first, second = [torch.zeros(2, 3), torch.zeros(4)], [torch.ones(2, 3), torch.full((4,), 3.0)]
    assert float(model.feature_matching_loss(first, second)) == pytest.approx(2.0)
    assert float(model.match_loss(torch.zeros(2, 4), torch.full((2, 4), 0.5))) == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("fold", "skips"), [(1, 0), (2, 0), (1, 1), (2, 1)])
def test_the_content_loss_reaches_every_weight_that_draws(fold, skips):
    torch.manual_seed(0)
    talking_head = model.TalkingHead(Shape(64, 8, 1, fold, skips))
    for attention in (m for m in talking_head.modules() if isinstance(m, model.Attention)):
        torch.nn.init.ones_(attention.gamma)
    photos, landmarks = torch.randn(2, 2, 2, 3, 64, 64), torch.randn(2, 3, 64, 64)
    made, _ = talking_head(photos, landmarks)
    task.FewshotSettings().content()(made, torch.randn_like(made)).backward()
    still = [
        name
        for name, p in talking_head.named_parameters()
        if p.grad is None or float(p.grad.abs().sum()) == 0
    ]
    # a bias before a normalisation, and one that all keys share, change nothing
    assert [n for n in still if not n.endswith("bias")] == []
    assert len(still) < 12


@pytest.mark.slow
def test_skips_carry_what_the_narrow_middle_loses():
    """Trained to draw scattered dots, which only the finest level can place."""
    left = {}
    for skips in (0, 1):
        torch.manual_seed(0)
        net = model.Generator(Shape(32, 8, 1, 1, skips))
        psi = torch.zeros(1, net.style)
        optimizer = torch.optim.Adam(net.parameters(), 3e-3)
        for _ in range(80):
            dots = (torch.rand(8, 1, 32, 32) > 0.9).float().expand(-1, 3, -1, -1) * 2 - 1
            loss = F.l1_loss(net(dots, psi.expand(8, -1)), dots)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        left[skips] = float(loss.detach())
    assert left[1] < 0.5 * left[0]


def test_l1_counts_as_much_as_each_pixel_is_said_to():
    made, true, counts = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 4, 4)
    true[..., 0, 0] = 0.8
    counts[..., 0, 0] = 6
    plain = content.Content(2.0, {})
    assert float(plain(made, true)) == pytest.approx(2 * 0.8 / 16)
    assert float(plain(made, true, counts)) == pytest.approx(6 * 2 * 0.8 / 16)


def test_structural_similarity_is_that_of_the_figures(astronaut_image):
    true = astronaut_image[:96, :80].astype(np.uint8)
    worse = np.clip(true * 0.8 + np.random.default_rng(0).normal(10, 12, true.shape), 0, 255).astype(np.uint8)
    made, wanted = (torch.from_numpy(p).permute(2, 0, 1)[None] / 127.5 - 1 for p in (worse, true))
    made.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        found = content.structural_similarity(made, wanted)
    assert float(found.detach()) == pytest.approx(metrics.ssim(worse, true), abs=1e-4)
    flat = content.structural_similarity(torch.zeros_like(made), wanted)
    assert torch.isfinite(flat)
    found.backward()
    assert torch.isfinite(made.grad).all()
    assert made.grad.abs().sum() > 0


def test_feature_losses_pass_their_gradient_to_the_made_picture(shared_data):
    squeeze = content.Squeeze(shared_data / "metrics/squeezenet11.safetensors")
    made, true = torch.rand(1, 3, 64, 64, requires_grad=True), torch.rand(1, 3, 64, 64, requires_grad=True)
    squeeze(made, true).backward()
    assert float(made.grad.abs().sum()) > 0
    assert true.grad is None
    assert float(squeeze(true.detach(), true.detach())) == pytest.approx(0, abs=1e-5)


def vgg_file(path, plan, *, scale=0.05):
    """A network of this plan with random weights, named as torchvision does."""
    torch.manual_seed(1)
    state, into, index = {}, 3, 0
    for block in plan:
        for out in block:
            state[f"features.{index}.weight"] = torch.randn(out, into, 3, 3) * scale
            state[f"features.{index}.bias"] = torch.zeros(out)
            into, index = out, index + 2
        index += 1
    torch.save(state, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vgg19", "vggface"])
def test_vgg_features_are_those_of_the_layers_named(tmp_path, kind):
    vgg = content.Vgg(kind, vgg_file(tmp_path / "vgg.pth", content.PLANS[kind]))
    made = torch.rand(1, 3, 64, 64, requires_grad=True)
    features = vgg.features(made)
    assert [f.shape[1] for f in features] == [64, 128, 256, 512, 512]
    assert [f.shape[2] for f in features] == [64, 32, 16, 8, 4]
    vgg(made, torch.zeros(1, 3, 64, 64)).backward()
    assert float(made.grad.abs().sum()) > 0


def test_vgg_networks_are_given_the_range_they_want():
    white, red = torch.ones(1, 3, 2, 2), torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    np.testing.assert_allclose(
        content.caffe_range(white, MEAN_BGR)[0, :, 0, 0], 255 - np.array(MEAN_BGR), rtol=1e-5
    )
    np.testing.assert_allclose(
        content.caffe_range(red, MEAN_BGR)[0, :, 0, 0], np.array([0, 0, 255]) - np.array(MEAN_BGR), rtol=1e-5
    )


def test_files_that_are_no_such_network_are_told(tmp_path):
    with pytest.raises(MissingFileError):
        content.Vgg("vgg19", tmp_path / "absent.pth")
    (tmp_path / "noise.pth").write_bytes(b"noise")
    with pytest.raises(WeightsError):
        content.Vgg("vgg19", tmp_path / "noise.pth")
    with pytest.raises(WeightsError, match="another network"):
        content.Vgg("vgg19", vgg_file(tmp_path / "short.pth", ((64, 64), (96,))))


@pytest.mark.parametrize(
    "changes", [{"size": 72}, {"fewest": 3, "shots": 2}, {"group": "family"}, {"steps": 0}, {"fold": 3}]
)
def test_settings_that_cannot_be_are_told(changes):
    with pytest.raises(InputError):
        task.FewshotSettings(**changes).check()


def test_training_sees_the_crop_that_use_sees(astronaut_image):
    from gioconda.face import detect_faces
    from gioconda.training.fewshot.adapt import stored
    from gioconda.types import Portrait

    portrait = Portrait(astronaut_image, detect_faces(astronaut_image)[0])
    square = crop.head_square(portrait.face.landmarks)
    used = crop.planes(crop.cut_square(astronaut_image, square, 128))
    drawn = crop.planes(crop.draw(crop.to_square(portrait.face.landmarks, square, 128), 128))
    head = stored(portrait, 128)
    trained = input_pair(head.image, head.points, 128, STRAIGHT)
    assert np.abs(trained[0] - used).mean() < 0.03  # of 2; the same square a pixel aside differs by more
    assert np.abs(trained[0] - np.roll(used, 1, 2)).mean() > 2 * np.abs(trained[0] - used).mean()
    assert np.abs(trained[1] - drawn).mean() < 0.05


def test_eyes_and_mouth_are_where_a_photo_has_them(astronaut_image):
    from gioconda.face import detect_faces
    from gioconda.training.fewshot.adapt import stored
    from gioconda.types import Portrait

    portrait = Portrait(astronaut_image, detect_faces(astronaut_image)[0])
    shifted = CropTransform(np.eye(2, dtype=np.float32), np.array([0.1, 0.0], np.float32))
    head = stored(portrait, 128)
    mask = eyes_and_mouth(head.points, len(head.image), 128, STRAIGHT)
    own = crop.to_square(portrait.face.landmarks, crop.head_square(portrait.face.landmarks), 128)
    inside = [468, 473, 13, 14, 61, 291]  # irises, lips
    outside = [4, 152, 10, 234, 454]  # nose, chin, forehead, cheeks
    at = np.rint(own[:, :2]).astype(int)
    assert all(mask[0, at[k, 1], at[k, 0]] == 1 for k in inside)
    assert all(mask[0, at[k, 1], at[k, 0]] == 0 for k in outside)
    assert 0.01 < mask.mean() < 0.12
    moved = eyes_and_mouth(head.points, len(head.image), 128, shifted)
    assert all(moved[0, at[k, 1], at[k, 0] + 13] == 1 for k in inside)


def bars(angle, period, shift=0.0, size=64):
    """Grey waves (1, 3, size, size) across which one walks in the direction of `angle`."""
    y, x = np.mgrid[:size, :size]
    wave = np.sin(2 * np.pi * ((x * np.cos(angle) + y * np.sin(angle)) / period + shift))
    return torch.from_numpy(np.repeat(0.5 * wave[None, None], 3, 1).astype(np.float32))


@pytest.mark.slow
def test_energy_tells_direction_and_size_of_edges_and_not_their_exact_place():
    measure, everywhere = content.OrientedEnergy(), torch.ones(1, 1, 64, 64)
    true = bars(0.0, 4.0)
    per_level = [e.mean((0, 2, 3)) for e in measure.energies(true)]
    assert int(per_level[0].argmax()) == 0  # the first direction walks along x
    assert int(measure.energies(bars(np.pi / 2, 4.0))[0].mean((0, 2, 3)).argmax()) == content.DIRECTIONS // 2
    shifted, smear = bars(0.0, 4.0, shift=0.25), torch.zeros_like(true)
    others = smear, bars(np.pi / 2, 4.0), bars(0.0, 12.0)
    far = min(float(measure(other, true, everywhere)) for other in others)
    assert float(measure(true, true, everywhere)) == 0
    assert float(measure(shifted, true, everywhere)) < 0.2 * far
    assert (shifted - true).abs().mean() > 1.3 * (smear - true).abs().mean()  # pixels prefer the smear
    assert float(measure(true + 0.3, true, everywhere)) < 0.01 * far


def test_energy_counts_where_it_is_weighed():
    measure, where = content.OrientedEnergy(), torch.zeros(1, 1, 64, 64)
    where[:, :, :32] = 1
    true, made = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    made[:, :, 48:] = bars(0.0, 4.0)[:, :, 48:]
    assert float(measure(made, true, where)) == pytest.approx(0, abs=1e-3)
    assert float(measure(made, true, 1 - where)) > 0.01
    made.requires_grad_(True)
    measure(made, true, 1 - where).backward()
    assert float(made.grad[:, :, 50:].abs().max()) > 0


def test_turns_leave_the_squares_size():
    from heads import performed, person

    shape = person(3)
    faces = performed(shape, 3, yaw=np.array([-30.0, 0.0, 30.0]))
    sides = [crop.head_square(one.landmarks).side for one in faces]
    assert np.ptp(sides) < 0.02 * np.mean(sides)


def test_landmarks_and_pictures_go_the_same_way_into_the_square():
    image = np.zeros((400, 500, 3), np.uint8)
    image[200:206, 300:306] = 255
    square = crop.Square(210.3, 120.7, 160.4)
    spot = np.zeros((478, 3), np.float32)
    spot[:, :2] = (302.5, 202.5)
    for size in (64, 100, 256):
        cut = crop.cut_square(image, square, size)[..., 0].astype(np.float64)
        ys, xs = np.mgrid[:size, :size]
        middle = np.array([(xs * cut).sum(), (ys * cut).sum()]) / cut.sum()
        np.testing.assert_allclose(crop.to_square(spot, square, size)[0, :2], middle, atol=0.3)
