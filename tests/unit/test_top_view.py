"""What `top` shows, from the status of a real server at two instants (status_recorded.json), and what it refuses."""

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from fastworker.commands import status_client
from fastworker.commands.status_client import StatusError, find_server, snapshot_of
from fastworker.commands.top_screen import screen
from fastworker.commands.top_view import History, sparkline
from fastworker.telemetry.snapshot import End, Snapshot

BEFORE, AFTER = msgspec.json.decode(Path(__file__).with_name("status_recorded.json").read_bytes(), type=list[Snapshot])


def history(*snapshots: Snapshot) -> History:
    made = History()
    for snapshot in snapshots:
        made.add(snapshot)
    return made


def test_rates_and_quantiles_are_of_the_time_watched() -> None:
    """20 invocations of `work` between the two, of 20 ms each; those of 10 ms before do not count."""
    view = history(BEFORE, AFTER).view()
    seconds = AFTER.uptime_s - BEFORE.uptime_s
    rows = {row.name: row for row in view.functions}
    assert rows["work"].rate == pytest.approx(20 / seconds)
    assert rows["work"].total == 24
    assert rows["work"].p50_s is not None
    assert 2**24 / 1e9 <= rows["work"].p50_s <= 2**25 / 1e9  # the bucket of 20 ms
    assert (rows["fault"].errors, rows["fault"].total) == (2, 2)
    assert view.rates == [pytest.approx(22 / seconds)]


def test_a_single_snapshot_is_shown_since_the_servers_start() -> None:
    """As `--once` has no other."""
    view = history(AFTER).view()
    assert view.seconds == AFTER.uptime_s
    assert view.rate == pytest.approx(26 / AFTER.uptime_s)
    assert view.rates == []


def test_a_worker_shows_its_invocation_and_its_deadline() -> None:
    """And the slot of the worker that died has restarted once."""
    view = history(BEFORE, AFTER).view()
    [busy] = [row for row in view.workers if row.running]
    assert busy.function == "work"
    assert busy.elapsed_s is not None
    assert busy.deadline_left_s is not None
    assert 0 < busy.elapsed_s < busy.deadline_left_s
    assert sum(row.restarts for row in view.workers) == 1
    assert [end.cause for end in view.ends] == ["crashed"]


def test_a_death_that_takes_a_run_time_back_gives_no_negative_counts() -> None:
    """Run times are exact but for one at a death."""
    view = history(AFTER, msgspec.structs.replace(BEFORE, uptime_s=AFTER.uptime_s + 1)).view()
    assert all(row.rate == 0 and row.p50_s is None for row in view.functions)


def test_a_sparkline_goes_from_nothing_to_the_highest() -> None:
    """One character a value."""
    assert sparkline([0, 1, 2, 4]) == "▁▃▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


def test_the_screen_obeys_nothing_that_an_app_has_written() -> None:
    """A detail with escape sequences or markup is shown as text."""
    evil = End(0.0, 0, 1, "crashed", "\x1b]0;x\x07[red]loud[/red]", planned=False)
    view = history(msgspec.structs.replace(AFTER, ends=[evil])).view()
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(screen(view, chosen=0))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    assert "[red]loud[/red]" in text


def test_a_status_of_another_version_is_refused_with_both_versions() -> None:
    """And an answer that is no status."""
    with pytest.raises(StatusError, match=r"version 2 .* reads version 1"):
        snapshot_of(b'{"version": 2, "pid": []}')
    with pytest.raises(StatusError, match="refuses: no"):
        snapshot_of(b'{"error": "no"}')
    with pytest.raises(StatusError, match="cannot be read"):
        snapshot_of(b"{")


@pytest.fixture
def listen(tmp_path: Path) -> Callable[[int], socket.socket]:
    """Makes what looks like the status socket of a pid."""
    (tmp_path / "fastworker").mkdir()

    def start(pid: int) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "fastworker" / f"{pid}.sock"))
        listener.listen()
        return listener

    return start


def test_the_only_server_needs_no_name(tmp_path: Path, listen: Callable[[int], socket.socket]) -> None:
    """A socket that a killed server has left does not count; of several servers the pids are told."""
    with pytest.raises(StatusError, match="no server of this user runs"):
        find_server(None, str(tmp_path))
    listen(11).close()
    with listen(os.getpid()):
        mine = tmp_path / "fastworker" / f"{os.getpid()}.sock"
        assert find_server(None, str(tmp_path)) == mine
        assert find_server(str(os.getppid()), str(tmp_path)) == mine  # as of a `dev` above it
        assert find_server(".", str(tmp_path)) == mine
        with pytest.raises(StatusError, match="runs in"):
            find_server(str(tmp_path), str(tmp_path))
        with listen(7), pytest.raises(StatusError, match=f"several servers run.* 7, {os.getpid()}"):
            find_server(None, str(tmp_path))


def test_what_is_no_server_is_told(
    tmp_path: Path, listen: Callable[[int], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process, another user's process or folder, no folder."""
    with pytest.raises(StatusError, match="no process has the pid 99999999"):
        find_server("99999999", str(tmp_path))
    with pytest.raises(StatusError, match="neither a pid nor a folder"):
        find_server("nowhere", str(tmp_path))
    with pytest.raises(StatusError, match="no fastworker server and has none below it"):
        find_server(str(os.getpid()), str(tmp_path))
    owner = status_client._owner(os.getpid())
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(StatusError, match=f"belongs to another user .uid {owner}.: run top as that user, or remove"):
        find_server(None, str(tmp_path))
    monkeypatch.setattr(status_client, "_refuse_foreign", lambda _: None)
    with pytest.raises(StatusError, match=f"process {os.getpid()} belongs to another user"):
        find_server(str(os.getpid()), str(tmp_path))
