"""The kinds of job that can be asked for, with the options of the Python API and their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gioconda.errors import InputError
from gioconda.limits import LIMITS
from gioconda.orders import ROLES, Roles

SOURCES = 32  # photos and videos that a person is fitted to, at most

_RIGHTS = "What entitles you to use this likeness; written into the signed manifest."

Rights = Annotated[
    str, Field(min_length=3, max_length=500, description=_RIGHTS, examples=["It is my own likeness."])
]
Strength = Annotated[float, Field(ge=0, le=2, description="Of the motion; 1 passes it on as it is.")]
Side = Annotated[
    int | None,
    Field(ge=64, le=LIMITS.output_side, description="Side of the crop, or longer side, in pixels."),
]
Which = Annotated[
    Annotated[int, Field(ge=0, lt=LIMITS.faces)] | Literal["all"],
    Field(description="0 for the largest face, 1 for the next; or all."),
]
Degrees = Annotated[float, Field(ge=-90, le=90)]
Gaze = Annotated[float, Field(ge=-1, le=1)]
Template = Literal["idle", "nod", "shake", "smile", "look-around", "talk", "laugh", "surprise"]
VideoFormat = Literal["mp4", "webm", "gif"]
# letters alone: espeak-ng takes a voice's name for a part of a path
VoiceName = Annotated[str, Field(max_length=24, pattern=r"^[A-Za-z0-9]*$")]
LanguageName = Annotated[str, Field(min_length=2, max_length=24, pattern=r"^[A-Za-z]+(-[A-Za-z0-9]+)*$")]


class _Request(BaseModel):
    """What all kinds share: unknown names are refused, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    roles: ClassVar[Roles] = {}

    @property
    def suffix(self) -> str:
        """Of the result's file."""
        raise NotImplementedError

    def check_files(self, counts: Mapping[str, int]) -> None:
        """InputError unless `counts` files of each role fit this request."""
        for role, count in counts.items():
            if count and role not in self.roles:
                known = ", ".join(self.roles)
                raise InputError(f"this job takes no file called {role!r}; its files are {known}")
        for role, (least, most) in self.roles.items():
            count = counts.get(role, 0)
            if count < least:
                raise InputError(f"the file {role!r} is missing; send it beside the field job")
            if count > most:
                raise InputError(f"{count} files called {role!r} are too many; send {most} at most")


class _FilmRequest(_Request):
    """What the kinds share that move a portrait and give a film."""

    rights: Rights
    refine: bool = True
    face: Which = 0
    strength: Strength = 1.0
    crop: bool = False
    size: Side = None
    label: bool = False
    format: VideoFormat = "mp4"

    @property
    def suffix(self) -> str:
        """.mp4, .webm or .gif."""
        return f".{self.format}"


class AnimateRequest(_FilmRequest):
    """Move a portrait as a file `motion` or a template does."""

    roles: ClassVar[Roles] = ROLES["animate"]

    kind: Literal["animate"]
    template: Template | None = Field(
        default=None, description="A built-in motion, instead of a file `motion`."
    )
    engine: Literal["warp", "fewshot"] = "warp"
    absolute: bool = False
    region: Literal["all", "pose", "expression", "lips", "eyes"] = "all"
    audio: bool = True

    def check_files(self, counts: Mapping[str, int]) -> None:
        """As for all, and either a file `motion` or a template."""
        super().check_files(counts)
        if bool(counts.get("motion")) == (self.template is not None):
            raise InputError("give either a file 'motion' or a template")


class SpeakRequest(_FilmRequest):
    """Let a portrait, or the person of a video, say what a file `audio` holds or a text tells."""

    roles: ClassVar[Roles] = ROLES["speak"]

    kind: Literal["speak"]
    text: Annotated[str, Field(min_length=1, max_length=LIMITS.text_characters)] | None = Field(
        default=None, description="What is said by an offline voice, instead of a file `audio`."
    )
    voice: VoiceName = Field(default="", examples=["f2"])
    language: LanguageName = Field(default="en", examples=["fr"])
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of blinks, brows and the head's movements.")
    engine: Literal["warp", "fewshot", "lipsync"] | None = Field(
        default=None, description="None takes lipsync for a video, else warp."
    )

    def check_files(self, counts: Mapping[str, int]) -> None:
        """As for all, and either a file `audio` or a text."""
        super().check_files(counts)
        if bool(counts.get("audio")) == (self.text is not None):
            raise InputError("give either a file 'audio' or a text")


