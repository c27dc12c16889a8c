/* The load side: the Functions host's HTTP client, as far as a benchmark needs it. One thread, one epoll.
 *
 * Compiled and called by load.py, which writes the requests, checks the answers' meaning beforehand and reads the
 * records. Closed loop: a number of requests in flight, for some seconds. Open loop: requests at planned instants,
 * whatever the server does; when no connection is free, a new one is opened, up to a limit.
 * Rule: nothing is decided about the figures here; every request leaves a record, the failed ones, too.
 *
 * usage: load PORT RECORDS TIMEOUT_S START_NS closed IN_FLIGHT WARMUP_S SECONDS BURN_US ORDER KIND...
 *        load PORT RECORDS TIMEOUT_S START_NS open CONNECTIONS PLAN SPIN_US KIND...
 * START_NS is when it all begins, by CLOCK_MONOTONIC, so that several processes begin together; 0 is at once.
 * KIND is REQUEST:ANSWER, two files: the whole request, and the body that a right answer has. Instead of the latter,
 * "200" takes any body with that status, "-" any answer at all.
 * BURN_US: before each request the process computes for so long (CPU time), as the host does for its own part of it.
 * ORDER holds a byte per request, the kinds in turn; PLAN a struct planned per request, before which the process polls for
 * SPIN_US instead of sleeping to the end. On stdout comes one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "load_answer.h"

#define SECOND 1000000000LL
#define MAX_REFUSED_NS (5 * SECOND) /* after so long without anybody listening, there is no server */

enum { RIGHT, WRONG_STATUS, WRONG_BODY, MALFORMED, BROKEN, REFUSED, TIMED_OUT };

struct planned {
    int64_t at_ns; /* after the start */
    int64_t kind;
};

struct record { /* load.py: RECORD */
    int64_t intended_ns, sent_ns, done_ns; /* CLOCK_MONOTONIC */
    uint16_t kind, status;
    uint8_t outcome, waited; /* waited: at its time, no connection was free, and no more could be opened */
    uint16_t unused;
};

struct kind {
    char *request, *id; /* id: the invocation id inside the request, or NULL */
    size_t size;
    char *answer; /* NULL: any body */
    size_t answer_size;
    int any_status;
};

enum state { CLOSED, IDLE, BUSY };

struct connection {
    int fd;
    enum state state;
    int wants_write;
    size_t sent, got, capacity;
    char *data;
    struct record now;
};

static struct sockaddr_in server;
static struct kind *kinds;
static struct connection *connections;
static int *idle, *closed; /* stacks of indices: as in .NET's pool, the connection used last is used first */
static int idles, closeds, limit, busy, epoll;
static int64_t burn_ns, timeout_ns, opened, failures, refused_since_ns;
static const char *order; /* closed loop: the kinds in turn */
static size_t order_length, order_next;
static int64_t again_until_ns; /* closed loop: until then, an answer is followed by the next request */
static struct record *records;
static size_t recorded, record_room;
static char first_wrong[2048];

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) die(path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*size + 1);
    if (data == NULL || fread(data, 1, *size, file) != *size) die(path);
    fclose(file);
    data[*size] = 0;
    return data;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static void finish(struct connection *c, int outcome, int status) {
    struct record *r = &c->now;
    r->done_ns = now_ns();
    if (outcome != REFUSED) refused_since_ns = 0;
    else if (refused_since_ns == 0) refused_since_ns = r->done_ns;
    r->outcome = (uint8_t)outcome;
    r->status = (uint16_t)status;
    if (outcome != RIGHT && failures++ == 0 && c->got > 0)
        snprintf(first_wrong, sizeof first_wrong, "%.*s", (int)c->got, c->data);
    if (recorded == record_room) {
        record_room *= 2;
        records = realloc(records, record_room * sizeof *records);
        if (records == NULL) die("records");
    }
    records[recorded++] = *r;
    busy--;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void shut(struct connection *c) {
    if (c->state == CLOSED) return;
    close(c->fd);
    if (c->state == BUSY) closed[closeds++] = (int)(c - connections);
    /* An idle one stays in its stack until take_free() meets it. */
    c->state = CLOSED;
}

static int dial(struct connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS) {
        close(c->fd);
        return 0;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = (uint32_t)(c - connections)};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) die("epoll_ctl");
    c->wants_write = 0;
    opened++;
    return 1;
}

