"""App's decorators beside those of the installed azure-functions: same names and arguments, same function.json."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import fastworker
from fastworker.functions.declarations import plain_text
from fastworker.protocol.bindings import KINDS, to_json

functions = pytest.importorskip("azure.functions", reason="azure-functions is not installed")

DURABLE = "durable functions need the replay of azure-functions-durable: adapters/ run such apps"
V3 = "the extension bundle that has it is no longer supported: generic_trigger and its kin name any binding type"
NOT_OURS = {
    **dict.fromkeys(("activity_trigger", "entity_trigger", "orchestration_trigger", "durable_client_input"), DURABLE),
    **dict.fromkeys(("cosmos_db_trigger_v3", "cosmos_db_input_v3", "cosmos_db_output_v3"), V3),
    "function_name": "App.function(name)",
    "schedule": "another name of timer_trigger",
    "mcp_tool_property": "Annotated[T, msgspec.Meta(description=...)] in the handler",
    "register_functions": "App.include",
    "register_blueprint": "App.include",
    "http_type": "nothing in the host reads it",
    "get_functions": "the worker's way to the functions",
    "validate_function_names": "the worker's way to the functions",
}
THEIRS = {
    name: member
    for name, member in inspect.getmembers(functions.FunctionApp, inspect.isfunction)
    if not name.startswith("_")
}
# Arguments of theirs that nothing in function.json comes of, or that are written in other words.
OTHER_WORDS = {"kwargs", "setting_extra_fields"}
COMPARED = sorted(THEIRS.keys() - NOT_OURS.keys() - {"route", "mcp_tool", "retry"})
# Where any text is not good enough for theirs.
VALUES = {
    "access_rights": "manage",
    "cardinality": "many",
    "data_type": "binary",
    "input_type": "RawText",
    "key_data_type": "String",
    "o_auth_bearer_method": "default",
    "protocol": "ssl",
    "authentication_mode": "plain",
    "size": 7,
    "prompt_arguments": None,
}


def test_every_decorator_of_azure_functions_is_here_or_has_its_reason() -> None:
    """A new one of theirs fails this test, until it is here or listed with what takes its place."""
    ours = {name for name, _ in inspect.getmembers(fastworker.App, inspect.isfunction)}
    assert THEIRS.keys() - ours == THEIRS.keys() & NOT_OURS.keys()
    assert not NOT_OURS.keys() & ours


def sample(parameter: inspect.Parameter) -> Any:
    annotation = str(parameter.annotation)
    if parameter.name in VALUES:
        return VALUES[parameter.name]
    if "bool" in annotation:
        return True
    return 7 if "int" in annotation and "str" not in annotation else f"the {parameter.name}"


def bindings_of(name: str, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    def handler(**arguments: Any) -> None: ...

    builder = getattr(functions.FunctionApp(), name)(**given)(handler)
    function = builder._function
    for binding in {id(b): b for b in [function.get_trigger(), *function.get_bindings()] if b is not None}.values():
        members = {key: plain_text(value) for key, value in binding.get_dict_repr().items()}
        yield {key: value for key, value in members.items() if value is not None}


@pytest.mark.parametrize("name", COMPARED)
def test_a_decorator_writes_the_same_function_json(name: str) -> None:
    """With every argument of theirs given, by their names."""
    parameters = [p for p in inspect.signature(THEIRS[name]).parameters.values() if p.name != "self"]
    given = {p.name: sample(p) for p in parameters if p.name not in OTHER_WORDS and sample(p) is not None}
    if name == "event_grid_output":
        del given["connection"]  # theirs takes either this or the two others
    if name.startswith("generic_"):
        given["type"] = "blobTrigger" if name == "generic_trigger" else "blob"
    [theirs] = bindings_of(name, given)
    app = fastworker.App()
    getattr(app, name)(**given)(lambda **arguments: None)
    [binding] = app.declarations[0].bindings
    ours = to_json(binding)
    assert lower(ours) == lower(theirs)
    assert ours["direction"] in KINDS[str(ours["type"]).lower()].directions


def lower(members: dict[str, Any]) -> dict[str, Any]:
    """Names and words as the host compares them: ignoring case."""
    members = {key: value for key, value in members.items() if key != "useResultSchema" or value}
    return {key.lower(): value.lower() if isinstance(value, str) else value for key, value in members.items()}


@pytest.mark.parametrize("name", COMPARED)
def test_arguments_that_have_to_be_given_are_the_same(name: str) -> None:
    """So an app's decorators need no change but the import."""
    theirs, ours = (inspect.signature(method).parameters for method in (THEIRS[name], getattr(fastworker.App, name)))
    needed = {n for n, p in ours.items() if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    assert needed <= {n for n, p in theirs.items() if p.default is p.empty}
