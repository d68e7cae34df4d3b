"""The request to look for our marks in a file: `Verify`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, ClassVar

from gioconda.requests.fields import Place, option
from gioconda.requests.values import Media

if TYPE_CHECKING:
    from gioconda.types import PathLike


@dataclass(frozen=True)
class Verify:
    """Tell whether, and with what, a file was made.

    Args:
        path: A picture or a video. Its sidecar is looked for beside it.
    """

    kind: ClassVar[str] = "verify"

    path: PathLike = option(Media("file", "Picture or video."), "Picture or video.")
    _: KW_ONLY
    sidecar: PathLike | None = option(
        Media("sidecar", "The file's manifest, where it lies beside it."),
        "The file's manifest.",
        default=None,
        places=Place.HTTP,
    )