/* A connection for a request, or NULL at the limit. It may be CLOSED: then it is still to be dialled. */
static struct connection *take_free(void) {
    while (idles > 0) {
        struct connection *c = &connections[idle[--idles]];
        if (c->state == IDLE) return c;
        closed[closeds++] = (int)(c - connections); /* closed by the server meanwhile */
    }
    return closeds > 0 ? &connections[closed[--closeds]] : NULL;
}

static void watch_writable(struct connection *c, int on) {
    if (c->wants_write == on) return;
    c->wants_write = on;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (on ? EPOLLOUT : 0),
                                .data.u32 = (uint32_t)(c - connections)};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event) != 0) die("epoll_ctl");
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

/* Invocation ids are unique: the process in the first field, a count in the last. */
static void stamp(char *id) {
    static uint64_t count;
    static const char digits[] = "0123456789abcdef";
    uint64_t rest = ++count;
    for (int i = 35; i >= 24; i--, rest >>= 4) id[i] = digits[rest & 15];
}

static void send_rest(struct connection *c) {
    struct kind *k = &kinds[c->now.kind];
    if (c->sent == 0 && k->id != NULL) stamp(k->id);
    while (c->sent < k->size) {
        ssize_t n = send(c->fd, k->request + c->sent, k->size - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            /* What is broken is told by the read side, which may hold an answer as well. */
            if (errno == EAGAIN) watch_writable(c, 1);
            return;
        }
        c->sent += (size_t)n;
    }
    watch_writable(c, 0);
}

