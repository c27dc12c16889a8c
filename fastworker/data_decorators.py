"""The decorators for inputs and outputs, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them, with the triggers (trigger_decorators.py).
Rule: one method per decorator, and nothing in it but the translation into function.json's names.
"""

from typing import Any

from fastworker.declarations import STORAGE, DataType, Declarations, Decorator, plain_text


class DataDecorators(Declarations):
    """What a function reads and writes beside its trigger."""

    def blob_input(
        self,
        arg_name: str,
        *,
        path: str,
        connection: str = STORAGE,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """The content of a blob; None if there is none (annotate it so)."""
        properties = {"path": path, "connection": connection}
        return self.bind("blob", "in", arg_name, data_type=data_type, properties=properties, extra=extra)

    def table_input(
        self,
        arg_name: str,
        *,
        table_name: str,
        connection: str = STORAGE,
        row_key: str | None = None,
        partition_key: str | None = None,
        take: int | None = None,
        filter: str | None = None,  # noqa: A002 - azure-functions' name
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """One entity of a table, or the list of those that match."""
        return self.bind(
            "table",
            "in",
            arg_name,
            data_type=data_type,
            properties={
                "tableName": table_name,
                "connection": connection,
                "rowKey": row_key,
                "partitionKey": partition_key,
                "take": take,
                "filter": filter,
            },
            extra=extra,
        )

    def cosmos_db_input(
        self,
        arg_name: str,
        *,
        connection: str,
        database_name: str,
        container_name: str,
        partition_key: str | None = None,
        id: str | None = None,  # noqa: A002 - azure-functions' name
        sql_query: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """A document, or the list of those that a query finds."""
        return self.bind(
            "cosmosDB",
            "in",
            arg_name,
            data_type=data_type,
            properties={
                "connection": connection,
                "databaseName": database_name,
                "containerName": container_name,
                "partitionKey": partition_key,
                "id": id,
                "sqlQuery": sql_query,
            },
            extra=extra,
        )

    def generic_input_binding(
        self,
        arg_name: str,
        *,
        type: str,  # noqa: A002 - azure-functions' name
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """An input of any type; further arguments are its properties."""
        return self.bind(type, "in", arg_name, data_type=data_type, extra=extra)

    # ---- outputs
    # -------------------------------------------------------------------------------------------------

    def queue_output(
        self,
        arg_name: str,
        *,
        queue_name: str,
        connection: str = STORAGE,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Messages to an Azure Storage queue; a list is one message per element."""
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
        """The content of a blob."""
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
        """An entity of a table, or a list of them."""
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
        """Messages to a Service Bus queue; a list is one message per element."""
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
        """Messages to a Service Bus topic; a list is one message per element."""
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
        """Events to an event hub; a list is one event per element."""
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
        """Events to an Event Grid topic."""
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
        """A document, or a list of them."""
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
        """An output of any type; further arguments are its properties."""
        return self.bind(type, "out", arg_name, data_type=data_type, extra=extra)
