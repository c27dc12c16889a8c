"""Every signal that the server's processes send each other, in one table.

Sent by the supervisor (watchdog.py, workers.py) and within a worker; each is handled where the table says.
Rule: numbers only. The signals of the outside (SIGTERM, SIGHUP, ...) are the supervisor's, in supervisor/run.py.

    signal         from -> to                       handled in
    SOFT_SIGNAL    supervisor -> worker             worker/interrupt.py: DeadlineExceeded in a `def` handler
    LOOP_SIGNAL    supervisor -> worker             worker/slow_loop.py: a warning with the line that holds the loop up
    WAKE_SIGNAL    loop thread -> main thread       worker/rest.py: ends the wait in the shared epoll
                   supervisor -> worker that rests  the same
    DUMP_SIGNAL    supervisor -> worker             faulthandler: writes the stack, 5 ms before the kill
"""

import signal
from typing import Final

SOFT_SIGNAL: Final = signal.SIGRTMIN
LOOP_SIGNAL: Final = signal.SIGRTMIN + 1
WAKE_SIGNAL: Final = signal.SIGRTMIN + 2
DUMP_SIGNAL: Final = signal.SIGUSR2

# How long a loop may stand still. Other invocations of the worker wait as long.
SLOW_S = 0.2
