"""The registry of engines, of kinds of motion file and of live streams, from this package and from others.

Another package registers an `EngineEntry` under the entry point group `gioconda.engines`, a `MotionEntry` under
`gioconda.motions`, or a `StreamEntry` under `gioconda.streams`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gioconda.errors import InputError
from gioconda.runtime.extras import require

ENGINES, MOTIONS, STREAMS = "gioconda.engines", "gioconda.motions", "gioconda.streams"
"""Groups of entry points."""
OTHER = "other"
"""Name of an engine of another package in what the watermark says."""


@dataclass(frozen=True)
class EngineEntry:
    """An engine's entry in the registry.

    Attributes:
        name: By which users choose it.
        opens: `module:function`, called with the options `opens_with`; returns an `Engine`. Empty for lip-sync, which
            renders whole videos.
        opens_with: Names of the request's options that `opens` takes.
        takes: Names of other options of the request that this engine supports and some other engines do not.
        number: Its number in the watermark, 1 to 15; 0 for engines of other packages.
        purpose: The `purpose` for which `adapt` prepares this engine for a person; empty if it cannot be prepared.
        adapts: `module:function`, called with an `Adapt` request; writes its file and returns an `Adapted`.
        extra: The package's extra that `adapts` needs; empty if it needs none.
        needs: Those of `opens_with` without which the engine does not open: files of this machine. A server's clients
            cannot give them, so the engine is not offered over HTTP.
        instead: What to do without them, for users; continues "fewshot needs weights: ".
    """

    name: str
    opens: str
    opens_with: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    number: int = 0
    purpose: str = ""
    adapts: str = ""
    extra: str = ""
    needs: tuple[str, ...] = ()
    instead: str = ""

    def lack(self, options: Mapping[str, Any]) -> str:
        """Which files are missing in `options` (name -> value), and what to do; continues the engine's name, or ""."""
        missing = [name for name in self.needs if options.get(name) is None]
        return f"needs {' and '.join(missing)}: {self.instead}" if missing else ""

    def open(self, options: Mapping[str, Any]) -> Any:
        """Open the engine with those of `options` (name -> value) that `opens` takes; InputError if it needs others."""
        if problem := self.lack(options):
            raise InputError(f"{self.name} {problem}")
        return _named(self.opens)(**{name: options[name] for name in self.opens_with if name in options})

    def adapt(self, request: Any) -> Any:
        """The `Adapted` of an `Adapt` request; MissingFileError where a library is missing."""
        self.check_adapts()
        return _named(self.adapts)(request)

    def check_adapts(self) -> None:
        """MissingFileError unless this installation can prepare for a person."""
        if self.extra:
            require(self.extra, f"adapting for {self.purpose}")


@dataclass(frozen=True)
class MotionEntry:
    """The entry of a kind of motion file in the registry.

    Attributes:
        suffix: The ending of its files, in lower case, such as ".npz".
        describes: Its name for users, with an article.
        begins: The first bytes of its files, one of which a server expects in an upload.
        reads: `module:function`, called with a path; returns a `Motion`, or raises InputError.
        writes: `module:function`, called with `path` and `motion`; "" if Gioconda cannot write such files.
        mime: Media type for the manifest.
    """

    suffix: str
    describes: str
    begins: tuple[bytes, ...]
    reads: str
    writes: str = ""
    mime: str = "application/octet-stream"

    def __post_init__(self) -> None:
        if not self.suffix.startswith(".") or self.suffix != self.suffix.lower():
            raise InputError(f"the suffix {self.suffix!r} must begin with a dot and be in lower case")
        # A caller without a type checker may give bytes, whose members are numbers.
        begins: Any = self.begins
        if isinstance(begins, bytes):
            raise InputError(f"begins of {self.suffix} must be a tuple of bytes, such as ({begins!r},)")

    def read(self, path: Path) -> Any:
        """Read a file and return its `Motion`; InputError if it cannot be read."""
        return _named(self.reads)(path)

    def write(self, path: Path, motion: Any) -> None:
        """Write a `Motion` to a path."""
        _named(self.writes)(path=path, motion=motion)

    def as_bytes(self, motion: Any) -> bytes:
        """The bytes of the file of a `Motion`."""
        with TemporaryDirectory(prefix="gioconda-motion-") as folder:
            path = Path(folder) / f"motion{self.suffix}"
            self.write(path, motion)
            return path.read_bytes()


