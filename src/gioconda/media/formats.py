"""The formats that libav may open and decode: those of cameras, phones and editors, not of games and screens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Playlists (HLS, DASH, concat), scripts and numbered pictures are excluded, since they open other files and addresses.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,m4v,ivf,"
    "nut,dv,mxf,yuv4mpegpipe,mjpeg,obu,rm,wav,w64,mp3,flac,aac,aiff,caf,amr,ac3"
)
_PICTURE = (
    "h264,hevc,av1,libdav1d,vp8,vp9,libvpx,libvpx-vp9,vvc,theora,mpeg4,mpeg2video,mpeg1video,mpegvideo,h261,h263,"
    "h263i,h263p,flv,vp6,vp6a,vp6f,msmpeg4,msmpeg4v1,msmpeg4v2,wmv1,wmv2,wmv3,vc1,rv10,rv20,rv30,rv40,svq1,svq3,cinepak,"
    "mjpeg,mjpegb,jpeg2000,png,gif,rawvideo,qtrle,rpza,dvvideo,prores,dnxhd,cfhd,hap,ffv1,ffvhuff,huffyuv,utvideo,"
    "magicyuv,v210,v410,r210,r10k"
)
_SOUND = (
    "aac,aac_latm,mp3,mp3float,mp2,mp2float,mp1,mp1float,ac3,eac3,dca,mlp,truehd,opus,libopus,vorbis,flac,alac,speex,"
    "wavpack,wmav1,wmav2,wmapro,wmalossless,cook,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,gsm,gsm_ms,g722,"
    "adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf,nellymoser,mace3,mace6,qdm2,"
    "pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_s8,pcm_s16be,pcm_s16le,"
    "pcm_s16le_planar,pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_u8,pcm_u16le"
)
DECODERS = f"{_PICTURE},{_SOUND}"
_KNOWN = frozenset(DECODERS.split(","))


def decodable(stream: Any) -> bool:
    """Return whether a stream of a PyAV container may be decoded; a stream without a decoder has no context."""
    context = stream.codec_context
    return context is not None and context.codec.name in _KNOWN


def mime_of(path: Path) -> str:
    """Return the MIME type of a file by its suffix."""
    kinds = {".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}
    kinds |= {".mkv": "video/x-matroska", ".gif": "image/gif", ".apng": "image/apng"}
    kinds |= {".wav": "audio/wav", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac"}
    kinds |= {".flac": "audio/flac", ".ogg": "audio/ogg", ".opus": "audio/ogg"}
    kinds |= {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
    return kinds.get(path.suffix.lower(), "application/octet-stream")
