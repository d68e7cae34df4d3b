"""When each word of a synthesised text is said."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from gioconda.types import Word

# Scripts without spaces, where each character that is said by itself counts as a word.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


def time_words(
    text: str, marks: Sequence[tuple[float, int]], phones: Sequence[tuple[float, str]], seconds: float
) -> tuple[Word, ...]:
    """The words of a text with the times at which they are said.

    A word is what stands between spaces, such as "It's" or "25". What espeak-ng marks no time for, such as a dash,
    belongs to the word before it.

    Args:
        text: The text that is said.
        marks: Seconds at which words begin, increasing, and the index in `text` of each word's first character.
        phones: Seconds at which each phone begins, increasing, and its name, "" for a pause.
        seconds: Duration of the voice.

    Returns:
        Words in order, which together hold the whole text; none where the marks contradict the text.
    """
    places = [place for _, place in marks]
    if places != sorted(places) or not all(0 <= place < len(text) for place in places):
        return ()
    begins = _beginnings(text, marks)
    # What stands before the first mark belongs to the first word.
    cuts = [0, *list(begins)[1:], len(text)]
    moments = [*begins.values(), seconds]
    times = [time for time, _ in phones]
    words = []
    for (at, end), (begin, until) in zip(pairwise(cuts), pairwise(moments), strict=False):
        said = range(bisect_left(times, begin), bisect_left(times, until))
        last = next((index for index in reversed(said) if phones[index][1]), len(times))
        words.append(Word(text[at:end].strip(), begin, min([until, *times[last + 1 : last + 2]])))
    return tuple(words)


def _beginnings(text: str, marks: Sequence[tuple[float, int]]) -> dict[int, float]:
    """The index of each word that has a mark, and the seconds at which it begins; both increase."""
    starts = {match.start() for match in re.finditer(r"\S+", text)}
    starts |= {place for _, place in marks if _UNSPACED.match(text[place])}
    ordered = sorted(starts)
    begins: dict[int, float] = {}
    for time, place in marks:
        begins.setdefault(ordered[max(0, bisect_right(ordered, place) - 1)], time)
    return begins
