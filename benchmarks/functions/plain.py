"""The http functions of the hop in plain HTTP, served by fastworker: forward/ and proxy/ differ in host.json only.

Rule: what a user would write, nothing tuned.
"""

import fastworker as fw

app = fw.App()


@app.route("echo", methods=["POST"], auth_level="function")
def echo(req: fw.Request[bytes]) -> fw.Response:
    """The length of what came, as text."""
    return fw.Response(str(len(req.body)))
