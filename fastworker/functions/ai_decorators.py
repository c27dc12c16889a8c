"""The decorators for MCP and OpenAI, with the names and arguments of azure-functions' Python v2 model.

App (app.py) inherits them beside the others; what makes a tool of a plain function is in mcp_tools.py.
Rule: as trigger_decorators.py.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec

from fastworker.functions.declarations import DataType, Declarations, Decorator, H
from fastworker.functions.mcp_tools import TOOL


class AiDecorators(Declarations):
    """The Functions host's own MCP server, and the OpenAI extension."""

    def mcp_tool(
        self, name: str | None = None, *, description: str | None = None, metadata: str | None = None
    ) -> Decorator:
        """Make the function a tool of the host's MCP server: its arguments are the tool's, with their types.

        The host serves MCP at `/runtime/webhooks/mcp`, with the extension bundle's MCP extension. What the arguments
        mean is told by `Annotated[int, msgspec.Meta(description=...)]`; one with a default, or that may be None, may be
        left out. For an MCP server of the app's own see `fastworker new --template mcp`.

        Args:
            name: the tool's name; by default the handler's.
            description: what it is for: models choose by this. By default the handler's docstring.

        Example:
            @app.mcp_tool()
            def add(a: int, b: int = 1) -> str:
                "Add two numbers."
                return str(a + b)

        See protocol 7.
        """

        def decorate(handler: H) -> H:
            told = description if description is not None else (inspect.getdoc(handler) or "")
            given = {
                "arg_name": "context",
                "tool_name": name or handler.__name__,
                "description": told,
                "metadata": metadata,
            }
            self.declare(handler).adaptation = TOOL
            return self.bind("mcpToolTrigger", "in", given)(handler)

        return decorate

    def mcp_tool_trigger(
        self,
        arg_name: str,
        *,
        tool_name: str,
        description: str | None = None,
        tool_properties: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Run the function for calls of a tool of the host's MCP server; the return value is the tool's result.

        Args:
            arg_name: the handler's argument that gets the call: an object with `name` and `arguments`.
            tool_name: the tool's name.
            tool_properties: the tool's arguments as JSON text: a list of objects with `propertyName`, `propertyType`
                and `description`. `mcp_tool` makes it of the handler's own arguments.

        Example:
            @app.mcp_tool_trigger("call", tool_name="hello", description="Say hello.")
            def hello(call: dict) -> str:
                return "hello"

        See protocol 7.
        """
        return self.bind("mcpToolTrigger", "in", locals())

    def mcp_resource_trigger(
        self,
        arg_name: str,
        *,
        uri: str,
        resource_name: str,
        title: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        size: int | None = None,
        metadata: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Run the function when a client reads a resource of the host's MCP server; the return value is its content.

        Args:
            arg_name: the handler's argument that gets the request, an object.
            uri: the resource's address, as `file://readme.md`.
            resource_name: its name.
            mime_type: the media type of the content.
            size: bytes of the content.

        Example:
            @app.mcp_resource_trigger("request", uri="file://readme.md", resource_name="readme", mime_type="text/plain")
            def readme(request: dict) -> str:
                return "read me"

        See protocol 7.
        """
        return self.bind("mcpResourceTrigger", "in", locals())

    def mcp_prompt_trigger(
        self,
        arg_name: str,
        *,
        prompt_name: str,
        prompt_arguments: Sequence[Any] | str | None = None,
        title: str | None = None,
        description: str | None = None,
        metadata: str | None = None,
        icons: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Run the function when a client asks the host's MCP server for a prompt; the return value is its text.

        Args:
            arg_name: the handler's argument that gets the request: an object with `arguments`.
            prompt_name: the prompt's name.
            prompt_arguments: its arguments: objects with `name`, `description` and `required`, or a list of them as
                JSON text.
            icons: icons for clients, as JSON text.

        Example:
            @app.mcp_prompt_trigger("request", prompt_name="review", prompt_arguments=[{"name": "code"}])
            def review(request: dict) -> str:
                return "Review this code."

        See protocol 7.
        """
        given = dict(locals())
        if prompt_arguments is not None and not isinstance(prompt_arguments, str):
            listed = [vars(one) if hasattr(one, "__dict__") else one for one in prompt_arguments]
            given["prompt_arguments"] = msgspec.json.encode(listed).decode()
        return self.bind("mcpPromptTrigger", "in", given)

    def assistant_skill_trigger(
        self,
        arg_name: str,
        *,
        function_description: str,
        function_name: str | None = None,
        parameter_description_json: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Run the function when an assistant chooses it as a skill; the return value is for the assistant.

        Args:
            arg_name: the handler's argument that gets what the assistant passes.
            function_description: what the skill does: the model chooses by this.
            function_name: the name that the model sees; by default the function's.
            parameter_description_json: the JSON schema of the argument, as text.

        Example:
            @app.assistant_skill_trigger("task", function_description="Create a to-do item.")
            def add_todo(task: str) -> None:
                print(task)

        See protocol 7.
        """
        return self.bind("assistantSkillTrigger", "in", locals())

    def assistant_query_input(
        self,
        arg_name: str,
        *,
        id: str,  # noqa: A002 - azure-functions' name
        timestamp_utc: str,
        chat_storage_connection_setting: str | None = None,
        collection_name: str | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function the state of an assistant's chat.

        Args:
            arg_name: the handler's argument that gets an object.
            id: the chat's id, with `{expressions}` from the trigger.
            timestamp_utc: the time from which on messages are given, ISO 8601.

        Example:
            @app.route("chats/{id}", methods=["GET"])
            @app.assistant_query_input("chat", id="{id}", timestamp_utc="{Query.since}")
            def chat(req: fw.Request, chat: dict) -> dict:
                return chat

        See protocol 7.
        """
        return self.bind("assistantQuery", "in", locals())

    def assistant_post_input(
        self,
        arg_name: str,
        *,
        id: str,  # noqa: A002 - azure-functions' name
        user_message: str,
        ai_connection_name: str | None = None,
        chat_model: str | None = None,
        chat_storage_connection_setting: str | None = None,
        collection_name: str | None = None,
        temperature: str | None = None,
        top_p: str | None = None,
        max_tokens: str | None = None,
        is_reasoning_model: bool | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Send a message to an assistant, and give the function the chat with its answer.

        Args:
            arg_name: the handler's argument that gets an object with `recentMessages`.
            id: the chat's id, with `{expressions}` from the trigger.
            user_message: the message, with `{expressions}` from the trigger.

        Example:
            @app.route("chats/{id}", methods=["POST"])
            @app.assistant_post_input("chat", id="{id}", user_message="{Query.message}")
            def post(req: fw.Request, chat: dict) -> dict:
                return chat

        See protocol 7.
        """
        return self.bind("assistantPost", "in", locals())

    def assistant_create_output(self, arg_name: str, *, data_type: DataType | None = None, **extra: Any) -> Decorator:
        """Let the function create an assistant's chat.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`: an object with
                `id` and `instructions`.

        Example:
            @app.route("chats/{id}", methods=["PUT"])
            @app.assistant_create_output("chat")
            def create(req: fw.Request, id: str, chat: fw.Out[dict]) -> None:
                chat.set({"id": id, "instructions": "Be brief."})

        See protocol 7.
        """
        return self.bind("assistantCreate", "out", locals())

    def text_completion_input(
        self,
        arg_name: str,
        *,
        prompt: str,
        ai_connection_name: str | None = None,
        chat_model: str | None = None,
        temperature: str | None = None,
        top_p: str | None = None,
        max_tokens: str | None = None,
        is_reasoning_model: bool | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function a model's answer to a prompt.

        Args:
            arg_name: the handler's argument that gets an object with `content`.
            prompt: the prompt, with `{expressions}` from the trigger.

        Example:
            @app.route("who/{name}")
            @app.text_completion_input("answer", prompt="Who is {name}?")
            def who(req: fw.Request, answer: dict) -> str:
                return answer["content"]

        See protocol 7.
        """
        return self.bind("textCompletion", "in", locals())

    def embeddings_input(
        self,
        arg_name: str,
        *,
        input: str,  # noqa: A002 - azure-functions' name
        input_type: str,
        ai_connection_name: str | None = None,
        embeddings_model: str | None = None,
        max_chunk_length: int | None = None,
        max_overlap: int | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function the embeddings of a text.

        Args:
            arg_name: the handler's argument that gets an object with `Response`.
            input: the text, the file or the address, with `{expressions}` from the trigger.
            input_type: `RawText`, `FilePath` or `URL`.

        Example:
            @app.queue_trigger("text", queue_name="texts")
            @app.embeddings_input("vectors", input="{queueTrigger}", input_type="RawText")
            def work(text: str, vectors: dict) -> None:
                print(len(vectors))

        See protocol 7.
        """
        return self.bind("embeddings", "in", locals())

    def embeddings_store_output(
        self,
        arg_name: str,
        *,
        input: str,  # noqa: A002 - azure-functions' name
        input_type: str,
        store_connection_name: str,
        collection: str,
        ai_connection_name: str | None = None,
        embeddings_model: str | None = None,
        max_chunk_length: int | None = None,
        max_overlap: int | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Let the function store the embeddings of a text for semantic search.

        Args:
            arg_name: the output's name: an argument `Out[T]`, a keyword of `Result`, or `$return`: an object with
                `title`.
            input: the text, the file or the address, with `{expressions}` from the trigger.
            input_type: `RawText`, `FilePath` or `URL`.
            store_connection_name: the setting of the store: Azure AI Search, Cosmos DB or Kusto.
            collection: the index, container or table.

        Example:
            @app.queue_trigger("url", queue_name="urls")
            @app.embeddings_store_output(
                "document", input="{queueTrigger}", input_type="URL", store_connection_name="SEARCH", collection="docs"
            )
            def ingest(url: str, document: fw.Out[dict]) -> None:
                document.set({"title": url})

        See protocol 7.
        """
        return self.bind("embeddingsStore", "out", locals())

    def semantic_search_input(
        self,
        arg_name: str,
        *,
        search_connection_name: str,
        collection: str,
        query: str | None = None,
        ai_connection_name: str | None = None,
        embeddings_model: str | None = None,
        chat_model: str | None = None,
        system_prompt: str | None = None,
        max_knowledge_count: int | None = None,
        temperature: str | None = None,
        top_p: str | None = None,
        max_tokens: str | None = None,
        is_reasoning_model: bool | None = None,
        data_type: DataType | None = None,
        **extra: Any,
    ) -> Decorator:
        """Give the function a model's answer from the documents that semantic search finds.

        Args:
            arg_name: the handler's argument that gets an object with `Response`.
            search_connection_name: the setting of the store: Azure AI Search, Cosmos DB or Kusto.
            collection: the index, container or table.
            query: what is asked, with `{expressions}` from the trigger.
            system_prompt: what the model is told first; the extension has one that asks for references.
            max_knowledge_count: documents at most; by default 1.

        Example:
            @app.route("ask")
            @app.semantic_search_input("answer", search_connection_name="SEARCH", collection="docs", query="{Query.q}")
            def ask(req: fw.Request, answer: dict) -> str:
                return answer["Response"]

        See protocol 7.
        """
        return self.bind("semanticSearch", "in", locals())
