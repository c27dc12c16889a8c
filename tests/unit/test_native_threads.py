"""native_threads.py: whose the threads of this process are, and which of them are worth a warning."""

import ctypes
import re
import threading

import pytest

from fastworker.zygote import native_threads
from fastworker.zygote.native_threads import lost_in_a_fork


@pytest.mark.parametrize(
    ("file", "survives"),
    [
        ("libgomp-e985bcbb.so.1.0.0", False),
        ("libgomp.so.1", False),
        ("_polars_runtime_32.abi3.so", False),
        ("cygrpc.cpython-311-x86_64-linux-gnu.so", False),
        ("libtorch_cpu.so", False),
        ("libscipy_openblas64_-32a4b2a6.so", True),
        ("libarrow.so.2600", True),
        ("libomp.so", True),
        ("libiomp5.so", True),
    ],
)
def test_libraries_are_known_by_their_files(file, survives):
    """Wherever they are installed, whatever their version."""
    assert (native_threads._name([file]) is None) is survives


def test_pythons_own_threads_are_not_native():
    """They have a warning of their own."""
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    try:
        assert lost_in_a_fork() == {}
    finally:
        go_on.set()
        thread.join()


def test_a_thread_is_found_by_the_library_that_it_is_in(monkeypatch):
    """Started behind Python's back: among the addresses of its stack are those of the code that it runs."""
    if not hasattr(ctypes, "PyDLL"):
        pytest.skip("needs ctypes")
    monkeypatch.setattr(native_threads, "DO_NOT_SURVIVE", ((re.compile("_ctypes|libffi"), "ctypes"),))
    assert lost_in_a_fork() == {}
    go_on = threading.Event()
    libc = ctypes.CDLL(None)
    callback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: go_on.wait() and None)
    thread = ctypes.c_ulong()
    before = threading.enumerate()
    assert libc.pthread_create(ctypes.byref(thread), None, callback, None) == 0
    try:
        monkeypatch.setattr(threading, "enumerate", lambda: before)
        assert lost_in_a_fork() == {"ctypes": 1}
    finally:
        go_on.set()
        libc.pthread_join(thread, None)
