"""Sounds for tests of speech, made and measured by FFmpeg itself."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from engine.speech.decode import decode_sound
from engine.speech.sound import SAMPLE_RATE, Samples


def sine(
    seconds: float, frequency: float = 440.0, rate: int = SAMPLE_RATE, peak: float = 0.5
) -> Samples:
    """Return a tone, ``float32[n]`` at ``rate``."""
    times = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def pcm16(samples: Samples) -> npt.NDArray[np.int16]:
    """Return samples as 16-bit integers."""
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)


def wav(
    data: bytes, *, bits: int, rate: int, channels: int = 1, code: int = 1, stated: int = -1
) -> bytes:
    """Return a plain WAV file.

    Args:
        data: Its samples.
        code: 1 for integers, 3 for floats.
        stated: How many bytes its header says ``data`` has; -1 for the truth.
    """
    width = channels * bits // 8
    length = len(data) if stated < 0 else stated
    form = struct.pack("<HHIIHH", code, channels, rate, rate * width, width, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", length)
    return b"RIFF" + struct.pack("<I", min(length + 36, 0xFFFF_FFFF)) + body + data


def encoded(
    samples: Samples, kind: str, codec: str, layout: str = "mono", rate: int = SAMPLE_RATE
) -> bytes:
    """Return a sound file of any kind that FFmpeg writes."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        form = stream.codec_context.format
        resampler = av.AudioResampler(format=form, layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, 0
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(each))
        container.mux(stream.encode(None))
    return file.getvalue()


def decoded(source: bytes | Path) -> Samples:
    """Return a whole sound."""
    return np.concatenate(list(decode_sound(source, 600.0)))


def opus_decoded(packets: list[bytes]) -> Samples:
    """Return what libopus makes of packets, ``float32[960 * n]``."""
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate = SAMPLE_RATE
    decoder.layout = "mono"
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))]
    whole = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    full_scale = 32768 if whole.dtype == np.int16 else 1
    return np.asarray(whole / full_scale, np.float32)


def ebur128(samples: Samples) -> tuple[float, float]:
    """Return integrated loudness in LUFS and true peak in dBTP, as FFmpeg's meter finds them."""
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_abuffer(
        sample_rate=SAMPLE_RATE, format="flt", layout="mono", time_base=Fraction(1, SAMPLE_RATE)
    )
    meter = graph.add("ebur128", "metadata=1:peak=true:framelog=quiet")
    sink = graph.add("abuffersink")
    graph.link_nodes(source, meter, sink).configure()
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples)[np.newaxis], format="flt", layout="mono"
    )
    frame.sample_rate = SAMPLE_RATE
    source.push(frame)
    source.push(None)
    found: dict[str, str] = {}
    while True:
        try:
            found = sink.pull().metadata or found
        except (BlockingIOError, EOFError):
            break
    true_peak = max(float(found["lavfi.r128.true_peak"]), 1e-10)
    return float(found["lavfi.r128.I"]), float(20 * np.log10(true_peak))


def level_db(samples: Samples) -> float:
    """Return the mean level in dBFS; -120 for silence."""
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-12))


def cut(length: int, cuts: list[int]) -> list[slice]:
    """Return slices that cover ``length`` with the given widths, repeated as long as needed."""
    widths = cuts or [length]
    slices: list[slice] = []
    start = 0
    while start < length:
        width = max(1, widths[len(slices) % len(widths)])
        slices.append(slice(start, start + width))
        start += width
    return slices
