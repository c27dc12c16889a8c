"""The decorators for inputs, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them, with the triggers (trigger_decorators.py) and outputs (output_decorators.py).
Rule: one method per decorator, and nothing in it but the translation into function.json's names.
"""

from typing import Any

from fastworker.functions.declarations import STORAGE, DataType, Declarations, Decorator


class InputDecorators(Declarations):
    """What a function is given beside what triggered it."""

    def blob_input(
        self,
        arg_name: str,
        *,
        path: str,
        connection: str = STORAGE,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function the content of a blob.

        Args:
            arg_name: the handler's argument that gets it; None if there is no such blob (annotate it so).
            path: container and name, with `{expressions}` from the trigger, as `templates/{kind}.txt`.

        Example:
            @app.queue_trigger("kind", queue_name="kinds")
            @app.blob_input("template", path="templates/{queueTrigger}.txt")
            def work(kind: str, template: str | None) -> None:
                print(template)

        See protocol 2.2 and 7.
        """
        return self.bind("blob", "in", locals())

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
        """Give the function an entity of a table, or those that match.

        Args:
            arg_name: the handler's argument that gets an object, or a list.
            table_name: the table.
            row_key: the entity's row key.
            partition_key: its partition key; without a row key all entities of it.
            take: how many entities at most.
            filter: an OData filter.

        Example:
            @app.route("person/{id}")
            @app.table_input("person", table_name="people", partition_key="p", row_key="{id}")
            def person(req: fw.Request, person: dict) -> dict:
                return person

        See protocol 2.7.
        """
        return self.bind("table", "in", locals())

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
        preferred_locations: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function a document, or those that a query finds.

        Args:
            arg_name: the handler's argument that gets an object, or a list.
            database_name: the database.
            container_name: the container.
            partition_key: the document's partition key.
            id: the document's id.
            sql_query: a query instead of an id.

        Example:
            @app.route("order/{id}")
            @app.cosmos_db_input("order", connection="DB", database_name="shop", container_name="orders", id="{id}")
            def order(req: fw.Request, order: dict) -> dict:
                return order

        See protocol 2.7.
        """
        return self.bind("cosmosDB", "in", locals())

    def generic_input_binding(
        self,
        arg_name: str,
        *,
        type: str,  # noqa: A002 - azure-functions' name
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function an input of any type.

        Args:
            arg_name: the handler's argument that gets it.
            type: the binding's type in function.json.

        Example:
            @app.route("users")
            @app.generic_input_binding("users", type="sql", command_text="...", connection_string_setting="SQL")
            def users(req: fw.Request, users: list[dict]) -> list[dict]:
                return users

        See protocol 7.
        """
        return self.bind(type, "in", locals())
