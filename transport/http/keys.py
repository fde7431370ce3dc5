"""Where the application keeps its parts; handlers find them by these keys."""

from aiohttp import web

from engine.avatar.library import AvatarLibrary
from transport.http.process import Process
from transport.jobs.room import JobRoom
from transport.processed import ProcessedStreams
from transport.publishers import PublisherRegistry
from transport.sessions import StreamRegistry
from transport.speech.studio import SpeechStudio

LIBRARY = web.AppKey("library", AvatarLibrary)
STREAMS = web.AppKey("streams", StreamRegistry)
PROCESS = web.AppKey("process", Process)
PROCESSED = web.AppKey("processed", ProcessedStreams)
JOBS = web.AppKey("jobs", JobRoom)
STUDIO = web.AppKey("studio", SpeechStudio)
PUBLISHERS = web.AppKey("publishers", PublisherRegistry)