static void begin(struct connection *c, int kind, int64_t intended_ns, int waited) {
    enum state before = c->state;
    busy++;
    c->got = c->sent = 0;
    c->state = BUSY;
    int64_t now = now_ns();
    c->now = (struct record){.intended_ns = intended_ns ? intended_ns : now, .sent_ns = now, .kind = (uint16_t)kind,
                             .waited = (uint8_t)waited};
    if (before == CLOSED && !dial(c)) {
        c->state = CLOSED;
        closed[closeds++] = (int)(c - connections);
        finish(c, REFUSED, 0);
        return;
    }
    send_rest(c);
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static int judge(const struct connection *c, const struct answer *a) {
    const struct kind *k = &kinds[c->now.kind];
    if (k->any_status) return RIGHT;
    if (a->status != 200) return WRONG_STATUS;
    if (k->answer == NULL) return RIGHT;
    return a->size == k->answer_size && memcmp(a->body, k->answer, a->size) == 0 ? RIGHT : WRONG_BODY;
}

static void fail(struct connection *c, int outcome) {
    shut(c);
    finish(c, outcome, 0);
}

/* Reads what is there, which may end the request. */
static void receive(struct connection *c) {
    if (c->state == CLOSED) return;
    if (c->got == c->capacity) {
        c->data = realloc(c->data, c->capacity = c->capacity ? 2 * c->capacity : 4096);
        if (c->data == NULL) die("answer");
    }
    ssize_t n = recv(c->fd, c->data + c->got, c->capacity - c->got, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (c->state == IDLE) { /* closed, or bytes that nobody asked for: either way it is of no use any more */
        shut(c);
        return;
    }
    if (n <= 0) {
        fail(c, n < 0 && errno == ECONNREFUSED ? REFUSED : BROKEN);
        return;
    }
    c->got += (size_t)n;
    struct answer a;
    int whole = parse_answer(c->data, c->got, &a);
    if (whole == 0) return;
    if (whole < 0 || c->got != a.whole) {
        fail(c, MALFORMED);
        return;
    }
    int outcome = judge(c, &a), unsent = c->sent < kinds[c->now.kind].size;
    if (a.closes || unsent) shut(c);
    else c->state = IDLE, idle[idles++] = (int)(c - connections);
    finish(c, outcome, a.status);
}

static void end_overdue(void) {
    int64_t now = now_ns();
    for (int i = 0; i < limit; i++)
        if (connections[i].state == BUSY && now - connections[i].now.sent_ns > timeout_ns)
            fail(&connections[i], TIMED_OUT);
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static void burn(void) {
    struct timespec t;
    int64_t until = 0, now;
    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        now = t.tv_sec * SECOND + t.tv_nsec;
        if (until == 0) until = now + burn_ns;
    } while (now < until);
}

/* Closed loop: as many requests as are to be in flight. At once after each answer, for a burst of answers followed by
 * a burst of requests would let the server idle in between. */
static void refill(void) {
    while (busy < limit && refused_since_ns == 0 && now_ns() < again_until_ns) {
        if (burn_ns) burn();
        begin(take_free(), order[order_next], 0, 0);
        order_next = (order_next + 1) % order_length;
    }
}

/* Waits until `until_ns` at the latest for answers, and takes them. */
static void turn(int64_t until_ns) {
    static int64_t scanned;
    struct epoll_event events[256];
    int64_t now = now_ns(), pause = until_ns - now;
    if (pause > SECOND / 10) pause = SECOND / 10;
    if (pause < 0) pause = 0;
    struct timespec wait = {.tv_nsec = pause};
    int n = (int)syscall(SYS_epoll_pwait2, epoll, events, 256, &wait, NULL, 0);
    if (n < 0 && errno == ENOSYS) n = epoll_wait(epoll, events, 256, (int)((pause + 999999) / 1000000));
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
        struct connection *c = &connections[events[i].data.u32];
        if (events[i].events & EPOLLOUT && c->state == BUSY) send_rest(c);
        if (events[i].events & ~(uint32_t)EPOLLOUT) {
            receive(c);
            if (again_until_ns) refill();
        }
    }
    if (now - scanned > SECOND / 10) {
        end_overdue();
        scanned = now;
    }
    if (refused_since_ns != 0 && now - refused_since_ns > MAX_REFUSED_NS) {
        fprintf(stderr, "load: nobody listens any more\n");
        exit(3);
    }
}

static void run_closed(int64_t until_ns) {
    again_until_ns = until_ns;
    while (now_ns() < until_ns) {
        int64_t refused = refused_since_ns;
        refused_since_ns = 0; /* one attempt, then a pause */
        refill();
        if (refused_since_ns != 0 && refused != 0) refused_since_ns = refused;
        turn(refused_since_ns ? now_ns() + SECOND / 1000 : until_ns);
    }
    while (busy > 0) turn(INT64_MAX / 2);
}

static void run_open(int64_t start_ns, const struct planned *plan, size_t length, int64_t spin_ns) {
    int waited = 0;
    for (size_t next = 0; next < length || busy > 0;) {
        while (next < length && start_ns + plan[next].at_ns <= now_ns()) {
            /* Before one more is opened: an answer that lies there unread makes a connection free. */
            if (idles == 0) turn(0);
            struct connection *c = take_free();
            if (c == NULL) {
                waited = 1;
                break;
            }
            begin(c, (int)plan[next].kind, start_ns + plan[next].at_ns, waited);
            waited = 0;
            next++;
        }
        turn(next < length && !waited ? start_ns + plan[next].at_ns - spin_ns : INT64_MAX / 2);
    }
}

static void load_kinds(char **specs, int count) {
    kinds = calloc((size_t)count, sizeof *kinds);
    for (int i = 0; i < count; i++) {
        char *answer = strchr(specs[i], ':');
        if (answer == NULL) die("KIND is REQUEST:ANSWER");
        *answer++ = 0;
        struct kind *k = &kinds[i];
        k->request = read_file(specs[i], &k->size);
        static const char name[] = "X-Azure-Functions-InvocationId: ";
        k->id = memmem(k->request, k->size, name, sizeof name - 1);
        if (k->id != NULL) {
            char first[9];
            snprintf(first, sizeof first, "%08x", (unsigned)getpid());
            k->id += sizeof name - 1;
            memcpy(k->id, first, 8);
        }
        k->any_status = strcmp(answer, "-") == 0;
        if (!k->any_status && strcmp(answer, "200") != 0) k->answer = read_file(answer, &k->answer_size);
    }
}

static void make_room(size_t requests) {
    idle = malloc(2 * (size_t)limit * sizeof *idle);
    closed = malloc(2 * (size_t)limit * sizeof *closed);
    connections = calloc((size_t)limit, sizeof *connections);
    record_room = requests < 1024 ? 1024 : requests;
    records = calloc(record_room, sizeof *records);
    if (idle == NULL || closed == NULL || connections == NULL || records == NULL) die("memory");
    memset(records, 1, record_room * sizeof *records); /* touched now rather than while it is measured */
    for (int i = limit; i-- > 0;) closed[closeds++] = i;
    struct rlimit files = {.rlim_cur = (rlim_t)limit + 64};
    struct rlimit has;
    if (getrlimit(RLIMIT_NOFILE, &has) == 0 && has.rlim_cur < files.rlim_cur) {
        files.rlim_max = has.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0) die("open files");
    }
}

