"""Reads and writes media; only this package knows PyAV and PIL. Everything else sees RGB arrays and seconds."""

from gioconda.media.backgrounds import colour_of, read_background
from gioconda.media.containers import ALPHA_SUFFIXES, SILENT_SUFFIXES, VIDEO_SUFFIXES
from gioconda.media.encoders import usable_encoder
from gioconda.media.files import (
    PICTURE_SUFFIXES,
    check_input,
    check_output,
    output_error,
    publish,
    sha256_file,
    temp_beside,
    write_whole,
)
from gioconda.media.formats import mime_of
from gioconda.media.jpegs import decode_jpeg, encode_jpeg
from gioconda.media.pictures import is_picture, read_alpha, read_picture, write_picture
from gioconda.media.scenes import other_scene, scene
from gioconda.media.sound import SoundTrack
from gioconda.media.sound_in import SoundReader, is_sound, probe_sound, read_sound, write_sound
from gioconda.media.thumbnails import thumbnail
from gioconda.media.video_in import VideoInfo, VideoReader, is_video, probe, read_frames
from gioconda.media.video_out import VideoWriter, open_writer

__all__ = [
    "ALPHA_SUFFIXES",
    "PICTURE_SUFFIXES",
    "SILENT_SUFFIXES",
    "VIDEO_SUFFIXES",
    "SoundReader",
    "SoundTrack",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "check_input",
    "check_output",
    "colour_of",
    "decode_jpeg",
    "encode_jpeg",
    "is_picture",
    "is_sound",
    "is_video",
    "mime_of",
    "open_writer",
    "other_scene",
    "output_error",
    "probe",
    "probe_sound",
    "publish",
    "read_alpha",
    "read_background",
    "read_frames",
    "read_picture",
    "read_sound",
    "scene",
    "sha256_file",
    "temp_beside",
    "thumbnail",
    "usable_encoder",
    "write_picture",
    "write_sound",
    "write_whole",
]
