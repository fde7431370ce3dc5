"""Sound files of any common kind, as mono float at 48 kHz.

The bytes come from strangers. So FFmpeg never sees a path or an address, opens nothing beside what
it is handed (playlists and references to other files fail), and may use only the containers and
decoders that are listed here.
"""

import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from engine.speech.resample import FilterChain, joined, to_mono_48k
from engine.speech.sound import SAMPLE_RATE, Samples, SoundError

CHUNK = SAMPLE_RATE // 2
"""Samples of one chunk of decoded sound."""

_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,gsm,matroska,mov,mp3,mpeg,mpegts,ogg,tta,"
    "voc,w64,wav,wv"
)
_GUESSED = frozenset(["aac", "ac3", "amr", "avi", "eac3", "flv", "gsm", "mp3", "mpeg", "mpegts"])
"""Containers whose length FFmpeg estimates, from the bit rate or the last time stamp."""

_SPARSE = frozenset(["matroska,webm", *_GUESSED])
"""Containers in which less sound than stated is no sign of damage: silence may be left out."""

_DECODERS = (
    "aac,aac_latm,ac3,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_yamaha,alac,amrnb,amrwb,ape,eac3,"
    "flac,g722,g726,gsm,gsm_ms,libgsm,libopencore_amrnb,libopencore_amrwb,libopus,libspeex,"
    "libvorbis,mp1,mp1float,mp2,mp2float,mp3,mp3float,opus,pcm_alaw,pcm_f32be,pcm_f32le,pcm_f64be,"
    "pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_s8,pcm_u8,"
    "speex,tta,vorbis,wavpack,wmapro,wmav1,wmav2,wmavoice"
)

_RATES = range(2_000, 768_001)
_LARGEST = 1e10
"""Float files may hold integers of 32 bits; what is larger is damage. NaN is not smaller."""

_TOLERANCE_S = 0.1
"""Encoders pad: a sound may be this much longer than allowed, and than it says."""

_KINDS = "Send speech as WAV, MP3, Ogg, FLAC, M4A or WebM, or a video that has sound."


class NotSound(SoundError):
    """It is no sound, or of no kind that can be decoded."""


class SoundEmpty(SoundError):
    """There is no sound in it."""


class SoundTooLong(SoundError):
    """It is longer than the settings allow."""


class SoundDamaged(SoundError):
    """It ends early, or has values that are no numbers."""


def decode_sound(source: bytes | Path, max_seconds: float) -> Generator[Samples]:
    """Decode a sound file, or the sound of a video, mixed down to one channel.

    Single damaged packets are left out. Nothing is opened before the first chunk is asked for;
    closing the iterator closes the file.

    Args:
        source: The file's bytes, or where it lies.
        max_seconds: Longer sound is refused, before anything is decoded where its length is known.

    Yields:
        Chunks of ``CHUNK`` samples, the last one shorter.

    Raises:
        NotSound, SoundEmpty, SoundTooLong, SoundDamaged: Each says what to do about it.
    """
    name = _name(source)
    with _opened(source) as (container, stream):
        stated = _seconds(container, stream)
        kind = container.format.name
        slack = 2 if kind in _GUESSED else 1
        if stated is not None and stated > max_seconds * slack + _TOLERANCE_S:
            _refuse_length(name, max_seconds, stated)
        limit = int((max_seconds + _TOLERANCE_S) * SAMPLE_RATE)
        count = 0
        for chunk in _chunks(_converted(name, container, stream)):
            count += len(chunk)
            if count > limit:
                _refuse_length(name, max_seconds, None)
            if not (np.abs(chunk) < _LARGEST).all():
                raise SoundDamaged(
                    f"{name} has samples that are no numbers (NaN), infinite or absurdly large.",
                    "Export it again, best as 16-bit WAV or FLAC.",
                )
            yield chunk
        _check_count(name, count / SAMPLE_RATE, stated, 0.5 if kind in _SPARSE else 0.95)


def sound_seconds(source: bytes | Path) -> float | None:
    """Return the length of a sound if its file tells, else None.

    Raises:
        NotSound, SoundEmpty, SoundDamaged: Each says what to do about it.
    """
    with _opened(source) as (container, stream):
        return _seconds(container, stream)


def _name(source: bytes | Path) -> str:
    return "The sound" if isinstance(source, bytes) else f"The sound file '{source}'"