static void write_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') printf("\\%c", *text);
        else if ((unsigned char)*text < 32) printf("\\u%04x", (unsigned char)*text);
        else putchar((unsigned char)*text < 127 ? *text : '?');
    }
    putchar('"');
}

int main(int argc, char **argv) {
    if (argc < 9) return 2;
    int open_loop = strcmp(argv[5], "open") == 0;
    if (argc < (open_loop ? 10 : 12)) return 2;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    timeout_ns = (int64_t)(atof(argv[3]) * (double)SECOND);
    limit = atoi(argv[6]);
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0); /* wake for a planned send at its time, not up to 50 us later */
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll");
    size_t length;
    char *plan = read_file(open_loop ? argv[7] : argv[10], &length);
    if (open_loop) length /= sizeof(struct planned);
    if (length == 0 || limit < 1) return 2;
    int first = open_loop ? 9 : 11;
    load_kinds(argv + first, argc - first);
    make_room(open_loop ? length : 1 << 16);

    int64_t start = atoll(argv[4]), from, until = 0;
    struct timespec then = {.tv_sec = start / SECOND, .tv_nsec = start % SECOND};
    while (start != 0 && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL) == EINTR) continue;
    if (start == 0) start = now_ns();
    from = start;
    struct rusage used;
    if (open_loop) {
        run_open(start, (const struct planned *)plan, length, atoll(argv[8]) * 1000);
    } else {
        from = start + (int64_t)(atof(argv[7]) * (double)SECOND);
        until = from + (int64_t)(atof(argv[8]) * (double)SECOND);
        burn_ns = atoll(argv[9]) * 1000;
        order = plan;
        order_length = length;
        run_closed(until);
    }
    int64_t end = now_ns();
    getrusage(RUSAGE_SELF, &used);

    FILE *file = fopen(argv[2], "wb");
    if (file == NULL || fwrite(records, sizeof *records, recorded, file) != recorded || fclose(file) != 0)
        die(argv[2]);
    printf("{\"start_ns\":%lld,\"from_ns\":%lld,\"until_ns\":%lld,\"end_ns\":%lld,\"cpu_s\":%.6f,\"opened\":%lld,",
           (long long)start, (long long)from, (long long)(until ? until : end), (long long)end,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
           (long long)opened);
    printf("\"failures\":%lld,\"first_wrong\":", (long long)failures);
    write_string(first_wrong);
    printf("}\n");
    return 0;
}
