"""`fastworker new --template mcp`: the official SDK's client lists and calls its tools through the local host."""

import asyncio
from pathlib import Path

import pytest

from tests.devhost.stand import command
from tests.devhost.test_commands import dev

mcp = pytest.importorskip("mcp", reason="the official MCP SDK is not installed (extra `mcp`)")


def test_a_client_lists_and_calls_tools_through_dev(tmp_path: Path) -> None:
    """Over streamable HTTP, without a session: two clients at once, and a call that the tool refuses."""
    done = command("new", "tools", "--template", "mcp", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "tools").glob("*/function.json"))  # the profile makes the function

    async def talk(url: str) -> tuple[list[str], object, bool]:
        async with mcp.Client(url) as client:
            tools = await client.list_tools()
            called = await client.call_tool("total", {"quantity": 3})
            refused = await client.call_tool("total", {"quantity": 0})
            return [tool.name for tool in tools.tools], called.structured_content, refused.is_error

    async def both(url: str) -> list[tuple[list[str], object, bool]]:
        return list(await asyncio.gather(talk(url), talk(url)))

    with dev(tmp_path / "tools", workers=2) as process:
        process.says("handler ready")
        found = asyncio.run(both(f"http://127.0.0.1:{process.port}/mcp"))
    assert found == [(["total"], {"result": 29.85}, True)] * 2


def test_a_function_that_the_profile_leaves_out_is_told_of(tmp_path: Path) -> None:
    """And function.json files that the host would refuse to see, which --prune removes."""
    (tmp_path / "host.json").write_text(
        '{"version": "2.0", "configurationProfile": "mcp-custom-handler", "customHandler": {"description": '
        '{"defaultExecutablePath": "python", "arguments": ["-m", "fastworker", "serve"]}}}'
    )
    (tmp_path / "function_app.py").write_text(
        "import fastworker as fw\napp = fw.App()\n"
        "@app.queue_trigger('job', queue_name='jobs')\ndef work(job: str) -> None: ...\n"
    )
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "function.json").write_text('{"bindings": []}')
    told = command("sync", cwd=tmp_path).stderr
    assert "function 'work' has a queueTrigger and never runs" in told
    assert "work/function.json:1: host.json makes the functions by its routes or its profile" in told
    command("sync", "--prune", cwd=tmp_path)
    assert not (tmp_path / "work").exists()
