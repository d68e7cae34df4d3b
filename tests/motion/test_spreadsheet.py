"""Live Link recordings as spreadsheets save them, and at the rates that phones record."""

import numpy as np
import pytest

from gioconda.motion.livelink import read_livelink
from gioconda.motion.timecode import frame_rate


def rows(rate, count, step=1, start=0):
    """Rows of a recording at `rate` timecode frames a second, every step-th one kept, the jaw rising."""
    lines = [["Timecode", "BlendShapeCount", "JawOpen", "HeadYaw"]]
    for k in range(start, start + count * step, step):
        seconds, frame = divmod(k, rate)
        jaw = (k - start) / (count * step)
        lines.append([f"10:00:{seconds:02d}:{frame:02d}.000", "61", f"{jaw:.4f}", "0.1000"])
    return lines


def text(lines, separator=",", point="."):
    body = "\r\n".join(separator.join(cells) for cells in lines) + "\r\n"
    return body if point == "." else body.replace(".", point)


@pytest.mark.parametrize(
    ("separator", "point", "encoding", "before"),
    [
        (";", ".", "utf-8", ""),
        (";", ",", "utf-8-sig", ""),
        ("\t", ",", "utf-16", ""),
        ("\t", ".", "utf-16-le", ""),
        (",", ".", "utf-8-sig", ""),
        (";", ",", "utf-8", "sep=;\r\n"),
    ],
)
def test_what_a_spreadsheet_saves_is_the_same_recording(tmp_path, separator, point, encoding, before):
    lines = rows(60, 90)
    plain, saved = tmp_path / "plain.csv", tmp_path / "saved.csv"
    plain.write_text(text(lines), encoding="utf-8", newline="")
    saved.write_text(before + text(lines, separator, point), encoding=encoding, newline="")
    ours, theirs = read_livelink(plain), read_livelink(saved)
    np.testing.assert_allclose(theirs.times, ours.times)
    np.testing.assert_allclose(theirs.expression, ours.expression)
    np.testing.assert_allclose(theirs.rotation, ours.rotation)


@pytest.mark.parametrize("rate", [24, 25, 30, 48, 50, 60])
@pytest.mark.parametrize("start", [0, 17])
@pytest.mark.parametrize("step", [1, 2])
def test_the_rate_of_a_short_recording_is_found_from_its_rows(tmp_path, rate, start, step):
    path = tmp_path / "short.csv"
    path.write_text(text(rows(rate, int(1.6 * rate / step), step, start)), encoding="utf-8")
    motion = read_livelink(path)
    np.testing.assert_allclose(np.diff(motion.times), step / rate, atol=1e-6)
    assert bool(motion.notes) == (rate != 60)


def test_lost_rows_at_the_end_of_a_second_do_not_change_the_rate():
    seconds, frames = np.divmod(np.delete(np.arange(90), [28, 29, 59]), 30)
    assert frame_rate(seconds.astype(float), frames.astype(float)) == 30


def test_a_rate_that_rows_do_not_show_is_told(tmp_path):
    path = tmp_path / "moment.csv"
    path.write_text(text(rows(30, 12)), encoding="utf-8")
    motion = read_livelink(path)
    assert "60 frames a second are assumed" in motion.notes[0]
