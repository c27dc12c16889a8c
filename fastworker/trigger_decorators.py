"""The trigger decorators, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them, with those for inputs and outputs (data_decorators.py).
Rule: one method per decorator, and nothing in it but the translation into function.json's names.
"""

from collections.abc import Iterable
from typing import Any

from fastworker.declarations import STORAGE, Cardinality, DataType, Declarations, Decorator, plain_text


class TriggerDecorators(Declarations):
    """What makes a function run."""

    def route(
        self,
        route: str | None = None,
        *,
        trigger_arg_name: str = "req",
        binding_arg_name: str = "res",
        methods: Iterable[str] | None = None,
        auth_level: str = "function",
        trigger_extra_fields: dict[str, Any] | None = None,
        binding_extra_fields: dict[str, Any] | None = None,
    ) -> Decorator:
        """An http trigger and its http output; `route` defaults to the function's name."""
        trigger: Decorator = self.bind(
            "httpTrigger",
            "in",
            trigger_arg_name,
            properties={
                "route": route,
                "methods": None if methods is None else [plain_text(method).lower() for method in methods],
                "authLevel": plain_text(auth_level).lower(),
                **(trigger_extra_fields or {}),
            },
        )
        output: Decorator = self.bind("http", "out", binding_arg_name, properties=binding_extra_fields)
        return lambda handler: trigger(output(handler))

    def queue_trigger(
        self,
        arg_name: str,
        *,
        queue_name: str,
        connection: str = STORAGE,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Runs for each message of an Azure Storage queue."""
        properties = {"queueName": queue_name, "connection": connection}
        return self.bind("queueTrigger", "in", arg_name, data_type=data_type, properties=properties, extra=extra)

    def blob_trigger(
        self,
        arg_name: str,
        *,
        path: str,
        connection: str = STORAGE,
        source: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Runs for each new or changed blob under `path`."""
        properties = {"path": path, "connection": connection, "source": plain_text(source)}
        return self.bind("blobTrigger", "in", arg_name, data_type=data_type, properties=properties, extra=extra)

    def timer_trigger(
        self,
        arg_name: str,
        *,
        schedule: str,
        run_on_startup: bool | None = None,
        use_monitor: bool | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Runs on a schedule: six-field cron, or a time span."""
        properties = {"schedule": schedule, "runOnStartup": run_on_startup, "useMonitor": use_monitor}
        return self.bind("timerTrigger", "in", arg_name, data_type=data_type, properties=properties, extra=extra)

    def service_bus_queue_trigger(
        self,
        arg_name: str,
        *,
        connection: str,
        queue_name: str,
        data_type: DataType | None = None,
        access_rights: str | None = None,
        is_sessions_enabled: bool | None = None,
        cardinality: Cardinality | None = None,
        **extra: Any,
    ) -> Decorator:
        """Runs for each message of a Service Bus queue; for batches if the argument is a `list[...]`."""
        return self.bind(
            "serviceBusTrigger",
            "in",
            arg_name,
            data_type=data_type,
            cardinality=cardinality,
            properties={
                "queueName": queue_name,
                "connection": connection,
                "accessRights": plain_text(access_rights),
                "isSessionsEnabled": is_sessions_enabled,
            },
            extra=extra,
        )

    def service_bus_topic_trigger(
        self,
        arg_name: str,
        *,
        connection: str,
        topic_name: str,
        subscription_name: str,
        data_type: DataType | None = None,
        access_rights: str | None = None,
        is_sessions_enabled: bool | None = None,
        cardinality: Cardinality | None = None,
        **extra: Any,
    ) -> Decorator:
        """Runs for each message of a Service Bus subscription; for batches if the argument is a `list[...]`."""
        return self.bind(
            "serviceBusTrigger",
            "in",
            arg_name,
            data_type=data_type,
            cardinality=cardinality,
            properties={
                "topicName": topic_name,
                "subscriptionName": subscription_name,
                "connection": connection,
                "accessRights": plain_text(access_rights),
                "isSessionsEnabled": is_sessions_enabled,
            },
            extra=extra,
        )

    def event_hub_message_trigger(
        self,
        arg_name: str,
        *,
        connection: str,
        event_hub_name: str,
        data_type: DataType | None = None,
        cardinality: Cardinality | None = None,
        consumer_group: str | None = None,
        **extra: Any,
    ) -> Decorator:
        """Runs for events of an event hub; for batches if the argument is a `list[...]`."""
        return self.bind(
            "eventHubTrigger",
            "in",
            arg_name,
            data_type=data_type,
            cardinality=cardinality,
            properties={
                "eventHubName": event_hub_name,
                "connection": connection,
                "consumerGroup": consumer_group,
            },
            extra=extra,
        )

    def event_grid_trigger(self, arg_name: str, *, data_type: DataType | None = None, **extra: Any) -> Decorator:
        """Runs for each event of Event Grid."""
        return self.bind("eventGridTrigger", "in", arg_name, data_type=data_type, extra=extra)

    def cosmos_db_trigger(
        self,
        arg_name: str,
        *,
        connection: str,
        database_name: str,
        container_name: str,
        lease_connection: str | None = None,
        lease_database_name: str | None = None,
        lease_container_name: str | None = None,
        create_lease_container_if_not_exists: bool | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Runs for changed documents of a container, given as a list."""
        return self.bind(
            "cosmosDBTrigger",
            "in",
            arg_name,
            data_type=data_type,
            properties={
                "connection": connection,
                "databaseName": database_name,
                "containerName": container_name,
                "leaseConnection": lease_connection,
                "leaseDatabaseName": lease_database_name,
                "leaseContainerName": lease_container_name,
                "createLeaseContainerIfNotExists": create_lease_container_if_not_exists,
            },
            extra=extra,
        )

    def generic_trigger(
        self,
        arg_name: str,
        *,
        type: str,  # noqa: A002 - azure-functions' name
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """A trigger of any type; further arguments are its properties."""
        return self.bind(type, "in", arg_name, data_type=data_type, extra=extra)
