"""The trigger decorators, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them, with those for inputs (input_decorators.py) and outputs (output_decorators.py).
Rule: one method per decorator, and nothing in it but the translation into function.json's names.
"""

from collections.abc import Iterable
from typing import Any

from fastworker.functions.declarations import STORAGE, Cardinality, DataType, Declarations, Decorator, plain_text


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
        """Run the function for http requests, and give it an http output.

        Args:
            route: the template below host.json's `routePrefix`, as `items/{id:int}`; by default the function's
                name.
            trigger_arg_name: the handler's argument that gets the request (`Request`, `Request[T]`, or a body
                type).
            binding_arg_name: the name of the http output, which return values go to.
            methods: the methods that reach the function; None means all.
            auth_level: `anonymous`, `function` (a key is needed) or `admin` (the master key).
            trigger_extra_fields: further members of the trigger in function.json.
            binding_extra_fields: further members of the output in function.json.

        Example:
            @app.route("items/{id:int}", methods=["GET"], auth_level="anonymous")
            def item(req: fw.Request, id: int) -> dict[str, int]:
                return {"id": id}

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 2.4, 4.3 and 6.1.
        """
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
        """Run the function for each message of an Azure Storage queue.

        Args:
            arg_name: the handler's argument that gets the message (any type, or `QueueMessage`).
            queue_name: the queue; `%SETTING%` is replaced by an app setting.
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            data_type: `string`, `binary` or `stream`; by default what the annotation needs.
            extra: further members of function.json, in snake case.

        Example:
            @app.queue_trigger("order", queue_name="orders")
            def work(order: dict) -> None:
                print(order["id"])

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 2.2, 2.7 and 5.5.
        """
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
        """Run the function for each new or changed blob.

        Args:
            arg_name: the handler's argument that gets the content (`bytes`, `str`, a type for JSON, or `Blob`).
            path: container and pattern, as `images/{name}.png`; the names are for other bindings' paths.
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            source: `EventGrid` to be told by events instead of by looking.
            data_type: `string`, `binary` or `stream`; by default what the annotation needs.
            extra: further members of function.json, in snake case.

        Example:
            @app.blob_trigger("image", path="images/{name}")
            def resize(image: fw.Blob) -> None:
                print(image.name, len(image.payload))

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 2.7 and 7.
        """
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
        """Run the function on a schedule.

        Args:
            arg_name: the handler's argument that gets the `TimerRequest`.
            schedule: six fields (second minute hour day month weekday), or a time span as `00:05:00`.
            run_on_startup: also run when the host starts.
            use_monitor: remember runs, so that a missed one is made up for; on by default.
            data_type: `string`, `binary` or `stream`; by default what the annotation needs.
            extra: further members of function.json, in snake case.

        Example:
            @app.timer_trigger("timer", schedule="0 */5 * * * *")
            def tidy(timer: fw.TimerRequest) -> None:
                print(timer.is_past_due)

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 2.7 and 7.
        """
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
        """Run the function for messages of a Service Bus queue.

        Args:
            arg_name: the handler's argument that gets the message (any type, or `ServiceBusMessage`), or a list of
                them.
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            queue_name: the queue; `%SETTING%` is replaced by an app setting.
            data_type: `string`, `binary` or `stream`; by default what the annotation needs.
            access_rights: `manage` or `listen`, of the connection.
            is_sessions_enabled: whether the queue or subscription has sessions.
            cardinality: `many` for batches, `one` for single messages; by default `many` if the argument is a
                `list[...]`.
            extra: further members of function.json, in snake case.

        Example:
            @app.service_bus_queue_trigger("orders", connection="BUS", queue_name="orders")
            def work(orders: list[fw.ServiceBusMessage]) -> None:
                print(len(orders))

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 2.7.
        """
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
        """Run the function for messages of a Service Bus subscription.

        Args:
            arg_name: the handler's argument that gets the message (any type, or `ServiceBusMessage`), or a list of
                them.
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            topic_name: the topic.
            subscription_name: the subscription of the topic.
            data_type: `string`, `binary` or `stream`; by default what the annotation needs.
            access_rights: `manage` or `listen`, of the connection.
            is_sessions_enabled: whether the queue or subscription has sessions.
            cardinality: `many` for batches, `one` for single messages; by default `many` if the argument is a
                `list[...]`.
            extra: further members of function.json, in snake case.

        Example:
            @app.service_bus_topic_trigger("order", connection="BUS", topic_name="t", subscription_name="s")
            def work(order: dict) -> None:
                print(order)

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 2.7.
        """
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
        """Run the function for events of an event hub.

        Args:
            arg_name: the handler's argument that gets the event (any type, or `EventHubEvent`), or a list of them.
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            event_hub_name: the event hub.
            data_type: `string`, `binary` or `stream`; by default what the annotation needs.
            cardinality: `many` for batches, `one` for single messages; by default `many` if the argument is a
                `list[...]`.
            consumer_group: by default `$Default`.
            extra: further members of function.json, in snake case.

        Example:
            @app.event_hub_message_trigger("events", connection="HUB", event_hub_name="telemetry")
            def store(events: list[fw.EventHubEvent]) -> None:
                print(len(events))

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 2.7.
        """
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
        """Run the function for each event of Event Grid.

        Args:
            arg_name: the handler's argument that gets the event (`EventGridEvent`, or any type).
            data_type: `string`, `binary` or `stream`; by default what the annotation needs.
            extra: further members of function.json, in snake case.

        Example:
            @app.event_grid_trigger("event")
            def changed(event: fw.EventGridEvent) -> None:
                print(event.subject)

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 2.7 and 6.2.
        """
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
        """Run the function for changed documents of a Cosmos DB container.

        Args:
            arg_name: the handler's argument that gets the documents, a list.
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            database_name: the database.
            container_name: the container that is watched.
            lease_connection: the setting of the leases' account; by default the same.
            lease_database_name: the database of the leases; by default the same.
            lease_container_name: the container of the leases; by default `leases`.
            create_lease_container_if_not_exists: whether the host makes it.
            data_type: `string`, `binary` or `stream`; by default what the annotation needs.
            extra: further members of function.json, in snake case.

        Example:
            @app.cosmos_db_trigger("documents", connection="DB", database_name="shop", container_name="orders")
            def changed(documents: list[dict]) -> None:
                print(len(documents))

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 2.7.
        """
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
        """Run the function by a trigger of any type.

        Args:
            arg_name: the handler's argument that gets the trigger's value.
            type: the trigger's type in function.json, as `rabbitMQTrigger`; types of new extensions are made known
                by `App(extra_binding_types=...)`.
            data_type: `string`, `binary` or `stream`; by default what the annotation needs.
            extra: further members of function.json, in snake case.

        Example:
            @app.generic_trigger("message", type="rabbitMQTrigger", queue_name="q", connection_string_setting="RABBIT")
            def work(message: str) -> None:
                print(message)

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 7.
        """
        return self.bind(type, "in", arg_name, data_type=data_type, extra=extra)
