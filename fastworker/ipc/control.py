"""Control sockets: the messages between supervisor, zygote and workers, and the descriptors that ride along.

Both ends of every SOCK_SEQPACKET pair speak through here; one packet is one message.
Rule: carries, never decides. A peer that has died is an end of file here, not an exception, and one that says what no
peer of its kind says is a StrayMessage: user code runs beside the worker's end, and may write to any descriptor.
"""

import array
import contextlib
import errno
import os
import select
import socket
import threading
from collections import deque
from typing import Any, TypeAlias

import msgspec


class Message(msgspec.Struct, tag=True):
    """What all messages have in common: their class name travels as the tag."""


# -- supervisor -> warden


class ForkZygote(Message):
    """Fork a zygote; its end of its control socket rides along."""

    generation: int


# -- warden -> supervisor


class ZygoteForked(Message):
    """It runs; its pidfd rides along where there are such."""

    generation: int
    pid: int


class ZygoteFailed(Message):
    """It could not be forked: no memory, too many processes."""

    generation: int
    cause: str


class ZygoteExited(Message):
    """It has ended; `status` is what waitpid(2) said."""

    generation: int
    pid: int
    status: int


# -- supervisor -> zygote


class ForkWorker(Message):
    """Fork a worker into `slot`; its end of the control socket rides along."""

    slot: int


# -- zygote -> supervisor


class AppReady(Message):
    """The app is imported (or its import is left to the workers): workers can be forked."""

    functions: list[str]


class AppFailed(Message):
    """The app cannot be imported; `cause` is the whole message, its last line the cause."""

    exit_code: int
    cause: str


class Forked(Message):
    """A worker runs in `slot`; its pidfd rides along where there are such."""

    slot: int
    pid: int


class Exited(Message):
    """A worker has ended; `status` is what waitpid(2) said."""

    slot: int
    pid: int
    status: int


# -- worker -> supervisor


class WorkerReady(Message):
    """Start hooks have run; the worker is about to wait on the shared epoll.

    `functions` are the names, in the order of their counters, if it has imported the app by itself.
    """

    pid: int
    functions: list[str] = []


class WorkerFailed(Message):
    """The worker cannot start (its import or a start hook failed) and is about to exit."""

    exit_code: int
    cause: str


class Want(Message):
    """Send me the descriptor of connection `number`: answered by Hold or Gone."""

    number: int


class Dropped(Message):
    """`number` is closed here; it may be given to another connection."""

    number: int


class Occupied(Message):
    """The app in this worker has something of its own under `number`, which the connection that is wanted has.

    Give the connection another one, from `free` on; it is registered anew, so that its request is not lost.
    """

    number: int
    free: int


class CloseConnection(Message):
    """Close connection `number`, which is dropped here already.

    `linger`: the answer went out before the whole request was read, so read on for a while; closing with
    unread bytes would reset the connection and take the answer with it.
    """

    number: int
    linger: bool


class Leaving(Message):
    """Somebody has sent this worker SIGTERM. It serves on until Retire comes, when its successor is ready."""


class Wake(Message):
    """This worker rests no more, and `asleep` stood on the board: look at it again."""


# -- supervisor -> worker


class Hold(Message):
    """The descriptor that rides along is connection `number`."""

    number: int


class Gone(Message):
    """Connection `number` is closed or closing; there is nothing to serve."""

    number: int


class Drop(Message):
    """Close your descriptor of connection `number` and answer Dropped."""

    number: int


class Retire(Message):
    """Take nothing new, finish what is in flight, run the stop hooks, exit."""


ToWarden: TypeAlias = ForkZygote
FromWarden: TypeAlias = ZygoteForked | ZygoteFailed | ZygoteExited
ToZygote: TypeAlias = ForkWorker
FromZygote: TypeAlias = AppReady | AppFailed | Forked | Exited
FromWorker: TypeAlias = WorkerReady | WorkerFailed | Want | Dropped | Occupied | CloseConnection | Leaving | Wake
ToWorker: TypeAlias = Hold | Gone | Drop | Retire
AnyMessage: TypeAlias = ToWarden | FromWarden | ToZygote | FromZygote | FromWorker | ToWorker

PACKET = 64 * 1024
# In characters, of which UTF-8 needs up to four bytes each: one packet carries one message.
CAUSE_LIMIT = 8 * 1024

