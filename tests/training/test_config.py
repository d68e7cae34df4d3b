"""Settings of a training run: defaults, a preset's differences, and what is typed on top."""

from dataclasses import dataclass

import pytest

from gioconda.errors import InputError
from gioconda.training import config


@dataclass(frozen=True)
class Some:
    steps: int = 100
    rate: float = 0.5
    style: bool = True
    name: str = ""


@pytest.fixture
def preset(tmp_path):
    """Writes a preset's file and gives its name."""

    def write(text):
        path = tmp_path / "mine.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_defaults_then_the_preset_then_what_is_typed(preset):
    path = preset("steps = 7\nrate = 0.25\n")
    assert config.load(Some, path) == Some(steps=7, rate=0.25)
    assert config.load(Some, path, {"steps": "9", "name": "x"}) == Some(steps=9, rate=0.25, name="x")


def test_an_empty_preset_is_the_defaults(preset):
    assert config.load(Some, preset("")) == Some()


def test_packaged_presets_fit_their_settings():
    pytest.importorskip("torch")
    from gioconda.training.refiner.task import Settings

    names = sorted(path.stem for path in config.PRESETS.glob("*.toml"))
    assert "refiner" in names
    for name in (n for n in names if n.startswith("refiner")):
        assert isinstance(config.load(Settings, name), Settings)


def test_unknown_presets_are_told_with_those_there_are():
    with pytest.raises(InputError, match=r"'magic'.*refiner"):
        config.load(Some, "magic")
    with pytest.raises(InputError, match=r"absent\.toml"):
        config.load(Some, "absent.toml")


@pytest.mark.parametrize("text", ["steps = ", "steps 3", b"name = '\xff'"])
def test_presets_that_are_no_toml_are_told(preset, text):
    with pytest.raises(InputError, match="not readable as TOML"):
        config.load(Some, preset(text))


def test_unknown_keys_are_refused_wherever_they_come_from(preset):
    with pytest.raises(InputError, match=r"'stepz'.*rate"):
        config.load(Some, preset("stepz = 3"))
    with pytest.raises(InputError, match="'stepz'"):
        config.load(Some, preset(""), {"stepz": "3"})
    with pytest.raises(InputError, match="'section'"):
        config.load(Some, preset("[section]\nsteps = 3"))


@pytest.mark.parametrize(
    "line",
    ["steps = 1.5", "steps = true", "rate = true", "style = 1", "name = 3", "steps = '3'", "steps = [3]"],
)
def test_values_of_another_type_are_refused(preset, line):
    with pytest.raises(InputError, match="is not of type"):
        config.load(Some, preset(line))


def test_whole_numbers_will_do_for_fractions(preset):
    loaded = config.load(Some, preset("rate = 2"))
    assert loaded.rate == 2.0
    assert isinstance(loaded.rate, float)


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("steps", "-3", -3),
        ("rate", "1e-3", 1e-3),
        ("rate", "2", 2.0),
        ("style", "false", False),
        ("style", "No", False),
        ("style", "1", True),
        ("name", "a=b", "a=b"),
    ],
)
def test_what_is_typed_becomes_the_fields_type(preset, key, text, wanted):
    value = getattr(config.load(Some, preset(""), {key: text}), key)
    assert value == wanted
    assert type(value) is type(wanted)


@pytest.mark.parametrize(
    ("key", "text"), [("steps", "3.5"), ("steps", ""), ("rate", "fast"), ("style", "maybe")]
)
def test_what_is_typed_and_does_not_fit_is_told(preset, key, text):
    with pytest.raises(InputError, match=f"--{key} {text}"):
        config.load(Some, preset(""), {key: text})


def test_dashes_in_keys_are_underscores(preset):
    @dataclass(frozen=True)
    class Long:
        learning_rate: float = 1.0

    assert config.load(Long, preset(""), {"learning-rate": "0.1"}).learning_rate == 0.1


def test_words_become_pairs():
    words = ["--steps", "3", "--name=a=b", "--rate", "-1", "--empty="]
    assert config.pairs(words) == {"steps": "3", "name": "a=b", "rate": "-1", "empty": ""}
    assert config.pairs([]) == {}
    assert config.pairs(["--steps=1", "--steps=2"]) == {"steps": "2"}


@pytest.mark.parametrize("words", [["steps", "3"], ["-s", "3"], ["--", "3"], ["--steps=1", "left", "over"]])
def test_words_that_are_no_pairs_are_refused(words):
    with pytest.raises(InputError, match="expected --key value"):
        config.pairs(words)


def test_a_key_without_a_value_is_told():
    with pytest.raises(InputError, match="--steps needs a value"):
        config.pairs(["--rate=1", "--steps"])


def test_settings_become_plain_values():
    assert config.as_dict(Some(name="x")) == {"steps": 100, "rate": 0.5, "style": True, "name": "x"}


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "{a=" * 3000,
        "steps = " + "9" * 5000,
        "steps = 0x" + "f" * 9000,
        "steps = " + "9" * 300,
        "rate = " + "9" * 400,
        "rate = nan",
        "rate = -inf",
    ],
    ids=lambda text: text[:14],
)
def test_presets_that_ask_for_too_much(preset, text):
    with pytest.raises(InputError) as told:
        config.load(Some, preset(text))
    assert len(str(told.value)) < 300


def test_exported_headers_tell_no_path_of_the_machine_that_trained():
    from safetensors import safe_open

    from gioconda.assets import asset_names, asset_path

    told = config.export_header({"steps": 9, "ear": "/a/b.onnx", "features": "/c", "name": "x"}, 7)
    assert told == {"settings": '{"steps": 9, "name": "x"}', "steps": "7"}
    packaged = [name for name in asset_names() if name.endswith(".safetensors")]
    assert packaged
    for name in packaged:
        with safe_open(asset_path(name), "np") as file:
            assert not any("/" in value for value in (file.metadata() or {}).values()), name
