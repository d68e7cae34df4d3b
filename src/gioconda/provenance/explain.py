"""Explains a verdict in plain words: what was found, and what it means and does not mean."""

from __future__ import annotations

from typing import Any

from gioconda.provenance.verdict import Verdict

_ACTIONS = {"c2pa.created": "made", "c2pa.edited": "made from a video or picture"}

_MEANINGS = {
    "ours": (
        "This file was made with Gioconda: the person in it did not move or speak like this.",
        "It has not been changed since. Its signature holds, and any change would have broken it.",
        "This does not tell who made it: the signing certificate comes from the maker's own computer.",
    ),
    "altered": (
        "This was made with Gioconda, in whole or in part: the person in it did not move or speak like this.",
        "The file has been changed since: saved again, cut, resized or sent through a service.",
        "Nobody can tell what else was changed, or who changed it.",
    ),
    "unsigned": (
        "This was made with Gioconda: the person in it did not move or speak like this.",
        "Whether it has been changed since cannot be told: its signed manifest, a .c2pa file of its own, is missing.",
        "Put that file into the same folder and check again.",
    ),
    "invalid": (
        "This file has Content Credentials that are not valid.",
        "The file was changed after it was signed, or they belong to another file.",
        "Do not rely on anything that they say.",
    ),
    "unmarked": (
        "No mark of Gioconda was found in this file.",
        "This does not mean that it is genuine: other programs leave no such mark, and marks can be removed.",
        "Look for its origin: who published it first, and whether others saw the same event.",
    ),
    "unreadable": (
        "Nothing can be said about this file: no picture or video could be read from it.",
        "This is no sign that it is genuine, and no sign that it is fake.",
    ),
}


def explain(verdict: Verdict) -> str:
    """Return a few sentences for people who do not know watermarks and manifests, one per line."""
    return "\n".join([*_MEANINGS[verdict.status], *_details(verdict)])


def _details(verdict: Verdict) -> list[str]:
    """Sentences about the marks and about what the manifest says."""
    sentences = [_marks(verdict)]
    valid = "content_credentials" in verdict.survived
    manifest = verdict.manifest or {}
    if valid:
        sentences.append(_making(manifest))
    elif verdict.watermark is not None and verdict.watermark["engine"] != "other":
        sentences.append(f"The watermark says that Gioconda's engine {verdict.watermark['engine']} drew it.")
    if verdict.status == "invalid" and verdict.watermark is not None:
        sentences.append("The watermark in the picture still says that it was made with Gioconda.")
    if verdict.status == "invalid" and verdict.watermark is None:
        sentences.append(f"They claim to be made by {manifest.get('generator') or 'an unnamed program'}.")
    return [sentence for sentence in sentences if sentence]


def _marks(verdict: Verdict) -> str:
    """Which of the two marks are still there."""
    both = {"content_credentials", "watermark"}
    survived = set(verdict.survived)
    if survived == both:
        return (
            "Both marks are there: the signed Content Credentials and the invisible watermark in the picture."
        )
    if survived == {"watermark"}:
        return (
            "The invisible watermark in the picture survived; valid Content Credentials of Gioconda did not."
        )
    if survived == {"content_credentials"}:
        return (
            "The signed Content Credentials are there; the invisible watermark cannot be read in the picture."
        )
    return ""


def _making(manifest: dict[str, Any]) -> str:
    """When, by which engine and from what the file was made, as the manifest says."""
    how = _ACTIONS.get(manifest.get("action") or "", "made")
    when = str(manifest.get("time") or "")[:10]
    inputs = [f"{item['name']} ({item['role']})" for item in manifest["inputs"]]
    sentence = f"It was {how}{' on ' + when if when else ''} by engine {manifest['engine']}"
    sentence += f" from {', '.join(inputs)}." if inputs else "."
    if manifest.get("rights"):
        return f"{sentence} Its maker declared this right to use the likeness: {str(manifest['rights']).rstrip('. ')}."
    return f"{sentence} Its maker declared no right to use the likeness."
