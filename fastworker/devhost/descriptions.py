"""What the admin endpoints tell of the host and its functions (protocol 6.2, D-803 to D-838).

Used by admin.py. Rule: members and their order as the real host has them; no decision is made here.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastworker.config.app_files import function_document_of
from fastworker.config.config_files import ConfigFileError
from fastworker.devhost import HOST_VERSION
from fastworker.devhost.blob_trigger import AT_ONCE
from fastworker.devhost.functions import Function
from fastworker.devhost.hostjson import batch_threshold

if TYPE_CHECKING:
    from fastworker.devhost.app import RunningApp

STARTED: Final = time.monotonic()


def host_status(app: "RunningApp | None") -> dict[str, Any]:
    """`/admin/host/status`."""
    status: dict[str, Any] = {
        "id": "fastworker-dev",
        "state": "Starting" if app is None else "Error" if app.stopped else "Running",
        "version": HOST_VERSION,
        "versionDetails": HOST_VERSION.removesuffix(".0"),
        "platformVersion": "",
        "instanceId": "",
        "computerName": "",
        "processUptime": int((time.monotonic() - STARTED) * 1000),
        "functionAppContentEditingState": "Unknown",
    }
    if app is not None and app.stopped:
        status["errors"] = [app.stopped]
    return status


def host_config(app: "RunningApp") -> dict[str, Any]:
    """`/admin/host/config`: the options in force."""
    host, queues = app.host, app.host.queues
    found: dict[str, Any] = {
        "extensions": {
            "http": {
                "dynamicThrottlesEnabled": False,
                "enableChunkedRequestBinding": False,
                "maxConcurrentRequests": host.http.max_concurrent,
                "maxOutstandingRequests": host.http.max_outstanding,
                "routePrefix": host.route_prefix,
            },
            "blobs": {
                "maxDegreeOfParallelism": host.max_blobs_at_once or AT_ONCE,
                "poisonBlobThreshold": host.max_blob_tries,
            },
            "queues": {
                "batchSize": queues.batch_size,
                "newBatchThreshold": batch_threshold(queues),
                "maxPollingInterval": _span(60.0 if queues.max_polling_s is None else queues.max_polling_s),
                "maxDequeueCount": queues.max_dequeue_count,
                "visibilityTimeout": _span(queues.visibility_timeout_s),
                "messageEncoding": "None" if queues.encoding == "none" else "Base64",
            },
        },
        # What nobody can change here.
        "concurrency": {
            "dynamicConcurrencyEnabled": False,
            "maximumFunctionConcurrency": 500,
            "cpuThreshold": 0.8,
            "snapshotPersistenceEnabled": True,
        },
    }
    if host.http.custom_headers:
        found["extensions"]["http"]["customHeaders"] = dict(host.http.custom_headers)
    return found


def _span(seconds: float) -> str:
    """A short time span as .NET writes it."""
    whole = int(seconds)
    fraction = f".{round((seconds - whole) * 10**7):07d}" if seconds != whole else ""
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{fraction}"


def function_description(app: "RunningApp", function: Function, base: str) -> dict[str, Any]:
    """A member of `/admin/functions`; `base` is how the caller reaches the host."""
    files = f"{base}/admin/vfs/{Path(app.root).name}/{function.name}"
    return {
        "name": function.name,
        "script_root_path_href": f"{files}/",
        "script_href": None,
        "config_href": f"{files}/function.json",
        "test_data_href": f"{base}/admin/vfs/tmp/FunctionsData/{function.name}.dat",
        "href": f"{base}/admin/functions/{function.name}",
        "invoke_url_template": app.router.url(base, function) if function.is_http else None,
        "language": None,
        "config": _config(function),
        "files": None,
        "test_data": "",
        "isDisabled": function.disabled,
        "isDirect": False,
        "isProxy": False,
    }


def _config(function: Function) -> dict[str, Any]:
    if function.file is None or function.file.name != "function.json":
        return {}
    try:
        return function_document_of(function.file)
    except (ConfigFileError, FileNotFoundError):
        return {}


def keys_answer(base: str, path: str, keys: dict[str, str]) -> dict[str, Any]:
    """A list of keys, with the link to itself."""
    listed = [{"name": name, "value": value} for name, value in keys.items()]
    return {"keys": listed, "links": [{"rel": "self", "href": f"{base}{path}"}]}