@contextmanager
def _opened(source: bytes | Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    name = _name(source)
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    except OSError as error:
        raise NotSound(f"{name} cannot be opened: {error.strerror}.", "Check its path.") from error
    with file:
        _check_bytes(name, file)
        try:
            container = av.open(
                file,
                "r",
                options={
                    "format_whitelist": _CONTAINERS,
                    "codec_whitelist": _DECODERS,
                    "protocol_whitelist": "none",
                    # A 16-bit WAV would be searched for DTS hidden in it, for 20 ms.
                    "max_probe_packets": "1",
                },
                metadata_errors="replace",
                io_open=_open_nothing,
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise NotSound(f"{name} is not of a kind that can be decoded.", _KINDS) from error
        with container:
            yield container, _sound_of(name, container)


def _open_nothing(url: str, _flags: int, _options: object) -> NoReturn:
    raise PermissionError(f"sound may not refer to other files: {url}")


def _sound_of(name: str, container: InputContainer) -> AudioStream:
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        raise NotSound(f"{name} is a file without sound.", _KINDS)
    codec = stream.codec_context.codec.name if stream.codec_context is not None else "unknown"
    if codec not in _DECODERS.split(","):
        raise NotSound(f"{name} is encoded as {codec}, which cannot be decoded.", _KINDS)
    if stream.codec_context.sample_rate not in _RATES:
        raise NotSound(
            f"{name} has {stream.codec_context.sample_rate} samples per second.",
            f"Export it with {_RATES.start} to {_RATES.stop - 1}, best 48000.",
        )
    stream.codec_context.thread_count = 1
    return stream


def _seconds(container: InputContainer, stream: AudioStream) -> float | None:
    """What the file says; the container's length is that of its longest stream."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _converted(name: str, container: InputContainer, stream: AudioStream) -> Iterator[Samples]:
    """Decode, resample and mix down. Sound may change its form on the way (chained Ogg)."""
    form: tuple[int, str, str] | None = None
    chain: FilterChain | None = None
    try:
        for frame in _frames(container, stream):
            if form != (frame.sample_rate, frame.format.name, frame.layout.name):
                if chain is not None:
                    yield joined(chain.feed(None))
                form = (frame.sample_rate, frame.format.name, frame.layout.name)
                if frame.sample_rate not in _RATES:
                    raise SoundDamaged(f"{name} changes to {frame.sample_rate} Hz on the way.")
                chain = to_mono_48k(*form)
            assert chain is not None
            frame.pts = None
            yield joined(chain.feed(frame))
        if chain is not None:
            yield joined(chain.feed(None))
    except (av.error.FFmpegError, ValueError) as error:
        text = "unknown" if form is None else f"{form[2]}, {form[1]}, {form[0]} Hz"
        raise NotSound(f"{name} has a form ({text}) that cannot be converted.", _KINDS) from error


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    demuxer = container.demux(stream)
    while True:
        try:
            packet = next(demuxer)
        except (StopIteration, av.error.FFmpegError):
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _chunks(parts: Iterator[Samples]) -> Iterator[Samples]:
    held: list[Samples] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part)
        if count >= CHUNK:
            whole = np.concatenate(held)
            for start in range(0, count - CHUNK + 1, CHUNK):
                yield whole[start : start + CHUNK]
            held = [whole[count - count % CHUNK :]]
            count %= CHUNK
    if count:
        yield np.concatenate(held)


def _refuse_length(name: str, max_seconds: float, stated: float | None) -> NoReturn:
    length = "longer" if stated is None else f"{stated:.0f} seconds long"
    raise SoundTooLong(
        f"{name} is {length}, and at most {max_seconds:.0f} seconds are allowed.",
        "Cut it into parts, or raise speech.max_seconds.",
    )


def _check_count(name: str, seconds: float, stated: float | None, share: float) -> None:
    if not seconds:
        raise SoundEmpty(f"{name} has no samples.", _KINDS)
    if stated is None:
        return
    if seconds < stated * share - _TOLERANCE_S:
        raise SoundDamaged(
            f"{name} is damaged or cut off: {seconds:.1f} of {stated:.1f} seconds can be read.",
            "Send it again, or export it again.",
        )


def _check_bytes(name: str, file: BinaryIO) -> None:
    """Refuse what is empty, and WAV files that lack bytes: FFmpeg would shorten them silently."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not size:
        raise SoundEmpty(f"{name} is empty.", _KINDS)
    stated = _wav_data_end(file, size)
    file.seek(0)
    if stated > size:
        raise SoundDamaged(
            f"{name} is cut off: a WAV file of {size} bytes that says it has {stated}.",
            "Send it again.",
        )


def _wav_data_end(file: BinaryIO, size: int) -> int:
    """Return where a WAV file's samples should end; 0 where that is not known.

    Programs that write to a pipe state 2 GiB or more, or 0.
    """
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0
    place = 12
    while place + 8 <= size:
        file.seek(place)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        place += 8 + length
        if head[:4] == b"data":
            return 0 if length >= 0x7FFF_0000 else place
        place += length & 1
    return 0
