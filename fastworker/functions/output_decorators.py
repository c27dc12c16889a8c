"""The decorators for outputs, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them, with the triggers (trigger_decorators.py) and inputs (input_decorators.py).
Rule: one method per decorator, and nothing in it but the translation into function.json's names.
"""

from typing import Any

from fastworker.functions.declarations import STORAGE, DataType, Declarations, Decorator, plain_text


class OutputDecorators(Declarations):
    """What a function writes."""

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
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            data_type: `string`, `binary` or `stream`; leave it out, so that text and bytes arrive unchanged.
            extra: further members of function.json, in snake case.

        Example:
            @app.route("order")
            @app.queue_output("message", queue_name="orders")
            def order(req: fw.Request, message: fw.Out[str]) -> None:
                message.set(req.text)

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 4.6.
        """
        properties = {"queueName": queue_name, "connection": connection}
        return self.bind("queue", "out", arg_name, data_type=data_type, properties=properties, extra=extra)

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
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            data_type: `string`, `binary` or `stream`; leave it out, so that text and bytes arrive unchanged.
            extra: further members of function.json, in snake case.

        Example:
            @app.queue_trigger("text", queue_name="texts")
            @app.blob_output("copy", path="copies/{rand-guid}.txt")
            def keep(text: str, copy: fw.Out[str]) -> None:
                copy.set(text)

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 4.6.
        """
        properties = {"path": path, "connection": connection}
        return self.bind("blob", "out", arg_name, data_type=data_type, properties=properties, extra=extra)

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
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            row_key: of all entities, unless they have their own.
            partition_key: of all entities, unless they have their own.
            data_type: `string`, `binary` or `stream`; leave it out, so that text and bytes arrive unchanged.
            extra: further members of function.json, in snake case.

        Example:
            @app.queue_trigger("name", queue_name="names")
            @app.table_output("row", table_name="people", partition_key="p")
            def keep(name: str, row: fw.Out[dict]) -> None:
                row.set({"RowKey": name})

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 4.6.
        """
        properties = {
            "tableName": table_name,
            "connection": connection,
            "rowKey": row_key,
            "partitionKey": partition_key,
        }
        return self.bind("table", "out", arg_name, data_type=data_type, properties=properties, extra=extra)

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
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            queue_name: the queue.
            data_type: `string`, `binary` or `stream`; leave it out, so that text and bytes arrive unchanged.
            access_rights: `manage` or `listen`, of the connection.
            extra: further members of function.json, in snake case.

        Example:
            @app.route("send")
            @app.service_bus_queue_output("message", connection="BUS", queue_name="orders")
            def send(req: fw.Request, message: fw.Out[str]) -> None:
                message.set(req.text)

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 4.6.
        """
        properties = {"queueName": queue_name, "connection": connection, "accessRights": plain_text(access_rights)}
        return self.bind("serviceBus", "out", arg_name, data_type=data_type, properties=properties, extra=extra)

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
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            topic_name: the topic.
            subscription_name: has no meaning for the host; azure-functions has it.
            data_type: `string`, `binary` or `stream`; leave it out, so that text and bytes arrive unchanged.
            access_rights: `manage` or `listen`, of the connection.
            extra: further members of function.json, in snake case.

        Example:
            @app.route("send")
            @app.service_bus_topic_output("message", connection="BUS", topic_name="orders")
            def send(req: fw.Request, message: fw.Out[str]) -> None:
                message.set(req.text)

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 4.6.
        """
        properties = {
            "topicName": topic_name,
            "subscriptionName": subscription_name,
            "connection": connection,
            "accessRights": plain_text(access_rights),
        }
        return self.bind("serviceBus", "out", arg_name, data_type=data_type, properties=properties, extra=extra)

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
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            event_hub_name: the event hub.
            data_type: `string`, `binary` or `stream`; leave it out, so that text and bytes arrive unchanged.
            extra: further members of function.json, in snake case.

        Example:
            @app.route("send")
            @app.event_hub_output("events", connection="HUB", event_hub_name="telemetry")
            def send(req: fw.Request, events: fw.Out[list[str]]) -> None:
                events.set(["a", "b"])

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 4.6.
        """
        properties = {"eventHubName": event_hub_name, "connection": connection}
        return self.bind("eventHub", "out", arg_name, data_type=data_type, properties=properties, extra=extra)

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
            data_type: `string`, `binary` or `stream`; leave it out, so that text and bytes arrive unchanged.
            extra: further members of function.json, in snake case.

        Example:
            @app.route("send")
            @app.event_grid_output("event", topic_endpoint_uri="TOPIC", topic_key_setting="TOPIC_KEY")
            def send(req: fw.Request, event: fw.Out[dict]) -> None:
                event.set({"id": "1", "subject": "s", "eventType": "t", "dataVersion": "1", "data": {}})

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 4.6.
        """
        properties = {
            "topicEndpointUri": topic_endpoint_uri,
            "topicKeySetting": topic_key_setting,
            "connection": connection,
        }
        return self.bind("eventGrid", "out", arg_name, data_type=data_type, properties=properties, extra=extra)

    def cosmos_db_output(
        self,
        arg_name: str,
        *,
        connection: str,
        database_name: str,
        container_name: str,
        create_if_not_exists: bool | None = None,
        partition_key: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function write documents.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is
                several documents.
            connection: the name of the app setting that holds the connection (its name, never the secret itself).
            database_name: the database.
            container_name: the container.
            create_if_not_exists: whether the host makes database and container.
            partition_key: of a container that is made.
            data_type: `string`, `binary` or `stream`; leave it out, so that text and bytes arrive unchanged.
            extra: further members of function.json, in snake case.

        Example:
            @app.queue_trigger("order", queue_name="orders")
            @app.cosmos_db_output("document", connection="DB", database_name="shop", container_name="orders")
            def keep(order: dict, document: fw.Out[dict]) -> None:
                document.set(order)

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 4.6.
        """
        return self.bind(
            "cosmosDB",
            "out",
            arg_name,
            data_type=data_type,
            properties={
                "connection": connection,
                "databaseName": database_name,
                "containerName": container_name,
                "createIfNotExists": create_if_not_exists,
                "partitionKey": partition_key,
            },
            extra=extra,
        )

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
            data_type: `string`, `binary` or `stream`; leave it out, so that text and bytes arrive unchanged.
            extra: further members of function.json, in snake case.

        Example:
            @app.route("mail")
            @app.generic_output_binding("mail", type="sendGrid", api_key="SENDGRID")
            def mail(req: fw.Request, mail: fw.Out[dict]) -> None:
                mail.set({"subject": "hello"})

        Mistakes (names, types, missing arguments) are reported together when the app is loaded.
        See protocol 7.
        """
        return self.bind(type, "out", arg_name, data_type=data_type, extra=extra)
