"""The decorators for SQL databases, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them beside the others. Rule: as trigger_decorators.py.
"""

from typing import Any

from fastworker.functions.declarations import DataType, Declarations, Decorator


class DatabaseDecorators(Declarations):
    """Azure SQL and MySQL: changed rows, queries, and rows to write."""

    def sql_trigger(
        self,
        arg_name: str,
        *,
        table_name: str,
        connection_string_setting: str,
        leases_table_name: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Run the function for changed rows of a table in Azure SQL; the table has change tracking on.

        Args:
            arg_name: the handler's argument that gets the changes: a list of objects with `Operation` and `Item`.
            table_name: the table, as `dbo.orders`.

        Example:
            @app.sql_trigger("changes", table_name="dbo.orders", connection_string_setting="SQL")
            def changed(changes: list[dict]) -> None:
                print(len(changes))

        See protocol 7.
        """
        return self.bind("sqlTrigger", "in", locals())

    def sql_input(
        self,
        arg_name: str,
        *,
        command_text: str,
        connection_string_setting: str,
        command_type: str | None = "Text",
        parameters: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function the rows of a query in Azure SQL.

        Args:
            arg_name: the handler's argument that gets the rows, a list of objects.
            command_text: the query, or the name of a stored procedure.
            command_type: `Text` or `StoredProcedure`.
            parameters: `@name=value` pairs, separated by commas; `{expressions}` come from the trigger.

        Example:
            @app.route("orders/{id:int}")
            @app.sql_input(
                "orders",
                command_text="select * from dbo.orders where id = @id",
                parameters="@id={id}",
                connection_string_setting="SQL",
            )
            def orders(req: fw.Request, orders: list[dict]) -> list[dict]:
                return orders

        See protocol 7.
        """
        return self.bind("sql", "in", locals())

    def sql_output(
        self,
        arg_name: str,
        *,
        command_text: str,
        connection_string_setting: str,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function insert rows into a table in Azure SQL, or update those with the same primary key.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is
                several rows.
            command_text: the table, as `dbo.orders`.

        Example:
            @app.queue_trigger("order", queue_name="orders")
            @app.sql_output("row", command_text="dbo.orders", connection_string_setting="SQL")
            def keep(order: dict, row: fw.Out[dict]) -> None:
                row.set(order)

        See protocol 7.
        """
        return self.bind("sql", "out", locals())

    def mysql_trigger(
        self,
        arg_name: str,
        *,
        table_name: str,
        connection_string_setting: str,
        leases_table_name: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Run the function for changed rows of a MySQL table.

        Args:
            arg_name: the handler's argument that gets the changes: a list of objects with `Operation` and `Item`.
            table_name: the table.

        Example:
            @app.mysql_trigger("changes", table_name="orders", connection_string_setting="MYSQL")
            def changed(changes: list[dict]) -> None:
                print(len(changes))

        See protocol 7.
        """
        return self.bind("mysqlTrigger", "in", locals())

    def mysql_input(
        self,
        arg_name: str,
        *,
        command_text: str,
        connection_string_setting: str,
        command_type: str | None = "Text",
        parameters: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function the rows of a query in MySQL.

        Args:
            arg_name: the handler's argument that gets the rows, a list of objects.
            command_text: the query, or the name of a stored procedure.
            command_type: `Text` or `StoredProcedure`.
            parameters: `@name=value` pairs, separated by commas; `{expressions}` come from the trigger.

        Example:
            @app.route("orders/{id:int}")
            @app.mysql_input(
                "orders",
                command_text="select * from orders where id = @id",
                parameters="@id={id}",
                connection_string_setting="MYSQL",
            )
            def orders(req: fw.Request, orders: list[dict]) -> list[dict]:
                return orders

        See protocol 7.
        """
        return self.bind("mysql", "in", locals())

    def mysql_output(
        self,
        arg_name: str,
        *,
        command_text: str,
        connection_string_setting: str,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function insert rows into a MySQL table, or update those with the same primary key.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`. A list is
                several rows.
            command_text: the table.

        Example:
            @app.queue_trigger("order", queue_name="orders")
            @app.mysql_output("row", command_text="orders", connection_string_setting="MYSQL")
            def keep(order: dict, row: fw.Out[dict]) -> None:
                row.set(order)

        See protocol 7.
        """
        return self.bind("mysql", "out", locals())
