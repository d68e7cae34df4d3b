"""Says in plain words what is wrong with a request that pydantic refuses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from gioconda.errors import InputError
from gioconda.web.errors import MalformedError
from gioconda.web.requests import MODELS

FIELD = "job"
"""The field of a body with the job's JSON."""
# Most fields and characters in one message.
_SHOWN_FIELDS = 4
_MESSAGE_CHARACTERS = 900
_KINDS = ", ".join(MODELS)
_WHOLE = {
    "dict_type": f'{FIELD}: must be a JSON object, such as {{"kind": "verify"}}',
    "union_tag_not_found": f"{FIELD}.kind: is missing; the kinds are {_KINDS}",
    "union_tag_invalid": f"{FIELD}.kind: is not a kind of job; the kinds are {_KINDS}",
}
# By pydantic's type of error; {} is replaced by the error's context.
_PROBLEMS = {
    "missing": "is required",
    "literal_error": "must be {expected}",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "dict_type": "must be an object of names and numbers",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_too_short": "must have {min_length} characters or more",
    "string_too_long": "must have {max_length} characters or fewer",
    "string_pattern_mismatch": "must have the form {pattern}",
    "too_long": "must have {max_length} entries or fewer",
}


def refusal(error: ValidationError) -> InputError:
    """Return the error for a request that is not valid: its fields and what each must be, not the values sent."""
    problems = error.errors(include_url=False, include_input=False)
    whole = problems[0]["type"]
    if whole == "json_invalid":
        reason = problems[0]["ctx"]["error"]
        return MalformedError(f"the field {FIELD!r} is not valid JSON: {reason}")
    if not problems[0]["loc"]:
        return InputError(_WHOLE.get(whole, f"{FIELD}: {problems[0]['msg']}"))
    by_field: dict[str, list[str]] = {}
    for problem in problems:
        by_field.setdefault(_name(problem["loc"]), []).append(_sentence(problem))
    fields = list(by_field.items())[:_SHOWN_FIELDS]
    return InputError("; ".join(f"{name}: {_joined(said)}" for name, said in fields)[:_MESSAGE_CHARACTERS])


def _name(place: Iterable[int | str]) -> str:
    """The name of a field as a client writes it; pydantic puts the kind before it, and branches of types behind."""
    _, *names = (str(part) for part in place)
    return ".".join((FIELD, *(name for name in names if "-" not in name and "[" not in name)))


def _sentence(problem: Any) -> str:
    """What one field must be."""
    kind = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        fields = ", ".join(name for name in MODELS[kind].model_fields if name != "kind")
        return f"a job of kind {kind!r} has no such field; its fields are {fields or 'none'}"
    return must_be(problem) or str(problem["msg"])


def body_refusal(error: ValidationError, field: str = "") -> InputError:
    """Return the error for JSON, not of a job, that is not valid: its first field and what that must be.

    Args:
        error: Pydantic's.
        field: What comes before the names of fields, such as "session.".
    """
    problem = error.errors(include_url=False, include_input=False)[0]
    if problem["type"] == "json_invalid":
        return MalformedError(f"the body is not valid JSON: {problem['ctx']['error']}"[:_MESSAGE_CHARACTERS])
    name = ".".join(str(part) for part in problem["loc"] if part != "[key]") or "the body"
    unknown = problem["type"] == "extra_forbidden"
    words = must_be(problem) or str(problem["msg"])
    sentence = "there is no such field" if unknown else words.removeprefix("Value error, ")
    return InputError(f"{field}{name}: {sentence}"[:_MESSAGE_CHARACTERS])


def must_be(problem: Any) -> str | None:
    """Return what a value that pydantic refuses must be; None for an error without words of our own."""
    words = _PROBLEMS.get(problem["type"])
    context = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in problem.get("ctx", {}).items()
    }
    return words.format_map(context) if words else None


def _joined(sentences: list[str]) -> str:
    """What a field must be that may have values of several types."""
    first, *others = sentences
    return " or ".join((first, *(other.removeprefix("must be ") for other in others)))
