// SPDX-License-Identifier: Apache-2.0
// Streams over lwIP's raw TCP interface: the management partition's implementation of net/stream.h.
//
// lwIP's callbacks only note what happened and raise events; the user's code runs later from the event loop.
// So no user ever closes a connection from inside lwIP, where that needs special return values.
#include "net/stream.h"

#include "lwip/tcp.h"

#include <stdlib.h>
#include <string.h>

#define SMALL_SEGMENT 512 // is copied together with its neighbours
#define COMPACT_BYTES 2048
#define KEEPALIVE_IDLE_MS 60000
#define KEEPALIVE_INTERVAL_MS 10000
#define KEEPALIVE_COUNT 6
#define POLL_INTERVAL 2 // of tcp_poll(), in half seconds

struct lwip_stream {
    struct stream s;
    struct tcp_pcb *pcb;  // NULL when the connection is gone
    struct pbuf *rx;      // received, not yet read
    uint16_t rx_off;      // read from the first of them
    struct pbuf *compact; // last of rx if it collects small segments
    bool eof, broken, blocked;
    struct lwip_stream *next; // waiting for accept()
};

// What a listener needs beside the user's struct.
struct lwip_listener {
    struct stream_listener *user;
    struct tcp_pcb *pcb;
    struct lwip_stream *first, **last; // accepted by lwIP, not yet handed over
    struct plat_work work;
    bool gone;
};

static struct lwip_stream *ls_of(struct stream *s)
{
    return CONTAINER_OF(s, struct lwip_stream, s);
}

// --- receiving ---

// A peer that sends single bytes must not fill the pool of frames: small segments share a buffer.
static bool keep_small(struct lwip_stream *ls, struct pbuf *p)
{
    struct pbuf *c = ls->compact;

    if (!c || c->len + p->tot_len > COMPACT_BYTES) {
        c = pbuf_alloc(PBUF_RAW, COMPACT_BYTES, PBUF_RAM);
        if (!c) {
            return false;
        }
        c->len = c->tot_len = 0;
        if (ls->rx) {
            pbuf_cat(ls->rx, c);
        } else {
            ls->rx = c;
        }
        ls->compact = c;
    }
    pbuf_copy_partial(p, (char *)c->payload + c->len, p->tot_len, 0);
    c->len = (u16_t)(c->len + p->tot_len);
    for (struct pbuf *q = ls->rx; q; q = q->next) { // keep the chain's totals right
        q->tot_len = (u16_t)(q->tot_len + p->tot_len);
    }
    pbuf_free(p);
    return true;
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    struct lwip_stream *ls = arg;

    (void)pcb;
    (void)err;
    if (!p) {
        ls->eof = true;
    } else if (p->tot_len < SMALL_SEGMENT) {
        if (!keep_small(ls, p)) {
            return ERR_MEM; // lwIP keeps the segment and offers it again
        }
    } else {
        if (ls->rx) {
            pbuf_cat(ls->rx, p);
        } else {
            ls->rx = p;
        }
        ls->compact = NULL;
    }
    stream_raise(&ls->s, STREAM_READABLE);
    return ERR_OK;
}

// Drop the first n read bytes of the first buffer.
static void rx_advance(struct lwip_stream *ls, uint16_t n)
{
    struct pbuf *p = ls->rx;

    ls->rx_off = (uint16_t)(ls->rx_off + n);
    if (ls->rx_off < p->len) {
        return;
    }
    ls->rx_off = 0;
    if (p == ls->compact) {
        ls->compact = NULL;
    }
    ls->rx = p->next;
    p->next = NULL; // the rest of the chain is ours as it is
    p->tot_len = p->len;
    pbuf_free(p);
}

