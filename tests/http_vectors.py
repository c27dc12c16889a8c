"""Requests that servers have disagreed on: request smuggling, and whatever RFC 9112 says must be refused.

Kinds and names are those of the public collections (http-garden, llhttp's and h11's own tests, PortSwigger's research);
the bytes are ours. `ours` and `h11` say what fastworker and h11 make of them: the number of requests served and then,
if the rest is refused, a status (h11: "refused"), or "waits" if more bytes could make a request of it.
Where the two differ, `why` says who is right by which rule.
"""

from typing import NamedTuple

HOST = b"Host: a\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


VERSION = "RFC 9112, 2.3: HTTP/1.0 and HTTP/1.1 are all there is in this form; h11 leaves other versions to its user"
EARLY = "nothing that follows could make a request of it, so it is told at once"
EMPTY = "RFC 9112, 2.2: a server should skip an empty line in front; llhttp takes any CR and LF for one"
METHOD = "llhttp knows the registered methods only; h11 leaves that to its user"
TARGET = "RFC 9112, 3.2: a path, http:// and a host, or * for OPTIONS; h11 looks at the characters only"
LF = "RFC 9112, 2.2 lets a recipient take a bare LF for a line end; two recipients that disagree are the risk"
FOLD = "RFC 9112, 5.2: a server must refuse a folded line, or unfold it, as h11 does"
HOST_VALUE = "RFC 9112, 3.2: a Host with an invalid value is refused; h11 looks at the characters only"
CONTROL = "RFC 9110, 5.5: a field's value has no control characters but tab; h11 refuses some"
KEEP = "h11 keeps no connection of HTTP/1.0 open"
BIG = "limits: 64 KiB of head, FASTWORKER_MAX_BODY; h11 is given none here"
JUNK = "what follows can be no request; h11 waits for a whole line first"
LIST = "RFC 9112, 6.3 lets a recipient take equal lengths for one, or refuse them; two recipients may disagree"
BOTH = "RFC 9112, 6.3: a server may refuse it, or let the coding win, as h11 does; two recipients may disagree"
CODING10 = "RFC 9112, 6.1: faulty framing; h11 takes it and closes"
ZEROS = "RFC 9112, 7.1: any number of digits; h11 takes 20"
BWS = "RFC 9112, 7.1.1: no blanks behind the size without an extension; h11 takes them"
EXTENSION = "RFC 9112, 7.1.1: an extension has a name, and no control characters; h11 skips whatever is there"
TRAILER = "RFC 9110, 6.5.1: fields that frame the message must not be trailers; h11 hands them over"


class Vector(NamedTuple):
    name: str
    data: bytes
    ours: str
    h11: str
    why: str = ""


def get(line: bytes = b"GET /a HTTP/1.1", headers: bytes = HOST, tail: bytes = b"") -> bytes:
    return line + b"\r\n" + headers + b"\r\n" + tail


