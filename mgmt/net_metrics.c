// SPDX-License-Identifier: Apache-2.0
// The IP stack's counters in /metrics; apart from mgmt/hcs because the host build has no such stack.
#include "mgmt/net_metrics.h"

#include "mgmt/hcs/metrics.h"
#include "net/net.h"

static void net_metrics(struct metrics *m)
{
    struct net_stats s = {0};

    net_stats(&s);
    metrics_counter(m, "net_rx_frames_total", s.rx_frames);
    metrics_counter(m, "net_rx_bytes_total", s.rx_bytes);
    metrics_counter(m, "net_rx_dropped_total", s.rx_dropped);
    metrics_counter(m, "net_tx_frames_total", s.tx_frames);
    metrics_counter(m, "net_tx_bytes_total", s.tx_bytes);
    metrics_counter(m, "net_tx_dropped_total", s.tx_dropped);
    metrics_gauge(m, "net_tcp_connections", s.tcp_connections);
    metrics_gauge(m, "net_tcp_time_wait", s.tcp_time_wait);
    metrics_gauge(m, "net_pool_used", s.pool_used);
    metrics_counter(m, "net_pool_failures_total", s.pool_failures);
    metrics_gauge(m, "net_pool_bytes", s.pool_bytes_total);
    metrics_gauge(m, "net_heap_used_bytes", s.heap_used);
}

void net_metrics_init(void)
{
    static struct metrics_source source = {.write = net_metrics};

    metrics_source_add(&source);
}