static long lwip_stream_read(struct stream *s, void *buf, size_t cap)
{
    struct lwip_stream *ls = ls_of(s);
    size_t done = 0;

    while (ls->rx && done < cap) {
        uint16_t n = (uint16_t)MIN((size_t)(ls->rx->len - ls->rx_off), cap - done);

        memcpy((char *)buf + done, (char *)ls->rx->payload + ls->rx_off, n);
        rx_advance(ls, n);
        done += n;
    }
    if (done > 0) {
        for (size_t left = done; ls->pcb && left > 0; left -= MIN(left, (size_t)0xffff)) {
            tcp_recved(ls->pcb, (u16_t)MIN(left, (size_t)0xffff));
        }
        return (long)done;
    }
    if (ls->broken) {
        return STREAM_ERROR;
    }
    return ls->eof ? STREAM_EOF : 0;
}

// --- sending ---

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    struct lwip_stream *ls = arg;

    (void)pcb;
    (void)len;
    if (ls->blocked) {
        ls->blocked = false;
        stream_raise(&ls->s, STREAM_WRITABLE);
    }
    return ERR_OK;
}

// Memory that was short may have come back without anything of ours being acknowledged.
static err_t on_poll(void *arg, struct tcp_pcb *pcb)
{
    return on_sent(arg, pcb, 0);
}

static size_t lwip_stream_write(struct stream *s, const void *data, size_t len)
{
    struct lwip_stream *ls = ls_of(s);
    const uint8_t *p = data;
    size_t done = 0;

    while (ls->pcb && done < len) {
        size_t n = MIN(MIN(len - done, (size_t)tcp_sndbuf(ls->pcb)), (size_t)0xffff);
        u8_t flags = TCP_WRITE_FLAG_COPY | (done + n < len ? TCP_WRITE_FLAG_MORE : 0);

        if (n == 0 || tcp_write(ls->pcb, p + done, (u16_t)n, flags) != ERR_OK) {
            ls->blocked = true;
            tcp_output(ls->pcb);
            break;
        }
        done += n;
    }
    return done;
}

static void lwip_stream_flush(struct stream *s)
{
    struct lwip_stream *ls = ls_of(s);

    if (ls->pcb) {
        tcp_output(ls->pcb);
    }
}

// --- the end ---

static void on_err(void *arg, err_t err)
{
    struct lwip_stream *ls = arg;

    (void)err;
    ls->pcb = NULL; // lwIP has freed it
    ls->broken = true;
    stream_raise(&ls->s, STREAM_READABLE);
}

static void release(struct stream *s)
{
    free(ls_of(s));
}

static void forget_pcb(struct lwip_stream *ls)
{
    tcp_arg(ls->pcb, NULL);
    tcp_recv(ls->pcb, NULL);
    tcp_sent(ls->pcb, NULL);
    tcp_err(ls->pcb, NULL);
    tcp_poll(ls->pcb, NULL, POLL_INTERVAL);
    ls->pcb = NULL;
}

static void drop_rx(struct lwip_stream *ls)
{
    if (ls->rx) {
        if (ls->pcb) { // or lwIP would answer the unread bytes with a reset
            tcp_recved(ls->pcb, (u16_t)(ls->rx->tot_len - ls->rx_off));
        }
        pbuf_free(ls->rx);
        ls->rx = ls->compact = NULL;
    }
}

static void lwip_stream_finish(struct stream *s)
{
    struct lwip_stream *ls = ls_of(s);

    if (ls->pcb) {
        tcp_shutdown(ls->pcb, 0, 1);
    }
}

static void lwip_stream_close(struct stream *s)
{
    struct lwip_stream *ls = ls_of(s);
    struct tcp_pcb *pcb = ls->pcb;

    drop_rx(ls);
    if (pcb) {
        forget_pcb(ls);
        tcp_setprio(pcb, TCP_PRIO_MIN); // what nobody owns any more makes room first
        if (tcp_close(pcb) != ERR_OK) {
            tcp_abort(pcb);
        }
    }
    stream_retire(s, release);
}

