/* The floor: what a hop costs when nothing is done in it. One thread per connection, blocking reads and writes.
 *
 * Reads a request to its end (by Content-Length, or to the last chunk) and answers it: /order with the example's answer,
 * which is a constant, /echo with the length of the http body inside the envelope, /api/echo (plain HTTP) with the
 * length of the request's body as text, anything else with 404.
 * usage: floor PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_request.h"

static const char ORDER[] =
    "{\"Outputs\":{\"res\":{\"statusCode\":200,\"body\":\"Order complete\"},"
    "\"message\":\"eyJpZCI6MTAwNSwicXVhbnRpdHkiOjE2MDAsImNvbG9yIjoiYmxhY2sifQ==\"},"
    "\"Logs\":[\"INFO: order processed\"],\"ReturnValue\":null}";

/* The length of the http body: between the quotes of the envelope's member Body, which hold no escapes here. */
static size_t echoed(const char *body, const char *end) {
    const char *begin = memmem(body, (size_t)(end - body), "\"Body\":\"", 8);
    if (begin == NULL) return 0;
    const char *quote = memchr(begin + 8, '"', (size_t)(end - begin - 8));
    return quote == NULL ? 0 : (size_t)(quote - begin - 8);
}

static int answer(int connection, const struct stream *s, size_t body) {
    char text[128], out[1024];
    const char *content = ORDER, *status = "200 OK", *type = "application/json";
    if (strncmp(s->data, "POST /echo ", 11) == 0) {
        snprintf(text, sizeof text,
                 "{\"Outputs\":{\"res\":{\"statusCode\":200,\"body\":\"%zu\"}},\"Logs\":[],\"ReturnValue\":null}",
                 echoed(s->data + body, s->data + s->body_end));
        content = text;
    } else if (strncmp(s->data, "POST /api/echo ", 15) == 0) {
        snprintf(text, sizeof text, "%zu", s->body_end - body);
        content = text;
        type = "text/plain";
    } else if (strncmp(s->data, "POST /order ", 12) != 0) {
        content = "{}";
        status = "404 Not Found";
    }
    int size = snprintf(out, sizeof out, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                        status, type, strlen(content), content);
    return write(connection, out, (size_t)size) == size;
}

static void *serve(void *argument) {
    int connection = (int)(long)argument;
    struct stream s = {.data = malloc(1 << 16), .capacity = 1 << 16};
    for (;;) {
        if (s.length == s.capacity) s.data = realloc(s.data, s.capacity *= 2);
        ssize_t got = read(connection, s.data + s.length, s.capacity - s.length);
        if (got <= 0) break;
        s.length += (size_t)got;
        size_t whole, body;
        while (s.length > 0 && (whole = whole_request(&s, &body)) > 0) {
            if (!answer(connection, &s, body)) goto end;
            memmove(s.data, s.data + whole, s.length - whole);
            s.length -= whole;
            s.chunk = s.body_end = 0;
        }
    }
end:
    free(s.data);
    close(connection);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) {
        perror("floor");
        return 4;
    }
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) continue;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, (void *)(long)connection) == 0) pthread_detach(thread);
    }
}
