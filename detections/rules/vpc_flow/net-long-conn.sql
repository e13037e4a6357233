-- id       = "net-long-conn"
-- title    = "Connection to a rare target stays open for hours"
-- severity = "low"
-- attack   = ["T1572"]
-- csf      = ["DE.CM-1"]
-- reads    = ["connections", "vpc_flow"]
-- every    = "1h"
-- window   = "2d"
-- entity   = ["workload", "responder_addr", "responder_port"]
-- quiet    = "24h"
-- message  = "{workload} held a connection to {responder_addr} port {responder_port} for {hours} hours: {bytes_out} bytes out, {bytes_in} in"
-- impact   = ["workload", "interface_id"]
-- misses   = """
--   Channels that reconnect more often than every eight hours, and those to targets that other
--   workloads call too. Silence of more than an hour cuts a connection in two."""
-- false_positives = """
--   Websockets, tunnels and message brokers outside that one workload alone uses: suppress once known."""

-- NAT gateways pass on what others began.
WITH gateways AS (
    SELECT interface_id
    FROM vpc_flow
    WHERE flow_direction = 'ingress' AND pkt_dstaddr <> dstaddr AND NOT is_private_ip(pkt_dstaddr) AND is_private_ip(dstaddr)
    GROUP BY interface_id
),
outward AS (
    SELECT
        CASE
            WHEN c.interface_id = c.responder_interface_id THEN c.initiator_addr
            ELSE coalesce(c.ecs_service_name, c.interface_id, c.initiator_addr)
        END AS workload,
        c.*
    FROM connections c
    LEFT JOIN gateways g ON g.interface_id = c.interface_id
    WHERE g.interface_id IS NULL
      AND action = 'ACCEPT'
      AND protocol IN (6, 17)
      AND start_time >= $window_start AND start_time < $window_end
      AND NOT is_private_ip(responder_addr)
      AND is_private_ip(initiator_addr)
),
targets AS (
    SELECT responder_addr, responder_port, count(DISTINCT workload) AS callers
    FROM outward
    GROUP BY responder_addr, responder_port
)
SELECT
    o.start_time AS first_seen,
    o.end_time AS last_seen,
    o.records AS count,
    o._source,
    o._line,
    o.workload,
    o.initiator_addr,
    o.responder_addr,
    o.responder_port,
    o.protocol,
    CAST(date_part('epoch', o.end_time) - date_part('epoch', o.start_time) AS BIGINT) / 3600 AS hours,
    o.bytes_out,
    o.bytes_in,
    o.ending,
    o.initiator_by,
    o.interface_id,
    o.account_id
FROM outward o
JOIN targets t ON t.responder_addr = o.responder_addr AND t.responder_port = o.responder_port
WHERE t.callers = 1
  AND o.end_time - o.start_time >= INTERVAL '8 hours'
