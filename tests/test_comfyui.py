"""The ComfyUI nodes by ComfyUI's protocol, with a stand-in for it: declared inputs, linked graphs, tensors, files."""

import importlib.util
import inspect
import json
import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

import gioconda
from gioconda.errors import InputError
from gioconda.requests import Animate, Speak, options_of
from places import ROOT

PACK = ROOT / "integrations" / "comfyui"
pytestmark = pytest.mark.skipif(not PACK.is_dir(), reason="the source archive has no integrations")
torch = pytest.importorskip("torch")
RIGHTS = "A public-domain portrait."
SMALL = {"crop": True, "size": 64, "refine": False}
WIDGETS = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}
TYPES = {*WIDGETS, "IMAGE", "AUDIO", "GIOCONDA_PORTRAIT", "GIOCONDA_MOTION"}


@pytest.fixture
def comfy(tmp_path, monkeypatch):
    """ComfyUI's modules as far as nodes use them, with its folders; notes the progress, and may be interrupted."""
    paths = ModuleType("folder_paths")
    for kind in ("input", "output", "temp"):
        (tmp_path / kind).mkdir()
        setattr(paths, f"get_{kind}_directory", lambda kind=kind: str(tmp_path / kind))

    def get_save_image_path(prefix, folder, width=0, height=0):
        taken = len(list((tmp_path / "output").glob(f"{prefix}_*")))
        return folder, prefix, taken + 1, "", prefix

    paths.get_save_image_path = get_save_image_path
    state = SimpleNamespace(folder=tmp_path, bars=[], interrupted=False)

    class ProgressBar:
        def __init__(self, total):
            pass

        def update_absolute(self, value, total=None, preview=None):
            state.bars.append((value, total))

    def throw_exception_if_processing_interrupted():
        if state.interrupted:
            raise InterruptedError

    management, utils = ModuleType("comfy.model_management"), ModuleType("comfy.utils")
    management.throw_exception_if_processing_interrupted = throw_exception_if_processing_interrupted
    utils.ProgressBar = ProgressBar
    modules = {"folder_paths": paths, "comfy": ModuleType("comfy")}
    modules |= {"comfy.model_management": management, "comfy.utils": utils}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return state


@pytest.fixture(scope="module")
def pack():
    """The nodes, imported as ComfyUI imports a folder of custom_nodes."""
    name = "custom_nodes.gioconda"
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    for loaded in [loaded for loaded in sys.modules if loaded.startswith(name)]:
        del sys.modules[loaded]


@pytest.fixture
def picture(astronaut_image):
    """The astronaut's head as ComfyUI's IMAGE, (1, 256, 256, 3) float32."""
    return torch.from_numpy(astronaut_image[0:256, 96:352] / np.float32(255))[None]


def executed(pack, prompt, **others):
    """The results of a workflow in API format, node by node, each input checked as ComfyUI does before it runs."""
    results = {}
    for number, node in prompt.items():
        if node["class_type"] in others:
            results[number] = (others[node["class_type"]],)
            continue
        kind = pack.NODE_CLASS_MAPPINGS[node["class_type"]]
        declared = kind.INPUT_TYPES()
        known = {**declared["required"], **declared.get("optional", {})}
        assert set(declared["required"]) <= set(node["inputs"]) <= set(known)
        inputs = {}
        for name, value in node["inputs"].items():
            type_, widget = known[name][0], known[name][1] if len(known[name]) > 1 else {}
            if isinstance(value, list):
                inputs[name] = results[value[0]][value[1]]
                continue
            inputs[name] = value
            if isinstance(type_, list):
                assert value in type_
            else:
                assert isinstance(value, WIDGETS[type_])
                assert widget.get("min", value) <= value <= widget.get("max", value)
        made = getattr(kind(), kind.FUNCTION)(**inputs)
        results[number] = made["result"] if isinstance(made, dict) else made
        assert isinstance(results[number], tuple)
        assert len(results[number]) == len(kind.RETURN_TYPES)
    return results


def test_every_node_declares_itself_by_the_protocol(pack):
    assert set(pack.NODE_CLASS_MAPPINGS) == set(pack.NODE_DISPLAY_NAME_MAPPINGS)
    assert len(pack.NODE_CLASS_MAPPINGS) == 5
    for node in pack.NODE_CLASS_MAPPINGS.values():
        declared = node.INPUT_TYPES()
        assert set(declared) <= {"required", "optional", "hidden"}
        inputs = {**declared["required"], **declared.get("optional", {})}
        for type_, widget in (entry if len(entry) > 1 else (*entry, {}) for entry in inputs.values()):
            default = widget.get("default")
            if isinstance(type_, list):
                assert default in type_
                continue
            assert type_ in TYPES
            if type_ in WIDGETS:
                assert isinstance(default, WIDGETS[type_])
                assert widget.get("min", default) <= default <= widget.get("max", default)
        function = inspect.signature(getattr(node, node.FUNCTION))
        function.bind(None, **dict.fromkeys(inputs))
        function.bind(None, **dict.fromkeys(declared["required"]))
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
        assert set(node.RETURN_TYPES) <= TYPES
        assert node.CATEGORY
        assert node.DESCRIPTION


