-- id       = "net-unusual-proto"
-- title    = "Unusual protocol"
-- severity = "medium"
-- attack   = ["T1095"]
-- csf      = ["DE.AE-1"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_edges"]
-- every    = "15m"
-- window   = "24h"
-- learn    = "6h"
-- entity   = ["workload", "what"]
-- quiet    = "24h"
-- message  = "{workload} speaks {what} with {peer}, {why}: {packets} packets, {bytes} bytes"
-- impact   = ["workload", "interface_id"]
-- misses   = """
--   Tunnels inside of TCP and UDP. Echo packets of less than 500 bytes, or less than a megabyte an hour of
--   them. A protocol that was learnt, with whomever it is spoken now, and what was refused. Where baseline_edges
--   does not know the workload for 14 days, what it spoke in the first six hours of the window. Nothing is learnt
--   of records that name no service, group or interface."""
-- false_positives = """
--   VPN ends and overlay networks that begin. They are few: suppress them with an owner."""

WITH flows AS (
    SELECT
        -- As baselines name it.
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        protocol, date_bin(INTERVAL '1 hour', start_time) AS hour,
        CASE WHEN coalesce(flow_direction = 'egress', is_private_ip(srcaddr)) THEN dstaddr ELSE srcaddr END AS peer,
        coalesce(flow_direction = 'egress', is_private_ip(srcaddr)) AS is_out,
        packets, bytes, interface_id, srcaddr, dstaddr, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol NOT IN (6, 17)
      AND start_time >= $window_start AND start_time < $window_end
),
-- Workloads of which enough was learnt, and since when.
learnt AS (
    SELECT entity AS workload, min(first_seen) AS since
    FROM baseline_edges
    GROUP BY entity
    HAVING bool_or(state = 'ripe')
),
known AS (
    SELECT entity AS workload, subject, first_seen
    FROM baseline_edges
    WHERE measure = 'protocol' AND state <> 'expired'
),
-- Since when the workload is known, and which other protocols it spoke first when.
history AS (
    SELECT p.workload, p.protocol, p.first_seen, least(w.since, l.since) AS since
    FROM (SELECT workload, protocol, min(start_time) AS first_seen FROM flows GROUP BY workload, protocol) p
    JOIN (
        SELECT coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload, min(start_time) AS since
        FROM vpc_flow
        WHERE action = 'ACCEPT' AND start_time >= $window_start AND start_time < $window_end
        GROUP BY 1
    ) w ON w.workload = p.workload
    LEFT JOIN learnt l ON l.workload = p.workload
    -- A baseline that has this very day in it does not make its news old.
    LEFT JOIN known k
        ON k.workload = p.workload AND k.subject = CAST(p.protocol AS text) AND k.first_seen < p.first_seen
    WHERE k.workload IS NULL
),
fresh AS (
    SELECT h.workload, h.protocol
    FROM history h
    WHERE h.protocol NOT IN (1, 58) AND h.first_seen >= h.since + CAST($learn AS INTERVAL)
),
-- Echo packets are small unless they carry something.
heavy AS (
    SELECT workload, protocol, hour
    FROM flows
    WHERE protocol IN (1, 58)
    GROUP BY workload, protocol, hour
    HAVING sum(bytes) >= 1000000 AND sum(bytes) >= 500 * sum(packets)
),
odd AS (
    SELECT f.*, 'not once in its time before' AS why
    FROM fresh k
    JOIN flows f ON f.workload = k.workload AND f.protocol = k.protocol
    UNION ALL
    SELECT f.*, 'a megabyte and more in an hour in packets of 500 bytes and more' AS why
    FROM heavy k
    JOIN flows f ON f.workload = k.workload AND f.protocol = k.protocol AND f.hour = k.hour
)
SELECT
    min(start_time) AS first_seen,
    max(end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', _source, _line) AS evidence,
    workload,
    CASE protocol
        WHEN 1 THEN 'ICMP' WHEN 58 THEN 'ICMPv6' WHEN 2 THEN 'IGMP' WHEN 4 THEN 'IP in IP' WHEN 41 THEN 'IPv6 in IPv4'
        WHEN 47 THEN 'GRE' WHEN 50 THEN 'IPsec ESP' WHEN 51 THEN 'IPsec AH' WHEN 89 THEN 'OSPF' WHEN 103 THEN 'PIM'
        WHEN 112 THEN 'VRRP' WHEN 132 THEN 'SCTP'
        ELSE concat('IP protocol ', protocol)
    END AS what,
    protocol,
    peer,
    why,
    sum(packets) AS packets,
    sum(bytes) AS bytes,
    bool_or(is_out) AS is_out,
    min(interface_id) AS interface_id,
    min(srcaddr) AS srcaddr,
    min(dstaddr) AS dstaddr,
    min(account_id) AS account_id,
    min(region) AS region
FROM odd
GROUP BY workload, protocol, peer, why
