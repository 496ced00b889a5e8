"""Stands between a client and a server, as a pooler or a proxy of another machine does."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import suppress
from typing import Self

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104


def outward_address() -> str | None:
    """Return an address of this machine that is not loopback; None without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


class Forwarder:
    """Hands on what it is sent, until it is left.

    Args:
        address: Where it listens; the port is chosen by the system.
        server: Host and port of the server.
        context: With one, clients that ask for TLS get it, and it ends here.
    """

    def __init__(self, address: str, server: tuple[str, int], context: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server((address, 0))
        self._server = server
        self._context = context
        self._open: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            first = b""
            if self._context is not None:
                client, first = self._secured(client, self._context)
            server = socket.create_connection(self._server)
            self._open += [client, server]
            server.sendall(first)
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            _pump(client, server)

    def _secured(self, client: socket.socket, context: ssl.SSLContext) -> tuple[socket.socket, bytes]:
        while True:
            request = client.recv(8, socket.MSG_WAITALL)
            code = struct.unpack("!II", request)[1]
            if code == _GSS_REQUEST:
                client.sendall(b"N")
            elif code == _SSL_REQUEST:
                client.sendall(b"S")
                return context.wrap_socket(client, server_side=True), b""
            else:
                return client, request


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