def post(headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST /a HTTP/" + version + b"\r\n" + HOST + headers + b"\r\n" + body


def sized(value: bytes, body: bytes = b"x", name: bytes = b"Content-Length: ") -> bytes:
    return post(name + value + b"\r\n", body)


def coded(value: bytes, body: bytes = b"1\r\nx\r\n0\r\n\r\n", version: bytes = b"1.1") -> bytes:
    return post(b"Transfer-Encoding: " + value + b"\r\n", body, version)


def chunked(body: bytes) -> bytes:
    return coded(b"chunked", body)


VECTORS = [
    # -- the request line
    Vector("plain", get(), "1", "1"),
    Vector("no version", b"GET /a\r\n\r\n", "0 505", "0 refused"),
    Vector("no version, one line", b"GET /a\r\n", "0 505", "0 waits", EARLY),
    Vector("HTTP/0.9", get(b"GET /a HTTP/0.9"), "0 505", "1", VERSION),
    Vector("HTTP/1.2", get(b"GET /a HTTP/1.2"), "0 400", "1", VERSION),
    Vector("HTTP/2.0", get(b"GET /a HTTP/2.0"), "0 505", "1", VERSION),
    Vector("HTTP/3.0", get(b"GET /a HTTP/3.0"), "0 400", "1", VERSION),
    Vector("HTTP/1", get(b"GET /a HTTP/1"), "0 400", "0 refused"),
    Vector("HTTP/1.", get(b"GET /a HTTP/1."), "0 400", "0 refused"),
    Vector("HTTP/1.10", get(b"GET /a HTTP/1.10"), "0 400", "0 refused"),
    Vector("HTTP/01.1", get(b"GET /a HTTP/01.1"), "0 400", "0 refused"),
    Vector("HTTP/1.1x", get(b"GET /a HTTP/1.1x"), "0 400", "0 refused"),
    Vector("HTTP/ 1.1", get(b"GET /a HTTP/ 1.1"), "0 400", "0 refused"),
    Vector("HTTP1.1", get(b"GET /a HTTP1.1"), "0 400", "0 refused"),
    Vector("lower-case protocol", get(b"GET /a http/1.1"), "0 400", "0 refused"),
    Vector("mixed-case protocol", get(b"GET /a Http/1.1"), "0 400", "0 refused"),
    Vector("ICE", get(b"SOURCE /a ICE/1.0"), "0 400", "0 refused"),
    Vector("RTSP/1.0", get(b"OPTIONS /a RTSP/1.0"), "0 400", "0 refused"),
    Vector("RTSP/1.1 by GET", get(b"GET /a RTSP/1.1"), "0 400", "0 refused"),
    Vector("HTTPS/1.1", get(b"GET /a HTTPS/1.1"), "0 400", "0 refused"),
    Vector("PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "0 400", "1 refused", VERSION),
    Vector("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "0 400", "0 refused"),
    Vector("answer", b"HTTP/1.1 200 OK\r\n\r\n", "0 400", "0 refused"),
    Vector("two blanks before target", get(b"GET  /a HTTP/1.1"), "0 400", "0 refused"),
    Vector("two blanks behind target", get(b"GET /a  HTTP/1.1"), "0 400", "0 refused"),
    Vector("blank at end of line", get(b"GET /a HTTP/1.1 "), "0 400", "0 refused"),
    Vector("blank at begin of line", get(b" GET /a HTTP/1.1"), "0 400", "0 refused"),
    Vector("tab for blank", get(b"GET\t/a HTTP/1.1"), "0 400", "0 refused"),
    Vector("tab behind target", get(b"GET /a\tHTTP/1.1"), "0 400", "0 refused"),
    Vector("form feed for blank", get(b"GET /a\x0cHTTP/1.1"), "0 400", "0 refused"),
    Vector("vertical tab in line", get(b"GET\x0b/a HTTP/1.1"), "0 400", "0 refused"),
    Vector("no target", get(b"GET HTTP/1.1"), "0 400", "0 refused"),
    Vector("empty target", get(b"GET  HTTP/1.1"), "0 400", "0 refused"),
    Vector("blank in target", get(b"GET /a b HTTP/1.1"), "0 400", "0 refused"),
    Vector("empty line first", b"\r\n" + get(), "1", "0 refused", EMPTY),
    Vector("two empty lines first", b"\r\n\r\n" + get(), "1", "0 refused", EMPTY),
    Vector("bare LF first", b"\n" + get(), "1", "0 refused", EMPTY),
    Vector("bare CR first", b"\r" + get(), "1", "0 refused", EMPTY),
    Vector("NUL first", b"\0" + get(), "0 400", "0 refused"),
    Vector("lower-case method", get(b"get /a HTTP/1.1"), "0 400", "1", METHOD),
    Vector("made-up method", get(b"FOO /a HTTP/1.1"), "0 400", "1", METHOD),
    Vector("method with colon", get(b"GE:T /a HTTP/1.1"), "0 400", "0 refused"),
    Vector("method with NUL", get(b"GE\0T /a HTTP/1.1"), "0 400", "0 refused"),
    Vector("no method", get(b"/a HTTP/1.1"), "0 400", "0 refused"),
    Vector("CONNECT", get(b"CONNECT a:443 HTTP/1.1"), "0 400", "1", METHOD),
    Vector("PURGE", get(b"PURGE /a HTTP/1.1"), "1", "1"),
    Vector("TRACE", get(b"TRACE /a HTTP/1.1"), "1", "1"),
    # -- the target
    Vector("fragment", get(b"GET /a#b HTTP/1.1"), "0 400", "1", TARGET),
    Vector("fragment in query", get(b"GET /a?b#c HTTP/1.1"), "0 400", "1", TARGET),
    Vector("asterisk by GET", get(b"GET * HTTP/1.1"), "0 400", "1", TARGET),
    Vector("asterisk by OPTIONS", get(b"OPTIONS * HTTP/1.1"), "1", "1"),
    Vector("asterisk and more", get(b"OPTIONS *a HTTP/1.1"), "0 400", "1", TARGET),
    Vector("asterisk in path", get(b"GET /a*b HTTP/1.1"), "1", "1"),
    Vector("path without slash", get(b"GET a HTTP/1.1"), "0 400", "1", TARGET),
    Vector("absolute form", get(b"GET http://a/a HTTP/1.1"), "1", "1"),
    Vector("absolute form, https", get(b"GET https://a/a HTTP/1.1"), "1", "1"),
    Vector("absolute form, upper case", get(b"GET HTTP://a/a HTTP/1.1"), "1", "1"),
    Vector("absolute form, no path", get(b"GET http://a HTTP/1.1"), "1", "1"),
    Vector("absolute form, query only", get(b"GET http://a?b HTTP/1.1"), "1", "1"),
    Vector("absolute form, fragment", get(b"GET http://a/a#b HTTP/1.1"), "0 400", "1", TARGET),
    Vector("absolute form, other scheme", get(b"GET ftp://a/a HTTP/1.1"), "0 400", "1", TARGET),
    Vector("absolute form, no host", get(b"GET http:///a HTTP/1.1"), "0 400", "1", TARGET),
    Vector("absolute form, userinfo", get(b"GET http://u@a/a HTTP/1.1"), "1", "1"),
    Vector("authority form by GET", get(b"GET a:80 HTTP/1.1"), "0 400", "1", TARGET),
    Vector("two slashes", get(b"GET //a HTTP/1.1"), "1", "1"),
    Vector("dots", get(b"GET /../a HTTP/1.1"), "1", "1"),
    Vector("backslash", get(b"GET /a\\b HTTP/1.1"), "1", "1"),
    Vector("quotes and brackets", get(b'GET /a"<>{}|^` HTTP/1.1'), "1", "1"),
    Vector("NUL in target", get(b"GET /a\0 HTTP/1.1"), "0 400", "0 refused"),
    Vector("DEL in target", get(b"GET /a\x7f HTTP/1.1"), "0 400", "0 refused"),
    Vector("control in target", get(b"GET /a\x01 HTTP/1.1"), "0 400", "0 refused"),
    Vector("Latin-1 in target", get(b"GET /\xe9 HTTP/1.1"), "0 400", "0 refused"),
    Vector("UTF-8 in target", get(b"GET /\xc3\xa9 HTTP/1.1"), "0 400", "0 refused"),
    Vector("CR in target", get(b"GET /a\rb HTTP/1.1"), "0 400", "0 refused"),
    Vector("percent", get(b"GET /%zz HTTP/1.1"), "1", "1"),
    # -- line ends
    Vector("bare LF behind request line", b"GET /a HTTP/1.1\nHost: a\r\n\r\n", "0 400", "1", LF),
    Vector("bare LF behind header", b"GET /a HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "0 400", "1", LF),
    Vector("bare LF ends head", b"GET /a HTTP/1.1\r\nHost: a\r\n\n", "0 400", "1", LF),
    Vector("bare LFs only", b"GET /a HTTP/1.1\nHost: a\n\n", "0 400", "1", LF),
    Vector("bare CR behind header", b"GET /a HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "0 400", "0 refused"),
    Vector("bare CR ends head", b"GET /a HTTP/1.1\r\nHost: a\r\n\rX", "0 400", "0 waits", EARLY),
    Vector("CR CR LF", b"GET /a HTTP/1.1\r\nHost: a\r\r\n\r\n", "0 400", "0 refused"),
    Vector("CR LF split header", b"GET /a HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", "0 400", "1", FOLD),
    # -- headers
    Vector("no Host", get(headers=b""), "0 400", "0 refused"),
    Vector("no Host, other header", get(headers=b"X: a\r\n"), "0 400", "0 refused"),
    Vector("two Hosts", get(headers=HOST + b"Host: b\r\n"), "0 400", "0 refused"),
    Vector("two equal Hosts", get(headers=HOST * 2), "0 400", "0 refused"),
    Vector("two Hosts, other case", get(headers=HOST + b"HOST: b\r\n"), "0 400", "0 refused"),
    Vector("empty Host", get(headers=b"Host:\r\n"), "1", "1"),
    Vector("Host with blank", get(headers=b"Host: a b\r\n"), "0 400", "1", HOST_VALUE),
    Vector("Host with path", get(headers=b"Host: a/b\r\n"), "0 400", "1", HOST_VALUE),
    Vector("Host with user", get(headers=b"Host: u@a\r\n"), "0 400", "1", HOST_VALUE),
    Vector("Host list", get(headers=b"Host: a, b\r\n"), "0 400", "1", HOST_VALUE),
    Vector("Host with port", get(headers=b"Host: a:80\r\n"), "1", "1"),
    Vector("Host with bad port", get(headers=b"Host: a:b\r\n"), "0 400", "1", HOST_VALUE),
    Vector("Host with two ports", get(headers=b"Host: a:1:2\r\n"), "0 400", "1", HOST_VALUE),
    Vector("Host IPv6", get(headers=b"Host: [::1]:80\r\n"), "1", "1"),
    Vector("Host with Latin-1", get(headers=b"Host: \xe9\r\n"), "0 400", "1", HOST_VALUE),
    Vector("Host with fragment", get(headers=b"Host: a#b\r\n"), "0 400", "1", HOST_VALUE),
    Vector("Host folded", get(headers=b"Host: a\r\n b\r\n"), "0 400", "1", FOLD),
    Vector("Host behind blank", get(headers=b" Host: a\r\n"), "0 400", "0 refused"),
    Vector("Host by underscore", get(headers=b"Ho_st: a\r\n"), "0 400", "0 refused"),
    Vector("blank before colon", get(headers=b"Host : a\r\n"), "0 400", "0 refused"),
    Vector("tab before colon", get(headers=b"Host\t: a\r\n"), "0 400", "0 refused"),
    Vector("no colon", get(headers=HOST + b"X\r\n"), "0 400", "0 refused"),
    Vector("empty name", get(headers=HOST + b": a\r\n"), "0 400", "0 refused"),
    Vector("blank in name", get(headers=HOST + b"X Y: a\r\n"), "0 400", "0 refused"),
    Vector("NUL in name", get(headers=HOST + b"X\0: a\r\n"), "0 400", "0 refused"),
    Vector("Latin-1 in name", get(headers=HOST + b"\xe9: a\r\n"), "0 400", "0 refused"),
    Vector("parenthesis in name", get(headers=HOST + b"X(: a\r\n"), "0 400", "0 refused"),
    Vector("quote in name", get(headers=HOST + b'"X": a\r\n'), "0 400", "0 refused"),
    Vector("folded value", get(headers=HOST + b"X: a\r\n b\r\n"), "0 400", "1", FOLD),
    Vector("folded by tab", get(headers=HOST + b"X: a\r\n\tb\r\n"), "0 400", "1", FOLD),
    Vector("folded empty value", get(headers=HOST + b"X:\r\n b\r\n"), "0 400", "1", FOLD),
    Vector("first header folded", get(headers=b" X: a\r\n" + HOST), "0 400", "0 refused"),
    Vector("line of blanks", get(headers=HOST + b"  \r\n"), "0 400", "1", FOLD),
    Vector("empty value", get(headers=HOST + b"X:\r\n"), "1", "1"),
    Vector("blank around value", get(headers=HOST + b"X: \t a \t\r\n"), "1", "1"),
    Vector("NUL in value", get(headers=HOST + b"X: a\0b\r\n"), "0 400", "0 refused"),
    Vector("control in value", get(headers=HOST + b"X: a\x01b\r\n"), "0 400", "1", CONTROL),
    Vector("DEL in value", get(headers=HOST + b"X: a\x7fb\r\n"), "0 400", "1", CONTROL),
    Vector("vertical tab in value", get(headers=HOST + b"X: a\x0bb\r\n"), "0 400", "0 refused"),
    Vector("bare CR in value", get(headers=HOST + b"X: a\rb\r\n"), "0 400", "0 refused"),
    Vector("Latin-1 in value", get(headers=HOST + b"X: \xe9\r\n"), "1", "1"),
    Vector("HTTP/1.0 without Host", get(b"GET /a HTTP/1.0", b""), "1", "1"),
    Vector("HTTP/1.0 with two Hosts", get(b"GET /a HTTP/1.0", HOST * 2), "0 400", "0 refused"),
    Vector("HTTP/1.0, more behind", get(b"GET /a HTTP/1.0", tail=NEXT), "1 400", "1 refused"),
    Vector(
        "HTTP/1.0 keep-alive, more behind",
        get(b"GET /a HTTP/1.0", HOST + b"Connection: keep-alive\r\n", NEXT),
        "2",
        "1 refused",
        KEEP,
    ),
    Vector("pipelined", get(tail=NEXT), "2", "2"),
    Vector("close, more behind", get(headers=HOST + b"Connection: close\r\n", tail=NEXT), "1 400", "1 refused"),
    Vector("pipelined bad one", get(tail=b"GET /a HTTP/1.1\r\nHost : a\r\n\r\n"), "1 400", "1 refused"),
    Vector("pipelined RTSP", get(tail=b"GET /b RTSP/1.0\r\nHost: a\r\n\r\n"), "1 400", "1 refused"),
    Vector("pipelined without Host", get(tail=b"GET /b HTTP/1.1\r\n\r\n"), "1 400", "1 refused"),
    Vector("upgrade offered", get(headers=HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n", tail=NEXT), "2", "2"),
    Vector("many headers", get(headers=HOST + b"X: a\r\n" * 200), "1", "1"),
    Vector("long header", get(headers=HOST + b"X: " + b"a" * 70_000 + b"\r\n"), "0 431", "1", BIG),
    Vector("long target", get(b"GET /" + b"a" * 70_000 + b" HTTP/1.1"), "0 431", "1", BIG),
    # -- Content-Length
    Vector("length", sized(b"1"), "1", "1"),
    Vector("length 0", sized(b"0", b""), "1", "1"),
    Vector("length too short", sized(b"1", b"xGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"), "2", "2"),
    Vector("length too long", sized(b"5", b"x"), "0 waits", "0 waits"),
    Vector("no length, body", post(b"", b"x"), "1 400", "1 waits", JUNK),
    Vector("plus", sized(b"+1"), "0 400", "0 refused"),
    Vector("minus", sized(b"-1"), "0 400", "0 refused"),
    Vector("minus zero", sized(b"-0", b""), "0 400", "0 refused"),
    Vector("hexadecimal", sized(b"0x1"), "0 400", "0 refused"),
    Vector("underscore", sized(b"1_0", b"0123456789"), "0 400", "0 refused"),
    Vector("decimal point", sized(b"1.0"), "0 400", "0 refused"),
    Vector("exponent", sized(b"1e0"), "0 400", "0 refused"),
    Vector("leading zero", sized(b"01"), "1", "1"),
    Vector("blank within", sized(b"1 1"), "0 400", "0 refused"),
    Vector("blanks around", sized(b" \t1 "), "1", "1"),
    Vector("vertical tab", sized(b"\x0b1"), "0 400", "0 refused"),
    Vector("NUL behind", sized(b"1\0"), "0 400", "0 refused"),
    Vector("empty length", sized(b""), "0 400", "0 refused"),
    Vector("letters", sized(b"one"), "0 400", "0 refused"),
    Vector("quoted", sized(b'"1"'), "0 400", "0 refused"),
    Vector("list of equal lengths", sized(b"1, 1"), "0 400", "1", LIST),
    Vector("list of lengths", sized(b"1, 2"), "0 400", "0 refused"),
    Vector("comma behind", sized(b"1,"), "0 400", "0 refused"),
    Vector("two equal lengths", post(b"Content-Length: 1\r\nContent-Length: 1\r\n", b"x"), "0 400", "1", LIST),
    Vector("two lengths", post(b"Content-Length: 1\r\nContent-Length: 2\r\n", b"x"), "0 400", "0 refused"),
    Vector("two lengths, other case", post(b"Content-Length: 1\r\ncontent-length: 2\r\n", b"x"), "0 400", "0 refused"),
    Vector("2 to the 64", sized(b"18446744073709551617"), "0 400", "0 waits", EARLY),
    Vector("2 to the 63", sized(b"9223372036854775808"), "0 413", "0 waits", BIG),
    Vector("5000 digits", sized(b"0" * 5000 + b"1"), "0 400", "0 refused"),
    Vector("Arabic digit", sized(b"\xd9\xa1"), "0 400", "0 refused"),
    Vector("blank before length's colon", sized(b"1", name=b"Content-Length : "), "0 400", "0 refused"),
    Vector("folded length", sized(b"\r\n 1"), "0 400", "1", FOLD),
    Vector("underscored length", sized(b"1", b"", name=b"Content_Length: "), "1", "1"),
    Vector("length with GET", get(headers=HOST + b"Content-Length: 1\r\n", tail=b"x"), "1", "1"),
    # -- Transfer-Encoding
    Vector("chunked", coded(b"chunked"), "1", "1"),
    Vector("chunked, upper case", coded(b"Chunked"), "1", "1"),
    Vector("chunked, blanks around", coded(b" \tchunked "), "1", "1"),
    Vector("chunked with GET", get(headers=HOST + b"Transfer-Encoding: chunked\r\n", tail=b"0\r\n\r\n"), "1", "1"),
    Vector(
        "both framings", post(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), "0 400", "1", BOTH
    ),
    Vector(
        "both framings, other order",
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"0\r\n\r\n"),
        "0 400",
        "1",
        BOTH,
    ),
    Vector(
        "unknown coding, length",
        post(b"Transfer-Encoding: xchunked\r\nContent-Length: 1\r\n", b"x"),
        "0 400",
        "0 refused",
    ),
    Vector("gzip", coded(b"gzip"), "0 501", "0 refused"),
    Vector("gzip, chunked", coded(b"gzip, chunked"), "0 501", "0 refused"),
    Vector("chunked, gzip", coded(b"chunked, gzip"), "0 400", "0 refused"),
    Vector("chunked twice", coded(b"chunked, chunked"), "0 400", "0 refused"),
    Vector("chunked on two lines", post(b"Transfer-Encoding: chunked\r\n" * 2, b"0\r\n\r\n"), "0 400", "0 refused"),
    Vector(
        "unknown on one line, chunked on the next",
        post(b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        "0 501",
        "0 refused",
    ),
    Vector(
        "chunked, then unknown line",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", b"0\r\n\r\n"),
        "0 400",
        "0 refused",
    ),
    Vector("identity", coded(b"identity", b"x"), "0 501", "0 refused"),
    Vector("identity, chunked", coded(b"identity, chunked"), "0 501", "0 refused"),
    Vector("xchunked", coded(b"xchunked"), "0 501", "0 refused"),
    Vector("chunkedx", coded(b"chunkedx"), "0 501", "0 refused"),
    Vector("chunked;q=1", coded(b"chunked;q=1"), "0 501", "0 refused"),
    Vector("quoted chunked", coded(b'"chunked"'), "0 501", "0 refused"),
    Vector("comma before chunked", coded(b", chunked"), "0 501", "0 refused"),
    Vector("comma behind chunked", coded(b"chunked,"), "0 400", "0 refused"),
    Vector("vertical tab before chunked", coded(b"\x0bchunked"), "0 400", "0 refused"),
    Vector("form feed behind chunked", coded(b"chunked\x0c"), "0 400", "0 refused"),
    Vector("NUL behind chunked", coded(b"chunked\0"), "0 400", "0 refused"),
    Vector("CR before chunked", coded(b"\rchunked"), "0 400", "0 refused"),
    Vector("folded chunked", coded(b"\r\n chunked"), "0 400", "1", FOLD),
    Vector(
        "folded behind chunked", post(b"Transfer-Encoding: chunked\r\n , x\r\n", b"0\r\n\r\n"), "0 400", "0 refused"
    ),
    Vector("empty coding", coded(b"", b"x"), "0 400", "0 refused"),
    Vector("blank before coding's colon", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), "0 400", "0 refused"),
    Vector("underscored coding", post(b"Transfer_Encoding: chunked\r\n", b""), "1", "1"),
    Vector("coding behind bare LF", post(b"X: a\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), "0 400", "1", LF),
    Vector("HTTP/1.0 chunked", coded(b"chunked", version=b"1.0"), "0 400", "1", CODING10),
    Vector(
        "HTTP/1.0 chunked, keep-alive",
        post(b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", b"0\r\n\r\n", b"1.0"),
        "0 400",
        "1",
        CODING10,
    ),
    Vector(
        "HTTP/1.0 both framings",
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"0\r\n\r\n", b"1.0"),
        "0 400",
        "1",
        CODING10,
    ),
    Vector("coding offered by TE", post(b"TE: chunked\r\n", b""), "1", "1"),
    # -- chunks
    Vector("no chunks", chunked(b"0\r\n\r\n"), "1", "1"),
    Vector("chunks and more", chunked(b"1\r\nx\r\n0\r\n\r\n" + NEXT), "2", "2"),
    Vector("upper and lower digits", chunked(b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"), "1", "1"),
    Vector("zeros before size", chunked(b"0001\r\nx\r\n0\r\n\r\n"), "1", "1"),
    Vector("30 zeros before size", chunked(b"0" * 30 + b"1\r\nx\r\n0\r\n\r\n"), "1", "0 refused", ZEROS),
    Vector("several zeros at end", chunked(b"1\r\nx\r\n000\r\n\r\n"), "1", "1"),
    Vector("0x before size", chunked(b"0x1\r\nx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("minus before size", chunked(b"-1\r\nx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("plus before size", chunked(b"+1\r\nx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("blank before size", chunked(b" 1\r\nx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("blank behind size", chunked(b"1 \r\nx\r\n0\r\n\r\n"), "0 400", "1", BWS),
    Vector("tab behind size", chunked(b"1\t\r\nx\r\n0\r\n\r\n"), "0 400", "1", BWS),
    Vector("underscore in size", chunked(b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("no size", chunked(b"\r\nx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("letters for size", chunked(b"g\r\nx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("size over 64 bits", chunked(b"10000000000000001\r\nx\r\n0\r\n\r\n"), "0 400", "0 waits", EARLY),
    Vector("bare LF behind size", chunked(b"1\nx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("bare CR behind size", chunked(b"1\rx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("bare LF behind data", chunked(b"1\r\nx\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("two bytes for one", chunked(b"1\r\nxy\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("no line end behind data", chunked(b"1\r\nx0\r\n\r\n"), "0 400", "0 refused"),
    Vector("bare LF at end", chunked(b"0\r\n\n"), "0 400", "1", LF),
    Vector("bare LFs at end", chunked(b"0\n\n"), "0 400", "0 waits", EARLY),
    Vector("extension", chunked(b"1;a=b\r\nx\r\n0\r\n\r\n"), "1", "1"),
    Vector("extension without value", chunked(b"1;a\r\nx\r\n0\r\n\r\n"), "1", "1"),
    Vector("extension, quoted", chunked(b'1;a="b;c"\r\nx\r\n0\r\n\r\n'), "1", "1"),
    Vector("extension, blanks around", chunked(b"1 ; a = b\r\nx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("extension, empty", chunked(b"1;\r\nx\r\n0\r\n\r\n"), "0 400", "1", EXTENSION),
    Vector("extension with bare LF", chunked(b"1;a\nx\r\n0\r\n\r\n"), "0 400", "0 refused"),
    Vector("extension with bare CR", chunked(b"1;a\rb\r\nx\r\n0\r\n\r\n"), "0 400", "1", EXTENSION),
    Vector("extension with NUL", chunked(b"1;a\0\r\nx\r\n0\r\n\r\n"), "0 400", "1", EXTENSION),
    Vector("extension, long", chunked(b"1;" + b"a" * 70_000 + b"\r\nx\r\n0\r\n\r\n"), "1", "1"),
    Vector("trailer", chunked(b"0\r\nX: a\r\n\r\n"), "1", "1"),
    Vector("trailer with length", chunked(b"0\r\nContent-Length: 5\r\n\r\n"), "0 400", "1", TRAILER),
    Vector("trailer with coding", chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), "0 400", "1", TRAILER),
    Vector("trailer with Host", chunked(b"0\r\nHost: b\r\n\r\n"), "1", "1"),
    Vector("trailer, blank before colon", chunked(b"0\r\nX : a\r\n\r\n"), "0 400", "0 refused"),
    Vector("trailer, folded", chunked(b"0\r\nX: a\r\n b\r\n\r\n"), "0 400", "1", FOLD),
    Vector("trailer, bare LF", chunked(b"0\r\nX: a\n\r\n"), "0 400", "1", LF),
    Vector("trailer, no colon", chunked(b"0\r\nGET / HTTP/1.1\r\n\r\n"), "0 400", "0 refused"),
    Vector("trailer, long", chunked(b"0\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"), "1", "1"),
]
