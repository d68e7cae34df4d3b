"""VoxCeleb as it is handed out: whose utterances there are, and what its box files say."""

import numpy as np
import pytest

from gioconda.errors import InputError, MissingFileError
from gioconda.training.sources import Clip
from gioconda.training.voxceleb import Take, find_takes, is_voxceleb, read_boxes
from voxceleb_world import COLUMNS, HEADER, box_file


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def told(takes):
    return [(t.clip.name, t.clip.identity, t.clip.split, t.video, t.cropped) for t in takes]


# ---- layouts


def test_crops_are_clips_of_a_person_and_a_video(tmp_path):
    touched(
        tmp_path,
        *["dev/mp4/id00012/21Uxsk56VDQ/00001.mp4", "dev/mp4/id00012/21Uxsk56VDQ/00002.mp4"],
        *["dev/mp4/id00015/0fijmz4vTVU/00001.mp4", "test/mp4/id00017/01dfn2spqyE/00001.mp4"],
    )
    takes, failures = find_takes(tmp_path)
    assert not failures
    assert told(takes) == [
        ("dev/mp4/id00012/21Uxsk56VDQ/00001.mp4", "id00012", "train", "id00012/21Uxsk56VDQ", True),
        ("dev/mp4/id00012/21Uxsk56VDQ/00002.mp4", "id00012", "train", "id00012/21Uxsk56VDQ", True),
        ("dev/mp4/id00015/0fijmz4vTVU/00001.mp4", "id00015", "train", "id00015/0fijmz4vTVU", True),
        ("test/mp4/id00017/01dfn2spqyE/00001.mp4", "id00017", "dev", "id00017/01dfn2spqyE", True),
    ]
    assert all(t.clip.path == tmp_path / t.clip.name and t.boxes is None for t in takes)


@pytest.mark.parametrize("place", ["", "mp4", "vox2/dev/mp4", "vox2_test_mp4/mp4"])
def test_the_folders_above_people_may_be_fewer_or_more(tmp_path, place):
    touched(tmp_path / place, "id00012/21Uxsk56VDQ/00001.mp4")
    takes, _ = find_takes(tmp_path)
    assert [(t.clip.identity, t.clip.split) for t in takes] == [
        ("id00012", "dev" if "test" in place else "train")
    ]


def test_without_a_test_set_every_tenth_person_is_held_back(tmp_path):
    touched(tmp_path, *(f"mp4/id{k:05}/VIDEO/0000{n}.mp4" for k in range(20) for n in range(2)))
    takes, _ = find_takes(tmp_path)
    assert {t.clip.identity for t in takes if t.clip.split == "dev"} == {"id00009", "id00019"}
    assert len(takes) == 40


@pytest.mark.parametrize(
    "place", ["video/REF.mp4", "videos/id10001/REF.webm", "id10001/REF.mkv", "txt/REF.avi"]
)
def test_box_files_find_their_long_video(tmp_path, place):
    box_file(tmp_path / "txt/id10001/REF/00003.txt", (25, 1, 2, 30, 30))
    touched(tmp_path, place)
    takes, failures = find_takes(tmp_path)
    name = "txt/id10001/REF/00003.txt"
    assert takes == [
        Take(Clip(tmp_path / place, name, "id10001", "train"), "id10001/REF", tmp_path / name, cropped=False)
    ]
    assert not failures


def test_box_files_beside_crops_of_the_same_utterance_do_not_count_twice(tmp_path):
    box_file(tmp_path / "txt/id00012/REF/00001.txt", (25, 0.1, 0.1, 0.5, 0.5))
    touched(tmp_path, "mp4/id00012/REF/00001.mp4")
    takes, failures = find_takes(tmp_path)
    assert told(takes) == [("mp4/id00012/REF/00001.mp4", "id00012", "train", "id00012/REF", True)]
    assert not failures


