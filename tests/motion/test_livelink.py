"""Live Link Face files: round trips, the app's habits, and bad lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gioconda.errors import InputError, LimitError, MissingFileError
from gioconda.limits import Limits
from gioconda.motion import livelink
from gioconda.motion.livelink import read_livelink, write_livelink
from gioconda.motion.pose import euler_from_rotation
from gioconda.motion.templates import template
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES

HEAD = "Timecode,BlendShapeCount,JawOpen,HeadYaw,HeadPitch,HeadRoll\n"


def text(tmp_path: Path, content: str, name: str = "take.csv") -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "fps"), [("talk", 25), ("look-around", 59.94), ("nod", 30)])
def test_round_trip(tmp_path, name, fps):
    before = template(name, fps)
    write_livelink(tmp_path / "take.tmp", before)
    after = read_livelink(tmp_path / "take.tmp")
    assert np.allclose(after.times, before.times, atol=1e-5)
    assert np.allclose(after.expression, before.expression, atol=1e-5)
    assert np.allclose(after.rotation, before.rotation, atol=1e-5)
    assert np.allclose(after.gaze, before.gaze, atol=1e-5)
    assert after.bridged == 0


def test_columns_are_those_of_the_app(tmp_path):
    write_livelink(tmp_path / "take.csv", template("smile"))
    header, first, *_ = (tmp_path / "take.csv").read_text().splitlines()
    names = header.split(",")
    assert names[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"]
    assert names[16:20] == ["JawForward", "JawRight", "JawLeft", "JawOpen"]
    assert names[53:57] == ["TongueOut", "HeadYaw", "HeadPitch", "HeadRoll"]
    assert len(names) == 63
    assert first.split(",")[:2] == ["00:00:00:00.000", "61"]


def test_order_and_case_do_not_matter_and_unknown_columns_are_ignored(tmp_path):
    path = text(
        tmp_path,
        "\ufeffnote,HEADYAW,jawopen,MouthSmileLeft,timecode\nx,0.5,0.25,1.7,10:00:00:00.000\n\ny,0,0,0,10:00:00:30\n",
    )
    motion = read_livelink(path)
    assert np.allclose(motion.times, [0, 0.5])
    assert motion.expression[0, ARKIT_INDEX["jawOpen"]] == 0.25
    assert motion.expression[0, ARKIT_INDEX["mouthSmileLeft"]] == 1, "held to 0..1"
    assert np.isclose(euler_from_rotation(motion.rotation)[0][0], np.degrees(0.5), atol=1e-3)
    assert motion.name == "take"


def test_angles_turn_the_head_the_right_way(tmp_path):
    path = text(tmp_path, HEAD + "01:00:00:00.000,61,0,0.2,0.1,0.05\n")
    yaw, pitch, roll = (float(a[0]) for a in euler_from_rotation(read_livelink(path).rotation))
    assert np.allclose([yaw, pitch, roll], np.degrees([0.2, 0.1, -0.05]), atol=1e-3)


def test_lost_faces_are_bridged_and_counted(tmp_path):
    rows = [
        "00:00:01:00.000,61,0.2,0,0,0",
        "00:00:01:01.000,0,,,,",
        "00:00:01:02.000,0",
        "00:00:01:03.000,61,0.8,0,0,0",
    ]
    motion = read_livelink(text(tmp_path, HEAD + "\n".join(rows)))
    assert motion.bridged == 2
    assert np.allclose(motion.expression[:, ARKIT_INDEX["jawOpen"]], [0.2, 0.4, 0.6, 0.8], atol=1e-6)


def test_midnight_repeated_timecodes_and_thirty_frames_a_second(tmp_path):
    rows = ["23:59:59:59.500,61,0,0,0,0", "00:00:00:00.500,61,0,0,0,0", "00:00:00:00.500,61,0,0,0,0"]
    motion = read_livelink(text(tmp_path, HEAD + "\n".join(rows)))
    assert np.allclose(motion.times, [0, 1 / 60], atol=1e-6)
    rows = [f"00:00:{i // 30:02d}:{i % 30:02d}.000,61,0,0,0,0" for i in range(150)]
    motion = read_livelink(text(tmp_path, HEAD + "\n".join(rows)))
    assert np.allclose(np.diff(motion.times), 1 / 30)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("00:00:00:00.000,61,open,0,0,0", r"take\.csv, line 3: jawOpen is 'open', not a number"),
        ("00:00:00:00.000,61,nan,0,0,0", r"line 3: jawOpen is not a finite number"),
        ("00:00:00:00.000,61,0,1e999,0,0", r"line 3: HeadYaw is not a finite number"),
        ("00:00:00:00.000,61,0,25,0,0", r"line 3: .* radians"),
        ("00:00:00:00.000,61,0.5,0", r"line 3: HeadPitch is '', not a number"),
        ("noon,61,0,0,0,0", r"line 3: the timecode 'noon' is not HH:MM:SS:FF"),
        ("00:61:00:00,61,0,0,0,0", r"line 3: the timecode"),
        ("00:00:00:nan,61,0,0,0,0", r"line 3: the timecode"),
        ('00:00:00:00,"61,0,0,0,0', r"line 3: .*end of data"),
    ],
)
def test_bad_lines_are_told(tmp_path, row, message):
    good = "00:00:00:00.000,61,0,0,0,0\n"
    with pytest.raises(InputError, match=message):
        read_livelink(text(tmp_path, HEAD + good + row + "\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a Live Link Face file"),
        ("a,b,c\n1,2,3\n", "not a Live Link Face file"),
        (HEAD, "no frames"),
        (HEAD + "00:00:00:00.000,0,,,,\n", "no frame with a face"),
        ("Timecode,JawOpen,jawOpen\n", "twice"),
        (HEAD + "00:00:05:00.000,61,0,0,0,0\n" * 9, "do not increase"),
    ],
)
def test_bad_files_are_told(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_livelink(text(tmp_path, content))
    assert "take.csv" in str(caught.value)


def test_missing_binary_and_large_files(tmp_path, monkeypatch):
    with pytest.raises(MissingFileError):
        read_livelink(tmp_path / "none.csv")
    with pytest.raises(InputError):
        read_livelink(tmp_path)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="not a text file"):
        read_livelink(tmp_path / "binary.csv")
    take = tmp_path / "take.csv"
    write_livelink(take, template("nod"))
    monkeypatch.setattr(livelink, "LIMITS", Limits(csv_bytes=100))
    with pytest.raises(LimitError, match="the limit for a CSV is 100"):
        read_livelink(take)
    monkeypatch.setattr(livelink, "LIMITS", Limits(video_frames=10))
    with pytest.raises(LimitError, match="more than 10 frames"):
        read_livelink(take)


def test_every_coefficient_has_its_own_column(tmp_path):
    motion = template("idle", 25).with_()
    marked = np.zeros_like(motion.expression)
    marked[np.arange(52), np.arange(52)] = 0.5
    write_livelink(tmp_path / "t.csv", motion.with_(expression=marked))
    assert np.allclose(read_livelink(tmp_path / "t.csv").expression, marked)
    assert len(ARKIT_NAMES) == 52
