-- id       = "net-dns-bypass"
-- title    = "Name resolution past the VPC's own resolver"
-- severity = "medium"
-- attack   = ["T1071.004", "T1048.003"]
-- csf      = ["DE.CM-1", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- optional = ["own_addresses"]
-- every    = "15m"
-- window   = "14d"
-- learn    = "6h"
-- entity   = ["workload", "way"]
-- quiet    = "24h"
-- message  = "{workload} asks {resolvers} resolver(s) outside by {way}, one of them {address}: at most {peak_flows} flows an hour and {peak_kilobytes} kB a day{why}"
-- impact   = ["workload", "interface_id"]
-- misses   = """
--   The VPC's own resolver, which flow logs never show, and so a tunnel through it. Resolvers by HTTPS
--   that are not among the well-known ones. Resolvers inside."""
-- false_positives = """
--   Resolvers of your own outside: name their addresses in the table own_addresses. What a workload did from
--   its first hours on, without much volume, is low."""

WITH flows AS (
    SELECT
        coalesce(ecs_service_name, interface_id, 'unknown') AS workload,
        coalesce(pkt_dstaddr, dstaddr) AS address,
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
hours AS (
    SELECT workload, way, hour, count(*) AS flows, sum(bytes) AS bytes
    FROM asked
    GROUP BY workload, way, hour
),
peaks AS (
    SELECT workload, way, max(flows) AS peak_flows
    FROM hours
    GROUP BY workload, way
),
days AS (
    SELECT workload, way, max(bytes) AS peak_bytes
    FROM (
        SELECT workload, way, date_bin(INTERVAL '24 hours', hour) AS day, sum(bytes) AS bytes
        FROM hours
        GROUP BY 1, 2, 3
    )
    GROUP BY workload, way
),
-- Since when the workload is known, to tell a habit from news.
history AS (
    SELECT coalesce(ecs_service_name, interface_id, 'unknown') AS workload, min(start_time) AS since
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND start_time >= $window_start AND start_time < $window_end
    GROUP BY 1
),
found AS (
    SELECT
        workload, way,
        min(start_time) AS first_seen,
        max(end_time) AS last_seen,
        count(*) AS count,
        evidence('vpc_flow', _source, _line) AS evidence,
        count(DISTINCT address) AS resolvers,
        min(address) AS address,
        min(interface_id) AS interface_id,
        min(srcaddr) AS srcaddr,
        min(account_id) AS account_id,
        min(region) AS region
    FROM asked
    GROUP BY workload, way
)
SELECT
    f.*,
    p.peak_flows,
    CAST(round(d.peak_bytes / 1e3) AS BIGINT) AS peak_kilobytes,
    CASE
        WHEN p.peak_flows >= 1000 OR d.peak_bytes >= 5000000 THEN ', as much as a tunnel takes'
        WHEN f.first_seen < h.since + CAST($learn AS INTERVAL) THEN ', as from its first hours on'
        ELSE ''
    END AS why,
    CASE
        WHEN p.peak_flows >= 1000 OR d.peak_bytes >= 5000000 THEN 'high'
        WHEN f.first_seen < h.since + CAST($learn AS INTERVAL) THEN 'low'
        ELSE 'medium'
    END AS severity
FROM found f
JOIN peaks p ON p.workload = f.workload AND p.way = f.way
JOIN days d ON d.workload = f.workload AND d.way = f.way
JOIN history h ON h.workload = f.workload
