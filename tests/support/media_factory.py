"""Odd media, made on the spot with PyAV and PIL directly, so that what is tested does not test itself."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def chart():
    """Flat patches of 27 colours, RGB (192, 288, 3) uint8."""
    levels = (16, 128, 240)
    colours = [(r, g, b) for r in levels for g in levels for b in levels]
    patches = np.array(colours, np.uint8).reshape(3, 9, 3)
    return np.ascontiguousarray(patches.repeat(64, 0).repeat(32, 1))


def corners(height=48, width=64):
    """A picture whose corners tell how it was turned: red, green, blue, white from the top left on."""
    image = np.full((height, width, 3), 90, np.uint8)
    h, w = height // 2, width // 2
    image[:h, :w], image[:h, w:] = (220, 30, 30), (30, 200, 30)
    image[h:, :w], image[h:, w:] = (30, 30, 220), (240, 240, 240)
    return image


def corner_names(image):
    """The colours at the four corners, clockwise from the top left."""
    names = {"r": (220, 30, 30), "g": (30, 200, 30), "b": (30, 30, 220), "w": (240, 240, 240)}
    height, width = image.shape[:2]
    places = [(4, 4), (4, width - 5), (height - 5, width - 5), (height - 5, 4)]
    distance = {n: [np.abs(image[p].astype(int) - c).sum() for p in places] for n, c in names.items()}
    return "".join(min(names, key=lambda n: distance[n][i]) for i in range(4))


def bar(index, size=(64, 48), count=30):
    """A grey picture with a white bar that wanders to the right with `index`."""
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    at = round(index / max(count - 1, 1) * (size[0] - 8))
    image[:, at : at + 8] = 230
    return image


def write_clip(
    path,
    images=None,
    *,
    pts=None,
    time_base=Fraction(1, 25),
    codec="libx264",
    pix_fmt="yuv420p",
    options=None,
    container_options=None,
    aspect=None,
    sound=None,
    sound_codec="aac",
    sound_start=0.0,
    metadata=None,
):
    """Write pictures (30 of `bar`) to `path`; `pts` count in `time_base`.

    `sound` is (n,) float at 48 kHz, or a tuple of such tracks.
    """
    images = images if images is not None else [bar(i) for i in range(30)]
    pts = list(range(len(images))) if pts is None else pts
    with av.open(str(path), "w", container_options=container_options or {}) as out:
        out.metadata.update(metadata or {})
        stream = out.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        sounds = sound if isinstance(sound, tuple) else () if sound is None else (sound,)
        tracks = [out.add_stream(sound_codec, rate=48000, layout="mono") for _ in sounds]
        packets = []
        for number, image in zip(pts, images, strict=True):
            form = "rgba" if image.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), form)
            frame.pts, frame.time_base = number, time_base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for track, samples in zip(tracks, sounds, strict=True):
            packets += _sound_packets(track, samples, sound_start)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    return Path(path)


def rotate(path, degrees):
    """Write into an mp4's or mov's header that it is to be shown turned counter-clockwise by `degrees`."""
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), -90: (0, 1, -1, 0)}[degrees]
    data = Path(path).read_bytes()
    place = data.index(b"tkhd") + 4 + 40
    one, last = 1 << 16, 1 << 30
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, last)
    Path(path).write_bytes(data[:place] + matrix + data[place + 36 :])
    return Path(path)


def _sound_packets(track, sound, start):
    form = "s16" if track.codec_context.name.startswith("pcm") else "fltp"
    packets = []
    for at in range(0, len(sound), 1024):
        piece = sound[None, at : at + 1024].astype(np.float32)
        if form == "s16":
            piece = np.clip(piece * 32767, -32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format=form, layout="mono")
        frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
        frame.pts = at + round(start * 48000)
        packets += track.encode(frame)
    return packets + track.encode(None)


def click_flash(path, *, fps=25, seconds=2.0, flashes=(0.4, 1.2), first=0.0, **options):
    """A dark clip that flashes and clicks at the same moments, its clock starting at `first` seconds."""
    count = round(seconds * fps)
    images = [np.full((64, 64, 3), 20, np.uint8) for _ in range(count)]
    sound = np.zeros(round((first + seconds) * 48000), np.float32)
    tone = np.sin(np.arange(960) * 2 * np.pi * 1000 / 48000).astype(np.float32) * 0.9
    for moment in flashes:
        images[round(moment * fps)][:] = 235
        at = round((first + moment) * 48000)
        sound[at : at + 960] = tone
    clock = 90_000
    pts = [round((first + i / fps) * clock) for i in range(count)]
    return write_clip(path, images, pts=pts, time_base=Fraction(1, clock), sound=sound, **options)


def clicks(path, count):
    """The seconds at which the `count` loudest moments of a file's sound begin."""
    pieces, start, rate = [], None, 48000
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            rate = frame.sample_rate
            samples = np.abs(frame.to_ndarray().astype(np.float32)).max(axis=0)
            if frame.format.name.startswith("s16"):
                samples /= 32768
            begin = float(frame.pts * frame.time_base)
            start = begin if start is None else start
            pieces.append(samples[: frame.samples])
    loud = np.concatenate(pieces) > 0.3
    found, at = [], 0
    while at < len(loud) and len(found) < count:
        if loud[at]:
            found.append(start + at / rate)
            at += rate // 5
        at += 1
    return found


def clip_of(source, target, start, count, size, *, sound=True):
    """`count` frames of a video from frame `start` on, scaled to `size` (w, h), with their sound, as mp4."""
    images, moments, tones, first = [], [], [], 0.0
    with av.open(str(source)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if start <= i < start + count:
                images.append(frame.to_ndarray(format="rgb24", width=size[0], height=size[1]))
                moments.append(float(frame.pts * frame.time_base))
    if sound:
        resampler = av.AudioResampler("fltp", "mono", 48000)
        with av.open(str(source)) as container:
            for frame in container.decode(audio=0):
                tones += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        step = (moments[-1] - moments[0]) / (count - 1)
        first, last = round(moments[0] * 48000), round((moments[-1] + step) * 48000)
        tones = np.concatenate(tones)[first:last]
    pts = [round((moment - moments[0]) * 90_000) for moment in moments]
    return write_clip(target, images, pts=pts, time_base=Fraction(1, 90_000), sound=tones if sound else None)


def png_header(width, height):
    """A png that claims a size and holds no picture."""

    def part(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", header)
        + part(b"IDAT", zlib.compress(b"\0"))
        + part(b"IEND", b"")
    )


def damage(path, target, *, start=0.3, end=0.7, every=400, seed=0):
    """A copy of `path` in which single bytes between two fractions of its length are random."""
    data = bytearray(Path(path).read_bytes())
    rng = np.random.default_rng(seed)
    for at in range(int(len(data) * start), int(len(data) * end), every):
        data[at] = int(rng.integers(256))
    Path(target).write_bytes(bytes(data))
    return Path(target)


def cut(path, target, fraction):
    """The first part of a file."""
    data = Path(path).read_bytes()
    Path(target).write_bytes(data[: int(len(data) * fraction)])
    return Path(target)
