/* HTTP requests, as far as the C contenders need them: where one ends, and its joined body.
 *
 * Included by floor.c and pool.c. Rule: no I/O; only what the load side sends is understood (a length, or chunks).
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A connection's unread bytes, and how far its chunked body has been looked at. */
struct stream {
    char *data;
    size_t length, capacity;
    size_t chunk;    /* where the next chunk's size line begins; 0 while the head is not there */
    size_t body_end; /* chunks are moved together as they come: where the body ends so far */
};

static const char *header(const char *head, const char *end, const char *name) {
    size_t size = strlen(name);
    for (const char *line = memmem(head, (size_t)(end - head), "\r\n", 2); line != NULL && line < end;
         line = memmem(line + 2, (size_t)(end + 2 - line - 2), "\r\n", 2))
        if (strncasecmp(line + 2, name, size) == 0) return line + 2 + size;
    return NULL;
}

/* Joins the chunks that are there whole. 1 after the last one, 0 while more is to come. */
static int join_chunks(struct stream *s) {
    for (;;) {
        char *line = s->data + s->chunk, *end = memmem(line, s->length - s->chunk, "\r\n", 2);
        if (end == NULL) return 0;
        size_t size = strtoul(line, NULL, 16), begin = (size_t)(end - s->data) + 2;
        if (s->length < begin + size + 2) return 0;
        memmove(s->data + s->body_end, s->data + begin, size);
        s->body_end += size;
        s->chunk = begin + size + 2;
        if (size == 0) return 1;
    }
}

/* The length of a whole request at the start of the stream, or 0 while more is to come; *body is where its body begins. */
static size_t whole_request(struct stream *s, size_t *body) {
    const char *end = memmem(s->data, s->length, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    *body = (size_t)(end - s->data) + 4;
    const char *length = header(s->data, end, "content-length:");
    if (length != NULL) {
        s->body_end = *body + (size_t)strtoul(length, NULL, 10);
        return s->length >= s->body_end ? s->body_end : 0;
    }
    if (header(s->data, end, "transfer-encoding:") == NULL) return s->body_end = *body;
    if (s->chunk == 0) s->chunk = s->body_end = *body;
    return join_chunks(s) ? s->chunk : 0;
}
