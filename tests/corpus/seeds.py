"""The whole files from which the fuzz corpus is made: small, of synthetic content or the packaged portrait.

`python tests/corpus/seeds.py FOLDER` writes them. Nothing here comes from media of other people.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pillow_heif
from PIL import Image as Picture
from PIL import ImageCms
from scipy.io import wavfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from media_factory import write_clip

SIDE = 96  # of the pictures, in pixels: small, and a face is still found in them
FRAMES = 8
RATE = 48000

Maker = Callable[[Path], object]


def portrait(side=SIDE):
    """The packaged portrait's face, (side, side, 3) uint8."""
    from gioconda.assets import asset_path

    with Picture.open(asset_path("astronaut.jpg")) as whole:
        return np.asarray(whole.convert("RGB").crop((80, 0, 336, 256)).resize((side, side)))


def wandering(count=FRAMES, side=SIDE):
    """Pictures of a face that moves a little to the side."""
    wide = portrait(side + count)
    return [np.ascontiguousarray(wide[i : i + side, i : i + side]) for i in range(count)]


def tone(seconds=0.32):
    """A rising tone, (n,) float32 at 48 kHz."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * (200 + 900 * time) * time)).astype(np.float32)


def _save(**options):
    def write(path):
        image = Picture.fromarray(portrait())
        image.convert(options.pop("mode", "RGB")).save(path, **options)

    return write


def _tagged(path):
    exif = Picture.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Picture.fromarray(portrait()).save(path, exif=exif, icc_profile=profile, quality=60)


def _deep(path):
    Picture.fromarray(portrait()[:, :, 1].astype(np.uint16) * 257).save(path)


def _palette(path):
    Picture.fromarray(portrait()).quantize(16).save(path, transparency=3)


def _moving(**options):
    def write(path):
        first, *rest = (Picture.fromarray(one) for one in wandering(4, 64))
        first.save(path, save_all=True, append_images=rest, duration=40, **options)

    return write


def _clip(**options):
    def write(path):
        write_clip(path, wandering(), **options)

    return write


def _phone(path):
    pillow_heif.from_pillow(Picture.fromarray(portrait())).save(path, quality=60)


def _wide(path):
    """A still of 10 bits whose header says PQ and BT.2020."""
    pixels = portrait().astype(np.uint16) * 257
    written = pillow_heif.from_bytes("RGB;16", (SIDE, SIDE), pixels.tobytes())
    written.save(path, quality=60, color_primaries=9, transfer_characteristics=16, matrix_coefficients=9)


def _seen_through(path):
    """A film whose left half is transparent."""
    clear = [np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]) for image in wandering()]
    for image in clear:
        image[:, : SIDE // 2, 3] = 0
    write_clip(path, clear, codec="libvpx-vp9", pix_fmt="yuva420p")


def _bright(path):
    """A film of 10 bits whose header says PQ and BT.2020."""
    options = {"x265-params": "log-level=none:transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc"}
    write_clip(path, wandering(), codec="libx265", pix_fmt="yuv420p10le", options=options)


def _combed(path):
    """A film of fields, flagged as such."""
    write_clip(path, wandering(), codec="mpeg2video", options={"flags": "+ilme+ildct", "top": "1"})


def _two_tracks(path):
    """A film with a silent first track of sound, as recording programs write it."""
    write_clip(path, wandering(), codec="libvpx", sound=(np.zeros_like(tone()), tone()), sound_codec="flac")


def _opposed(path):
    """Two channels that cancel each other, with samples that are no numbers."""
    samples = np.stack([tone(), -tone()], 1)
    samples[500:520] = np.nan
    wavfile.write(path, RATE, samples)


def _spreadsheet(path):
    """A recording as a spreadsheet saves it: semicolons, decimal commas, UTF-16."""
    _livelink(path)
    cells = path.read_text(encoding="utf-8").replace(".", "\t").replace(",", ";").replace("\t", ",")
    path.write_text(cells, encoding="utf-16")


def _sound(codec, form=None):
    """A file of sound alone; codec as libav calls it."""

    def write(path):
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=RATE, layout="mono")
            kind = form or stream.codec_context.codec.audio_formats[0].name
            sound, size = tone(), stream.codec_context.frame_size or 1024
            for at in range(0, len(sound) - size, size):
                out.mux(stream.encode(_heard(sound[at : at + size], kind, at)))
            out.mux(stream.encode(None))

    return write


def _heard(samples, kind, at):
    values = samples[None]
    if kind.startswith("s16"):
        values = (values * 32767).astype(np.int16)
    elif kind.startswith("s32"):
        values = (values * (2**31 - 1)).astype(np.int32)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values), format=kind, layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), at
    return frame


def short_motion(count=3):
    """The first frames of a template."""
    from gioconda.motion.templates import template

    whole = template("talk")
    names = ("times", "rotation", "translation", "scale", "expression", "gaze", "confidence")
    return whole.with_(**{name: getattr(whole, name)[:count] for name in names})


def _motion(path):
    from gioconda.motion import store

    store.save(short_motion(), path)


def _residual(path):
    from gioconda.motion import store
    from gioconda.motion.expression import load_basis

    rng = np.random.default_rng(0)
    offsets = rng.normal(0, 0.01, (2, 478, 3)).astype(np.float16)
    store.save(short_motion(2).with_(residual=offsets, neutral=load_basis().neutral), path)


def _livelink(path):
    from gioconda.motion import livelink

    livelink.write_livelink(path, short_motion(6))


def _identity(path):
    from gioconda.engines.fewshot import identity
    from gioconda.motion.expression import load_basis

    points = (load_basis().neutral * 14 + 32).astype(np.float32)
    fitted = {"generator.shift": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 12)}
    made = identity.Identity(portrait(64), points, fitted, {"engine": "fewshot", "sources": []})
    path.write_bytes(identity.encode(made))


def _bank(path):
    from gioconda.lipsync import database
    from gioconda.lipsync.points import POINTS
    from gioconda.motion.expression import load_basis

    head = load_basis().neutral
    crop = np.asarray(Picture.fromarray(portrait()).resize((100, 80)))
    made = database.MouthDatabase(
        crops=np.stack([database.to_yuv420(crop)]),
        points=np.ascontiguousarray(head[None, POINTS, :2], np.float32),
        pose=np.zeros((1, 2), np.float32),
        colour=np.full((1, 3), 128, np.float32),
        sharp=np.ones(1, np.float32),
        source=np.zeros(1, np.int32),
        frame=np.zeros(1, np.int32),
        head=head,
        rest=head,
        about={"engine": "lipsync", "sources": []},
    )
    path.write_bytes(database.encode(made))


def _weights(path):
    from safetensors.numpy import save_file

    made = {f"generator.layer{i}": np.full((4, 3), i, np.float16) for i in range(6)}
    save_file(made, path, {"format": "gioconda"})


def _network(path):
    """A network of one convolution, as onnx; written by hand, so that no library of training is needed."""
    from corpus import onnx_file

    path.write_bytes(onnx_file.one_convolution())


def pem_pair():
    """A private key and its self-signed certificate, in PEM, the same each time."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509.oid import NameOID

    key = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7)
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=timezone.utc))
    builder = builder.not_valid_after(datetime(2120, 1, 1, tzinfo=timezone.utc))
    made = builder.public_key(key.public_key()).sign(key, None)
    form = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return key.private_bytes(form, serialization.PrivateFormat.PKCS8, plain), made.public_bytes(form)


