/* The gRPC side of a stand-in for the host, for the official Python worker: one EventStream a worker process.
 *
 * host.py loads this as a shared library; it makes and judges the messages. Here they are only bytes: HTTP/2 frames
 * around them (RFC 9113), a gRPC prefix, and a load in closed or open loop whose answers are compared byte for byte
 * with one that was judged before. Rule: one thread, nothing allocated per invocation, so that what is measured is
 * the worker. Headers are not decoded: a worker opens exactly one stream on a connection, and that is EventStream.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { FLAG_ACK = 1, FLAG_END_HEADERS = 4, FLAG_PADDED = 8 };
enum { PREFACE = 24, FRAME_HEAD = 9, GRPC_HEAD = 5, ID = 36, MOST_PEERS = 64, MOST_PAUSE_NS = 100000000 };
enum { OUR_WINDOW = 1 << 30, WINDOW_STEP = 1 << 24, OUR_FRAME = 1 << 20 };
/* StreamingMessage's members that are looked at. */
enum { INVOCATION_RESPONSE = 5, RPC_LOG = 2 };
/* What host_load answers when it could not go on. */
enum { ENDED = -1, SILENT = -2, WRONG = -3, FULL = -4 };

struct bytes {
    uint8_t *data;
    size_t start, end, capacity;
};

struct peer {
    int fd;
    struct bytes in, out;          /* the wire */
    struct bytes waiting, message; /* gRPC bytes that the worker's windows hold back; those that came, not yet whole */
    uint32_t stream, their_frame;
    int64_t their_initial, connection_window, stream_window, unacknowledged;
    int preface, answered, gone;
};

/* One kind of invocation: the request with its 36 bytes of id at `id_at`, and the right answer to it likewise. */
struct call {
    const uint8_t *request;
    uint32_t request_size, request_id_at;
    const uint8_t *answer;
    uint32_t answer_size, answer_id_at;
};

static struct peer peers[MOST_PEERS];
static int listener = -1, peer_count;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint8_t *room(struct bytes *bytes, size_t size) {
    if (bytes->start == bytes->end) bytes->start = bytes->end = 0;
    if (bytes->end + size > bytes->capacity && bytes->start > 0) {
        memmove(bytes->data, bytes->data + bytes->start, bytes->end - bytes->start);
        bytes->end -= bytes->start;
        bytes->start = 0;
    }
    if (bytes->end + size > bytes->capacity) {
        bytes->capacity = 2 * (bytes->end + size);
        bytes->data = realloc(bytes->data, bytes->capacity);
        if (bytes->data == NULL) abort();
    }
    return bytes->data + bytes->end;
}

static void append(struct bytes *bytes, const void *data, size_t size) {
    memcpy(room(bytes, size), data, size);
    bytes->end += size;
}

static uint32_t big(const uint8_t *at, int size) {
    uint32_t value = 0;
    while (size-- > 0) value = value << 8 | *at++;
    return value;
}

static void put_big(uint8_t *at, uint32_t value, int size) {
    while (size-- > 0) {
        at[size] = (uint8_t)value;
        value >>= 8;
    }
}

static void frame(struct peer *peer, int type, int flags, uint32_t stream, const void *payload, uint32_t size) {
    uint8_t head[FRAME_HEAD];
    put_big(head, size, 3);
    head[3] = (uint8_t)type;
    head[4] = (uint8_t)flags;
    put_big(head + 5, stream, 4);
    append(&peer->out, head, sizeof head);
    append(&peer->out, payload, size);
}

static void grant(struct peer *peer, uint32_t stream, uint32_t size) {
    uint8_t payload[4];
    put_big(payload, size, 4);
    frame(peer, WINDOW_UPDATE, 0, stream, payload, sizeof payload);
}

/* As much of what waits as the worker's windows take, and then as much as the socket takes. */
static void push(struct peer *peer) {
    struct bytes *waiting = &peer->waiting;
    while (peer->answered && waiting->start < waiting->end) {
        int64_t size = (int64_t)(waiting->end - waiting->start);
        if (size > peer->their_frame) size = peer->their_frame;
        if (size > peer->connection_window) size = peer->connection_window;
        if (size > peer->stream_window) size = peer->stream_window;
        if (size <= 0) break;
        frame(peer, DATA, 0, peer->stream, waiting->data + waiting->start, (uint32_t)size);
        waiting->start += (size_t)size;
        peer->connection_window -= size;
        peer->stream_window -= size;
    }
    while (peer->out.start < peer->out.end) {
        ssize_t sent = send(peer->fd, peer->out.data + peer->out.start, peer->out.end - peer->out.start, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR) peer->gone = 1;
            break;
        }
        peer->out.start += (size_t)sent;
    }
}