@dataclass(frozen=True)
class StreamEntry:
    """The entry of a kind of message that drives a live session.

    Attributes:
        name: For users, such as "landmarks".
        number: The first byte of its messages: 16 to 255 for other packages.
        describes: What a message is, with an article.
        opens: `module:function`, called without arguments when a session receives the first such message; returns a
            reader: of moments (`gioconda.web.live.readers.Reader`), or of sound (`SoundReader`) for voices.
        use: The use of the sessions that it drives: "live", or "voice".
        most_bytes: Largest message in bytes.
    """

    name: str
    number: int
    describes: str
    opens: str
    use: str = "live"
    most_bytes: int = 64 * 2**10

    def __post_init__(self) -> None:
        if not 0 < self.number < 256:
            raise InputError(f"the number {self.number} of the stream {self.name} must be 1 to 255")

    def open(self) -> Any:
        """Open the stream and return its reader."""
        return _named(self.opens)()


def _named(name: str) -> Callable[..., Any]:
    """The function called `module:function`."""
    module, _, attribute = name.partition(":")
    try:
        function: Callable[..., Any] = getattr(import_module(module), attribute)
    except AttributeError:
        raise InputError(f"the registry names {name}, but {module} has no {attribute}") from None
    return function


# Options of the engines that animate a portrait.
_PORTRAIT = ("face", "crop", "size", "absolute", "region", "emotion")
OWN = (
    EngineEntry(
        "warp",
        "gioconda.engines.warp:open_engine",
        ("refine",),
        (*_PORTRAIT, "photos", "background"),
        1,
        purpose="photos",
        adapts="gioconda.persons:carry_out",
    ),
    EngineEntry(
        "fewshot",
        "gioconda.engines.fewshot:open_engine",
        ("weights",),
        (*_PORTRAIT, "photos"),
        2,
        purpose="fewshot",
        adapts="gioconda.training.fewshot.person:carry_out",
        extra="train",
        needs=("weights",),
        # The one place that tells users what to do without few-shot networks.
        instead="no few-shot networks are packaged. Leave it out, and give several photos or a film's person file "
        "(gioconda adapt film.mp4 -o me.safetensors). Or give networks that you trained (gioconda train fewshot) as "
        "--weights; an identity file needs those that it was fitted to",
    ),
    EngineEntry(
        "lipsync",
        "",
        (),
        ("bank", "retime"),
        3,
        purpose="speech",
        adapts="gioconda.lipsync.build:carry_out",
    ),
)
"""The package's own engines; the first is the default."""

LIPSYNC = OWN[2].name
"""Name of the engine that renders whole videos."""

OWN_MOTIONS = (
    MotionEntry(
        ".npz",
        "a saved motion",
        (b"PK\x03\x04",),
        "gioconda.motion.store:load",
        "gioconda.motion.store:save",
        "application/x-npz",
    ),
    MotionEntry(
        ".csv",
        "a Live Link Face recording",
        # as apps and as spreadsheets write them: byte order marks, UTF-16, other separators
        (
            *(b"Timecode" + sign for sign in (b",", b";", b"\t")),
            *(b"\xef\xbb\xbfTimecode" + sign for sign in (b",", b";", b"\t")),
            "\ufeffTimecode".encode("utf-16-le"),
            "\ufeffTimecode".encode("utf-16-be"),
            b"sep=",
        ),
        "gioconda.motion.livelink:read_livelink",
        "gioconda.motion.livelink:write_livelink",
        "text/csv",
    ),
)
"""The package's own kinds of motion file."""


OWN_STREAMS = (
    StreamEntry(
        "landmarks",
        1,
        "the landmarks of a face: float64 seconds, float32 width and height of the camera's picture in pixels, then "
        "float32 x, y and z of 478 points in pixels, or no points where the picture shows no face; little endian",
        "gioconda.web.live.readers:LandmarkReader",
    ),
    StreamEntry(
        "camera",
        2,
        "float64 seconds, little endian, then a JPEG picture of a camera, in which the server tracks the face",
        "gioconda.web.live.readers:CameraReader",
        most_bytes=512 * 2**10 + 16,
    ),
    StreamEntry(
        "voice",
        3,
        "sound of a voice: int16 samples, mono, 16 kHz, little endian",
        "gioconda.web.live.readers:VoiceReader",
        use="voice",
    ),
)
"""The package's own kinds of live stream."""
_LEAST_OTHER_STREAM = 16


@dataclass(frozen=True)
class Extension:
    """What another package registers.

    Attributes:
        name: The entry point's name, for users.
        package: The package that it comes from, and its version.
        entry: Its entry; None if it cannot be used.
        problem: Why it cannot be used, a sentence; "" if it can.
    """

    name: str
    package: str
    entry: EngineEntry | MotionEntry | StreamEntry | None
    problem: str = ""


