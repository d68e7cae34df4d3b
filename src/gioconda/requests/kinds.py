"""The requests `Animate`, `Speak`, `Edit` and `Export`. Each option is declared here, once.

The keyword arguments of the Python functions, the command line, the columns of a table, the HTTP schema, the page's
ranges and the documentation's tables are all derived from these classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from gioconda.errors import InputError
from gioconda.limits import CROP_SIDE, EXPORT_SIDE, LIMITS, SMALLEST_SIDE, WHOLE_SIDE
from gioconda.motion.emotion import EMOTIONS
from gioconda.motion.retarget import REGIONS, STRENGTH
from gioconda.motion.templates import TEMPLATES
from gioconda.registry import describe_motions, engine_entry, engines, misfit, needing_files
from gioconda.requests.fields import (
    OptionError,
    Place,
    check_options,
    option,
    option_of,
    options_of,
    part_of,
)
from gioconda.requests.values import (
    TRANSPARENT,
    Background,
    Choice,
    Coefficients,
    Emotions,
    FaceChoice,
    Flag,
    FlagOrFile,
    LocalFile,
    Media,
    Number,
    Text,
    Whole,
)
from gioconda.runtime.devices import ENCODERS, SOFTWARE_ENCODER
from gioconda.types import USUAL_MANNER, DrivingPart, Image, Portrait

if TYPE_CHECKING:
    from gioconda.inputs.sources import Loader
    from gioconda.types import Motion, PathLike, Progress

PHOTOS = 32
"""The most further photos of a person."""
SEEDS = 2**31
"""Number of seeds."""
AS_IT_IS = "as it is"
"""The shape of an export that keeps the film's own."""
SHAPES: Mapping[str, tuple[int, int]] = {"vertical": (9, 16), "square": (1, 1)}
"""Width and height of the other shapes of an export, as the least whole numbers."""

_ENGINES = Choice(tuple(engines()), needing_files(engines()))
RIGHTS = Text(3, 500)
DEGREES, GAZE = Number(-90, 90, "degrees"), Number(-1, 1)
# Letters and digits alone, because espeak-ng uses a voice's name as part of a path.
_VOICE = Text(0, 24, r"[A-Za-z0-9]*")
_LANGUAGE = Text(2, 24, r"[A-Za-z]+(-[A-Za-z0-9]+)*")

_PORTRAIT = "A picture or video of the face, or a person or identity file of `adapt`."
_MOTION = f"A video, a picture of an expression, a sound to speak, {describe_motions()}"
_FILM = "A video that Gioconda made and that has not changed since."
_FACE_HELP = "Which face moves: 0 for the largest, 1 for the next, and so on"


def _encoder() -> Any:
    """The option of everything that writes a video. A server's clients do not know its hardware, so HTTP lacks it."""
    return option(
        Choice(ENCODERS),
        "What encodes an .mp4: libx264, a hardware encoder, or auto for the first of those that this machine opens.",
        default=SOFTWARE_ENCODER,
        places=Place.LOCAL,
    )