def test_what_lacks_its_video_or_its_box_file_is_listed(tmp_path):
    box_file(tmp_path / "txt/id10001/HERE/00001.txt", (25, 1, 2, 30, 30))
    box_file(tmp_path / "txt/id10001/GONE/00001.txt", (25, 1, 2, 30, 30))
    touched(tmp_path, "video/HERE.mp4", "video/ALONE.mp4")
    takes, failures = find_takes(tmp_path)
    assert [t.video for t in takes] == ["id10001/HERE"]
    assert failures == [
        ("txt/id10001/GONE/00001.txt", "its video GONE.mp4 is missing"),
        ("video/ALONE.mp4", "it has no box file"),
    ]


def test_nothing_to_take_is_told(tmp_path):
    with pytest.raises(MissingFileError, match="absent"):
        find_takes(tmp_path / "absent")
    box_file(tmp_path / "txt/id10001/GONE/00001.txt", (25, 1, 2, 30, 30))
    with pytest.raises(InputError, match=r"VoxCeleb.*GONE"):
        find_takes(tmp_path)


def test_other_folders_are_read_as_before(tmp_path):
    touched(tmp_path, "id00/1.mp4", "id00012/2.mp4", "ann/deep/3.mp4")
    assert not is_voxceleb(tmp_path)
    takes, _ = find_takes(tmp_path)
    assert [(t.clip.name, t.clip.identity, t.video, t.cropped) for t in takes] == [
        ("ann/deep/3.mp4", "ann", "ann/deep/3.mp4", False),
        ("id00/1.mp4", "id00", "id00/1.mp4", False),
        ("id00012/2.mp4", "id00012", "id00012/2.mp4", False),
    ]


def test_a_table_of_clips_counts_more_than_the_layout(tmp_path):
    touched(tmp_path, "mp4/id00012/REF/00001.mp4", "mp4/id00012/REF/00002.mp4")
    (tmp_path / "clips.tsv").write_text(
        "path\tsplit\tidentity\nmp4/id00012/REF/00002.mp4\tdev\tann\n", encoding="utf-8"
    )
    takes, _ = find_takes(tmp_path)
    assert [(t.clip.identity, t.clip.split) for t in takes] == [("ann", "dev")]


# ---- box files


def test_boxes_of_the_first_set_are_pixels(tmp_path):
    boxes = read_boxes(
        box_file(tmp_path / "1.txt", ("009900", 380, 105, 164, 164), ("009901", 381, 105, 165, 165))
    )
    assert boxes.times.tolist() == [396.0, 396.04]
    assert not boxes.relative
    assert boxes.pixels(1280, 720).tolist() == [[380, 105, 164, 164], [381, 105, 165, 165]]


def test_boxes_of_the_second_set_are_shares_of_the_picture(tmp_path):
    boxes = read_boxes(box_file(tmp_path / "1.txt", ("008809", 0.125, -0.01, 0.422, 0.75)))
    assert boxes.relative
    assert np.allclose(boxes.pixels(1280, 720), [[160, -7.2, 540.16, 540]])


def test_a_box_file_may_end_in_empty_lines_and_be_of_windows(tmp_path):
    path = box_file(tmp_path / "1.txt", (1, 2, 3, 40, 50))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert len(read_boxes(path).times) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00\x80",
        HEADER.encode(),
        (HEADER + COLUMNS).encode(),
        (HEADER + COLUMNS + "1\t2\t3\t40\t50\n2\t2\t3\t40").encode(),
        (HEADER + COLUMNS + "1\t2\t3\tforty\t50\n").encode(),
        (HEADER + COLUMNS + "1\t2\t3\tnan\t50\n").encode(),
        (HEADER + COLUMNS + "2\t2\t3\t40\t50\n1\t2\t3\t40\t50\n").encode(),
        (HEADER + COLUMNS + "1\t2\t3\t0\t50\n").encode(),
        (HEADER + COLUMNS + "-1\t2\t3\t40\t50\n").encode(),
    ],
)
def test_damaged_box_files_are_told(tmp_path, content):
    path = tmp_path / "00001.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"00001\.txt"):
        read_boxes(path)


def test_an_absent_box_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"00001\.txt"):
        read_boxes(tmp_path / "00001.txt")
