"""The decorators for outputs, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them, with the triggers (trigger_decorators.py) and inputs (input_decorators.py).
Rule: one method per decorator, and nothing in it but the translation into function.json's names.
"""

from typing import Any

from fastworker.functions.declarations import STORAGE, DataType, Declarations, Decorator


class OutputDecorators(Declarations):
    """What a function writes beside an http answer; nothing is written where it fails."""

    def queue_output(
        self,
        arg_name: str,
        *,
        queue_name: str,
        connection: str = STORAGE,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function write messages to an Azure Storage queue.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is one
                message per element.
            queue_name: the queue, which is made if it is not there.

        Example:
            @app.route("order")
            @app.queue_output("message", queue_name="orders")
            def order(req: fw.Request, message: fw.Out[str]) -> None:
                message.set(req.text)

        See protocol 4.6.
        """
        return self.bind("queue", "out", locals())

    def blob_output(
        self,
        arg_name: str,
        *,
        path: str,
        connection: str = STORAGE,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function write a blob.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`.
            path: container and name, with `{expressions}` from the trigger.

        Example:
            @app.queue_trigger("text", queue_name="texts")
            @app.blob_output("copy", path="copies/{rand-guid}.txt")
            def keep(text: str, copy: fw.Out[str]) -> None:
                copy.set(text)

        See protocol 4.6.
        """
        return self.bind("blob", "out", locals())

    def table_output(
        self,
        arg_name: str,
        *,
        table_name: str,
        connection: str = STORAGE,
        row_key: str | None = None,
        partition_key: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function write entities to a table.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is
                several entities.
            table_name: the table.
            row_key: of all entities, unless they have their own.
            partition_key: of all entities, unless they have their own.

        Example:
            @app.queue_trigger("name", queue_name="names")
            @app.table_output("row", table_name="people", partition_key="p")
            def keep(name: str, row: fw.Out[dict]) -> None:
                row.set({"RowKey": name})

        See protocol 4.6.
        """
        return self.bind("table", "out", locals())

    def service_bus_queue_output(
        self,
        arg_name: str,
        *,
        connection: str,
        queue_name: str,
        data_type: DataType | None = None,
        access_rights: str | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function send messages to a Service Bus queue.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is one
                message per element.
            queue_name: the queue.

        Example:
            @app.route("send")
            @app.service_bus_queue_output("message", connection="BUS", queue_name="orders")
            def send(req: fw.Request, message: fw.Out[str]) -> None:
                message.set(req.text)

        See protocol 4.6.
        """
        return self.bind("serviceBus", "out", locals())

    def service_bus_topic_output(
        self,
        arg_name: str,
        *,
        connection: str,
        topic_name: str,
        subscription_name: str | None = None,
        data_type: DataType | None = None,
        access_rights: str | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function send messages to a Service Bus topic.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is one
                message per element.
            topic_name: the topic.
            subscription_name: has no meaning for the host; azure-functions has it.

        Example:
            @app.route("send")
            @app.service_bus_topic_output("message", connection="BUS", topic_name="orders")
            def send(req: fw.Request, message: fw.Out[str]) -> None:
                message.set(req.text)

        See protocol 4.6.
        """
        return self.bind("serviceBus", "out", locals())

    def event_hub_output(
        self,
        arg_name: str,
        *,
        connection: str,
        event_hub_name: str,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function send events to an event hub.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is one
                event per element.
            event_hub_name: the event hub.

        Example:
            @app.route("send")
            @app.event_hub_output("events", connection="HUB", event_hub_name="telemetry")
            def send(req: fw.Request, events: fw.Out[list[str]]) -> None:
                events.set(["a", "b"])

        See protocol 4.6.
        """
        return self.bind("eventHub", "out", locals())

    def event_grid_output(
        self,
        arg_name: str,
        *,
        topic_endpoint_uri: str | None = None,
        topic_key_setting: str | None = None,
        connection: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function send events to an Event Grid topic.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. An object, or a
                list of them.
            topic_endpoint_uri: the name of the setting that holds the topic's address.
            topic_key_setting: the name of the setting that holds its key.
            connection: the name of the setting of an identity-based connection, instead of the two.

        Example:
            @app.route("send")
            @app.event_grid_output("event", topic_endpoint_uri="TOPIC", topic_key_setting="TOPIC_KEY")
            def send(req: fw.Request, event: fw.Out[dict]) -> None:
                event.set({"id": "1", "subject": "s", "eventType": "t", "dataVersion": "1", "data": {}})

        See protocol 4.6.
        """
        return self.bind("eventGrid", "out", locals())

    def cosmos_db_output(
        self,
        arg_name: str,
        *,
        connection: str,
        database_name: str,
        container_name: str,
        create_if_not_exists: bool | None = None,
        partition_key: str | None = None,
        container_throughput: int | None = None,
        preferred_locations: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function write documents.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is
                several documents.
            database_name: the database.
            container_name: the container.
            create_if_not_exists: whether the host makes database and container.
            partition_key: of a container that is made.
            container_throughput: request units of a container that is made.

        Example:
            @app.queue_trigger("order", queue_name="orders")
            @app.cosmos_db_output("document", connection="DB", database_name="shop", container_name="orders")
            def keep(order: dict, document: fw.Out[dict]) -> None:
                document.set(order)

        See protocol 4.6.
        """
        return self.bind("cosmosDB", "out", locals())

    def kafka_output(
        self,
        arg_name: str,
        *,
        topic: str,
        broker_list: str,
        protocol: str | None = None,
        authentication_mode: str | None = None,
        username: str | None = None,
        password: str | None = None,
        ssl_ca_location: str | None = None,
        avro_schema: str | None = None,
        max_message_bytes: int | None = None,
        batch_size: int | None = None,
        enable_idempotence: bool | None = None,
        message_timeout_ms: int | None = None,
        request_timeout_ms: int | None = None,
        max_retries: int | None = None,
        linger_ms: int | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function send events to a Kafka topic.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is one
                event per element.
            max_message_bytes: bytes of a message at most; by default 1,000,000.
            batch_size: messages of a batch at most; by default 10,000.
            enable_idempotence: whether each message is written exactly once and in order.
            message_timeout_ms: milliseconds for a message to be delivered; by default 300,000.
            request_timeout_ms: milliseconds for the broker to acknowledge; by default 5,000.
            max_retries: tries of a message that fails.
            linger_ms: milliseconds to wait for more messages of a batch; by default 5.
            extra: further members of function.json, in snake case: certificates (`ssl_...`), the schema registry
                (`schema_registry_...`), OAuth (`o_auth_bearer_...`).

        Example:
            @app.route("send")
            @app.kafka_output("event", topic="orders", broker_list="%BROKERS%")
            def send(req: fw.Request, event: fw.Out[str]) -> None:
                event.set(req.text)

        See protocol 7.
        """
        return self.bind("kafka", "out", locals())

    def generic_output_binding(
        self,
        arg_name: str,
        *,
        type: str,  # noqa: A002 - azure-functions' name
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function write to an output of any type.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`.
            type: the binding's type in function.json.

        Example:
            @app.route("mail")
            @app.generic_output_binding("mail", type="sendGrid", api_key="SENDGRID")
            def mail(req: fw.Request, mail: fw.Out[dict]) -> None:
                mail.set({"subject": "hello"})

        See protocol 7.
        """
        return self.bind(type, "out", locals())
