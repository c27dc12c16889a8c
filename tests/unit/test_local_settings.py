"""local.settings.json as Core Tools read it."""

import pytest

from fastworker.config.config_files import ConfigFileError
from fastworker.config.local_settings import read_local_settings


def read(text: str):
    return read_local_settings("/app/local.settings.json", text.encode())


def test_values_are_texts_and_the_local_host_has_its_wishes():
    """Lenient JSON, keys in any case; connection strings get their name's prefix."""
    found = read(
        "{'values': {'A': 'x', 'N': 5, 'B': true, 'Z': null}, // mine\n"
        "'Host': {'localHttpPort': '7072', 'CORS': 'http://a, http://b', 'CORSCredentials': true},\n"
        "'ConnectionStrings': {'db': 's', 'more': {'ConnectionString': 't', 'ProviderName': 'p'}},}"
    )
    assert found.values == {
        "A": "x",
        "N": "5",
        "B": "true",
        "ConnectionStrings:db": "s",
        "ConnectionStrings:more": "t",
    }
    assert (found.port, found.cors, found.cors_credentials) == (7072, ("http://a", "http://b"), True)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1: is empty"),
        ("[]", "1: must hold a JSON object"),
        ('{\n"Values": [}', "2: is no JSON"),
        ('{"Values": []}', '1: "Values" is an object of strings'),
        ('{"Values": {\n"A": {"b": 1}}}', "2: 'A' is a string, not an object"),
        ('{"IsEncrypted": true}', "1: the settings are encrypted"),
        ('{"Host": {\n"LocalHttpPort": 70000}}', '2: "LocalHttpPort" is a port number'),
    ],
)
def test_a_mistake_is_told_with_its_line(text, words):
    """The same words in each command."""
    with pytest.raises(ConfigFileError, match=r"^/app/local\.settings\.json:\d+: ") as caught:
        read(text)
    assert words in str(caught.value)


def test_keys_that_nobody_reads_are_named():
    """With the nearest."""
    assert read('{"Host": {"LocalHttpPorts": 1}}').warnings == (
        '/app/local.settings.json:1: nobody reads "Host.LocalHttpPorts": did you mean "LocalHttpPort"?',
    )
