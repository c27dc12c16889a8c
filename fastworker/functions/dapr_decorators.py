"""The decorators for Dapr, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them beside the others. Rule: as trigger_decorators.py.
"""

from typing import Any

from fastworker.functions.declarations import DataType, Declarations, Decorator


class DaprDecorators(Declarations):
    """Dapr, where the app runs beside its sidecar: in Azure Container Apps or Kubernetes."""

    def dapr_service_invocation_trigger(
        self, arg_name: str, *, method_name: str, data_type: DataType | None = None, **extra: Any
    ) -> Decorator:
        """Run the function when another service invokes a method of this one; the return value is the answer.

        Args:
            arg_name: the handler's argument that gets the body.
            method_name: the method's name.

        Example:
            @app.dapr_service_invocation_trigger("order", method_name="create")
            def create(order: dict) -> dict:
                return {"id": order["id"]}

        See protocol 7.
        """
        return self.bind("daprServiceInvocationTrigger", "in", locals())

    def dapr_topic_trigger(
        self,
        arg_name: str,
        *,
        pub_sub_name: str,
        topic: str,
        route: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Run the function for messages of a Dapr topic.

        Args:
            arg_name: the handler's argument that gets the message, a CloudEvent as an object.
            pub_sub_name: the component of publish and subscribe.
            topic: the topic.
            route: the route that Dapr calls; by default the topic.

        Example:
            @app.dapr_topic_trigger("event", pub_sub_name="pubsub", topic="orders")
            def work(event: dict) -> None:
                print(event["data"])

        See protocol 7.
        """
        return self.bind("daprTopicTrigger", "in", locals())

    def dapr_binding_trigger(
        self, arg_name: str, *, binding_name: str, data_type: DataType | None = None, **extra: Any
    ) -> Decorator:
        """Run the function for what a Dapr input binding delivers.

        Args:
            arg_name: the handler's argument that gets it.
            binding_name: the component.

        Example:
            @app.dapr_binding_trigger("message", binding_name="kafka")
            def work(message: dict) -> None:
                print(message)

        See protocol 7.
        """
        return self.bind("daprBindingTrigger", "in", locals())

    def dapr_state_input(
        self,
        arg_name: str,
        *,
        state_store: str,
        key: str,
        dapr_address: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function a value of a Dapr state store.

        Args:
            arg_name: the handler's argument that gets it.
            state_store: the component.
            key: the key, with `{expressions}` from the trigger.

        Example:
            @app.route("order/{id}")
            @app.dapr_state_input("order", state_store="orders", key="{id}")
            def order(req: fw.Request, order: dict) -> dict:
                return order

        See protocol 7.
        """
        return self.bind("daprState", "in", locals())

    def dapr_secret_input(
        self,
        arg_name: str,
        *,
        secret_store_name: str,
        key: str,
        metadata: str | None = None,
        dapr_address: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function a secret of a Dapr secret store.

        Args:
            arg_name: the handler's argument that gets an object with the secret by its key.
            secret_store_name: the component.
            key: the secret's key.
            metadata: `name=value` pairs for the component, separated by commas.

        Example:
            @app.queue_trigger("job", queue_name="jobs")
            @app.dapr_secret_input("secret", secret_store_name="vault", key="database")
            def work(job: str, secret: dict) -> None:
                print(list(secret))

        See protocol 7.
        """
        return self.bind("daprSecret", "in", locals())

    def dapr_state_output(
        self,
        arg_name: str,
        *,
        state_store: str,
        key: str | None = None,
        dapr_address: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function write a value to a Dapr state store.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`: the value, or an
                object with `key` and `value`.
            state_store: the component.
            key: the key, unless the value names it.

        Example:
            @app.dapr_service_invocation_trigger("order", method_name="create")
            @app.dapr_state_output("state", state_store="orders", key="{order.id}")
            def create(order: dict, state: fw.Out[dict]) -> None:
                state.set(order)

        See protocol 7.
        """
        return self.bind("daprState", "out", locals())

    def dapr_publish_output(
        self,
        arg_name: str,
        *,
        pub_sub_name: str,
        topic: str,
        dapr_address: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function publish to a Dapr topic.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`: an object with
                `payload`, or the payload.
            pub_sub_name: the component of publish and subscribe.
            topic: the topic.

        Example:
            @app.route("send")
            @app.dapr_publish_output("event", pub_sub_name="pubsub", topic="orders")
            def send(req: fw.Request, event: fw.Out[dict]) -> None:
                event.set({"payload": req.json()})

        See protocol 7.
        """
        return self.bind("daprPublish", "out", locals())

    def dapr_invoke_output(
        self,
        arg_name: str,
        *,
        app_id: str,
        method_name: str,
        http_verb: str,
        dapr_address: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function invoke a method of another Dapr service.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`: an object with
                `body`.
            app_id: the service.
            method_name: its method.
            http_verb: the method of HTTP, as `post`.

        Example:
            @app.route("send")
            @app.dapr_invoke_output("call", app_id="billing", method_name="bill", http_verb="post")
            def send(req: fw.Request, call: fw.Out[dict]) -> None:
                call.set({"body": req.json()})

        See protocol 7.
        """
        return self.bind("daprInvoke", "out", locals())

    def dapr_binding_output(
        self,
        arg_name: str,
        *,
        binding_name: str,
        operation: str,
        dapr_address: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function call a Dapr output binding.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`: an object with
                `data`, and with `metadata` where the component needs it.
            binding_name: the component.
            operation: what it does with the data, as `create`.

        Example:
            @app.route("send")
            @app.dapr_binding_output("message", binding_name="kafka", operation="create")
            def send(req: fw.Request, message: fw.Out[dict]) -> None:
                message.set({"data": req.json()})

        See protocol 7.
        """
        return self.bind("daprBinding", "out", locals())
