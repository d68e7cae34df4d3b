"""How well the expression of a single picture is read, without knowing the person's face at rest.

People of whom there is a face at rest and others with expressions: photos (neutral and smile), and films, whose most
neutral frame is the face at rest. Each picture is tracked alone. What counts as true is the expression solved against
the person's own face at rest. Three readings are compared with it, each of the picture alone:

- against the basis' own neutral face,
- with ICT-FaceKit's modes of face shape as a nuisance of the fit,
- with the packaged shapes of people (`gioconda.motion.snapshot`).

    python benchmarks/one_picture.py

Dev people are split in two by name. The settings were chosen on the half `tune`; the half `report` is shown.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from common import Clip, arguments, markdown, read_clips, read_images, say, write_results

SECONDS = 15.0  # of a film that are searched for its face at rest
FRAMES, SHORT_FRAMES, SHORT = 48, 12, 4.0  # frames taken of a film, of one shorter than SHORT seconds
GROUPS = {
    "jaw": ("jawOpen",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "frown": ("mouthFrownLeft", "mouthFrownRight"),
    "pucker": ("mouthPucker", "mouthFunnel"),
    "brows up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows down": ("browDownLeft", "browDownRight"),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "wide lids": ("eyeWideLeft", "eyeWideRight"),
    "sneer": ("noseSneerLeft", "noseSneerRight"),
}


@dataclass(frozen=True)
class Person:
    """One person's face at rest (478, 3) and with expressions (N, 478, 3), in pixels of each picture."""

    name: str
    neutral: np.ndarray
    faces: np.ndarray


