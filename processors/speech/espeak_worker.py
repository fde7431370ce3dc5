"""Speaks a text with libespeak-ng and reports when each word is said. A program of its own.

Run as ``python -I -S espeak_worker.py VOICE WORDS_PER_MINUTE`` with the text on standard input;
with ``--probe`` it only tells by its exit code whether the library is there. It imports nothing of
this project, so that it starts quickly; the library (GPL-3.0) stays out of the server's process.

It writes frames ``<cI``: a kind, the number of bytes that follow, and those:

====  ==========================================================================================
``R``  ``<I`` sample rate, once, first
``P``  sound, s16le mono
``W``  ``<II`` a word starts: index of its first character in the text, sample
``S``  ``<I`` a clause ended: the sample behind its last audible one
``V``  names of voices, separated by spaces: there is none of the name that was asked for
``E``  what went wrong
``Z``  nothing: all has been said
====  ==========================================================================================
"""

import ctypes
import os
import struct
import sys

_LIBRARIES = (
    "libespeak-ng.so.1",
    "libespeak-ng.1.dylib",
    "/opt/homebrew/lib/libespeak-ng.1.dylib",
    "/usr/local/lib/libespeak-ng.1.dylib",
)

# From speak_lib.h.
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_BUFFER_MS = 60
_RATE = 1
_CHARS_UTF8 = 1
_END_PAUSE = 0x1000
_POS_CHARACTER = 1
_EVENT_WORD = 1
_EVENT_END = 5


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        # A byte of priority, then the language, zero-terminated; more may follow.
        ("languages", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _load() -> "ctypes.CDLL | None":
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _write(kind: bytes, data: bytes) -> None:
    sys.stdout.buffer.write(struct.pack("<cI", kind, len(data)) + data)


class _Speaker:
    """Receives what the library makes and passes it on."""

    def __init__(self) -> None:
        self._samples = 0
        self._audible_end = 0

    def __call__(
        self, wav: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        pcm = ctypes.string_at(wav, 2 * count) if count > 0 else b""
        index = 0
        try:
            while events[index].type:
                self._report(events[index], pcm)
                index += 1
            if pcm:
                _write(b"P", pcm)
                self._look_for_silence(pcm)
                self._samples += count
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            return 1
        return 0

    def _report(self, event: _Event, pcm: bytes) -> None:
        # Parts of a number or an abbreviation that is spelled have no length of their own.
        if event.type == _EVENT_WORD and event.length > 0 and event.text_position > 0:
            _write(b"W", struct.pack("<II", event.text_position - 1, max(0, event.sample)))
        elif event.type == _EVENT_END:
            self._look_for_silence(pcm[: 2 * max(0, event.sample - self._samples)])
            _write(b"S", struct.pack("<I", self._audible_end))

    def _look_for_silence(self, pcm: bytes) -> None:
        # The library makes pauses of zeros.
        audible = len(pcm.rstrip(b"\0"))
        if audible:
            self._audible_end = self._samples + (audible + 1) // 2


def _choose(library: ctypes.CDLL, voice: str) -> bool:
    """Take a voice, else that of the next wider language tag (RFC 4647, lookup): es-MX, es."""
    while library.espeak_SetVoiceByName(voice.encode()) != 0:
        voice = voice.rpartition("-")[0]
        if not voice:
            return False
    return True


def _voices(library: ctypes.CDLL) -> str:
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    voices = library.espeak_ListVoices(None)
    names = []
    index = 0
    while voices[index]:
        names.append(
            ctypes.string_at(voices[index].contents.languages + 1).decode(errors="replace")
        )
        index += 1
    return " ".join(sorted(set(names)))


def _speak(library: ctypes.CDLL, voice: str, rate: int, text: str) -> None:
    sample_rate = library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, None, _DONT_EXIT)
    if sample_rate <= 0:
        _write(b"E", b"libespeak-ng does not find its data (package espeak-ng-data)")
        return
    if not _choose(library, voice):
        _write(b"V", _voices(library).encode())
        return
    _write(b"R", struct.pack("<I", sample_rate))
    library.espeak_SetParameter(_RATE, rate, 0)
    speaker = _Speaker()
    callback = _Callback(speaker)
    library.espeak_SetSynthCallback(callback)
    data = text.encode()
    library.espeak_Synth.argtypes = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    flags = _CHARS_UTF8 | _END_PAUSE
    code = library.espeak_Synth(data, len(data) + 1, 0, _POS_CHARACTER, 0, flags, None, None)
    if code == 0:
        _write(b"Z", b"")
    else:
        _write(b"E", f"espeak_Synth returned {code}".encode())


def _main() -> int:
    library = _load()
    if library is None:
        return 3
    if sys.argv[1:] == ["--probe"]:
        return 0
    voice, rate = sys.argv[1], int(sys.argv[2])
    _speak(library, voice, rate, sys.stdin.buffer.read().decode())
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(_main())
    except BrokenPipeError:
        # Nobody listens any more, and nothing can be flushed on the way out.
        os._exit(1)
