"""What a function that is retried sees of it: `Metadata.RetryContext` (protocol 2.5).

Rule: pure. The exception has the members of the host's own, but for its stack traces (B-463).
"""

from typing import Any


def retry_context(done: int, most: int, failure: dict[str, Any] | None) -> dict[str, Any]:
    """Real numbers in a real object, already on the first attempt."""
    return {"RetryCount": done, "MaxRetryCount": most, "Exception": failure, "Instance": None, "State": {}}


def failure(function: str, invocation_id: str, message: str) -> dict[str, Any]:
    """The exception of the attempt before."""
    inner: dict[str, Any] = {
        "Message": message,
        "Data": {},
        "InnerException": None,
        "HelpLink": None,
        "Source": "System.Net.Http",
        "HResult": -2146233088,
        "StackTrace": None,
    }
    return {
        "InstanceId": invocation_id,
        "MethodName": f"Host.Functions.{function}",
        "Handled": False,
        "ClassName": "Microsoft.Azure.WebJobs.Host.FunctionInvocationException",
        "Message": f"Exception while executing function: Functions.{function}",
        "Data": None,
        "InnerException": inner,
        "HelpURL": None,
        "StackTraceString": None,
        "RemoteStackTraceString": None,
        "RemoteStackIndex": 0,
        "ExceptionMethod": None,
        "HResult": -2146233088,
        "Source": "System.Private.CoreLib",
        "WatsonBuckets": None,
    }
