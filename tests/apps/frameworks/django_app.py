"""The same endpoints in Django's way; `application` is WSGI's, `asgi_application` ASGI's."""

from collections.abc import Iterator

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    DEBUG=False,
    SECRET_KEY="x",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        f"hello {request.GET.get('name', 'nobody')}", content_type="text/plain", headers={"X-Path": request.path}
    )


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type=request.headers.get("content-type") or "application/octet-stream")


def size(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"size": len(request.read())})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def pieces() -> Iterator[str]:
        for n in range(20):
            yield f"piece {n}\n" * 50

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"x" * 3_000_000)


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


def moved(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/hello?name=moved")


def cookies(request: HttpRequest) -> HttpResponse:
    response = JsonResponse(dict(request.COOKIES))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True, samesite="Lax")
    return response


def params(request: HttpRequest, word: str) -> HttpResponse:
    return JsonResponse([word, request.GET.getlist("q"), request.headers.get("x-one")], safe=False)


def teapot(request: HttpRequest) -> HttpResponse:
    return HttpResponse("short and stout", status=418)


urlpatterns = [
    path("hello", hello),
    path("echo", echo),
    path("size", size),
    path("stream", stream),
    path("large", large),
    path("empty", empty),
    path("moved", moved),
    path("cookies", cookies),
    path("params/<str:word>", params),
    path("teapot", teapot),
]
application = get_wsgi_application()
asgi_application = get_asgi_application()
