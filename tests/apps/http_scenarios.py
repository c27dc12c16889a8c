"""The functions of scenarios.py as http functions, for servers that forward: the body is the job, as JSON."""

import scenarios

import fastworker as fw

app = fw.App()


def serve(name: str) -> None:
    handler = getattr(scenarios, name)

    def run(req: fw.Request) -> str:
        return str(handler(req.json()))

    run.__name__ = name
    app.route(name, methods=["POST"], auth_level="anonymous")(run)


for each in (
    *("record", "segfault", "leave", "sys_exit", "stubborn", "spin", "stop_self", "forks", "closes"),
    *("leaves_daemon", "prints_much", "echo", "abandoned"),
):
    serve(each)
