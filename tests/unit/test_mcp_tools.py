"""Tools of the host's MCP server: what the host is told of a handler, and what the handler gets of a call."""

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

import fastworker as fw
from fastworker.functions.loaded_app import assemble
from fastworker.testing import TestClient


def tool_app() -> fw.App:
    app = fw.App()

    @app.mcp_tool(metadata='{"version": 1}')
    def find(
        text: Annotated[str, msgspec.Meta(description="What to look for.")],
        at_most: int = 10,
        kinds: list[str] | None = None,
        exact: bool | None = None,
        plain=None,  # type: ignore[no-untyped-def]
    ) -> dict[str, Any]:
        """Find things."""
        return {"text": text, "at_most": at_most, "kinds": kinds, "exact": exact, "plain": plain}

    @app.mcp_tool("twice", description="Double a number.")
    async def double(number: float) -> float:
        return 2 * number

    @app.mcp_tool()
    def needs_it(value: str | None) -> str:
        return repr(value)

    return app


def test_the_host_is_told_of_the_arguments_of_a_tool() -> None:
    """Their names, types and meanings; the docstring is the description."""
    functions, _, _, _ = assemble(tool_app(), Path())
    binding = functions["find"].trigger
    assert binding.type == "mcpToolTrigger"
    assert (binding.properties["toolName"], binding.properties["description"]) == ("find", "Find things.")
    assert binding.properties["metadata"] == '{"version": 1}'
    told = [tuple(one.values()) for one in json.loads(binding.properties["toolProperties"])]
    assert told == [
        ("text", "string", "What to look for.", True, False),
        ("at_most", "integer", "", False, False),
        ("kinds", "string", "", False, True),
        ("exact", "boolean", "", False, False),
        ("plain", "string", "", False, False),
    ]


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "object"])
def test_a_call_of_a_tool_is_a_call_of_the_handler(as_text: bool) -> None:
    """With typed arguments; the return value is the tool's result."""
    client = TestClient(tool_app())

    def call(name: str, **arguments: Any) -> Any:
        context: Any = {"name": name, "arguments": arguments, "sessionid": "1"}
        return client.invoke(name, context=json.dumps(context) if as_text else context).return_value

    found = call("find", text="x", kinds=["a"])
    assert found == {"text": "x", "at_most": 10, "kinds": ["a"], "exact": None, "plain": None}
    assert call("double", number=1.5) == 3.0
    assert call("needs_it") == "None"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({}, "lacks its argument 'number'"), ({"number": "x"}, "arguments.number"), (None, "lacks its argument")],
)
def test_a_call_with_wrong_arguments_is_refused(arguments: Any, said: str) -> None:
    """By name, before the handler runs."""
    client = TestClient(tool_app(), raise_errors=False)
    result = client.invoke("double", context={"name": "twice", "arguments": arguments})
    assert said in str(result.problem)


def test_an_argument_that_json_cannot_hold_is_a_mistake() -> None:
    """Reported with all others, with its place."""
    app = fw.App()

    @app.mcp_tool()
    def odd(what: "Later") -> None: ...

    _, _, problems, _ = assemble(app, Path())
    assert any("function 'odd'" in problem and "test_mcp_tools.py:" in problem for problem in problems)


class Later:
    """Unknown to JSON, and defined behind the function that names it."""

    def __init__(self, part: object) -> None: ...


def test_a_tool_stays_a_plain_function() -> None:
    """It can be called as it stands, as any decorated handler."""
    app = fw.App()

    @app.mcp_tool()
    def add(a: int, b: int = 1) -> int:
        return a + b

    assert add(1) == 2
