"""The keys of host.json and local.settings.json that the documentation of the host and of Core Tools names.

Used by host_json.py and local_settings.py: what is not here is read by nobody. Rule: pure data. None stands for
"whatever is below is somebody's"; the key "*" for any name.
"""

from typing import Any, Final

Tree = dict[str, Any]

_DESCRIPTION: Final[Tree] = {
    "description": None,
    "language": None,
    "defaultExecutablePath": None,
    "defaultWorkerPath": None,
    "arguments": None,
    "workerArguments": None,
    "workingDirectory": None,
    "workerDirectory": None,
    "useStdErrorStreamForErrorsOnly": None,
}

KNOWN: Final[Tree] = {
    "version": None,
    "aggregator": {"batchSize": None, "flushTimeout": None},
    "concurrency": {"dynamicConcurrencyEnabled": None, "snapshotPersistenceEnabled": None},
    "configurationProfile": None,
    "customHandler": {
        "description": _DESCRIPTION,
        "enableForwardingHttpRequest": None,
        "enableProxyingHttpRequest": None,
        "initializationTimeout": None,
        "port": None,
        "http": {
            "enableProxying": None,
            "defaultAuthorizationLevel": None,
            "routes": {"*": {"route": None, "authorizationLevel": None}},
        },
    },
    "httpWorker": {"description": _DESCRIPTION, "initializationTimeout": None, "port": None},
    "extensionBundle": {"id": None, "version": None},
    "extensions": {
        "http": {
            "routePrefix": None,
            "maxOutstandingRequests": None,
            "maxConcurrentRequests": None,
            "dynamicThrottlesEnabled": None,
            "hsts": None,
            "customHeaders": None,
        },
        "queues": {
            "batchSize": None,
            "newBatchThreshold": None,
            "visibilityTimeout": None,
            "maxDequeueCount": None,
            "maxPollingInterval": None,
            "messageEncoding": None,
        },
        "blobs": {"maxDegreeOfParallelism": None, "poisonBlobThreshold": None},
        # Read by the extension of that name, which is not here.
        **dict.fromkeys(
            (
                *("serviceBus", "eventHubs", "cosmosDB", "durableTask", "eventGrid", "kafka", "sendGrid", "signalR"),
                *("tables", "sql", "mysql", "rabbitMQ", "dapr", "mcp", "redis", "webPubSub", "openai", "timers"),
                *("twilioSms", "notificationHubs", "mobileApps", "kusto", "warmup"),
            )
        ),
    },
    "functions": None,
    "functionTimeout": None,
    "healthMonitor": {
        "enabled": None,
        "healthCheckInterval": None,
        "healthCheckWindow": None,
        "healthCheckThreshold": None,
        "counterThreshold": None,
    },
    "languageWorkers": None,
    "logging": {
        "fileLoggingMode": None,
        "logLevel": None,
        "console": None,
        "applicationInsights": None,
        "isEnabled": None,
        "disableColors": None,
    },
    "managedDependency": {"enabled": None},
    "retry": {
        "strategy": None,
        "maxRetryCount": None,
        "delayInterval": None,
        "minimumInterval": None,
        "maximumInterval": None,
    },
    "singleton": {
        "lockPeriod": None,
        "listenerLockPeriod": None,
        "listenerLockRecoveryPollingInterval": None,
        "lockAcquisitionTimeout": None,
        "lockAcquisitionPollingInterval": None,
    },
    "sendCanceledInvocationsToWorker": None,
    "telemetryMode": None,
    "watchDirectories": None,
    "watchFiles": None,
}

# Known to the host, and not obeyed by the local host: named once, when they are there.
NOT_OBEYED: Final[tuple[tuple[str, ...], ...]] = (
    ("aggregator",),
    ("concurrency",),
    ("extensions", "http", "dynamicThrottlesEnabled"),
    ("extensions", "http", "hsts"),
    *(("extensions", name) for name in KNOWN["extensions"] if KNOWN["extensions"][name] is None),
    ("healthMonitor",),
    ("languageWorkers",),
    ("logging",),
    ("managedDependency",),
    ("sendCanceledInvocationsToWorker",),
    ("singleton",),
    ("telemetryMode",),
    ("watchDirectories",),
    ("watchFiles",),
)

LOCAL_SETTINGS: Final[Tree] = {
    "IsEncrypted": None,
    "Values": None,
    "ConnectionStrings": None,
    "Host": {"LocalHttpPort": None, "CORS": None, "CORSCredentials": None},
}
