/* HTTP answers, as far as load.c needs them: is one whole, and what is its body?
 *
 * Included by load.c only. Rule: no I/O; the bytes may be re-arranged (chunks are joined in place), never beyond the answer.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct answer {
    int status, closes;
    const char *body;
    size_t size, whole;
};

static const char *header(const char *head, const char *end, const char *name) {
    size_t size = strlen(name);
    for (const char *line = memmem(head, (size_t)(end - head), "\r\n", 2); line != NULL && line < end;
         line = memmem(line + 2, (size_t)(end - line), "\r\n", 2))
        if (strncasecmp(line + 2, name, size) == 0) return line + 2 + size + strspn(line + 2 + size, " \t");
    return NULL;
}

/* Joins a chunked body in place. The bytes it took, 0 while more is to come. */
static size_t join_chunks(char *data, size_t length, size_t *size) {
    size_t at = 0, joined = 0;
    /* Nothing is moved before all of it is there. */
    for (int moving = 0;; at = 0, moving = 1) {
        for (;;) {
            char *end = memmem(data + at, length - at, "\r\n", 2);
            if (end == NULL) return 0;
            size_t chunk = strtoul(data + at, NULL, 16), from = (size_t)(end - data) + 2;
            if (length < from + chunk + 2) return 0;
            if (moving) memmove(data + joined, data + from, chunk), joined += chunk;
            at = from + chunk + 2;
            if (chunk == 0) break;
        }
        if (moving) break;
    }
    *size = joined;
    return at;
}

/* 1 a whole answer, 0 more is to come, -1 no HTTP. */
static int parse_answer(char *data, size_t length, struct answer *a) {
    if (length < 13) return 0;
    if (memcmp(data, "HTTP/1.", 7) != 0) return -1;
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    a->status = atoi(data + 9);
    const char *value = header(data, end, "connection:");
    a->closes = value != NULL && strncasecmp(value, "close", 5) == 0;
    size_t head = (size_t)(end - data) + 4;
    a->body = data + head;
    value = header(data, end, "content-length:");
    if (value != NULL) {
        a->size = (size_t)strtoul(value, NULL, 10);
        a->whole = head + a->size;
        return length >= a->whole;
    }
    if (header(data, end, "transfer-encoding:") == NULL) return -1;
    size_t took = join_chunks(data + head, length - head, &a->size);
    a->whole = head + took;
    return took > 0;
}
