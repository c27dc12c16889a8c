/* The floor: what a hop costs when nothing is done in it. One thread per connection, blocking reads and writes.
 *
 * Reads a request to its end (by Content-Length, or to the last chunk), answers with the order example's answer.
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

static const char BODY[] =
    "{\"Outputs\":{\"res\":{\"statusCode\":200,\"body\":\"Order complete\"},"
    "\"message\":\"eyJpZCI6MTAwNSwicXVhbnRpdHkiOjE2MDAsImNvbG9yIjoiYmxhY2sifQ==\"},"
    "\"Logs\":[\"INFO: order processed\"],\"ReturnValue\":null}";
static char answer[1024];
static size_t answer_length;

/* The length of a whole request at the start of data, or 0 while more is to come. */
static size_t whole_request(const char *data, size_t length) {
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    size_t head = (size_t)(end - data) + 4;
    for (const char *line = data; line < end; line = (const char *)memmem(line, (size_t)(end - line) + 2, "\r\n", 2) + 2) {
        if (strncasecmp(line, "content-length:", 15) == 0) {
            size_t whole = head + (size_t)strtoul(line + 15, NULL, 10);
            return length >= whole ? whole : 0;
        }
        if (strncasecmp(line, "transfer-encoding:", 18) == 0) {
            const char *last = memmem(data + head - 2, length - head + 2, "\r\n0\r\n\r\n", 7);
            return last == NULL ? 0 : (size_t)(last - data) + 7;
        }
    }
    return head;
}

static void *serve(void *argument) {
    int connection = (int)(long)argument;
    size_t capacity = 1 << 16, length = 0;
    char *data = malloc(capacity);
    for (;;) {
        if (length == capacity) data = realloc(data, capacity *= 2);
        ssize_t got = read(connection, data + length, capacity - length);
        if (got <= 0) break;
        length += (size_t)got;
        size_t whole;
        while (length > 0 && (whole = whole_request(data, length)) > 0) {
            if (write(connection, answer, answer_length) != (ssize_t)answer_length) goto end;
            memmove(data, data + whole, length - whole);
            length -= whole;
        }
    }
end:
    free(data);
    close(connection);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    answer_length = (size_t)snprintf(answer, sizeof answer,
                                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                     sizeof BODY - 1, BODY);
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