static void lwip_stream_abort(struct stream *s)
{
    struct lwip_stream *ls = ls_of(s);
    struct tcp_pcb *pcb = ls->pcb;

    drop_rx(ls);
    if (pcb) {
        forget_pcb(ls);
        tcp_abort(pcb);
    }
    stream_retire(s, release);
}

static void lwip_stream_peer(struct stream *s, struct stream_addr *out)
{
    struct lwip_stream *ls = ls_of(s);

    memset(out, 0, sizeof *out);
    if (!ls->pcb) {
        return;
    }
    out->port = ls->pcb->remote_port;
    out->ip_len = IP_IS_V4_VAL(ls->pcb->remote_ip) ? 4 : 16;
    if (out->ip_len == 4) {
        memcpy(out->ip, ip_2_ip4(&ls->pcb->remote_ip), 4);
    } else {
        memcpy(out->ip, ip_2_ip6(&ls->pcb->remote_ip)->addr, 16);
    }
}

static const struct stream_ops lwip_stream_ops = {
    .read = lwip_stream_read,
    .write = lwip_stream_write,
    .flush = lwip_stream_flush,
    .finish = lwip_stream_finish,
    .close = lwip_stream_close,
    .abort = lwip_stream_abort,
    .peer = lwip_stream_peer,
};

// --- listening ---

static void hand_over(struct plat_work *w)
{
    struct lwip_listener *l = CONTAINER_OF(w, struct lwip_listener, work);

    while (l->first) {
        struct lwip_stream *ls = l->first;

        l->first = ls->next;
        if (!l->first) {
            l->last = &l->first;
        }
        if (l->gone) {
            lwip_stream_abort(&ls->s);
        } else {
            l->user->accept(l->user, &ls->s);
        }
    }
    if (l->gone) {
        free(l);
    }
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
    struct lwip_listener *l = arg;
    struct lwip_stream *ls;

    if (err != ERR_OK || !pcb) { // lwIP reports that it had no memory for one
        return ERR_OK;
    }
    ls = calloc(1, sizeof *ls);
    if (!ls) {
        return ERR_MEM; // lwIP resets the connection
    }
    ls->s.ops = &lwip_stream_ops;
    ls->pcb = pcb;
    tcp_arg(pcb, ls);
    tcp_recv(pcb, on_recv);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_err);
    tcp_poll(pcb, on_poll, POLL_INTERVAL);
    tcp_nagle_disable(pcb);            // the layers above write whole records
    ip_set_option(pcb, SOF_KEEPALIVE); // a peer that vanished must not hold a long poll for ever
    pcb->keep_idle = KEEPALIVE_IDLE_MS;
    pcb->keep_intvl = KEEPALIVE_INTERVAL_MS;
    pcb->keep_cnt = KEEPALIVE_COUNT;
    *l->last = ls;
    l->last = &ls->next;
    plat_post(&l->work, hand_over);
    return ERR_OK;
}

static struct tcp_pcb *listening_pcb(uint16_t port)
{
    struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY), *listening;

    if (!pcb) {
        return NULL;
    }
    listening = tcp_bind(pcb, IP_ANY_TYPE, port) == ERR_OK ? tcp_listen(pcb) : NULL;
    if (!listening) {
        tcp_close(pcb);
    }
    return listening;
}

bool stream_listen(struct stream_listener *user, uint16_t port)
{
    struct lwip_listener *l = calloc(1, sizeof *l);

    if (!l) {
        return false;
    }
    l->user = user;
    l->last = &l->first;
    l->pcb = listening_pcb(port);
    if (!l->pcb) {
        free(l);
        return false;
    }
    tcp_arg(l->pcb, l);
    tcp_accept(l->pcb, on_accept);
    user->impl = l;
    user->port = l->pcb->local_port;
    return true;
}

void stream_unlisten(struct stream_listener *user)
{
    struct lwip_listener *l = user->impl;

    tcp_close(l->pcb);
    l->gone = true;
    user->impl = NULL;
    plat_post(&l->work, hand_over);
}