@dataclass(frozen=True)
class _Signed:
    """Options of the signature that every written file carries."""

    _: KW_ONLY
    key: PathLike | None = option(
        LocalFile(), "Your own private key (PEM) to sign with.", default=None, places=Place.LOCAL
    )
    certificate: PathLike | None = option(
        LocalFile(), "The certificate chain (PEM) of that key.", default=None, places=Place.LOCAL
    )
    overwrite: bool = option(
        Flag(), "Allow the output to replace one of the inputs.", default=False, places=Place.LOCAL
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class _Marked(_Signed):
    """Options of the other marks of what is made from a portrait."""

    _: KW_ONLY
    label: bool = option(Flag(), "Write a visible label into the picture.", default=False)
    rights: str | None = option(
        RIGHTS, "What entitles you to this likeness; recorded in the signed manifest.", default=None
    )


@dataclass(frozen=True)
class _Rendered(_Marked):
    """Options of everything rendered from a portrait."""

    _: KW_ONLY
    photos: Sequence[PathLike | Image] = option(
        Media("photo", "Further photos of the same person.", most=PHOTOS),
        "A further photo of the same person; may be repeated.",
        default=(),
        flag="photo",
    )
    refine: bool | PathLike = option(
        FlagOrFile(),
        "Let a small network repair mouth and eyes.",
        default=True,
        negated="no-refine",
    )
    crop: bool = option(Flag(), "Show a square around the face, not the whole picture.", default=False)
    size: int | None = option(
        Whole(SMALLEST_SIDE, LIMITS.output_side, "pixels"),
        "Side of the crop, or longer side of the picture, in pixels. If left out, a crop has "
        f"{CROP_SIDE}, and a picture its own, up to {WHOLE_SIDE}. A smaller picture is enlarged after rendering.",
        default=None,
    )
    emotion: str = option(
        Emotions(),
        f"An emotion, or several separated by commas, each with a strength: happy:0.7. One of {', '.join(EMOTIONS)}.",
        default="",
    )
    background: PathLike | None = option(
        Background(),
        f"What a transparent portrait lies over: a colour, a picture, or {TRANSPARENT}; if left out, white.",
        default=None,
    )


@dataclass(frozen=True)
class _Filmed(_Rendered):
    """Options of videos.

    Attributes:
        progress: Called repeatedly with (stage, done, total); an exception that it raises ends the work.
    """

    result: ClassVar[Literal["film", "picture"]] = "film"

    _: KW_ONLY
    weights: PathLike | None = option(
        LocalFile(),
        "The fewshot.safetensors of networks that you trained; the engine fewshot needs it.",
        default=None,
        places=Place.LOCAL,
    )
    face: int | str = option(FaceChoice(), f"{_FACE_HELP}, or all.", default=0)
    strength: float = option(
        Number(*STRENGTH), "Strength of the motion; 1 transfers it as it is.", default=1.0
    )
    bank: PathLike | None = option(
        Media("bank", "Mouths of a video's person, as `adapt` collects them."),
        "Mouths of a video's person, collected by adapt --for speech, for the engine lipsync.",
        default=None,
    )
    retime: bool = option(
        Flag(),
        "Retime a video so that its head rests when its mouth does, for the engine lipsync.",
        default=True,
        negated="no-retime",
    )
    encoder: str = _encoder()
    progress: Progress | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Animate(_Filmed):
    """Animate a portrait with a motion.

    Args:
        portrait: A path, a `Portrait`, or a picture (H, W, 3) uint8 RGB.
        motion: A path, the name of a template, or a `Motion`.
        out: The video to write (.mp4, .webm, .mov, .gif, .apng).
    """

    kind: ClassVar[str] = "animate"

    portrait: PathLike | Portrait | Image = option(Media("portrait", _PORTRAIT), _PORTRAIT)
    motion: PathLike | Motion | Loader = option(
        Media(
            "motion",
            f"{_MOTION}.",
            word="template",
            words=TEMPLATES,
        ),
        f"{_MOTION}, or a template: {', '.join(TEMPLATES)}.",
    )
    out: PathLike | None = None
    _: KW_ONLY
    engine: str = option(
        _ENGINES,
        "The engine that renders; lipsync gives the person in a video other words.",
        default="warp",
    )
    absolute: bool = option(
        Flag(), "Use the driver's own pose and expression, not their changes from rest.", default=False
    )
    driver_face: int = option(
        FaceChoice(every=False),
        "Which face of a driving video to follow: 0 for the largest, 1 for the next, and so on.",
        default=0,
    )
    start: float = option(
        Number(0, LIMITS.video_seconds, "seconds"),
        "Where the used part of a driving video begins, in seconds from its first frame.",
        default=0.0,
    )
    end: float | None = option(
        Number(0, LIMITS.video_seconds, "seconds"),
        "Where that part ends, in seconds from the first frame; if left out, at the end of the video.",
        default=None,
    )
    region: str = option(Choice(REGIONS), "The part of the motion to transfer.", default="all")
    audio: bool = option(Flag(), "Keep the driver's sound.", default=True, negated="no-audio")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_engine(self, self.engine)
        part_of(DrivingPart, self)


@dataclass(frozen=True)
class Speak(_Filmed):
    """Let a portrait, or the person in a video, speak a sound or a text.

    Args:
        portrait: A path, a `Portrait`, or a picture (H, W, 3) uint8 RGB.
        out: The video to write (.mp4, .webm, .mov, .gif, .apng).
    """

    kind: ClassVar[str] = "speak"

    portrait: PathLike | Portrait | Image = option(Media("portrait", _PORTRAIT), _PORTRAIT)
    out: PathLike | None = None
    _: KW_ONLY
    audio: PathLike | None = option(
        Media("audio", "A sound, or a video with sound."),
        "A sound to speak, or a video with sound.",
        default=None,
    )
    text: str | None = option(
        Text(1, LIMITS.text_characters), "A text to say, by an offline voice.", default=None
    )
    voice: str = option(
        _VOICE, "The voice that says the text, such as f2; gioconda speak --list has all.", default=""
    )
    language: str = option(_LANGUAGE, "The language of the text, such as en, fr, cmn, ja.", default="en")
    seed: int = option(Whole(0, SEEDS - 1), "Seed of blinks, brows and the head's movements.", default=0)
    blink_rate: float = option(
        Number(0, 60, "blinks a minute"),
        "How often the speaker blinks, in blinks a minute.",
        default=USUAL_MANNER.blink_rate,
    )
    engine: str | None = option(
        _ENGINES,
        "The engine that renders; if left out, lipsync for a video and warp for a picture.",
        default=None,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.audio is None) == (self.text is None):
            raise InputError(
                f"give either a sound to speak (audio) or a text to say (text){self._misplaced()}"
            )
        if self.engine is not None:
            check_engine(self, self.engine)

    def _misplaced(self) -> str:
        """A hint for a text in the place of the output; "" for other mistakes."""
        spoken = self.audio is None and isinstance(self.out, str) and " " in self.out.strip()
        return f"; {self.out!r} is in the place of the output: write text={self.out!r}" if spoken else ""


@dataclass(frozen=True)
class Edit(_Rendered):
    """Turn the head, move the eyes and change the expression of a still picture.

    Args:
        portrait: A path, a `Portrait`, or a picture (H, W, 3) uint8 RGB.
        out: The picture to write (.png, .jpg, .webp).
    """

    kind: ClassVar[str] = "edit"
    result: ClassVar[Literal["film", "picture"]] = "picture"

    portrait: PathLike | Portrait | Image = option(Media("portrait", _PORTRAIT), _PORTRAIT)
    out: PathLike | None = None
    _: KW_ONLY
    yaw: float = option(
        DEGREES, "Turn to the viewer's right, in degrees; large turns are softened.", default=0.0
    )
    pitch: float = option(DEGREES, "Turn upwards, in degrees; large turns are softened.", default=0.0)
    roll: float = option(DEGREES, "Tilt clockwise, in degrees; large turns are softened.", default=0.0)
    gaze_x: float = option(GAZE, "Gaze to the viewer's right; 0 looks ahead.", default=0.0)
    gaze_y: float = option(GAZE, "Gaze upwards; 0 looks ahead.", default=0.0)
    coefficients: Mapping[str, float] = option(
        Coefficients(), "An ARKit coefficient, 0 to 1; may be repeated.", factory=dict, flag="set"
    )
    like: PathLike | Image | None = option(
        Media("like", "A picture whose expression the portrait takes over."),
        "A picture whose expression the portrait takes over.",
        default=None,
    )
    absolute: bool = option(Flag(), "Take over the pose of the head in that picture, too.", default=False)
    face: int = option(FaceChoice(every=False), f"{_FACE_HELP}.", default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.absolute and self.like is None:
            raise InputError("absolute takes the pose of a picture; give that picture as like")


@dataclass(frozen=True)
class Export(_Signed):
    """Write a finished film again, in another format, shape or size.

    Args:
        film: A video that Gioconda made and that has not changed since.
        out: The video to write (.mp4, .webm, .mov, .gif, .apng).
        progress: Called repeatedly with (stage, done, total); an exception that it raises ends the work.
    """

    kind: ClassVar[str] = "export"
    result: ClassVar[Literal["film", "picture"]] = "film"

    film: PathLike = option(Media("film", _FILM), _FILM)
    out: PathLike | None = None
    _: KW_ONLY
    shape: str = option(
        Choice((AS_IT_IS, *SHAPES)),
        "The shape of the result: vertical is 9:16. It shows the whole film, over a blurred copy of itself.",
        default=AS_IT_IS,
    )
    size: int | None = option(
        Whole(SMALLEST_SIDE, LIMITS.output_side, "pixels"),
        "Longer side of the result, in pixels. If left out, the film keeps its size, and a vertical or square result "
        f"has up to {EXPORT_SIDE}.",
        default=None,
    )
    sidecar: PathLike | None = option(
        Media("sidecar", "The film's manifest, if it is a file of its own, as that of a WebM."),
        "The film's manifest, if it is a file of its own.",
        default=None,
        places=Place.HTTP,
    )
    encoder: str = _encoder()
    progress: Progress | None = field(default=None, compare=False, repr=False)


def check_engine(request: Animate | Speak, engine: str) -> None:
    """Check that the engine supports every option that is set, and has what it needs.

    An option turned off counts as not set.

    Args:
        request: The request.
        engine: Name of the engine that will carry it out.

    Raises:
        OptionError: Only other engines support an option that is set, or the engine needs one that is not.
        InputError: The engine is unknown.
    """
    for candidate in options_of(request):
        value = getattr(request, candidate.name)
        # The files of a tuple may be arrays, which cannot be compared.
        is_set = not candidate.required and (
            len(value) > 0 if candidate.default == () else value not in (candidate.default, False)
        )
        if is_set and (problem := misfit(engine, candidate.name)):
            raise OptionError(candidate, problem)
    if problem := engine_entry(engine).lack(vars(request)):
        raise OptionError(option_of(request, "engine"), f"{engine} {problem}")


Request: TypeAlias = Animate | Speak | Edit | Export
KINDS: Mapping[str, type[Request]] = {kind.kind: kind for kind in (Animate, Speak, Edit, Export)}
"""The kinds of request by name."""
