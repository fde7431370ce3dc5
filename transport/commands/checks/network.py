"""The port that the server listens on."""

import errno
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable

import psutil

from transport.commands.checks.finding import Finding, fault, ok, warning

_PRIVILEGED = 1024
_ANY = ("0.0.0.0", "::", "")


def try_to_listen(host: str, port: int) -> None:
    """Listen for a moment.

    Raises:
        OSError: It is not possible.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()


def is_avatar_server(host: str, port: int) -> bool:
    """Whether what listens there answers as this server does."""
    name = "127.0.0.1" if host in _ANY else host
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{name}:{port}/health", timeout=2) as answer:
            return bool(json.loads(answer.read(1000)) == {"status": "ok"})
    except (OSError, ValueError):
        return False


def who_listens(port: int) -> str:
    """The program that has the port, as ``name (process 123)``; "" if that cannot be seen."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return ""
    for connection in connections:
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port:
            try:
                name = psutil.Process(connection.pid).name() if connection.pid else ""
            except psutil.Error:
                name = ""
            return f"{name} (process {connection.pid})" if name else ""
    return ""


def check_port(
    host: str,
    port: int,
    listen: Callable[[str, int], None] = try_to_listen,
    is_ours: Callable[[str, int], bool] = is_avatar_server,
    who: Callable[[int], str] = who_listens,
) -> Finding:
    """Whether the server can listen where it should.

    Args:
        host: Address.
        port: TCP port; 0 for any.
        listen: See ``try_to_listen``.
        is_ours: See ``is_avatar_server``.
        who: See ``who_listens``.
    """
    topic, place = "port", f"{host}:{port}"
    try:
        listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            if is_ours(host, port):
                return warning(
                    topic,
                    f"An avatar-server is running at {place} already.",
                    "Use that one, stop it, or choose another port with --port.",
                )
            program = who(port) or "another program"
            return fault(
                topic,
                f"{place} is in use by {program}.",
                "Stop it, or choose another port with --port.",
            )
        if error.errno == errno.EACCES and port < _PRIVILEGED:
            return fault(
                topic,
                f"Port {port} is reserved for the system's administrator.",
                "Choose a port from 1024 on, or put a proxy in front (docs/install.md).",
            )
        return fault(
            topic,
            f"It is not possible to listen at {place}: {error.strerror or error}.",
            "server.host must be an address of this machine; 0.0.0.0 for all of them.",
        )
    return ok(topic, f"{place} is free")
