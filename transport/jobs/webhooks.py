"""Calls a webhook when a job has ended: only allowed hosts, signed, within a time, tried again.

Signatures follow Standard Webhooks 1.0 (standardwebhooks.com): ``webhook-id``,
``webhook-timestamp`` and ``webhook-signature: v1,BASE64``, the HMAC-SHA256 of
``id.timestamp.body``. The id is the job's, so that whoever is called twice notices.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import ClientError, ClientTimeout
from aiohttp.abc import AbstractResolver

from engine.clock import Clock
from engine.errors import AvatarServerError, Unavailable
from engine.jobs.settings import WebhookSettings
from engine.jobs.spec import Job
from engine.speech.settings import FetchSettings
from transport.http.addresses import AllowedHosts
from transport.http.fetch import failure_of, guarded_session
from transport.jobs.desk import JobDesk

_log = logging.getLogger(__name__)

_SECTION: Final = "jobs.webhooks"
_LOOK_S: Final = 1.0
_AT_ONCE: Final = 8
_LONGEST_WAIT_S: Final = 3600.0
_GONE: Final = 410
"""Standard Webhooks: whoever answers so wants no further calls."""


class Webhooks:
    """Makes the calls that are due, and looks whether an address may be called.

    Args:
        settings: The section ``jobs.webhooks``.
        desk: The queue.
        render: Returns a job as it is sent.
        clock: Seconds since 1970, for the time in the signature.
        resolver: Resolves names; None: the system's.

    Raises:
        SettingsError: An entry of ``allowed_hosts`` is no host.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        desk: JobDesk,
        render: Callable[[Job], Mapping[str, Any]],
        clock: Clock,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._render = render
        self._clock = clock
        self._resolver = resolver
        self._hosts = AllowedHosts(
            FetchSettings(allowed_hosts=settings.allowed_hosts, private=settings.private), _SECTION
        )
        self._task: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()

    def check(self, url: str) -> str:
        """Return an address that may be called.

        Raises:
            InvalidUrl, AddressNotAllowed: It may not.
        """
        return str(self._hosts.check(url))

    def start(self) -> None:
        """Begin to make calls; without allowed hosts there are none."""
        if self._settings.allowed_hosts and self._task is None:
            self._task = asyncio.create_task(self._run(), name="jobs-webhooks")

    async def close(self) -> None:
        """End all calls; those under way are made again when their time comes."""
        tasks = [*self._calls, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._begin_due()
            except Unavailable as error:
                _log.debug("Webhooks wait for the store: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def _begin_due(self) -> None:
        free = _AT_ONCE - len(self._calls)
        if free <= 0:
            return
        for job_id, calls in await self._desk.call(lambda b: b.jobs.notices.due(free)):
            task = asyncio.create_task(self._call(job_id, calls), name=f"webhook-{job_id}")
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def _call(self, job_id: str, calls: int) -> None:
        settings = self._settings
        wait = min(settings.first_s * 2.0 ** min(calls, 16), _LONGEST_WAIT_S)
        try:
            taken = await self._desk.call(
                lambda b: b.jobs.notices.take(job_id, calls, settings.timeout_s + wait)
            )
            if taken is None:
                return
            problem, over = await self._send(taken.url, taken.job)
            again_s = None if over or taken.call >= settings.attempts else wait
            line = f"Webhook: call {taken.call} {problem or 'was taken'}"
            await self._desk.call(lambda b: b.jobs.notices.settle(job_id, line, again_s))
        except AvatarServerError as error:
            _log.warning("The webhook of job %s: %s", job_id, error)
        except Exception:  # noqa: BLE001  # a task nobody waits for
            _log.exception("The webhook of job %s failed.", job_id)

    async def _send(self, url: str, job: Job) -> tuple[str, bool]:
        """Make a call; return what went wrong, and whether it need not be made again."""
        moment = int(self._clock())
        event = {
            "type": f"job.{job.state.value}",
            "timestamp": moment,
            "data": self._render(job),
        }
        body = json.dumps(event, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", **self._signed(job.id, moment, body)}
        try:
            target = self._hosts.check(url)
            async with (
                asyncio.timeout(self._settings.timeout_s),
                guarded_session(self._resolver, self._settings.private, _SECTION) as session,
                session.post(
                    target,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=ClientTimeout(total=None),
                ) as response,
            ):
                status = response.status
        except TimeoutError:
            return f"took longer than {self._settings.timeout_s:g} s.", False
        except AvatarServerError as error:
            return f"was not allowed: {error}", True
        except (ClientError, OSError) as error:
            return f"failed: {failure_of(target.raw_host or '', error)}", False
        if 200 <= status < 300:
            return "", True
        return f"was answered with status {status}.", status == _GONE

    def _signed(self, job_id: str, moment: int, body: bytes) -> dict[str, str]:
        headers = {"webhook-id": job_id, "webhook-timestamp": str(moment)}
        if self._settings.secret:
            signed = f"{job_id}.{moment}.".encode() + body
            digest = hmac.new(_key(self._settings.secret), signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers


def _key(secret: str) -> bytes:
    """Return a secret's bytes: base64 behind ``whsec_``, else the text itself."""
    if secret.startswith("whsec_"):
        with contextlib.suppress(binascii.Error):
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()