class EditRequest(_Request):
    """Turn the head (degrees), move the eyes (-1..1) and set ARKit coefficients (0..1) of a still picture."""

    roles: ClassVar[Roles] = ROLES["edit"]

    kind: Literal["edit"]
    rights: Rights
    yaw: Degrees = 0.0
    pitch: Degrees = 0.0
    roll: Degrees = 0.0
    gaze_x: Gaze = 0.0
    gaze_y: Gaze = 0.0
    coefficients: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default={}, max_length=52, examples=[{"mouthSmileLeft": 0.8}]
    )
    refine: bool = True
    face: int = Field(default=0, ge=0, lt=LIMITS.faces)
    crop: bool = False
    size: Side = None
    label: bool = False
    format: Literal["png", "jpg", "webp"] = "png"

    @property
    def suffix(self) -> str:
        """.png, .jpg or .webp."""
        return f".{self.format}"

    def check_files(self, counts: Mapping[str, int]) -> None:
        """As for all, and ARKit's own names."""
        from gioconda.types import ARKIT_INDEX

        super().check_files(counts)
        for name in self.coefficients:
            if name not in ARKIT_INDEX:
                raise InputError(f"{name!r} is not the name of an ARKit coefficient")


class VerifyRequest(_Request):
    """Tell whether, and with what, a file was made; the result is the verdict as JSON."""

    roles: ClassVar[Roles] = {"file": (1, 1), "sidecar": (0, 1)}

    kind: Literal["verify"]

    @property
    def suffix(self) -> str:
        """A verdict's."""
        return ".json"


class AdaptRequest(_Request):
    """Fit the few-shot networks to files `source` of one person, or collect mouths of videos: a file for later jobs."""

    roles: ClassVar[Roles] = {"source": (1, SOURCES)}

    kind: Literal["adapt"]
    rights: Rights
    purpose: Literal["fewshot", "speech"] = Field(
        default="fewshot", description="A portrait for engine fewshot, or a bank for engine lipsync."
    )
    steps: int = Field(default=0, ge=0, le=2000, description="Of fitting; 0: by the number of photos.")

    @property
    def suffix(self) -> str:
        """Of an identity file or a bank."""
        return ".safetensors"

    def check_files(self, counts: Mapping[str, int]) -> None:
        """As for all, and that this installation can fit networks."""
        super().check_files(counts)
        if self.purpose == "fewshot" and find_spec("torch") is None:
            raise InputError(
                "this server cannot fit networks: it lacks PyTorch (pip install 'gioconda[train]')"
            )


JobRequest: TypeAlias = AnimateRequest | SpeakRequest | EditRequest | VerifyRequest | AdaptRequest

JOB: TypeAdapter[JobRequest] = TypeAdapter(Annotated[JobRequest, Field(discriminator="kind")])
"""Reads any of them from JSON, told apart by `kind`."""


_OWN = "It is my own likeness."
EXAMPLES: dict[str, dict[str, Any]] = {
    "animate": {"kind": "animate", "rights": _OWN, "template": "smile", "crop": True, "size": 256},
    "speak": {"kind": "speak", "rights": _OWN, "text": "Good evening.", "voice": "f2"},
    "edit": {"kind": "edit", "rights": _OWN, "yaw": 10, "coefficients": {"mouthSmileLeft": 0.8}},
    "verify": {"kind": "verify"},
    "adapt": {"kind": "adapt", "rights": _OWN, "purpose": "fewshot"},
}
"""A request of each kind, as people would send it."""
