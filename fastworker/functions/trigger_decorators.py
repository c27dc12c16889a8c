"""The trigger decorators, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them, with those for inputs (input_decorators.py) and outputs (output_decorators.py).
Rule: one method per decorator, and nothing in it but the translation into function.json's names.
"""

from collections.abc import Iterable
from typing import Any

from fastworker.functions.declarations import (
    STORAGE,
    Cardinality,
    DataType,
    Declarations,
    Decorator,
    call_site,
    plain_text,
)


class TriggerDecorators(Declarations):
    """What makes a function run. A function has one trigger."""

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
            auth_level: who may call it: `anonymous`, `function` (a key is needed) or `admin` (the master key).
            trigger_extra_fields: further members of the trigger in function.json.
            binding_extra_fields: further members of the output in function.json.

        Example:
            @app.route("items/{id:int}", methods=["GET"], auth_level="anonymous")
            def item(req: fw.Request, id: int) -> dict[str, int]:
                return {"id": id}

        See protocol 2.4, 4.3 and 6.1.
        """
        if callable(route):  # the handler itself
            self.declare(route).problems.append(
                f"{call_site()}: @app.route stands without parentheses: write @app.route(), whose route is the name of "
                f'the function, or @app.route("...")'
            )
            return self.route()(route)
        listed = [methods] if isinstance(methods, str) else methods
        written = {
            "route": route,
            "methods": None if listed is None else [plain_text(method).lower() for method in listed],
            "auth_level": plain_text(auth_level).lower(),
        }
        more = {"arg_name": trigger_arg_name, "extra": trigger_extra_fields or {}}
        trigger: Decorator = self.bind("httpTrigger", "in", written | more)
        output: Decorator = self.bind(
            "http", "out", {"arg_name": binding_arg_name, "extra": binding_extra_fields or {}}
        )
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

        Example:
            @app.queue_trigger("order", queue_name="orders")
            def work(order: dict) -> None:
                print(order["id"])

        See protocol 2.2, 2.7 and 5.5.
        """
        return self.bind("queueTrigger", "in", locals())

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
            source: `EventGrid` to be told by events instead of by looking.

        Example:
            @app.blob_trigger("image", path="images/{name}")
            def resize(image: fw.Blob) -> None:
                print(image.name, image.length)

        See protocol 2.7 and 7.
        """
        return self.bind("blobTrigger", "in", locals())

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

        Example:
            @app.timer_trigger("timer", schedule="0 */5 * * * *")
            def tidy(timer: fw.TimerRequest) -> None:
                print(timer.past_due)

        See protocol 2.7 and 7.
        """
        return self.bind("timerTrigger", "in", locals())

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
            queue_name: the queue; `%SETTING%` is replaced by an app setting.

        Example:
            @app.service_bus_queue_trigger("orders", connection="BUS", queue_name="orders")
            def work(orders: list[fw.ServiceBusMessage]) -> None:
                print(len(orders))

        See protocol 2.7.
        """
        return self.bind("serviceBusTrigger", "in", locals())

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
            topic_name: the topic.
            subscription_name: the subscription of the topic.

        Example:
            @app.service_bus_topic_trigger("order", connection="BUS", topic_name="t", subscription_name="s")
            def work(order: dict) -> None:
                print(order)

        See protocol 2.7.
        """
        return self.bind("serviceBusTrigger", "in", locals())

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
            event_hub_name: the event hub.
            consumer_group: by default `$Default`.

        Example:
            @app.event_hub_message_trigger("events", connection="HUB", event_hub_name="telemetry")
            def store(events: list[fw.EventHubEvent]) -> None:
                print(len(events))

        See protocol 2.7.
        """
        return self.bind("eventHubTrigger", "in", locals())

    def event_grid_trigger(self, arg_name: str, *, data_type: DataType | None = None, **extra: Any) -> Decorator:
        """Run the function for each event of Event Grid.

        Args:
            arg_name: the handler's argument that gets the event (`EventGridEvent`, or any type).

        Example:
            @app.event_grid_trigger("event")
            def changed(event: fw.EventGridEvent) -> None:
                print(event.subject)

        See protocol 2.7 and 6.2.
        """
        return self.bind("eventGridTrigger", "in", locals())

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
        leases_container_throughput: int | None = None,
        lease_container_prefix: str | None = None,
        feed_poll_delay: int | None = None,
        lease_acquire_interval: int | None = None,
        lease_expiration_interval: int | None = None,
        lease_renew_interval: int | None = None,
        max_items_per_invocation: int | None = None,
        start_from_beginning: bool | None = None,
        start_from_time: str | None = None,
        preferred_locations: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Run the function for changed documents of a Cosmos DB container.

        Args:
            arg_name: the handler's argument that gets the documents, a list.
            database_name: the database.
            container_name: the container that is watched.
            lease_connection: the setting of the leases' account; by default the same.
            lease_database_name: the database of the leases; by default the same.
            lease_container_name: the container of the leases; by default `leases`.
            create_lease_container_if_not_exists: whether the host makes it.
            leases_container_throughput: request units of a container of leases that is made.
            lease_container_prefix: what this function's leases begin with, where several share a container.
            feed_poll_delay: milliseconds between two looks at a partition without changes; by default 5,000.
            lease_acquire_interval: milliseconds between two tries to share the partitions out; by default 13,000.
            lease_expiration_interval: milliseconds after which the lease of a dead instance is free; by default 60,000.
            lease_renew_interval: milliseconds between two renewals of a lease; by default 17,000.
            max_items_per_invocation: documents in one call at most.
            start_from_beginning: whether what was changed before the first run is delivered, too.
            start_from_time: an ISO 8601 time from which on changes are delivered.

        Example:
            @app.cosmos_db_trigger("documents", connection="DB", database_name="shop", container_name="orders")
            def changed(documents: list[dict]) -> None:
                print(len(documents))

        See protocol 2.7.
        """
        return self.bind("cosmosDBTrigger", "in", locals())

    def kafka_trigger(
        self,
        arg_name: str,
        *,
        topic: str,
        broker_list: str,
        consumer_group: str | None = None,
        cardinality: Cardinality | None = None,
        lag_threshold: int | None = None,
        protocol: str | None = None,
        authentication_mode: str | None = None,
        username: str | None = None,
        password: str | None = None,
        ssl_ca_location: str | None = None,
        avro_schema: str | None = None,
        event_hub_connection_string: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Run the function for events of a Kafka topic.

        Args:
            arg_name: the handler's argument that gets the event, or a list of them: an object with `Value`, `Key`,
                `Offset`, `Partition`, `Topic`, `Timestamp` and `Headers`.
            consumer_group: by default `$Default`.
            lag_threshold: events behind for which the platform adds an instance; by default 1,000.
            event_hub_connection_string: the setting of an event hub that is read by its Kafka endpoint.
            extra: further members of function.json, in snake case: certificates (`ssl_...`), the schema registry
                (`schema_registry_...`), OAuth (`o_auth_bearer_...`).

        Example:
            @app.kafka_trigger("event", topic="orders", broker_list="%BROKERS%", consumer_group="$Default")
            def work(event: dict) -> None:
                print(event["Value"])

        See protocol 7.
        """
        return self.bind("kafkaTrigger", "in", locals())

    def warm_up_trigger(self, arg_name: str, *, data_type: DataType | None = None, **extra: Any) -> Decorator:
        """Run the function when the platform adds an instance, before that serves requests: Premium and Flex plans.

        An app has one such function at most. What each worker process needs is opened in `on_worker_start`.

        Args:
            arg_name: the handler's argument that gets an empty context.

        Example:
            @app.warm_up_trigger("context")
            def warm_up(context: dict) -> None:
                print("a new instance")

        See protocol 7.
        """
        return self.bind("warmupTrigger", "in", locals())

    def connector_trigger(self, arg_name: str, *, data_type: DataType | None = None, **extra: Any) -> Decorator:
        """Run the function for events of an Azure connector, such as a new mail or a changed list.

        Args:
            arg_name: the handler's argument that gets the event.

        Example:
            @app.connector_trigger("event")
            def work(event: dict) -> None:
                print(event)

        See protocol 7.
        """
        return self.bind("connectorTrigger", "in", locals())

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

        Example:
            @app.generic_trigger("message", type="rabbitMQTrigger", queue_name="q", connection_string_setting="RABBIT")
            def work(message: str) -> None:
                print(message)

        See protocol 7.
        """
        return self.bind(type, "in", locals())
