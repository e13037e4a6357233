-- id       = "net-dns-bypass"
-- title    = "Name resolution past the VPC's own resolver"
-- severity = "medium"
-- attack   = ["T1071.004", "T1048.003"]
-- csf      = ["DE.CM-1", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- optional = ["own_addresses", "baseline_edges"]
-- every    = "15m"
-- window   = "24h"
-- learn    = "6h"
-- entity   = ["workload", "way"]
-- quiet    = "24h"
-- message  = "{workload} asks {resolvers} resolver(s) outside by {way}, one of them {address}: at most {peak_flows} flows an hour and {peak_kilobytes} kB a day{why}"
-- impact   = ["workload", "interface_id"]
-- keep     = ["flows"]
-- misses   = """
--   The VPC's own resolver, which flow logs never show, and so a tunnel through it. Resolvers by HTTPS
--   that are not among the well-known ones. Resolvers inside. Another resolver in a network (/24) that was learnt
--   on that port, unless it takes as much as a tunnel. Nothing is learnt of records that name no service, group
--   or interface."""
-- false_positives = """
--   Resolvers of your own outside: name their addresses in the table own_addresses. What baseline_edges knows is
--   silent without much volume; where it does not know the workload for 14 days, what was so from the first hours
--   of the window on is low."""

WITH flows AS (
    SELECT
        -- Both named as baselines do.
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        CASE
            WHEN pkt_dst_aws_service <> 'EC2' THEN concat('aws:', pkt_dst_aws_service)
            ELSE ip_network(coalesce(pkt_dstaddr, dstaddr))
        END AS network,
        coalesce(pkt_dstaddr, dstaddr) AS address, dstport, protocol,
        CASE dstport WHEN 53 THEN 'DNS' WHEN 853 THEN 'DNS over TLS' ELSE 'DNS over HTTPS' END AS way,
        date_bin(INTERVAL '1 hour', start_time) AS hour,
        bytes, interface_id, srcaddr, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol IN (6, 17)
      AND coalesce(flow_direction, 'egress') = 'egress'
      AND coalesce(interface_type, '-') <> 'nat_gateway'
      AND srcport > dstport
      AND (dstport IN (53, 853)
        -- Public resolvers of Cloudflare, Google, Quad9, OpenDNS, AdGuard.
        OR dstport = 443 AND coalesce(pkt_dstaddr, dstaddr) IN (
            '1.1.1.1', '1.0.0.1', '1.1.1.2', '1.0.0.2', '1.1.1.3', '1.0.0.3', '8.8.8.8', '8.8.4.4', '9.9.9.9',
            '149.112.112.112', '9.9.9.10', '9.9.9.11', '208.67.222.222', '208.67.220.220', '94.140.14.14',
            '94.140.15.15', '2606:4700:4700::1111', '2606:4700:4700::1001', '2001:4860:4860::8888',
            '2001:4860:4860::8844', '2620:fe::fe', '2620:fe::9'))
      AND NOT is_private_ip(dstaddr)
      AND start_time >= $window_start AND start_time < $window_end
),
-- NAT gateways pass on what others ask.
gateways AS (
    SELECT interface_id
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND flow_direction = 'ingress' AND pkt_dstaddr <> dstaddr
      AND dstport IN (53, 443, 853) AND NOT is_private_ip(pkt_dstaddr) AND is_private_ip(dstaddr)
    GROUP BY interface_id
),
allowed AS (
    SELECT DISTINCT f.address
    FROM (SELECT DISTINCT address FROM flows) f
    JOIN own_addresses o ON ip_in_cidr(f.address, o.address)
),
asked AS (
    SELECT f.*
    FROM flows f
    WHERE f.interface_id NOT IN (SELECT interface_id FROM gateways WHERE interface_id IS NOT NULL)
      AND f.address NOT IN (SELECT address FROM allowed)
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
    WHERE measure = 'out' AND state <> 'expired'
),
news AS (
    SELECT f.workload, f.address, f.dstport, f.protocol
    FROM (
        SELECT workload, address, dstport, protocol, min(network) AS network, min(start_time) AS first_seen
        FROM asked
        GROUP BY workload, address, dstport, protocol
    ) f
    -- A baseline that has this very day in it does not make its news old.
    LEFT JOIN known k
        ON k.workload = f.workload AND k.subject = concat(f.network, ':', f.dstport, '/', f.protocol)
       AND k.first_seen < f.first_seen
    WHERE k.workload IS NULL
),
marked AS (
    SELECT a.*, n.workload IS NOT NULL AS is_new
    FROM asked a
    LEFT JOIN news n
        ON n.workload = a.workload AND n.address = a.address AND n.dstport = a.dstport AND n.protocol = a.protocol
),
hours AS (
    SELECT
        workload, way, hour, count(*) AS flows, sum(bytes) AS bytes,
        count(*) FILTER (WHERE is_new) AS new_flows, coalesce(sum(bytes) FILTER (WHERE is_new), 0) AS new_bytes
    FROM marked
    GROUP BY workload, way, hour
),
days AS (
    SELECT
        workload, way, date_bin(INTERVAL '24 hours', hour) AS day, max(flows) AS flows, sum(bytes) AS bytes,
        max(new_flows) AS new_flows, sum(new_bytes) AS new_bytes
    FROM hours
    GROUP BY 1, 2, 3
),
-- Of a tunnel all counts, else what is new.
peaks AS (
    SELECT
        workload, way, is_tunnel,
        CASE WHEN is_tunnel THEN flows ELSE new_flows END AS peak_flows,
        CASE WHEN is_tunnel THEN bytes ELSE new_bytes END AS peak_bytes
    FROM (
        SELECT
            workload, way, max(flows) AS flows, max(bytes) AS bytes, max(new_flows) AS new_flows,
            max(new_bytes) AS new_bytes, max(flows) >= 1000 OR max(bytes) >= 5000000 AS is_tunnel
        FROM days
        GROUP BY workload, way
    )
),
-- Since when the workload is known, to tell a habit from news.
history AS (
    SELECT w.workload, least(w.since, l.since) AS since
    FROM (
        SELECT coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload, min(start_time) AS since
        FROM vpc_flow
        WHERE action = 'ACCEPT' AND start_time >= $window_start AND start_time < $window_end
        GROUP BY 1
    ) w
    LEFT JOIN learnt l ON l.workload = w.workload
),
found AS (
    SELECT
        m.workload, m.way, p.is_tunnel, p.peak_flows, p.peak_bytes,
        min(m.start_time) AS first_seen,
        max(m.end_time) AS last_seen,
        count(*) AS count,
        evidence('vpc_flow', m._source, m._line) AS evidence,
        count(DISTINCT m.address) AS resolvers,
        min(m.address) AS address,
        min(m.interface_id) AS interface_id,
        min(m.srcaddr) AS srcaddr,
        min(m.account_id) AS account_id,
        min(m.region) AS region
    FROM marked m
    JOIN peaks p ON p.workload = m.workload AND p.way = m.way
    WHERE m.is_new OR p.is_tunnel
    GROUP BY m.workload, m.way, p.is_tunnel, p.peak_flows, p.peak_bytes
)
SELECT
    f.first_seen,
    f.last_seen,
    f.count,
    f.evidence,
    f.workload,
    f.way,
    f.resolvers,
    f.address,
    f.peak_flows,
    CAST(round(f.peak_bytes / 1e3) AS BIGINT) AS peak_kilobytes,
    f.interface_id,
    f.srcaddr,
    f.account_id,
    f.region,
    CASE
        WHEN f.is_tunnel THEN ', as much as a tunnel takes'
        WHEN f.first_seen < h.since + CAST($learn AS INTERVAL) THEN ', as from its first hours on'
        ELSE ''
    END AS why,
    CASE
        WHEN f.is_tunnel THEN 'high'
        WHEN f.first_seen < h.since + CAST($learn AS INTERVAL) THEN 'low'
        ELSE 'medium'
    END AS severity
FROM found f
JOIN history h ON h.workload = f.workload
