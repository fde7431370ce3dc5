"""Runs ``subtitles``: transcribe, write files, put the cues into the video."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import InvalidInput
from engine.media.tracks import display_size, sound_offset
from processors.generate.burn_in import burn
from processors.generate.declaration import Context, Inputs, Result, Services
from processors.generate.model_folders import model_folder
from processors.generate.recipe import tags
from processors.generate.soft_subtitles import add_track
from processors.generate.subtitle_files import Transcript, ass, shifted, srt, vtt, words_json
from processors.generate.subtitles import SubtitleParameters
from processors.generate.transcript import FileTranscriber
from processors.generate.whole_file import write_whole
from processors.models.files import ModelNotFound
from processors.speech.whisper_model import FOLDER_HINT, load_whisper, missing_files

_NAME = "subtitles"
_SOUND_FILE_SIZE = (1920, 1080)
"""Picture size that ASS files state where there is no picture."""

# Shares of the whole that transcribing takes.
_SHARE = {"none": 1.0, "soft": 0.95, "burnt": 0.5}


class NoPicture(InvalidInput):
    """A video is wanted of a file that has none."""


class Subtitler:
    """Implements ``subtitles``; keeps the model that it used last.

    Args:
        services: Where models are.
        load: Loads a Whisper model: folder, device, threads.
    """

    def __init__(
        self, services: Services, load: Callable[[Path, str, int], Any] = load_whisper
    ) -> None:
        self._services = services
        self._load = load
        self._loaded: tuple[tuple[Path, str, int], Any] | None = None

    def run(self, params: SubtitleParameters, inputs: Inputs, context: Context) -> Result:
        """Write down, and make the files; see ``subtitles.SUBTITLES``.

        Raises:
            SoundError, NoSpeech, NoPicture, ClipError: The input has no sound, no speech, no
                picture.
            ModelNotFound, WhisperUnusable, MissingDependency: Transcribing is not possible.
        """
        path = inputs["video"]
        share = _SHARE[params.embed]
        picture = display_size(path)
        if params.embed != "none" and picture is None:
            raise NoPicture(
                f"'{path.name}' has no moving picture to put subtitles into.",
                "Set embed: none, or choose a video.",
            )
        context.progress(0.0, "Loading the model")
        transcriber = FileTranscriber(self._model(params, context), params.model)
        transcript = transcriber.transcribe(
            path, params, lambda done, message: context.progress(done * share, message)
        )
        # Subtitles count from the start of the file, in which sound may begin later.
        offset = sound_offset(path)
        cues = shifted(transcript.cues, offset)
        transcript = Transcript(
            cues, transcript.language, transcript.seconds, transcript.translated
        )
        files = self._write(params, transcript, picture or _SOUND_FILE_SIZE, context.folder)
        if params.embed != "none":
            files["video"] = (self._video(params, path, transcript, context, share),)
        context.progress(1.0, "Done")
        return Result(files, _values(transcript))

    def _model(self, params: SubtitleParameters, context: Context) -> Any:
        folder = model_folder(params.model, self._services, "the files of a Whisper model")
        missing = missing_files(folder)
        if missing:
            raise ModelNotFound(
                f"The model '{params.model}' is not whole: {folder} has no"
                f" {', no '.join(missing)}.",
                FOLDER_HINT,
            )
        key = (folder, context.place.device, context.place.threads)
        if self._loaded is None or self._loaded[0] != key:
            # The old one goes first: both need not fit into memory.
            self._loaded = None
            self._loaded = (key, self._load(*key))
        return self._loaded[1]

    def _write(
        self,
        params: SubtitleParameters,
        transcript: Transcript,
        size: tuple[int, int],
        folder: Path,
    ) -> dict[str, tuple[Path, ...]]:
        writers = {
            "srt": lambda: srt(transcript.cues),
            "vtt": lambda: vtt(transcript.cues),
            "ass": lambda: ass(transcript.cues, params.style, size),
            "json": lambda: words_json(transcript),
        }
        made: dict[str, tuple[Path, ...]] = {}
        for kind in dict.fromkeys(params.formats):
            path = folder / f"{_NAME}.{kind}"
            write_whole(path, writers[kind]())
            output = "words" if kind == "json" else "subtitles"
            made[output] = (*made.get(output, ()), path)
        return made

    def _video(
        self,
        params: SubtitleParameters,
        path: Path,
        transcript: Transcript,
        context: Context,
        share: float,
    ) -> Path:
        def progress(done: float) -> None:
            context.progress(share + done * (1 - share), "Making the video")

        metadata = tags(context.recipe)
        if params.embed == "soft":
            return add_track(path, context.folder, transcript, params.container, metadata, progress)
        return burn(path, context, transcript.cues, params, metadata, progress)


def _values(transcript: Transcript) -> dict[str, Any]:
    return {
        "language": transcript.language,
        "written_language": transcript.written_language,
        "seconds": round(transcript.seconds, 3),
        "cues": len(transcript.cues),
        "words": sum(len(cue.words) for cue in transcript.cues),
    }
