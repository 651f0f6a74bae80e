// SPDX-License-Identifier: Apache-2.0
// Streams over Linux TCP sockets: the host's implementation of net/stream.h.
#include "net/stream.h"
#include "tests/sim/plat_host.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct host_stream {
    struct stream s;
    struct plat_fd file;
};

static struct host_stream *host_of(struct stream *s)
{
    return CONTAINER_OF(s, struct host_stream, s);
}

// poll() reports levels and streams report edges: an event is watched for only after a call has run dry.
static void on_file(struct plat_fd *f, short revents)
{
    struct host_stream *h = CONTAINER_OF(f, struct host_stream, file);

    if (revents & (POLLIN | POLLHUP | POLLERR)) {
        f->events &= (short)~POLLIN;
        stream_raise(&h->s, STREAM_READABLE);
    }
    if (revents & (POLLOUT | POLLERR)) {
        f->events &= (short)~POLLOUT;
        stream_raise(&h->s, STREAM_WRITABLE);
    }
    if (revents & (POLLHUP | POLLERR)) { // would be reported for ever
        plat_fd_remove(f);
    }
}

static long host_read(struct stream *s, void *buf, size_t cap)
{
    struct host_stream *h = host_of(s);
    ssize_t n = recv(h->file.fd, buf, cap, 0);

    if (n > 0) {
        return n;
    }
    if (n == 0) {
        return STREAM_EOF;
    }
    if (errno == EAGAIN || errno == EINTR) {
        h->file.events |= POLLIN;
        return 0;
    }
    return STREAM_ERROR;
}

static size_t host_write(struct stream *s, const void *data, size_t len)
{
    struct host_stream *h = host_of(s);
    ssize_t n = send(h->file.fd, data, len, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        stream_raise(s, STREAM_READABLE);
        return 0;
    }
    if (n < (ssize_t)len) {
        h->file.events |= POLLOUT;
    }
    return n < 0 ? 0 : (size_t)n;
}

static void host_finish(struct stream *s)
{
    shutdown(host_of(s)->file.fd, SHUT_WR);
}

static void host_release(struct stream *s)
{
    free(host_of(s));
}

static void host_close(struct stream *s)
{
    plat_fd_remove(&host_of(s)->file);
    close(host_of(s)->file.fd);
    stream_retire(s, host_release);
}

static void host_abort(struct stream *s)
{
    struct linger reset = {1, 0};

    setsockopt(host_of(s)->file.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    host_close(s);
}

static void host_peer(struct stream *s, struct stream_addr *out)
{
    struct sockaddr_in6 a;
    socklen_t len = sizeof a;

    memset(out, 0, sizeof *out);
    if (getpeername(host_of(s)->file.fd, (struct sockaddr *)&a, &len) < 0) {
        return;
    }
    out->port = ntohs(a.sin6_port);
    out->ip_len = IN6_IS_ADDR_V4MAPPED(&a.sin6_addr) ? 4 : 16;
    memcpy(out->ip, a.sin6_addr.s6_addr + 16 - out->ip_len, out->ip_len);
}

static const struct stream_ops host_ops = {
    .read = host_read,
    .write = host_write,
    .finish = host_finish,
    .close = host_close,
    .abort = host_abort,
    .peer = host_peer,
};

// --- listening ---

static void on_listener(struct plat_fd *f, short revents)
{
    struct stream_listener *l = f->user;
    int on = 1, fd;

    (void)revents;
    while ((fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct host_stream *h = calloc(1, sizeof *h);

        if (!h) {
            close(fd);
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        h->s.ops = &host_ops;
        h->file = (struct plat_fd){.fd = fd, .events = POLLIN, .fn = on_file};
        plat_fd_add(&h->file);
        l->accept(l, &h->s);
    }
}

// A socket for both families, so that one listener is enough.
static int listening_socket(uint16_t port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
    int on = 1, off = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 128) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool stream_listen(struct stream_listener *l, uint16_t port)
{
    struct sockaddr_in6 a;
    socklen_t len = sizeof a;
    struct plat_fd *f = calloc(1, sizeof *f);
    int fd = f ? listening_socket(port) : -1;

    if (fd < 0) {
        free(f);
        return false;
    }
    getsockname(fd, (struct sockaddr *)&a, &len);
    l->port = ntohs(a.sin6_port);
    l->impl = f;
    *f = (struct plat_fd){.fd = fd, .events = POLLIN, .fn = on_listener, .user = l};
    plat_fd_add(f);
    return true;
}

void stream_unlisten(struct stream_listener *l)
{
    struct plat_fd *f = l->impl;

    plat_fd_remove(f);
    close(f->fd);
    free(f);
    l->impl = NULL;
}
