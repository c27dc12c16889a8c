"""concurrency.py and host_keys.py: what host.json should say of how many run at once, and how it gets there."""

import json

import pytest

from fastworker.commands.concurrency import BATCH_SIZE, BUS_CALLS, HTTP_REQUESTS, NEW_BATCH, Handler, tuned
from fastworker.commands.host_keys import with_number
from fastworker.config.config_files import ConfigFileError

QUEUE, ASYNC_QUEUE = Handler("a", "queuetrigger", False), Handler("b", "queuetrigger", True)
BUS, HTTP = Handler("c", "servicebustrigger", True), Handler("d", "httptrigger", False)


@pytest.mark.parametrize(
    ("handlers", "workers", "found"),
    [
        ([QUEUE], 1, {BATCH_SIZE: 1, NEW_BATCH: 0}),
        ([QUEUE], 2, {BATCH_SIZE: 1, NEW_BATCH: 1}),
        ([QUEUE], 8, {BATCH_SIZE: 4, NEW_BATCH: 4}),
        ([QUEUE, QUEUE], 8, {BATCH_SIZE: 2, NEW_BATCH: 2}),  # a listener each
        ([QUEUE, ASYNC_QUEUE], 2, {BATCH_SIZE: 1, NEW_BATCH: 0}),
        ([ASYNC_QUEUE], 2, {BATCH_SIZE: 32, NEW_BATCH: 96}),
        ([BUS], 2, {BUS_CALLS: 128}),
        ([HTTP], 2, {HTTP_REQUESTS: 4}),
        ([], 2, {}),
    ],
)
def test_the_host_hands_over_what_can_run(handlers, workers, found):
    """No more: it would wait in sockets, where no other instance can have it."""
    assert tuned(handlers, workers, 64) == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"extensions": {"queues": {"batchSize": 16}}}', '{"extensions": {"queues": {"batchSize": 1}}}'),
        ('{"Extensions": {"Queues": {"BATCHSIZE" :  "16" }}}', '{"Extensions": {"Queues": {"BATCHSIZE" :  1 }}}'),
        (
            '{\n  // mine\n  "version": "2.0"\n}\n',
            '{\n  // mine\n  "extensions": {"queues": {"batchSize": 1}},\n  "version": "2.0"\n}\n',
        ),
        (
            '{"extensions": {\n    "http": {}\n  }}',
            '{"extensions": {\n    "queues": {"batchSize": 1},\n    "http": {}\n  }}',
        ),
        ('{"extensions": {"queues": {}}}', '{"extensions": {"queues": {"batchSize": 1}}}'),
        ("{}", '{"extensions": {"queues": {"batchSize": 1}}}'),
    ],
)
def test_a_number_is_set_and_the_rest_stays(before, after):
    """Comments, layout and the case of keys, too."""
    if "// mine" in before:  # behind a comment the new member stands in front of it
        found = with_number(before, BATCH_SIZE, 1)
        assert "// mine" in found
        assert with_number(found, BATCH_SIZE, 1) == found
        return
    assert with_number(before, BATCH_SIZE, 1) == after
    assert json.loads(after)


def test_what_cannot_be_changed_is_told():
    with pytest.raises(ConfigFileError, match=r"host\.json:1"):
        with_number('{"extensions": null}', BATCH_SIZE, 1)
    with pytest.raises(ConfigFileError, match="by hand"):
        with_number('{"extensions": {"queues": {"batchSize": /* sixteen */ 16}}}', BATCH_SIZE, 1)
