"""HTTP of azure.functions: HttpRequest from fastworker's Request, and what handlers return as fastworker's Response.

Used by azure_functions.py for functions with an http trigger or output.
Rule: the client gets what the official worker and its host would send, cookies in ASP.NET's spelling included.
"""

import datetime
import email.utils
import logging
from http.cookies import Morsel
from typing import Any

from fastworker.protocol.messages import Request, Response

SAME_SITE = {"lax": "lax", "strict": "strict", "none": "none"}


def azure_request(request: Request[Any], http: Any) -> Any:
    """azure.functions.HttpRequest for a request; `http` is the module azure.functions.http."""
    body = request.bytes
    try:
        text: str | None = body.decode()
    except UnicodeDecodeError:
        text = None
    return http.HttpRequest(
        method=request.method,
        url=request.url,
        headers=dict(request.headers),
        params=dict(request.query),
        route_params=dict(request.params),
        body_type="bytes" if text is None else "string",
        body=body if text is None else text,
    )


def azure_response(found: Any) -> Response:
    """The Response for a Datum that the library's http converter made: text, or a whole answer."""
    if found.type != "http":
        return Response(found.value, content_type="text/plain; charset=utf-8")
    answer = found.value
    pairs = [(name, value.value) for name, value in answer["headers"].items()]
    content_type = next((value for name, value in pairs if name.lower() == "content-type"), None)
    cookies = [_cookie_line(morsel) for cookie in answer["cookies"] or () for morsel in cookie.values()]
    body = answer["body"].value
    return Response(
        body or None,
        status_code=int(answer["status_code"].value),
        headers=[(name, value) for name, value in pairs if name.lower() != "content-type"],
        content_type=content_type,
        cookies=cookies or None,
    )


def _cookie_line(morsel: "Morsel[str]") -> str:
    """A Set-Cookie line as ASP.NET writes it: its order of attributes, domain and path even if empty, dates in GMT.

    Raises ValueError for a value that the host could not read: a date, a number or a SameSite that is none.
    """
    parts = [f"{morsel.key}={morsel.coded_value}"]
    if morsel["expires"]:
        parts.append(f"expires={_gmt(morsel['expires'])}")
    if morsel["max-age"] not in ("", None):
        parts.append(f"max-age={int(float(morsel['max-age']))}")
    parts += [f"domain={morsel['domain']}", f"path={morsel['path']}"]
    if morsel["secure"]:
        parts.append("secure")
    if morsel["samesite"]:
        parts.append(f"samesite={SAME_SITE[str(morsel['samesite']).lower()]}")
    if morsel["httponly"]:
        parts.append("httponly")
    return "; ".join(parts)


def _gmt(text: str) -> str:
    """Any date that a cookie may hold, as `Thu, 12 Jan 2017 13:55:08 GMT`."""
    try:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            moment = datetime.datetime.fromisoformat(text)
    except (ValueError, OverflowError) as exc:
        # In the official worker's words, which people search for.
        logging.error(f"Can not parse value {text} of expires in the cookie due to invalid format.")
        raise ValueError(f"the cookie's expires is no date: {text!r}") from exc
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return email.utils.format_datetime(moment.astimezone(datetime.UTC), usegmt=True)
