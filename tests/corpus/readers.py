"""What the program does with a file that somebody hands in, for each kind of file: reading alone, or a command."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from corpus import seeds
from gioconda import media
from gioconda.cli import run
from gioconda.errors import GiocondaError
from gioconda.lipsync.build import load_database

MOST = 60  # frames or blocks that are read of a file which claims to hold more
FINE = {0, 2, 3, 4, 5, 6, 10, 11}  # exit codes that tell what is the matter


class BadEndError(Exception):
    """A command that ended otherwise than it should."""


def _drain(reader) -> None:
    with reader as items:
        for _ in islice(items, MOST):
            pass


def image(path: Path, _: Path) -> None:
    media.read_picture(path)
    if media.is_video(path):
        _drain(media.read_frames(path))


def video(path: Path, good: Path) -> None:
    if media.is_sound(path):
        sound(path, good)
    elif media.is_video(path):
        _drain(media.read_frames(path))
        _carried_over(path)


def sound(path: Path, _: Path) -> None:
    media.probe_sound(path)
    _drain(media.read_sound(path, warn=lambda text: None))
    _carried_over(path)


def _carried_over(path: Path) -> None:
    """The file's sound beside three plain pictures in a new video, which then must be sound itself."""
    picture = seeds.portrait(32)
    out = path.with_name("carried.mp4" if len(path.name) % 2 else "carried.webm")
    writer = media.open_writer(out, (32, 32), times=[0.0, 0.04, 0.08], audio_from=path)
    with writer:
        for time in (0.0, 0.04, 0.08):
            writer.write(picture, time)
    media.publish(writer.temp, out)
    if media.probe(out).frames < 3:
        raise BadEndError(f"{out.name} lost pictures to its sound")


def motion(path: Path, _: Path) -> None:
    from gioconda.motion import livelink, store

    (store.load if path.suffix == ".npz" else livelink.read_livelink)(path)


def identity(path: Path, _: Path) -> None:
    from gioconda.engines.fewshot import identity as identities

    found, digest = identities.read(path)
    found.portrait(path.name, digest)


def bank(path: Path, _: Path) -> None:

    len(load_database(path).features)


def weights(path: Path, _: Path) -> None:
    from gioconda.engines.fewshot.network import read_tensors

    read_tensors(path)


def network(path: Path, _: Path) -> None:
    from gioconda.engines.warp.refiner import Network

    Network(path, 1)(np.zeros((1, 2, 8, 8), np.float32))


def key(path: Path, good: Path) -> None:
    from gioconda.provenance.certificate import signing_identity

    signing_identity(
        path if path.name.startswith("key") else good / "key.pem",
        path if path.name.startswith("cert") else good / "certificate.pem",
    )


@dataclass(frozen=True)
class Run:
    """Settings such as a training run has."""

    steps: int = 1
    batch: int = 1
    rate: float = 1.0
    features: str = ""
    people: int = 0


def preset(path: Path, _: Path) -> None:
    from gioconda.training.config import load

    load(Run, str(path))


def signed(path: Path, _: Path) -> None:
    import gioconda

    gioconda.verify(path)


def sidecar(path: Path, good: Path) -> None:
    import gioconda

    film = path.with_suffix(".webm")
    shutil.copyfile(good / "signed.webm", film)
    gioconda.verify(film)


READERS = {
    "image": image,
    "video": video,
    "sound": sound,
    "motion": motion,
    "identity": identity,
    "bank": bank,
    "weights": weights,
    "network": network,
    "key": key,
    "preset": preset,
    "signed": signed,
    "sidecar": sidecar,
}
_TINY = ["--crop", "--size", "64"]
_FEWSHOT = ["--engine", "fewshot", "--weights"]
# tests/fuzz.py runs without the tests' own paths.
_EXAMPLE = Path(__file__).parents[1] / "data" / "fewshot" / "fewshot.safetensors"


def command(kind: str, path: Path, good: Path, out: Path) -> list[str] | None:
    """A command line that reads `path`, to which its result goes; None where there is none for the kind."""
    face, take, tone = good / "rgb.png", good / "short.npz", good / "tone.wav"
    lines: dict[str, list[object]] = {
        "image": ["animate", path, "--motion", take, *_TINY, "-o", out],
        "video": ["animate", face, "--motion", path, *_TINY, "-o", out],
        "sound": ["speak", face, "--audio", path, *_TINY, "-o", out],
        "motion": ["animate", face, "--motion", path, *_TINY, "-o", out],
        "identity": ["animate", path, "--motion", take, *_FEWSHOT, _EXAMPLE, "-o", out],
        "bank": ["speak", good / "h264.mp4", "--audio", tone, "--bank", path, "-o", out],
        "weights": ["animate", face, "--motion", take, *_FEWSHOT, path, "-o", out],
        "signed": ["verify", path],
    }
    if kind == "key":
        key_file = path if path.name.startswith("key") else good / "key.pem"
        chain = path if path.name.startswith("cert") else good / "certificate.pem"
        pair = ["--key", key_file, "--certificate", chain]
        lines["key"] = ["animate", face, "--motion", take, *_TINY, *pair, "-o", out]
    return [str(word) for word in lines[kind]] if kind in lines else None


def whole_program(kind: str, path: Path, good: Path) -> None:
    """The command that reads such a file, in this process; BadEndError unless it ends as it ought to."""
    folder = path.parent / "out"
    out = folder / "old.mp4"
    line = command(kind, path, good, out)
    if line is None:
        return
    folder.mkdir(exist_ok=True)
    out.write_text("old")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = run(line)
        told = said.getvalue()
        if code not in FINE or "Traceback" in told or "report it" in told:
            raise BadEndError(f"exit code {code}: {told.strip()[:300]}")
        left = sorted(one.name for one in folder.iterdir())
        if (
            left != ["old.mp4"]
            or (code and out.read_text() != "old")
            or (not code and not told_ours(kind, out))
        ):
            raise BadEndError(f"exit code {code} left {left}")
    finally:
        shutil.rmtree(folder)


def told_ours(kind: str, out: Path) -> bool:
    """Whether a finished output is whole and ours; commands that write none are fine."""
    import gioconda

    return kind == "signed" or gioconda.verify(out).status == "ours"


@contextlib.contextmanager
def own_home(folder: Path) -> Iterator[None]:
    """Keys and caches in a folder of the test's own."""
    before = os.environ.get("GIOCONDA_HOME")
    os.environ["GIOCONDA_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["GIOCONDA_HOME"]
        else:
            os.environ["GIOCONDA_HOME"] = before


def read(kind: str, path: Path, good: Path, *, whole: bool) -> str:
    """Read a file as its kind asks; "read", or "refused" by an error for people. Any other error goes through."""
    try:
        if whole:
            whole_program(kind, path, good)
        else:
            READERS[kind](path, good)
    except GiocondaError as error:
        if path.name not in str(error) and kind not in ("preset", "weights"):
            raise BadEndError(f"an error that does not name the file: {error}") from error
        return "refused"
    return "read"