static short events_of(const struct peer *peer) {
    return (short)(POLLIN | (peer->out.start < peer->out.end ? POLLOUT : 0));
}

static void send_message(struct peer *peer, const uint8_t *message, uint32_t size) {
    uint8_t head[GRPC_HEAD] = {0};
    put_big(head + 1, size, 4);
    append(&peer->waiting, head, sizeof head);
    append(&peer->waiting, message, size);
}

static void take_settings(struct peer *peer, const uint8_t *payload, uint32_t size) {
    for (uint32_t at = 0; at + 6 <= size; at += 6) {
        uint32_t name = big(payload + at, 2), value = big(payload + at + 2, 4);
        if (name == 4) { /* INITIAL_WINDOW_SIZE: open streams move by the difference */
            peer->stream_window += (int64_t)value - peer->their_initial;
            peer->their_initial = value;
        }
        if (name == 5) peer->their_frame = value;
    }
    frame(peer, SETTINGS, FLAG_ACK, 0, NULL, 0);
}

static void take_data(struct peer *peer, int flags, const uint8_t *payload, uint32_t size) {
    peer->unacknowledged += size;
    if (peer->unacknowledged > WINDOW_STEP) {
        grant(peer, 0, (uint32_t)peer->unacknowledged);
        grant(peer, peer->stream, (uint32_t)peer->unacknowledged);
        peer->unacknowledged = 0;
    }
    if (flags & FLAG_PADDED) {
        uint32_t padding = payload[0];
        payload += 1;
        size -= 1 + padding;
    }
    append(&peer->message, payload, size);
}

static void answer_headers(struct peer *peer) {
    /* HPACK without a table: static 8 is `:status 200`; static 31, content-type, with a literal value. */
    static const uint8_t head[] = "\x88\x0f\x10\x10" "application/grpc";
    frame(peer, HEADERS, FLAG_END_HEADERS, peer->stream, head, sizeof head - 1);
    peer->answered = 1;
}

static void take_frame(struct peer *peer, const uint8_t *head, const uint8_t *payload, uint32_t size) {
    int type = head[3], flags = head[4];
    switch (type) {
    case DATA:
        take_data(peer, flags, payload, size);
        break;
    case HEADERS:
        peer->stream = big(head + 5, 4) & 0x7fffffff;
        /* fall through */
    case CONTINUATION:
        if (flags & FLAG_END_HEADERS) answer_headers(peer);
        break;
    case SETTINGS:
        if (!(flags & FLAG_ACK)) take_settings(peer, payload, size);
        break;
    case PING:
        if (!(flags & FLAG_ACK)) frame(peer, PING, FLAG_ACK, 0, payload, size);
        break;
    case WINDOW_UPDATE:
        if (big(head + 5, 4) == 0) peer->connection_window += big(payload, 4);
        else peer->stream_window += big(payload, 4);
        break;
    case RST_STREAM:
    case GOAWAY:
        peer->gone = 1;
        break;
    }
}

/* Reads what is there and takes every whole frame of it. */
static void pull(struct peer *peer) {
    for (;;) {
        size_t size = 1 << 18;
        ssize_t got = recv(peer->fd, room(&peer->in, size), size, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) peer->gone = 1;
        if (got <= 0) break;
        peer->in.end += (size_t)got;
        if ((size_t)got < size) break;
    }
    struct bytes *in = &peer->in;
    if (!peer->preface) {
        if (in->end - in->start < PREFACE) return;
        in->start += PREFACE;
        peer->preface = 1;
    }
    while (in->end - in->start >= FRAME_HEAD) {
        const uint8_t *head = in->data + in->start;
        uint32_t size = big(head, 3);
        if (in->end - in->start < FRAME_HEAD + size) break;
        take_frame(peer, head, head + FRAME_HEAD, size);
        in->start += FRAME_HEAD + size;
    }
}