def photographed(data: Path, split: str) -> Iterator[Person]:
    """The people of stills.tsv; some are neutral alone."""
    from gioconda.face import detect_faces
    from gioconda.media import read_picture

    with (data / "stills" / "stills.tsv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == split]
    seen: dict[str, dict[str, np.ndarray]] = {}
    for row in rows:
        faces = detect_faces(read_picture(data / row["path"])[0])
        if faces:
            seen.setdefault(row["identity"], {})[row["expression"]] = faces[0].landmarks
    for name, looks in seen.items():
        if "neutral" in looks:
            others = [look for kind, look in looks.items() if kind != "neutral"]
            yield Person(name, looks["neutral"], np.array(others).reshape(-1, 478, 3))


def filmed(data: Path, split: str) -> Iterator[Person]:
    """The people of films: all clips that show more than a word, and the first of each other person."""
    chosen: dict[str, Clip] = {}
    for clip in read_clips(data, split):
        alone = clip.name.startswith(("driving", "talk"))
        chosen.setdefault(clip.name if alone else clip.identity, clip)
    for clip in chosen.values():
        person = film_person(clip)
        if person is not None:
            say(f"{clip.name}: {len(person.faces)} faces")
            yield person


def film_person(clip: Clip) -> Person | None:
    """The person of a film: the most neutral frame, and frames evenly spread; each tracked as a picture."""
    from gioconda.face import detect_faces
    from gioconda.motion.from_faces import faces_to_motion
    from gioconda.tracking import tracked_frames

    count = SHORT_FRAMES if clip.seconds < SHORT else FRAMES
    length = round(min(SECONDS, clip.seconds) * clip.fps)
    kept = {int(index) for index in np.linspace(0, length - 1, count)}
    times, tracks, pictures = [], [], {}
    with closing(tracked_frames(clip.path)) as frames:
        for index, (frame, face) in enumerate(islice(frames, length)):
            times.append(frame.time)
            tracks.append(face)
            if index in kept and face is not None:
                pictures[index] = frame.image
    if not any(tracks):
        return None
    rest = faces_to_motion(tracks, times, frame.image.shape[1::-1]).reference
    pictures[rest] = next(islice(read_images(clip.path), rest, None))
    faces = {index: detect_faces(picture, thorough=False) for index, picture in pictures.items()}
    if not faces[rest]:
        return None
    others = [found[0].landmarks for index, found in sorted(faces.items()) if found and index != rest]
    return Person(clip.identity, faces[rest][0].landmarks, np.array(others).reshape(-1, 478, 3))


def people_of(data: Path, split: str) -> list[Person]:
    """All people of a split, photographed and filmed."""
    return [*photographed(data, split), *filmed(data, split)]


def alone(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (N, 478, 3) in pixels, moved to the canonical frame by the pose of an unknown head."""
    from gioconda.motion.expression import load_basis
    from gioconda.motion.pose import fit_pose

    neutral = load_basis().neutral
    return np.array([fit_pose(face, neutral).to_canonical(face) for face in landmarks]).reshape(-1, 478, 3)


def changes(person: Person) -> np.ndarray:
    """The faces of a person less the face at rest, (N, 478, 3), canonical frame of that face."""
    from gioconda.motion.pose import fit_own_pose, to_unit_head

    own = to_unit_head(alone(person.neutral[None])[0])
    seen = np.array([fit_own_pose(face, own).to_canonical(face) for face in (person.neutral, *person.faces)])
    return np.asarray(seen[1:] - seen[0], np.float32)


def grouped(expression: np.ndarray) -> dict[str, np.ndarray]:
    """Means (N,) of the coefficients (N, 52) by group, and the gaze."""
    from gioconda.motion.expression import gaze_from_coefficients
    from gioconda.types import ARKIT_INDEX

    values = {k: expression[:, [ARKIT_INDEX[n] for n in names]].mean(1) for k, names in GROUPS.items()}
    gaze = gaze_from_coefficients(expression)
    return {**values, "gaze, sideways": gaze[:, 0], "gaze, up": gaze[:, 1]}


def readings(landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """The coefficients (N, 52) of pictures (N, 478, 3), by way of reading."""
    from gioconda.motion.expression import load_basis, solve
    from gioconda.motion.snapshot import load_face_shapes, solve_alone

    canonical, basis, shapes = alone(landmarks), load_basis(), load_face_shapes()
    modes = basis.identity.reshape(len(basis.identity), -1).astype(np.float32)
    modelled = replace(shapes, mean=basis.neutral, modes=modes)
    return {
        "against the basis": solve(canonical - basis.neutral),
        "ICT modes": solve_alone(canonical, modelled),
        "people's shapes": solve_alone(canonical),
    }


def measure(people: list[Person]) -> tuple[str, dict[str, Any]]:
    """The table of some people, and its values."""
    from gioconda.motion.expression import solve

    expressive = [person for person in people if len(person.faces)]
    true = grouped(solve(np.concatenate([changes(person) for person in expressive])))
    read = readings(np.concatenate([person.faces for person in expressive]))
    rest = readings(np.array([person.neutral for person in people]))
    rows, values = [], {}
    for group, truth in true.items():
        row: list[Any] = [group, float(np.sqrt((truth**2).mean()))]
        for way, expression in read.items():
            found = grouped(expression)[group]
            r = float(np.corrcoef(found, truth)[0, 1]) if found.std() > 0 else 0.0
            error = float(np.sqrt(((found - truth) ** 2).mean()))
            neutral = float(np.abs(grouped(rest[way])[group]).mean())
            values[f"{group}, {way}"] = {"r": r, "error": error, "at rest": neutral}
            row.append(f"{r:.2f} / {error:.3f} / {neutral:.3f}")
        rows.append(row)
    table = markdown(["", "true, RMS", *(f"{way}: r / RMS error / at rest" for way in read)], rows)
    sums = {way: float(expression.sum(1).mean()) for way, expression in rest.items()}
    lines = [f"sum of the coefficients of a face at rest, {way}: {value:.2f}" for way, value in sums.items()]
    count = f"{sum(len(p.faces) for p in people)} pictures of {len(expressive)} people, {len(people)} faces at rest"
    return "\n".join([count, "", table, "", *lines]), {"groups": values, "sum at rest": sums}


def main() -> None:
    """Measure both halves, and write the table of the half `report`."""
    args = arguments((__doc__ or "").splitlines()[0]).parse_args()
    people = people_of(args.data, "dev")
    names = sorted({person.name for person in people})
    halves = {half: set(names[start::2]) for start, half in enumerate(("tune", "report"))}
    texts = {half: measure([p for p in people if p.name in chosen]) for half, chosen in halves.items()}
    say(f"tune:\n{texts['tune'][0]}")
    write_results(args.out, "one_picture", texts["report"][1], texts["report"][0])


if __name__ == "__main__":
    main()