@pytest.mark.parametrize(("node", "kind"), [("GiocondaAnimate", Animate), ("GiocondaSpeak", Speak)])
def test_the_options_are_the_packages_own(pack, node, kind):
    declared = pack.NODE_CLASS_MAPPINGS[node].INPUT_TYPES()["optional"]
    options = {option.name: option for option in options_of(kind)}
    shared = set(declared) & set(options)
    assert {"crop", "size", "emotion", "strength", "engine", "label"} <= shared
    for name in shared - {"audio"}:
        assert declared[name][1]["tooltip"] == options[name].help
    read = sys.modules["custom_nodes.gioconda.options"].read_options
    untouched = {name: entry[1].get("default") for name, entry in declared.items()}
    given = read(kind, untouched)
    assert all(options[name].default == value for name, value in given.items()), (
        "what nobody touched is left out"
    )
    typed = {"face": "all", "size": 0, **({"engine": "auto"} if kind is Speak else {})}
    assert read(kind, typed) == {"face": "all"}


@pytest.mark.slow
def test_the_example_makes_a_signed_film_and_verifies_it(pack, comfy, picture):
    prompt = json.loads((PACK / "example.json").read_text())
    prompt["4"]["inputs"] |= {"size": 128, "refine": False}
    results = executed(pack, prompt, LoadImage=picture)
    frames, fps, file = results["4"]
    assert frames.dtype == torch.float32
    assert frames.shape[1:] == (128, 128, 3)
    assert 0 <= float(frames.min()) < 0.2
    assert 0.8 < float(frames.max()) <= 1
    assert float((frames[0] - frames[len(frames) // 3]).abs().max()) > 0.1, "it moves"
    assert fps == pytest.approx(25, abs=0.5)
    assert file == str(comfy.folder / "output" / "gioconda_00001_.mp4")
    status, words, verdict = results["5"]
    assert status == "ours"
    assert "made with Gioconda" in words
    assert json.loads(verdict)["manifest"]["rights"] == RIGHTS
    assert comfy.bars[-1][0] == comfy.bars[-1][1] == len(frames)


@pytest.mark.slow
def test_frames_drive_and_texts_and_sounds_are_spoken(pack, comfy, picture, talking_astronaut):
    files = sys.modules["custom_nodes.gioconda.files"]
    driver, rate = files.film_frames(talking_astronaut)
    prompt = {
        "portrait": {"class_type": "GiocondaPortrait", "inputs": {"image": ["image", 0], "rights": RIGHTS}},
        "motion": {
            "class_type": "GiocondaMotion",
            "inputs": {"template": "nod", "frames": ["frames", 0], "fps": rate},
        },
        "moved": {
            "class_type": "GiocondaAnimate",
            "inputs": {"portrait": ["portrait", 0], "motion": ["motion", 0], "format": "gif", **SMALL},
        },
        "said": {
            "class_type": "GiocondaSpeak",
            "inputs": {"portrait": ["portrait", 0], "text": "Oh.", "voice": "f2", **SMALL},
        },
        "heard": {
            "class_type": "GiocondaSpeak",
            "inputs": {"portrait": ["portrait", 0], "text": "", "audio": ["sound", 0], **SMALL},
        },
    }
    time = torch.arange(8000) / 16000
    sound = {"waveform": (torch.sin(time * 1400) * (time % 0.2 < 0.1))[None, None], "sample_rate": 16000}
    given = {"image": picture, "frames": driver[:12], "sound": sound}
    sources = {name: {"class_type": name, "inputs": {}} for name in given}
    results = executed(pack, {**sources, **prompt}, **given)
    assert len(results["moved"][0]) == 12
    with gioconda.media.read_frames(results["motion"][0]) as kept:
        assert np.array_equal(next(kept).image, files.to_arrays(driver[:1])[0]), "without loss"
    for name in ("said", "heard"):
        path = results[name][2]
        assert gioconda.media.probe(path).has_audio
        assert gioconda.verify(path).status == "ours"
    assert len(results["heard"][0]) == pytest.approx(0.5 * results["heard"][1], abs=4)


def test_what_cannot_be_is_told_and_other_folders_stay_shut(pack, comfy, picture, tmp_path):
    nodes = pack.NODE_CLASS_MAPPINGS
    with pytest.raises(InputError, match="say what entitles you"):
        nodes["GiocondaPortrait"]().load(picture, " ")
    (comfy.folder / "secret.png").write_bytes(b"secret")
    (comfy.folder / "input" / "link.png").symlink_to(comfy.folder / "secret.png")
    for name in ("../secret.png", str(comfy.folder / "secret.png"), "link.png", "none.mp4", ""):
        with pytest.raises(InputError, match="not a file in ComfyUI's"):
            nodes["GiocondaVerify"]().check(name)
        if name:
            with pytest.raises(InputError, match="not a file in ComfyUI's"):
                nodes["GiocondaMotion"]().load("nod", file=name)
    with pytest.raises(InputError, match="not both"):
        nodes["GiocondaMotion"]().load("nod", picture, file="a.mp4")
    cv2.imwrite(str(comfy.folder / "input" / "own.png"), np.full((80, 80, 3), 99, np.uint8))
    assert nodes["GiocondaVerify"]().check("own.png")["result"][0] == "unmarked"
    before = nodes["GiocondaVerify"].IS_CHANGED("own.png")
    (comfy.folder / "input" / "own.png").touch()
    assert nodes["GiocondaVerify"].IS_CHANGED("own.png") != before


def test_the_user_can_stop_a_film_and_nothing_is_left(pack, comfy, picture):
    [portrait] = pack.NODE_CLASS_MAPPINGS["GiocondaPortrait"]().load(picture, RIGHTS)
    comfy.interrupted = True
    with pytest.raises(InterruptedError):
        pack.NODE_CLASS_MAPPINGS["GiocondaAnimate"]().make(portrait, "nod", **SMALL)
    assert list((comfy.folder / "output").iterdir()) == []
