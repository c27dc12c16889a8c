"""A local stand-in for the Azure Functions host: runs any custom handler, by the protocol only.

Started by commands/dev.py. Nothing here knows the handler to be a fastworker one, and the server never imports it.
"""

# What the host calls itself towards the handler (protocol 2.1) and in /admin/host/status.
HOST_VERSION = "4.1037.0.0"
USER_AGENT = f"Azure-Functions-Host/{HOST_VERSION}"