_KINDS: Mapping[str, type[Any]] = {ENGINES: EngineEntry, MOTIONS: MotionEntry, STREAMS: StreamEntry}


@lru_cache(maxsize=1)
def _entry_points() -> EntryPoints:
    """The entry points of all installed packages; to read them takes a tenth of the program's start."""
    return entry_points()


@lru_cache(maxsize=len(_KINDS))
def extensions(group: str) -> tuple[Extension, ...]:
    """The entries of other packages in a group of entry points; one that fails leaves all others usable."""
    kind = _KINDS[group]
    found = []
    for point in _entry_points().select(group=group):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"
        try:
            entry = point.load()
        # The module of another package may raise anything.
        except Exception as error:
            problem = (
                f"the extension {point.name} of {package} cannot be loaded: {type(error).__name__}: {error}"
            )
            found.append(Extension(point.name, package, None, problem))
            continue
        if isinstance(entry, kind):
            found.append(Extension(point.name, package, entry))
        else:
            problem = f"the extension {point.name} of {package} is no {kind.__name__}"
            found.append(Extension(point.name, package, None, problem))
    return tuple(found)


@lru_cache(maxsize=1)
def motions() -> Mapping[str, MotionEntry]:
    """All kinds of motion file by suffix. An entry of another package never replaces one of this package."""
    entries = {entry.suffix: entry for entry in OWN_MOTIONS}
    for extension in extensions(MOTIONS):
        if isinstance(extension.entry, MotionEntry):
            entries.setdefault(extension.entry.suffix, extension.entry)
    return entries


@lru_cache(maxsize=1)
def streams() -> Mapping[int, StreamEntry]:
    """All kinds of live stream by number. An entry of another package never replaces one of this package."""
    entries = {entry.number: entry for entry in OWN_STREAMS}
    for extension in extensions(STREAMS):
        entry = extension.entry
        if isinstance(entry, StreamEntry) and entry.number >= _LEAST_OTHER_STREAM:
            entries.setdefault(entry.number, entry)
    return entries


def describe_motions() -> str:
    """The kinds of motion file in words: "a saved motion (.npz), ..."."""
    return ", ".join(f"{entry.describes} ({entry.suffix})" for entry in motions().values())


@lru_cache(maxsize=1)
def engines() -> Mapping[str, EngineEntry]:
    """All engines by name. An entry of another package never replaces one of this package."""
    entries = {entry.name: entry for entry in OWN}
    for extension in extensions(ENGINES):
        if isinstance(extension.entry, EngineEntry) and extension.entry.opens:
            entries.setdefault(extension.entry.name, extension.entry)
    return entries


def adapters() -> Mapping[str, EngineEntry]:
    """The engines that can be prepared for a person, by purpose."""
    return {entry.purpose: entry for entry in engines().values() if entry.adapts}


def needing_files(entries: Mapping[str, EngineEntry]) -> tuple[str, ...]:
    """The names of those entries that need files of this machine; HTTP does not offer them."""
    return tuple(name for name, entry in entries.items() if entry.needs)


def engine_entry(name: str) -> EngineEntry:
    """The entry of the engine called `name`; InputError if there is none."""
    known = engines()
    if name not in known:
        raise InputError(f"engine {name!r} is not known; choose one of {', '.join(known)}")
    return known[name]


def misfit(engine: str, option: str) -> str:
    """Why an option does not apply to an engine.

    Args:
        engine: Its name.
        option: The option's name.

    Returns:
        A sentence that continues the option's name; "" if the option applies.

    Raises:
        InputError: The engine is unknown.
    """
    entry = engine_entry(engine)
    if option in (*entry.opens_with, *entry.takes):
        return ""
    supporting = [e.name for e in engines().values() if option in (*e.opens_with, *e.takes)]
    if not supporting:
        return ""
    return (
        f"does not apply to the engine {engine}; leave it out, or choose the engine {' or '.join(supporting)}"
    )


def engine_number(name: str) -> int:
    """Number of an engine in the watermark, 0 to 15; 0 for engines of other packages."""
    return next((entry.number for entry in OWN if entry.name == name), 0)


def engine_name(number: int) -> str | None:
    """Name of the engine with a number in the watermark: OTHER for 0, None for an unused number."""
    return OTHER if number == 0 else next((entry.name for entry in OWN if entry.number == number), None)
