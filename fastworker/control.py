"""Control sockets: the messages between supervisor, zygote and workers, and the descriptors that ride along.

Both ends of every SOCK_SEQPACKET pair speak through here; one packet is one message.
Rule: carries, never decides. A peer that has died is an end of file here, not an exception.
"""

import array
import select
import socket
from collections import deque
from typing import TypeAlias

import msgspec


class Message(msgspec.Struct, tag=True):
    """What all messages have in common: their class name travels as the tag."""


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
    slot: int
    pid: int


class Exited(Message):
    """A worker has ended; `status` is what waitpid(2) said."""

    slot: int
    pid: int
    status: int


# -- worker -> supervisor


class WorkerReady(Message):
    """Start hooks have run; the worker is about to wait on the shared epoll."""

    pid: int


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


ToZygote: TypeAlias = ForkWorker
FromZygote: TypeAlias = AppReady | AppFailed | Forked | Exited
FromWorker: TypeAlias = WorkerReady | WorkerFailed | Want | Dropped | Occupied | CloseConnection
ToWorker: TypeAlias = Hold | Gone | Drop | Retire
AnyMessage: TypeAlias = ToZygote | FromZygote | FromWorker | ToWorker

PACKET = 64 * 1024
# In characters, of which UTF-8 needs up to four bytes each: one packet carries one message.
CAUSE_LIMIT = 8 * 1024

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def cause_of(error: BaseException) -> str:
    """An error's message, fit to be sent; of one that is too long the end, for there stands the cause."""
    return str(error).encode("utf-8", "backslashreplace").decode()[-CAUSE_LIMIT:]


class ControlSocket:
    """One end of a control socket. Non-blocking; a full peer is queued for, never waited for."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._outbox: deque[tuple[bytes, int | None]] = deque()

    @classmethod
    def from_fd(cls, fd: int) -> "ControlSocket":
        """The end that arrived as a descriptor."""
        return cls(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd))

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def backlog(self) -> int:
        """Messages that wait for room at the peer; `flush` sends them."""
        return len(self._outbox)

    def send(self, message: AnyMessage, fd: int | None = None) -> None:
        """Sends or queues a message. The descriptor must stay open until it is sent (see `backlog`)."""
        self._outbox.append((_encoder.encode(message), fd))
        self.flush()

    def flush(self) -> None:
        """Sends what is queued until the peer is full; to a peer that is gone, everything is dropped."""
        while self._outbox:
            packet, fd = self._outbox[0]
            riding = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            try:
                self._socket.sendmsg([packet], riding)
            except BlockingIOError:
                return
            except OSError:  # the peer died: BrokenPipe, ConnectionReset; its end of file is on the way
                self._outbox.clear()
                return
            self._outbox.popleft()

    def receive(self) -> tuple[AnyMessage, int | None]:
        """The next message and its descriptor (yours to close).

        Raises:
            BlockingIOError: nothing is there.
            EOFError: the peer is gone.
        """
        try:
            packet, ancillary, _, _ = self._socket.recvmsg(PACKET, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            raise EOFError from None
        if not packet:
            raise EOFError
        fd = None
        for _, _, data in ancillary:
            fd = array.array("i", data[:4])[0]
        return _decoder.decode(packet), fd

    def wait(self, timeout_s: float) -> bool:
        """Waits until a message may be there; False when none came in time.

        poll(2) and not a blocking recvmsg: libuv makes any descriptor it watches non-blocking, for good.
        """
        waiter = select.poll()
        waiter.register(self._socket, select.POLLIN)
        return bool(waiter.poll(timeout_s * 1000))

    def close(self) -> None:
        self._socket.close()


def control_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new control socket."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
