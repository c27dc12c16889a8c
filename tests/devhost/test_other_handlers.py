"""Handlers that are not fastworker: the local host runs any custom handler."""

import json
import sys

from tests.devhost.stand import HTTP_IN, HTTP_OUT, QUEUE_OUT, AppFolder, LocalHost

HTTP_SERVER = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        order = json.loads(json.loads(body)["Data"]["req"]["Body"])
        answer = {"Outputs": {"out": json.dumps(order), "res": {"body": "Order complete"}}, "Logs": ["processed"]}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

HTTPServer(("127.0.0.1", int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"])), Handler).serve_forever()
"""
FASTAPI = """
import os
import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()

@app.post("/order")
async def order(request: Request):
    body = (await request.json())["Data"]["req"]["Body"]
    return {"Outputs": {"out": body, "res": {"body": "Order complete"}}, "Logs": ["processed"]}

@app.get("/api/items/{item}")
def item(item: int):
    return {"item": item}

uvicorn.run(app, host="127.0.0.1", port=int(os.environ["FUNCTIONS_CUSTOMHANDLER_PORT"]), log_level="warning")
"""


def test_handler_on_http_server_runs(folder: AppFolder) -> None:
    """Python's own server, HTTP/1.0 and all: the ping's 501 means ready."""
    folder.write("handler.py", HTTP_SERVER)
    folder.host(sys.executable, "handler.py")
    folder.function("order", HTTP_IN, HTTP_OUT, QUEUE_OUT)
    with LocalHost(folder.root) as host:
        assert host.call("POST", "/api/order", '{"id": 7}').body == b"Order complete"
        assert [json.loads(m) for m in host.messages("results")] == [{"id": 7}]
        host.says("[order] processed")


def test_handler_on_fastapi_runs_with_envelopes_and_forwarding(folder: AppFolder) -> None:
    """One app, both shapes: order has a queue output, items is http-only."""
    folder.write("handler.py", FASTAPI)
    folder.host(sys.executable, "handler.py", enableForwardingHttpRequest=True)
    folder.function("order", HTTP_IN, HTTP_OUT, QUEUE_OUT)
    folder.function("items", {**HTTP_IN, "route": "items/{item}"}, HTTP_OUT)
    with LocalHost(folder.root) as host:
        assert host.call("POST", "/api/order", '{"id": 7}').body == b"Order complete"
        assert [json.loads(m) for m in host.messages("results")] == [{"id": 7}]
        assert host.call("GET", "/api/items/7").body == b'{"item":7}'
        assert host.call("GET", "/api/items/x").status == 422
