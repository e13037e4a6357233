-- id       = "net-spam-fanout"
-- title    = "Workload sends mail to many servers"
-- severity = "high"
-- attack   = ["T1496"]
-- csf      = ["DE.CM-1", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_edges"]
-- every    = "15m"
-- window   = "24h"
-- entity   = ["workload"]
-- quiet    = "24h"
-- message  = "{workload} tried {servers} mail servers on port 25 in an hour that it had not called before{usual}"
-- impact   = ["workload", "interface_id"]
-- misses   = """
--   Mail through a relay, and on the submission ports 465 and 587, where servers want a password. What AWS's
--   block on port 25 stops before the interface. Less than ten new servers an hour, and those in a network (/24)
--   that was learnt on port 25."""
-- false_positives = """
--   A mail relay of your own. Networks that baseline_edges knows do not count. It meets new ones all the time, so
--   once six of its hours in the window are known, it takes three times as many servers as in 95% of them. What
--   is always refused is never learnt, and neither are records that name no service, group or interface."""

WITH flows AS (
    SELECT
        -- Both named as baselines do.
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        CASE
            WHEN pkt_dst_aws_service <> 'EC2' THEN concat('aws:', pkt_dst_aws_service)
            ELSE ip_network(coalesce(pkt_dstaddr, dstaddr))
        END AS network,
        coalesce(pkt_dstaddr, dstaddr) AS address,
        date_bin(INTERVAL '30 minutes', start_time) AS slot,
        action, interface_id, srcaddr, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE protocol = 6 AND dstport = 25 AND action IS NOT NULL
      AND coalesce(flow_direction, 'egress') = 'egress'
      AND coalesce(interface_type, '-') <> 'nat_gateway'
      -- Who began: by flags, or else the side with the higher port.
      AND coalesce((tcp_flags & 18) = 2, srcport > dstport)
      AND NOT is_private_ip(dstaddr)
      AND start_time >= $window_start AND start_time < $window_end
),
known AS (
    SELECT entity AS workload, subject, first_seen
    FROM baseline_edges
    WHERE measure = 'out' AND state <> 'expired'
),
-- Each server counts in the half hour of its first call only, and not where its network was learnt.
history AS (
    SELECT f.workload, f.address, f.slot
    FROM (
        SELECT workload, address, min(network) AS network, min(slot) AS slot, min(start_time) AS first_seen
        FROM flows
        GROUP BY workload, address
    ) f
    -- A baseline that has this very day in it does not make its news old.
    LEFT JOIN known k
        ON k.workload = f.workload AND k.subject = concat(f.network, ':25/6') AND k.first_seen < f.first_seen
    WHERE k.workload IS NULL
),
halves AS (
    SELECT workload, slot, count(*) AS servers
    FROM history
    GROUP BY workload, slot
),
-- Hours that overlap by half, so that a burst over the edge of one lies inside of the next.
hours AS (
    SELECT workload, slot - h.back AS hour, sum(servers) AS servers
    FROM halves
    CROSS JOIN (VALUES (INTERVAL '0 minutes'), (INTERVAL '30 minutes')) AS h (back)
    GROUP BY workload, slot - h.back
),
-- A relay is known by the hours that lie a day and more back.
usual AS (
    SELECT
        c.workload, c.hour, c.servers,
        count(h.servers) AS samples,
        CASE
            WHEN count(h.servers) >= 6
                THEN CAST(approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(h.servers AS DOUBLE)) AS DOUBLE)
        END AS p95
    FROM hours c
    LEFT JOIN hours h ON h.workload = c.workload AND h.hour <= c.hour - INTERVAL '6 hours'
    WHERE c.servers >= 10
    GROUP BY c.workload, c.hour, c.servers
),
found AS (
    SELECT * FROM usual WHERE servers >= 3 * coalesce(p95, 0)
),
-- Back to half hours, which do not overlap, so that no record counts twice.
slots AS (
    SELECT workload, hour + h.back AS slot, max(servers) AS servers, max(p95) AS p95, max(samples) AS samples
    FROM found
    CROSS JOIN (VALUES (INTERVAL '0 minutes'), (INTERVAL '30 minutes')) AS h (back)
    GROUP BY workload, hour + h.back
)
SELECT
    min(f.start_time) AS first_seen,
    max(f.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', f._source, f._line) AS evidence,
    s.workload,
    s.servers,
    count(*) FILTER (WHERE f.action = 'ACCEPT') AS let_out,
    CASE
        WHEN s.p95 IS NULL THEN ''
        ELSE concat('; of ', s.samples, ' earlier hours 95% had at most ', CAST(ceil(s.p95) AS BIGINT))
    END AS usual,
    min(f.interface_id) AS interface_id,
    min(f.srcaddr) AS srcaddr,
    min(f.account_id) AS account_id,
    min(f.region) AS region
FROM slots s
JOIN flows f ON f.workload = s.workload AND f.slot = s.slot
GROUP BY s.workload, s.slot, s.servers, s.p95, s.samples
