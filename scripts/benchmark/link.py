"""A network link before the S3 engine, as a database server far from its store has one."""

import contextlib
import socket
import threading
import time

GIGABIT = 125_000_000  # bytes a second
# What a switch would hold back: below it a burst passes at once.
BURST_SECONDS = 0.005


class Link:
    """All connections together get so many bytes a second from the engine, and all that passes is counted.

    What is sent to the engine is counted and passes as it comes: here things are fetched.
    """

    def __init__(self, port, bytes_a_second=GIGABIT):
        self.upstream, self.rate = port, bytes_a_second
        self.lock, self.free_at, self.fetched_bytes, self.sent_bytes = threading.Lock(), 0.0, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.upstream))
            except OSError:
                if self.listener.fileno() < 0:
                    return
                client.close()
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.pump, args=(client, server, self.send), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, self.fetch), daemon=True).start()

    def send(self, count):
        with self.lock:
            self.sent_bytes += count

    def fetch(self, count):
        """Waits until the link has had the time for so many bytes, after those that wait already."""
        with self.lock:
            self.fetched_bytes += count
            now = time.monotonic()
            self.free_at = max(self.free_at, now - BURST_SECONDS) + count / self.rate
            wait = self.free_at - now
        if wait > 0:
            time.sleep(wait)

    @staticmethod
    def pump(source, sink, passes):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                passes(len(data))
                sink.sendall(data)
        for one, way in ((source, socket.SHUT_RD), (sink, socket.SHUT_WR)):
            with contextlib.suppress(OSError):
                one.shutdown(way)

    def stop(self):
        self.listener.close()
