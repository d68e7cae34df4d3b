"""A verdict in plain words: what was found, and what it does and does not mean."""

from __future__ import annotations

from typing import Any

from gioconda.provenance.verdict import Verdict

_ACTIONS = {"c2pa.created": "made", "c2pa.edited": "made out of a film or picture"}

_MEANINGS = {
    "ours": (
        "This file was made with Gioconda: the person in it did not move or speak like this.",
        "It has not been changed since. Its signature holds, and any change would have broken it.",
        "This does not tell who made it: the signing certificate is made on the maker's own computer.",
    ),
    "altered": (
        "This was made with Gioconda, in whole or in part: the person in it did not move or speak like this.",
        "The file has been changed since: saved anew, cut, resized or sent through a service.",
        "What else was changed cannot be told, nor who did it.",
    ),
    "invalid": (
        "This file carries Content Credentials that do not hold.",
        "It was changed after it was signed, or they are another file's.",
        "Do not rely on anything that they say.",
    ),
    "unmarked": (
        "No mark of Gioconda was found in this file.",
        "This does not mean that it is genuine: other programs leave no such mark, and marks can be taken out.",
        "Look for where it comes from: who published it first, and whether others saw the same event.",
    ),
    "unreadable": (
        "Nothing can be said about this file: no picture or video could be read from it.",
        "That is neither a sign that it is genuine nor that it is made up.",
    ),
}


def explain(verdict: Verdict) -> str:
    """A few sentences for those who know nothing of watermarks and manifests, one a line."""
    return "\n".join([*_MEANINGS[verdict.status], *_details(verdict)])


def _details(verdict: Verdict) -> list[str]:
    told = [_marks(verdict)]
    held = "content_credentials" in verdict.survived
    manifest = verdict.manifest or {}
    if held:
        told.append(_making(manifest))
    elif verdict.watermark is not None and verdict.watermark["engine"] != "other":
        told.append(f"The watermark says that Gioconda's engine {verdict.watermark['engine']} drew it.")
    if verdict.status == "invalid" and verdict.watermark is not None:
        told.append("The watermark in the picture still says that it was made with Gioconda.")
    if verdict.status == "invalid" and verdict.watermark is None:
        told.append(f"They claim to be made by {manifest.get('generator') or 'an unnamed program'}.")
    return [one for one in told if one]


def _marks(verdict: Verdict) -> str:
    """Which of the two marks is still there."""
    both = {"content_credentials", "watermark"}
    survived = set(verdict.survived)
    if survived == both:
        return (
            "Both marks are there: the signed Content Credentials and the invisible watermark in the picture."
        )
    if survived == {"watermark"}:
        return "The invisible watermark in the picture survived; no Content Credentials of Gioconda that hold did."
    if survived == {"content_credentials"}:
        return "The signed Content Credentials are there; the invisible watermark could not be read in the picture."
    return ""


def _making(manifest: dict[str, Any]) -> str:
    """When, by what and from what it was made, as the manifest says."""
    how = _ACTIONS.get(manifest.get("action") or "", "made")
    when = str(manifest.get("time") or "")[:10]
    inputs = [f"{one['name']} ({one['role']})" for one in manifest["inputs"]]
    sentence = f"It was {how}{' on ' + when if when else ''} by engine {manifest['engine']}"
    sentence += f" from {', '.join(inputs)}." if inputs else "."
    if manifest.get("rights"):
        return f"{sentence} Its maker declared as right to use the likeness: {manifest['rights']}."
    return f"{sentence} Its maker declared no right to use the likeness."
