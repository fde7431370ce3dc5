"""Sound in any form to mono float at 48 kHz, as a stream."""

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph

from engine.speech.sound import SAMPLE_RATE, Samples, SoundError

MIN_RATE = 8_000
MAX_RATE = 96_000

_TAPS = 64
"""Length of the polyphase filter in samples of the slower side: images 88 dB down to 0.42 of its
rate, for a delay of half its length; libswresample's usual 32 leave 60 dB there."""


class FilterChain:
    """Sound through filters of FFmpeg, in this thread alone.

    Args:
        rate: Samples per second of what comes in.
        sample_format: Its sample format by FFmpeg's name, e.g. ``s16``.
        layout: Its channel layout by FFmpeg's name, e.g. ``mono``.
        filters: Name and arguments of each filter, in order; the last one must leave one channel.

    Raises:
        av.error.FFmpegError: FFmpeg takes no such sound or arguments.
    """

    def __init__(
        self, rate: int, sample_format: str, layout: str, *filters: tuple[str, str]
    ) -> None:
        graph = Graph()
        # A graph would start as many threads as there are cores, for filters that use none.
        graph.threads = 1
        self._source = graph.add(
            "abuffer",
            sample_rate=str(rate),
            sample_fmt=sample_format,
            channel_layout=layout,
            time_base=f"1/{rate}",
        )
        self._sink = graph.add("abuffersink")
        links = (self._source, *(graph.add(*each) for each in filters), self._sink)
        graph.link_nodes(*links).configure()
        self._graph = graph

    def feed(self, frame: av.AudioFrame | None) -> list[npt.NDArray[np.floating]]:
        """Take a frame, or None for the end; return what is ready, each ``[n]``."""
        self._source.push(frame)
        ready: list[npt.NDArray[np.floating]] = []
        while True:
            try:
                pulled = self._sink.pull()
            except (BlockingIOError, EOFError):
                return ready
            assert isinstance(pulled, av.AudioFrame)
            ready.append(pulled.to_ndarray()[0])


def to_mono_48k(rate: int, sample_format: str, layout: str) -> FilterChain:
    """Return the chain that mixes down to one channel and resamples to ``SAMPLE_RATE``."""
    return FilterChain(
        rate,
        sample_format,
        layout,
        ("aresample", f"{SAMPLE_RATE}:filter_size={_TAPS}"),
        ("aformat", f"sample_rates={SAMPLE_RATE}:sample_fmts=flt:channel_layouts=mono"),
    )


def audio_frame(samples: npt.NDArray[np.generic], sample_format: str, rate: int) -> av.AudioFrame:
    """Return mono samples ``[n]`` as a frame of FFmpeg; ``sample_format`` must fit their dtype."""
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples)[np.newaxis], format=sample_format, layout="mono"
    )
    frame.sample_rate = rate
    return frame


def joined(parts: list[npt.NDArray[np.floating]]) -> Samples:
    """Return parts of sound as one ``float32[n]``."""
    if not parts:
        return np.empty(0, np.float32)
    return np.concatenate(parts).astype(np.float32, copy=False)


class PcmResampler:
    """PCM as it arrives, in pieces of any length, to ``SAMPLE_RATE``.

    The output has no delay: what the filter needs of the future is held back until it comes, 32
    samples of the slower side (4 ms at 8 kHz). Sound shorter than 128 samples may give nothing.

    Args:
        rate: Samples per second of the PCM.

    Raises:
        SoundError: The rate is not between ``MIN_RATE`` and ``MAX_RATE``.
    """

    def __init__(self, rate: int) -> None:
        if not MIN_RATE <= rate <= MAX_RATE:
            raise SoundError(
                f"PCM of {rate} samples per second cannot be played.",
                f"Send {MIN_RATE} to {MAX_RATE} samples per second, best 16000, 24000 or 48000.",
            )
        self._rate = rate
        self._chain = None if rate == SAMPLE_RATE else to_mono_48k(rate, "s16", "mono")
        self._half_sample = b""

    def feed(self, pcm: bytes) -> Samples:
        """Take PCM (``s16le``, mono), cut anywhere; return what is ready, ``float32[n]``."""
        pcm = self._half_sample + pcm
        whole = len(pcm) & ~1
        self._half_sample = pcm[whole:]
        values = np.frombuffer(pcm, "<i2", whole // 2)
        if self._chain is None:
            return values.astype(np.float32) / np.float32(32768)
        if not len(values):
            return np.empty(0, np.float32)
        native = values.astype(np.int16, copy=False)
        return joined(self._chain.feed(audio_frame(native, "s16", self._rate)))

    def finish(self) -> Samples:
        """Return what was held back; half a sample at the end is dropped."""
        if self._chain is None:
            return np.empty(0, np.float32)
        return joined(self._chain.feed(None))
