"""`fastworker storage ls|cat|put|send`: looks into the store that `fastworker dev` uses, and writes to it.

Called by cli.py. Rule: which store that is, devhost/storage.py decides, here as for dev; places are called as `ls`
prints them: queues/NAME, blobs/CONTAINER/NAME, tables/NAME.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fastworker import flag_hints
from fastworker.commands.parser import CommandParser
from fastworker.config.app_files import host_json_of
from fastworker.devhost import private
from fastworker.devhost.appsettings import read_app_settings
from fastworker.devhost.storage import Account, Accounts, Message
from fastworker.errors import FastworkerError

KINDS: Final = ("queues", "blobs", "tables")
PLACES: Final = "queues/NAME, blobs/CONTAINER/NAME or tables/NAME"
MOST: Final = 1000


class StorageCommandError(FastworkerError):
    """There is no such place, or the store refuses what was asked of it."""

    exit_code = 1


def main(argv: Sequence[str]) -> int:
    """0 if it could be done."""
    arguments = build_parser().parse_args(argv)
    root = Path(arguments.dir).absolute()
    settings = read_app_settings(root, os.environ)
    encoding = host_json_of(root, settings.values).queues.encoding
    return asyncio.run(_run(arguments, Accounts(settings, root / private.NAME, encoding)))


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        "storage",
        flag_hints.STORAGE,
        description="Look into the store that `fastworker dev` uses (Azure Storage, Azurite, or the embedded one).",
        epilog=f"PLACE is {PLACES}, as ls prints it.",
    )
    parser.add_argument("action", choices=("ls", "cat", "put", "send"), metavar="ls|cat|put|send")
    parser.add_argument("place", nargs="?", default="", metavar="PLACE", help="ls: all, if it is left out")
    parser.add_argument(
        "content", nargs="?", metavar="FILE|TEXT", help="put: the file; send: the message's text (- for standard input)"
    )
    parser.add_argument("--file", metavar="FILE", help="send: the message from a file")
    parser.add_argument("--dir", default=".", help="the app's folder (default: this one)")
    parser.add_argument(
        "--connection", default="AzureWebJobsStorage", metavar="NAME", help="the app setting that names the account"
    )
    return parser


async def _run(arguments: argparse.Namespace, accounts: Accounts) -> int:
    try:
        account = accounts.open(arguments.connection)
        print(f"storage: {account.description}", file=sys.stderr)
        kind, _, name = arguments.place.strip("/").partition("/")
        if arguments.action == "send":
            await _send(account, name if kind == "queues" else arguments.place, _content(arguments))
        elif arguments.action == "put":
            await _put(account, kind, name, _content(arguments))
        elif arguments.action == "cat":
            await _cat(account, kind, name)
        else:
            await _list(account, kind, name)
    except FastworkerError:
        raise
    except Exception as error:  # the SDKs raise what they like; the store's own refusals are ValueErrors
        what = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise StorageCommandError(f"{arguments.place or 'the store'}: {what}{error}") from None
    finally:
        await accounts.close()
    return 0


# ---- ls -------------------------------------------------------------------------------------------------------------


async def _list(account: Account, kind: str, name: str) -> None:
    if kind and kind not in KINDS:
        raise StorageCommandError(f"there is no {kind!r}: name a place, {PLACES}")
    if kind == "queues" and name:
        for message in await account.peek_messages(name, MOST):
            print(f"{message.id}  {len(message.raw)} characters, taken {message.dequeue_count} times")
        return
    if kind == "tables" and name:
        for entity in await account.query_entities(name, None, "", MOST):
            print(f"{entity.get('PartitionKey')}/{entity.get('RowKey')}")
        return
    if kind in ("", "queues"):
        for queue, count in await account.list_queues():
            print(f"queues/{queue}  {count} {'message' if count == 1 else 'messages'}")
    if kind in ("", "blobs"):
        await _list_blobs(account, *name.split("/", 1))
    if kind in ("", "tables"):
        for table in await account.list_tables():
            print(f"tables/{table}")


async def _list_blobs(account: Account, container: str, prefix: str = "") -> None:
    for found in [container] if container else await account.list_containers():
        for blob in await account.list_blobs(found):
            if blob.name.startswith(prefix):
                print(f"blobs/{found}/{blob.name}  {blob.length} bytes, {blob.modified:%Y-%m-%d %H:%M:%S}")


# ---- cat ------------------------------------------------------------------------------------------------------------


async def _cat(account: Account, kind: str, name: str) -> None:
    """A blob's bytes as they are; a line for each message or entity."""
    if kind not in KINDS or not name:
        raise StorageCommandError(f"cat needs a place: {PLACES}")
    if kind == "blobs":
        container, _, blob_name = name.partition("/")
        blob = await account.read_blob(container, blob_name)
        if blob is None:
            raise StorageCommandError(f"there is no blob {name!r}; fastworker storage ls blobs/{container} lists them")
        sys.stdout.buffer.write(blob.content)
        sys.stdout.buffer.flush()
    elif kind == "queues":
        for message in await account.peek_messages(name, MOST):
            print(_readable(message))
    else:
        for entity in await account.query_entities(name, None, "", MOST):
            print(json.dumps(entity, ensure_ascii=False, default=str))


def _readable(message: Message) -> str:
    """The message's text; as it is stored, if it is none or its encoding is not the app's."""
    try:
        return message.raw if message.content is None else message.content.decode()
    except UnicodeDecodeError:
        return message.raw


# ---- put and send ---------------------------------------------------------------------------------------------------


def _content(arguments: argparse.Namespace) -> bytes:
    """Of a file, of standard input, or of the command line: `put` takes a file's name there, `send` a text."""
    given = arguments.content
    is_text = arguments.action == "send" and arguments.file is None
    name = given if arguments.file is None else arguments.file
    if name is None:
        needed = "a text, or --file FILE" if is_text else "a file"
        raise StorageCommandError(f"{arguments.action} needs {needed} (- for standard input)")
    if name == "-":
        return sys.stdin.buffer.read()
    if is_text:
        return str(name).encode()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise StorageCommandError(f"{name}: {error.strerror}") from None


async def _put(account: Account, kind: str, name: str, content: bytes) -> None:
    container, _, blob = name.partition("/")
    if kind != "blobs" or not blob:
        raise StorageCommandError("put writes a blob: name a place, blobs/CONTAINER/NAME")
    await account.write_blob(container, blob, content)
    print(f"blobs/{name}  {len(content)} bytes")


async def _send(account: Account, queue: str, content: bytes) -> None:
    if not queue:
        raise StorageCommandError("send needs a queue: fastworker storage send QUEUE TEXT")
    await account.put_message(queue, content)
    print(f"queues/{queue}  {len(content)} bytes")
