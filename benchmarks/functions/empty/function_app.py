"""The empty app, served by fastworker."""

import fastworker as fw

app = fw.App()


@app.route("echo", methods=["POST"])
def echo(req: fw.Request[bytes]) -> fw.Response:
    """The length of what came, as text."""
    return fw.Response(str(len(req.body)))
