-- id       = "net-mining"
-- title    = "Steady small talk with a mining pool's port"
-- severity = "medium"
-- attack   = ["T1496.001"]
-- csf      = ["DE.CM-1", "DE.AE-4", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- optional = ["container_insights"]
-- every    = "15m"
-- window   = "24h"
-- entity   = ["workload", "address"]
-- quiet    = "24h"
-- message  = "{workload} talks to {address} on port {port} without a pause for {minutes} minutes, {kilobytes_a_minute} kB a minute in both directions{cpu}"
-- impact   = ["workload", "interface_id", "address"]
-- misses   = """
--   Pools on ports 80 and 443, or behind a proxy. Less than half an hour."""
-- false_positives = """
--   Another service on one of these ports that keeps a connection open. Where Container Insights shows the
--   processor at nine tenths of what is reserved, the alert is high."""

WITH flows AS (
    SELECT
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        coalesce(flow_direction = 'egress', is_private_ip(srcaddr)) AS is_out,
        CASE WHEN coalesce(flow_direction = 'egress', is_private_ip(srcaddr)) THEN coalesce(pkt_dstaddr, dstaddr) ELSE coalesce(pkt_srcaddr, srcaddr) END AS address,
        CASE WHEN coalesce(flow_direction = 'egress', is_private_ip(srcaddr)) THEN dstport ELSE srcport END AS port,
        CASE WHEN coalesce(flow_direction = 'egress', is_private_ip(srcaddr)) THEN srcport ELSE dstport END AS own_port,
        date_bin(INTERVAL '5 minutes', start_time) AS slot,
        bytes, ecs_task_id, interface_type, interface_id, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol = 6
      AND (dstport IN (3333, 4444, 5555, 7777, 14433, 14444, 45700) OR srcport IN (3333, 4444, 5555, 7777, 14433, 14444, 45700))
      AND start_time >= $window_start AND start_time < $window_end
),
gateways AS (
    SELECT interface_id
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol = 6 AND flow_direction = 'ingress' AND pkt_dstaddr <> dstaddr
      AND dstport IN (3333, 4444, 5555, 7777, 14433, 14444, 45700)
      AND NOT is_private_ip(pkt_dstaddr) AND is_private_ip(dstaddr)
    GROUP BY interface_id
),
-- Ours is the side with the higher port: the pool listens, we call.
calls AS (
    SELECT *
    FROM flows
    WHERE port IN (3333, 4444, 5555, 7777, 14433, 14444, 45700) AND own_port >= 1024 AND own_port <> port
      AND NOT is_private_ip(address)
      AND coalesce(interface_type, '-') <> 'nat_gateway'
      AND interface_id NOT IN (SELECT interface_id FROM gateways WHERE interface_id IS NOT NULL)
),
talks AS (
    SELECT
        workload, interface_id, address, port,
        min(start_time) AS first_seen,
        max(end_time) AS last_seen,
        sum(n) AS count,
        count(*) AS slots,
        sum(sent) AS sent, sum(received) AS received,
        min(ecs_task_id) AS ecs_task_id, min(account_id) AS account_id, min(region) AS region
    FROM (
        SELECT
            workload, interface_id, address, port, slot, min(ecs_task_id) AS ecs_task_id,
            min(start_time) AS start_time, max(end_time) AS end_time, count(*) AS n,
            coalesce(sum(bytes) FILTER (WHERE is_out), 0) AS sent,
            coalesce(sum(bytes) FILTER (WHERE NOT is_out), 0) AS received,
            min(account_id) AS account_id, min(region) AS region
        FROM calls
        GROUP BY workload, interface_id, address, port, slot
    )
    GROUP BY workload, interface_id, address, port
),
steady AS (
    SELECT
        *,
        (date_part('epoch', last_seen) - date_part('epoch', first_seen)) / 60 AS minutes
    FROM talks
    WHERE last_seen >= first_seen + INTERVAL '30 minutes'
      AND sent > 0 AND received > 0
      -- Something in nearly every five minutes from the first to the last; records of ten minutes count for two.
      AND slots * 10 >= 0.8 * (date_part('epoch', last_seen) - date_part('epoch', first_seen)) / 60
),
-- Processor used of what is reserved, per task, while Container Insights looked.
processor AS (
    SELECT task_id, median(cpu_utilized / cpu_reserved) AS used
    FROM container_insights
    WHERE type = 'Task' AND cpu_reserved > 0 AND task_id IS NOT NULL AND cpu_utilized IS NOT NULL
    GROUP BY task_id
),
found AS (
    SELECT s.*, p.used, coalesce(p.used >= 0.9, false) AS is_busy
    FROM steady s
    LEFT JOIN processor p ON p.task_id = s.ecs_task_id
    WHERE s.sent < 50000 * s.minutes AND s.received < 50000 * s.minutes
)
SELECT
    f.first_seen,
    f.last_seen,
    f.count,
    evidence('vpc_flow', c._source, c._line) AS evidence,
    f.workload,
    f.address,
    f.port,
    CAST(floor(f.minutes) AS BIGINT) AS minutes,
    CAST(ceil((f.sent + f.received) / f.minutes / 1000) AS BIGINT) AS kilobytes_a_minute,
    CASE WHEN f.used IS NULL THEN '' ELSE concat('; its processor is used to ', CAST(round(100 * f.used) AS BIGINT), '%') END AS cpu,
    f.interface_id,
    f.ecs_task_id,
    f.account_id,
    f.region,
    CASE WHEN f.is_busy THEN 'high' ELSE 'medium' END AS severity
FROM found f
JOIN calls c ON c.interface_id = f.interface_id AND c.address = f.address AND c.port = f.port
GROUP BY f.first_seen, f.last_seen, f.count, f.workload, f.address, f.port, f.minutes, f.sent, f.received, f.used, f.is_busy,
    f.interface_id, f.ecs_task_id, f.account_id, f.region