# What send(2) says of a peer that has ended. Everything else may pass (no buffers, no memory, too many descriptors
# under way), and is tried again.
PEER_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN, errno.ESHUTDOWN)
# What recv(2) may say that passes.
PASSING = (errno.EINTR, errno.ENOMEM, errno.ENOBUFS)
# Of a packet, and not of the socket: trying it again cannot help.
PACKET_BAD = (errno.EMSGSIZE, errno.EBADF, errno.EINVAL)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, "msgspec.msgpack.Decoder[AnyMessage]"] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (AnyMessage, ToWarden, FromWarden, ToZygote, FromZygote, FromWorker, ToWorker)
}


class StrayMessage(Exception):  # noqa: N818 - what came, and not what went wrong here
    """A packet that is none of the messages that may come here. Whoever sent it is not to be trusted any more."""


def cause_of(error: BaseException) -> str:
    """An error's message, fit to be sent; of one that is too long the end, for there stands the cause."""
    return str(error).encode("utf-8", "backslashreplace").decode()[-CAUSE_LIMIT:]


class ControlSocket:
    """One end of a control socket. Non-blocking; a full peer is queued for, never waited for.

    Any thread may send; one receives.

    `hears` is the union of the messages that may come: `FromWorker` and the like.
    """

    def __init__(self, end: socket.socket, hears: Any = AnyMessage) -> None:
        end.setblocking(False)
        self._socket = end
        self._decoder = _decoders[hears]
        self._outbox: deque[tuple[bytes, int | None, bool]] = deque()
        self._sending = threading.RLock()

    @classmethod
    def from_fd(cls, fd: int, hears: Any = AnyMessage) -> "ControlSocket":
        """The end that arrived as a descriptor."""
        return cls(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd), hears)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def backlog(self) -> int:
        """Messages that wait for room at the peer; `flush` sends them."""
        return len(self._outbox)

    def send(self, message: AnyMessage, fd: int | None = None, *, give: bool = False) -> None:
        """Sends or queues a message.

        The descriptor must stay open until it is sent (see `backlog`); with `give` it is this object's to close then.
        """
        self._outbox.append((_encoder.encode(message), fd, give))
        self.flush()

    def flush(self) -> None:
        """Sends what is queued until the peer is full; to a peer that is gone, everything is dropped."""
        if not self._outbox:
            return
        with self._sending:
            while self._outbox:
                packet, fd, _ = self._outbox[0]
                riding = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
                try:
                    self._socket.sendmsg([packet], riding)
                except OSError as error:
                    if error.errno in PEER_GONE:  # its end of file is on the way
                        self._drop_outbox()
                        return
                    if error.errno not in PACKET_BAD:
                        return  # full, or the kernel has no buffers: at the next flush
                self._settle()

    def _settle(self) -> None:
        _, fd, given = self._outbox.popleft()
        if fd is not None and given:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _drop_outbox(self) -> None:
        while self._outbox:
            self._settle()

    def receive(self) -> tuple[AnyMessage, int | None]:
        """The next message and its descriptor (yours to close).

        The descriptor is None, too, when this process has no room for it.

        Raises:
            BlockingIOError: nothing is there, or the kernel has no memory to give it with.
            EOFError: the peer is gone.
            StrayMessage: it is not what `hears` says.
        """
        try:
            packet, ancillary, _, _ = self._socket.recvmsg(PACKET, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno in PASSING:
                raise BlockingIOError(error.errno, os.strerror(error.errno)) from None
            raise EOFError from None  # reset; or no socket any more, for somebody has closed it
        if not packet:
            raise EOFError
        fd = None
        for _, _, data in ancillary:
            if len(data) >= 4:
                fd = array.array("i", data[:4])[0]
        try:
            return self._decoder.decode(packet), fd
        except (msgspec.DecodeError, UnicodeDecodeError):
            if fd is not None:
                with contextlib.suppress(OSError):
                    os.close(fd)
            raise StrayMessage(f"{len(packet)} bytes: {packet[:40]!r}") from None

    def wait(self, timeout_s: float) -> bool:
        """Waits until a message may be there; False when none came in time.

        poll(2) and not a blocking recvmsg: libuv makes any descriptor it watches non-blocking, for good.
        """
        waiter = select.poll()
        waiter.register(self._socket, select.POLLIN)
        return bool(waiter.poll(timeout_s * 1000))

    @property
    def hung_up(self) -> bool:
        """The peer has closed its end."""
        waiter = select.poll()
        waiter.register(self._socket, 0)
        return bool(waiter.poll(0))

    def close(self) -> None:
        self._drop_outbox()
        self._socket.close()


def control_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new control socket."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