/* The next whole message that came, or NULL. It is valid until the next pull. */
static const uint8_t *next_message(struct peer *peer, uint32_t *size) {
    struct bytes *message = &peer->message;
    if (message->end - message->start < GRPC_HEAD) return NULL;
    const uint8_t *head = message->data + message->start;
    *size = big(head + 1, 4);
    if (message->end - message->start < GRPC_HEAD + *size) return NULL;
    message->start += GRPC_HEAD + *size;
    return head + GRPC_HEAD;
}

static uint64_t varint(const uint8_t **at, const uint8_t *end) {
    uint64_t value = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) break;
    }
    return value;
}

/* Which member of StreamingMessage's oneof this is: all its members have length-delimited values. */
static int kind_of(const uint8_t *at, uint32_t size) {
    const uint8_t *end = at + size;
    while (at < end) {
        uint64_t key = varint(&at, end);
        if ((key & 7) != 2) return 0;
        if (key >> 3 != 1) return (int)(key >> 3); /* 1 is request_id */
        uint64_t skipped = varint(&at, end);
        if (skipped > (uint64_t)(end - at)) return 0;
        at += skipped;
    }
    return 0;
}

/* Listens on 127.0.0.1; answers the port, or -1. */
int host_listen(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, MOST_PEERS) != 0) return -1;
    if (getsockname(listener, (struct sockaddr *)&address, &size) != 0) return -1;
    return ntohs(address.sin_port);
}

/* Waits for the next worker to connect; answers its number, or -1 after the time. */
int host_accept(int timeout_ms) {
    struct pollfd waited = {.fd = listener, .events = POLLIN};
    if (peer_count == MOST_PEERS || poll(&waited, 1, timeout_ms) != 1) return -1;
    struct peer *peer = &peers[peer_count];
    int one = 1;
    peer->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer->fd < 0) return -1;
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    peer->their_frame = 16384;
    peer->their_initial = peer->connection_window = peer->stream_window = 65535;
    uint8_t settings[12] = {0, 4, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0};
    put_big(settings + 2, OUR_WINDOW, 4);
    put_big(settings + 8, OUR_FRAME, 4);
    frame(peer, SETTINGS, 0, 0, settings, sizeof settings);
    grant(peer, 0, OUR_WINDOW);
    push(peer);
    return peer_count++;
}

/* Sends one message outside of a load. */
void host_send(int number, const uint8_t *message, uint32_t size) {
    send_message(&peers[number], message, size);
    push(&peers[number]);
}

/* Copies the next message that is no log: its size, 0 after the time, or -1 if the worker has gone or it is too big. */
int host_receive(int number, uint8_t *into, uint32_t capacity, int timeout_ms) {
    struct peer *peer = &peers[number];
    uint64_t until = now_ns() + (uint64_t)timeout_ms * 1000000u;
    for (;;) {
        uint32_t size;
        const uint8_t *message;
        while ((message = next_message(peer, &size)) != NULL) {
            if (kind_of(message, size) == RPC_LOG) continue;
            if (size > capacity) return -1;
            memcpy(into, message, size);
            return (int)size;
        }
        if (peer->gone) return -1;
        uint64_t now = now_ns();
        if (now >= until) return 0;
        struct pollfd waited = {.fd = peer->fd, .events = events_of(peer)};
        if (poll(&waited, 1, (int)((until - now) / 1000000u) + 1) > 0) {
            pull(peer);
            push(peer);
        }
    }
}

/* The id of invocation `number`: a GUID by its form, read back by number_of. Its second group is the load's own
   number: after a load that was stopped, its late answers are nobody's. */
static char rest_of_id[] = "-0000-4a37-b0a9-0d7d6a1f2c11";

static void next_load(void) {
    static unsigned load;
    char digits[5];
    snprintf(digits, sizeof digits, "%04x", ++load & 0xffff);
    memcpy(rest_of_id + 1, digits, 4);
}

static void put_id(uint8_t *at, uint32_t number) {
    char digits[9];
    snprintf(digits, sizeof digits, "%08x", number);
    memcpy(at, digits, 8);
    memcpy(at + 8, rest_of_id, sizeof rest_of_id - 1);
}

/* Which invocation of this load is answered, or UINT32_MAX. */
static uint32_t number_of(const uint8_t *message, uint32_t size) {
    const uint8_t *rest = memmem(message, size, rest_of_id, sizeof rest_of_id - 1);
    if (rest == NULL || rest - message < 8) return UINT32_MAX;
    char digits[9] = {0};
    memcpy(digits, rest - 8, 8);
    return (uint32_t)strtoul(digits, NULL, 16);
}

