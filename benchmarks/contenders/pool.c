/* The same process model as fastworker's with the same work, in C: what the machine itself makes of it.
 *
 * Worker processes share one epoll; a request wakes one of them (EPOLLONESHOT), which reads it, works, answers, and arms
 * the connection again. The first process only accepts. They share their table of descriptors (CLONE_FILES), so that
 * nothing is handed over. /work computes as many rounds of SHA-256 as Python would and answers with the same digest; then
 * it goes on for as long as Python takes for these rounds, which is longer: the service time is Python's, without the
 * interpreter. No board, no deadlines, no logs.
 * usage: pool PORT PROCESSES ROUNDS_PER_MS PYTHONS_RATE: the rounds of a job's millisecond, and those that Python makes in one now
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http_request.h"

enum { DIGEST = 32, BLOCK = 1024, STACK = 1 << 20 };

static unsigned char *(*sha256)(const unsigned char *, size_t, unsigned char *);
static int epoll;
static double rounds_per_ms, pythons_rate, own_rate;

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* As benchmarks/functions/work.py: each round hashes a block and the digest before it. */
static void burn(long rounds, unsigned char *digest) {
    unsigned char data[BLOCK + DIGEST];
    size_t size = BLOCK;
    for (int i = 0; i < BLOCK; i++) data[i] = (unsigned char)i;
    for (long round = 0; round < rounds; round++, size = BLOCK + DIGEST) {
        sha256(data, size, digest);
        memcpy(data + BLOCK, digest, DIGEST);
    }
}

static void calibrate(void) {
    unsigned char digest[DIGEST];
    for (int i = 0; i < 40; i++) {
        double began = cpu_ms();
        burn(2000, digest);
        double rate = 2000 / (cpu_ms() - began);
        if (rate > own_rate) own_rate = rate;
    }
}

static int answer(int connection, const struct stream *s, size_t body) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *job = memmem(s->data + body, s->body_end - body, "\"job\":\"", 7);
    if (strncmp(s->data, "POST /work ", 11) != 0 || job == NULL) {
        static const char none[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
        return write(connection, none, sizeof none - 1) == sizeof none - 1;
    }
    double ms = atof(job + 7);
    long rounds = (long)(ms * rounds_per_ms + 0.5), rest = (long)((double)rounds * (own_rate / pythons_rate - 1));
    unsigned char digest[DIGEST + 1] = {0}, ignored[DIGEST];
    burn(rounds > 0 ? rounds : 1, digest);
    if (rest > 0) burn(rest, ignored);
    char base64[45] = {0}, text[128], out[512];
    for (int i = 0; i < DIGEST; i += 3) {
        uint32_t three = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | (i + 2 < DIGEST ? digest[i + 2] : 0);
        for (int j = 0; j < 4; j++) base64[i / 3 * 4 + j] = digits[three >> (18 - 6 * j) & 63];
    }
    base64[43] = '='; /* 32 bytes are ten threes and a two */
    int length = snprintf(text, sizeof text, "{\"Outputs\":{},\"Logs\":[],\"ReturnValue\":\"%s\"}", base64);
    int size = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                        length, text);
    return write(connection, out, (size_t)size) == size;
}

/* One request from a connection that has something to read. 0: the connection is over. */
static int exchange(int connection, struct stream *s) {
    size_t body, whole;
    s->length = s->chunk = s->body_end = 0;
    do {
        if (s->length == s->capacity && (s->data = realloc(s->data, s->capacity *= 2)) == NULL) return 0;
        ssize_t got = read(connection, s->data + s->length, s->capacity - s->length);
        if (got <= 0) return 0;
        s->length += (size_t)got;
    } while ((whole = whole_request(s, &body)) == 0);
    return whole == s->length && answer(connection, s, body);
}

static int work(void *unused) {
    (void)unused;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct stream s = {.data = malloc(1 << 16), .capacity = 1 << 16};
    for (;;) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
        int connection = event.data.fd;
        if (!exchange(connection, &s)) {
            close(connection);
            continue;
        }
        event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.fd = connection};
        epoll_ctl(epoll, EPOLL_CTL_MOD, connection, &event);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    void *library = dlopen("libcrypto.so.3", RTLD_NOW);
    if (library == NULL) library = dlopen("libcrypto.so.1.1", RTLD_NOW);
    if (library == NULL || (*(void **)&sha256 = dlsym(library, "SHA256")) == NULL) {
        fprintf(stderr, "pool: no libcrypto with SHA256\n");
        return 4;
    }
    rounds_per_ms = atof(argv[3]);
    pythons_rate = atof(argv[4]);
    calibrate();
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) {
        perror("pool");
        return 4;
    }
    epoll = epoll_create1(0);
    for (int i = 0; i < atoi(argv[2]); i++) {
        char *stack = malloc(STACK);
        if (stack == NULL || clone(work, stack + STACK, CLONE_FILES | SIGCHLD, NULL) < 0) return 4;
    }
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) continue;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = connection};
        epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &event);
    }
}