def _preset(path):
    path.write_text('steps = 20\nbatch = 4\nrate = 1e-3\nfeatures = ""\npeople = 3\n', encoding="utf-8")


def _signed(path):
    import gioconda

    if path.suffix in (".mp4", ".webm", ".gif"):
        gioconda.animate(portrait(128), short_motion(), path, crop=True, size=64, refine=False)
    else:
        gioconda.edit(portrait(128), path, yaw=4, crop=True, size=64, refine=False)


SEEDS: dict[str, tuple[str, Maker]] = {
    "rgb.png": ("image", _save()),
    "deep.png": ("image", _deep),
    "palette.png": ("image", _palette),
    "moving.png": ("image", _moving()),
    "tagged.jpg": ("image", _tagged),
    "progressive.jpg": ("image", _save(mode="CMYK", progressive=True, quality=60)),
    "lossy.webp": ("image", _save(quality=60)),
    "clear.webp": ("image", _save(mode="RGBA", lossless=True)),
    "moving.webp": ("image", _moving(quality=50)),
    "still.gif": ("image", _save()),
    "lzw.tiff": ("image", _save(compression="tiff_lzw")),
    "jpeg.tiff": ("image", _save(compression="jpeg")),
    "plain.bmp": ("image", _save()),
    "plain.ppm": ("image", _save()),
    "small.avif": ("image", _save(quality=50)),
    "phone.heic": ("image", _phone),
    "wide.heic": ("image", _wide),
    "small.jp2": ("image", _save(quality_mode="rates", quality_layers=[20])),
    "h264.mp4": ("video", _clip(sound=tone(), options={"crf": "30"})),
    "hevc.mp4": ("video", _clip(codec="libx265", options={"crf": "32", "x265-params": "log-level=none"})),
    "vp9.webm": ("video", _clip(codec="libvpx-vp9", sound=tone(), sound_codec="libopus")),
    "mjpeg.mov": ("video", _clip(codec="mjpeg", pix_fmt="yuvj420p", sound=tone(), sound_codec="pcm_s16le")),
    "mpeg4.avi": ("video", _clip(codec="mpeg4", sound=tone(), sound_codec="libmp3lame")),
    "vp8.mkv": ("video", _clip(codec="libvpx", sound=tone(), sound_codec="flac")),
    "mpeg2.ts": ("video", _clip(codec="mpeg2video", sound=tone(), sound_codec="mp2")),
    "clear.webm": ("video", _seen_through),
    "bright.mp4": ("video", _bright),
    "combed.ts": ("video", _combed),
    "tracks.mkv": ("video", _two_tracks),
    "loop.gif": ("video", _moving()),
    "tone.wav": ("sound", _sound("pcm_s16le")),
    "opposed.wav": ("sound", _opposed),
    "tone.mp3": ("sound", _sound("libmp3lame")),
    "tone.m4a": ("sound", _sound("aac")),
    "tone.flac": ("sound", _sound("flac", "s16")),
    "tone.ogg": ("sound", _sound("flac", "s16")),
    "tone.opus": ("sound", _sound("libopus")),
    "short.npz": ("motion", _motion),
    "residual.npz": ("motion", _residual),
    "take.csv": ("motion", _livelink),
    "sheet.csv": ("motion", _spreadsheet),
    "person.safetensors": ("identity", _identity),
    "mouths.safetensors": ("bank", _bank),
    "weights.safetensors": ("weights", _weights),
    "network.onnx": ("network", _network),
    "key.pem": ("key", lambda path: path.write_bytes(pem_pair()[0])),
    "certificate.pem": ("key", lambda path: path.write_bytes(pem_pair()[1])),
    "preset.toml": ("preset", _preset),
    "signed.png": ("signed", _signed),
    "signed.jpg": ("signed", _signed),
    "signed.webp": ("signed", _signed),
    "signed.mp4": ("signed", _signed),
    "signed.gif": ("signed", _signed),
    "signed.webm": ("signed", _signed),
    "signed.c2pa": ("sidecar", lambda path: None),
}
"""File name -> (kind, what writes it)."""


def make(folder: Path) -> dict[str, str]:
    """Write all seeds into `folder`; name -> kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, write) in SEEDS.items():
        if not (folder / name).exists():
            write(folder / name)
    return {name: kind for name, (kind, _) in SEEDS.items()}


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    for made in sorted(Path(sys.argv[1]).iterdir()):
        sys.stdout.write(f"{made.stat().st_size:8,} {made.name}\n")
