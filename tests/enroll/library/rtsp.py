"""A small RTSP camera for tests: it sends a film, in the time that it takes, to whoever plays it (RFC 2326).

FFmpeg cuts the film into RTP packets and sends them to a port of this machine; from there they go to the
client between the answers of RTSP itself, as cameras do it over TCP.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 MP4V-ES/90000\r\na=control:track0\r\n"
)


class RtspCamera:
    """Sends frames again and again; each session lasts for `sessions` of them in turn, then it hangs up.

    Attributes:
        address: to give to a client; it carries a password.
        played: sessions that were begun.
        asked: the first lines of all requests.
    """

    def __init__(self, frames: Sequence[np.ndarray], rate: int = 10, sessions: Sequence[int] = (10_000,)):
        self._frames, self._rate, self._sessions = frames, rate, sessions
        self.played = 0
        self.asked: list[str] = []
        self._stop = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        port = self._server.getsockname()[1]
        self.address = f"rtsp://keeper:s3cret@127.0.0.1:{port}/door?token=t0ken"

    def __enter__(self) -> RtspCamera:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as requests, contextlib.suppress(OSError):
            while line := requests.readline().decode().strip():
                headers = {}
                while header := requests.readline().decode().strip():
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                self.asked.append(line)
                method = line.split()[0]
                extra, body = {
                    "OPTIONS": ("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""),
                    "DESCRIBE": ("Content-Type: application/sdp\r\n", _SDP),
                    "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n", ""),
                }.get(method, ("Session: 7\r\n", ""))
                length = f"Content-Length: {len(body)}\r\n" if body else ""
                answer = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{extra}{length}\r\n{body}"
                client.sendall(answer.encode())
                if method == "PLAY":
                    length_of_session = self._sessions[min(self.played, len(self._sessions) - 1)]
                    self.played += 1
                    self._play(client, length_of_session)
                    return
                if method == "TEARDOWN":
                    return

    def _play(self, client: socket.socket, count: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
            packets.bind(("127.0.0.1", 0))
            packets.setblocking(False)
            target = f"rtp://127.0.0.1:{packets.getsockname()[1]}?pkt_size=1200"
            with av.open(target, "w", format="rtp") as sender:
                stream = sender.add_stream("mpeg4", rate=self._rate)
                stream.height, stream.width = self._frames[0].shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"g": "1"}  # every frame stands alone
                begun = time.monotonic()
                for index in range(count):
                    frame = av.VideoFrame.from_ndarray(
                        self._frames[index % len(self._frames)], format="rgb24"
                    )
                    frame.pts, frame.time_base = index, Fraction(1, self._rate)
                    sender.mux(stream.encode(frame))
                    self._forward(packets, client)
                    if self._stop.wait(max(0.0, begun + (index + 1) / self._rate - time.monotonic())):
                        return

    def _forward(self, packets: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data = packets.recv(65_536)
                client.sendall(b"$\0" + len(data).to_bytes(2, "big") + data)