static void invoke(const struct call *call, uint32_t number, uint8_t *scratch) {
    /* The host takes its initialised workers in turn, whatever they are doing. */
    struct peer *peer = &peers[number % (uint32_t)peer_count];
    memcpy(scratch, call->request, call->request_size);
    put_id(scratch + call->request_id_at, number);
    send_message(peer, scratch, call->request_size);
    push(peer);
}

static int same(const struct call *call, const uint8_t *message, uint32_t size) {
    uint32_t after = call->answer_id_at + ID;
    return size == call->answer_size && memcmp(message, call->answer, call->answer_id_at) == 0 &&
           memcmp(message + after, call->answer + after, size - after) == 0;
}

/* Sends invocations and records, of each, when it was sent and when its answer was there (monotonic ns).
 *
 * Closed loop: `intended` is NULL; `in_flight` at a time until `duration_ns` are over, at most `capacity`.
 * Open loop: `capacity` invocations, each at the instant intended[i] after the beginning; sent[i] is when it was. It
 * polls without waiting for `spin_ns` before each.
 * kinds[i] says which of `calls` invocation i is (NULL: the first); `begin` receives the beginning. `done`
 * comes zeroed.
 * Answers how many were made, or what stopped it; the invocation that was answered wrongly is then *wrong.
 */
int64_t host_load(const struct call *calls, const uint8_t *kinds, const uint64_t *intended, uint32_t in_flight,
                  uint64_t duration_ns, uint64_t silence_ns, uint64_t spin_ns, uint64_t *sent, uint64_t *done,
                  uint32_t capacity, uint64_t *begin, uint32_t *wrong) {
    uint32_t made = 0, answered = 0;
    uint8_t *scratch = NULL;
    size_t scratch_size = 0;
    struct pollfd waited[MOST_PEERS];
    next_load();
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); /* wake for a planned send at its time, not up to 50 us later */
    uint64_t began = now_ns(), heard = began;
    int64_t result = 0;
    *begin = began;
    while (result == 0) {
        uint64_t now = now_ns(), next = UINT64_MAX;
        int over = intended == NULL ? now - began >= duration_ns : made == capacity;
        while (!over && made < capacity) {
            if (intended == NULL ? made - answered >= in_flight : began + intended[made] > now) break;
            const struct call *call = &calls[kinds == NULL ? 0 : kinds[made]];
            if (call->request_size > scratch_size) scratch = realloc(scratch, scratch_size = call->request_size);
            sent[made] = now_ns();
            invoke(call, made, scratch);
            made++;
        }
        if (intended == NULL && !over && made == capacity) result = FULL;
        if (intended != NULL && made < capacity) next = began + intended[made];
        if ((over || made == capacity) && answered == made) break;
        if (answered < made && now_ns() - heard > silence_ns) result = SILENT;
        for (int i = 0; i < peer_count; i++) {
            struct peer *peer = &peers[i];
            waited[i].fd = peer->fd;
            waited[i].events = events_of(peer);
            if (peer->gone) result = ENDED;
        }
        now = now_ns();
        uint64_t pause = next > now + spin_ns ? next - now - spin_ns : 0;
        struct timespec timeout = {0, (long)(pause < MOST_PAUSE_NS ? pause : MOST_PAUSE_NS)};
        if (answered == made) heard = now;
        if (ppoll(waited, (nfds_t)peer_count, &timeout, NULL) <= 0) continue;
        for (int i = 0; i < peer_count && result == 0; i++) {
            if (waited[i].revents == 0) continue;
            struct peer *peer = &peers[i];
            pull(peer);
            now = heard = now_ns();
            uint32_t size;
            const uint8_t *message;
            while (result == 0 && (message = next_message(peer, &size)) != NULL) {
                if (kind_of(message, size) != INVOCATION_RESPONSE) continue;
                uint32_t number = number_of(message, size);
                if (number == UINT32_MAX) continue;
                int known = number < made && done[number] == 0;
                if (!known || !same(&calls[kinds == NULL ? 0 : kinds[number]], message, size)) {
                    *wrong = number;
                    result = WRONG;
                    break;
                }
                done[number] = now;
                answered++;
            }
            push(peer);
        }
    }
    free(scratch);
    return result != 0 ? result : (int64_t)made;
}
