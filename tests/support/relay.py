"""A network between a client and a server that tests can cut: a relay of TCP connections."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """Passes connections on to a server, until it is cut.

    Attributes:
        port: Where it listens.
        lost_answers: Answers that are still to be lost: the server gets the request, and the connection breaks.
    """

    def __init__(self, port: int) -> None:
        self._to, self._cut, self._open = port, False, set()
        self.lost_answers = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections, and let none through."""
        self._cut = True
        for connection in list(self._open):
            self._end(connection)

    def mend(self) -> None:
        """Let connections through again."""
        self._cut = False

    def close(self) -> None:
        self.cut()
        self._end(self._listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                try:
                    server = None if self._cut else socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    server = None
                if server is None:
                    self._end(client)
                    continue
                self._open |= {client, server}
                for source, target, answers in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass, args=(source, target, answers), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if answers and self.lost_answers:
                    self.lost_answers -= 1
                    break
                target.sendall(piece)
        self._end(source)
        self._end(target)

    def _end(self, connection: socket.socket) -> None:
        self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
