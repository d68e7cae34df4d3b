"""A file that names another file or an address never makes us open it: no playlist, no pattern, no network."""

import contextlib
import socket
import struct
import threading

import av
import pytest

import gioconda
from gioconda import media
from gioconda.errors import InputError
from media_factory import write_clip

OTHER = "other.ts"


@pytest.fixture
def door():
    """A listening socket: its port, and who knocked."""
    knocks = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def listen():
            while not done.is_set():
                try:
                    knocks.append(server.accept()[1])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], knocks
        done.set()
        thread.join(10)


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{there}\n#EXT-X-ENDLIST\n"
MASTER = (
    '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",URI="{there}"\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{there}\n'
)
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"'
    ' profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="9"><BaseURL>{there}</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
SMIL = '<smil><body><video src="{there}"/></body></smil>'
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9">'
    '<image xlink:href="{there}" width="9" height="9"/></svg>'
)
LISTS = {
    "hls.m3u8": HLS,
    "hls.mp4": HLS,
    "hls.ts": HLS,
    "master.m3u8": MASTER,
    "list.ffconcat": "ffconcat version 1.0\nfile '{there}'\n",
    "list.mkv": "ffconcat version 1.0\nfile '{there}'\n",
    "dash.mpd": DASH,
    "dash.mp4": DASH,
    "call.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
    "meta.txt": ";FFMETADATA1\ntitle={there}\n",
    "film.asx": '<asx version="3.0"><entry><ref href="{there}"/></entry></asx>',
    "film.ram": "{there}\n",
    "film.smil": SMIL,
    "drawing.svg": SVG,
    "drawing.png": SVG,
    "script.avs": 'DirectShowSource("{there}")\n',
    "script.vpy": 'open("{there}")\n',
    "picture.eps": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({there}) run\n",
    "frame.mvg": "viewbox 0 0 9 9 image over 0,0 9,9 '{there}'\n",
}
ADDRESSES = ("http://127.0.0.1:{port}/a.ts", "tcp://127.0.0.1:{port}", OTHER, "file:{folder}/" + OTHER)


@pytest.mark.slow
@pytest.mark.parametrize("name", LISTS)
def test_what_names_other_files_is_not_followed(tmp_path, clip, door, name):
    port, knocks = door
    write_clip(tmp_path / OTHER, codec="mpeg2video")
    for address in ADDRESSES:
        there = address.format(port=port, folder=tmp_path)
        (tmp_path / name).write_text(LISTS[name].format(there=there, port=port))
        assert not media.is_video(tmp_path / name)
        for read in (media.probe, media.read_picture, media.probe_sound):
            with pytest.raises(InputError, match=name):
                read(tmp_path / name)
        with pytest.raises(InputError, match=name):
            gioconda.animate(tmp_path / name, tmp_path / name, tmp_path / "out.mp4")
        assert gioconda.verify(tmp_path / name).status != "ours"
    assert knocks == []


@pytest.mark.parametrize(
    "name",
    ["http://127.0.0.1:{port}/a.mp4", "tcp://127.0.0.1:{port}", "rtmp://127.0.0.1:{port}/a", "frame%03d.png"],
)
def test_addresses_and_patterns_are_names_of_files(tmp_path, monkeypatch, astronaut_image, door, name):
    port, knocks = door
    monkeypatch.chdir(tmp_path)
    media.write_picture("frame001.png", astronaut_image)
    given = name.format(port=port)
    for read in (media.probe, media.read_picture, media.probe_sound, gioconda.track):
        with pytest.raises(FileNotFoundError):
            read(given)
    with pytest.raises(FileNotFoundError):
        gioconda.animate("frame001.png", given, "out.mp4")
    assert knocks == []


def test_a_movie_whose_samples_lie_elsewhere_gives_none(tmp_path, clip, door):
    port, knocks = door
    data = clip.read_bytes()
    at = data.index(b"dref")
    place = f"http://127.0.0.1:{port}/a.mp4\0".encode()
    entry = struct.pack(">I4sI", 12 + len(place), b"url ", 0) + place  # no flag: not in this file
    dref = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    old = struct.unpack(">I", data[at - 4 : at])[0]
    grown = bytearray(data[: at - 4] + dref + data[at - 4 + old :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        start = grown.index(box) - 4
        size = struct.unpack(">I", grown[start : start + 4])[0] + len(dref) - old
        grown[start : start + 4] = struct.pack(">I", size)
    (tmp_path / "elsewhere.mp4").write_bytes(grown)
    with contextlib.suppress(InputError):
        list(media.read_frames(tmp_path / "elsewhere.mp4"))
    assert knocks == []


def test_only_codecs_of_our_list_are_decoded(tmp_path):
    """A codec of screen recordings: libav knows it, and we do not ask it to."""
    path = write_clip(tmp_path / "screen.avi", codec="zmbv", pix_fmt="bgr0")
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.codec.name == "zmbv"
    with pytest.raises(InputError, match=r"screen\.avi"):
        media.probe(path)
    assert not media.is_video(path)
