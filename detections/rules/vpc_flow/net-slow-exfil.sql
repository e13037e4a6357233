-- id       = "net-slow-exfil"
-- title    = "Much data over many days to a destination that nobody else uses"
-- severity = "low"
-- attack   = ["T1030"]
-- csf      = ["DE.AE-1"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_edges", "baseline_volumes", "baseline_volumes_samples"]
-- every    = "24h"
-- window   = "8d"
-- learn    = "3d"
-- entity   = ["workload", "peer"]
-- quiet    = "7d"
-- message  = "{workload} sent {megabytes} MB to {peer} in seven days, on {days} dates, no hour above {peak_megabytes} MB; nobody else calls it, and all that the workload sends rose by {risen_megabytes} MB over its median day of {median_megabytes} MB"
-- impact   = ["workload", "peer", "megabytes"]
-- misses   = """
--   Less than a gigabyte in seven days. Destinations in AWS's own ranges other than customers' addresses,
--   and those that two workloads use. What takes the place of other traffic, so that the whole does not
--   rise. Destinations that are older than what was learnt, for lack of days to compare with. A workload that
--   baseline_volumes does not know for 14 days has only the window's days to compare with, and in eight there are
--   too few; so it is always for logs without flow-direction, and for records that name no service, group or
--   interface. Give such a run more days."""
-- false_positives = """
--   A new telemetry or backup service that one workload alone uses. It is a hint to hunt with, not a finding."""

-- NAT gateways pass on what others send.
WITH gateways AS (
    SELECT interface_id
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND interface_id IS NOT NULL
      AND (interface_type = 'nat_gateway'
        OR flow_direction = 'ingress' AND pkt_dstaddr <> dstaddr AND NOT is_private_ip(pkt_dstaddr) AND is_private_ip(dstaddr))
      AND start_time >= $window_start AND start_time < $window_end
    GROUP BY interface_id
),
slots AS (
    SELECT
        -- As baselines name it.
        coalesce(workload(v.ecs_service_name, v.ecs_task_definition_arn, v.asg_tag, v.interface_id), 'unknown') AS workload,
        coalesce(v.pkt_dstaddr, v.dstaddr) AS address,
        date_bin(INTERVAL '1 hour', v.start_time) AS hour,
        g.interface_id IS NULL
            AND coalesce(v.pkt_dst_aws_service, 'EC2') = 'EC2'
            -- Answers of our servers, with a low port here and a high one there, are the most and not wanted.
            AND (v.dstport < 32768 OR v.srcport >= 32768)
            AND NOT is_private_ip(coalesce(v.pkt_dstaddr, v.dstaddr)) AS is_outward,
        sum(v.bytes) AS bytes,
        bool_or(coalesce((v.tcp_flags & 18) = 2, v.dstport < v.srcport)) AS is_ours,
        bool_and(v.flow_direction IS NOT NULL) AS has_direction
    FROM vpc_flow v
    LEFT JOIN gateways g ON g.interface_id = v.interface_id
    WHERE v.action = 'ACCEPT' AND coalesce(v.flow_direction, 'egress') = 'egress'
      AND v.start_time >= $window_start AND v.start_time < $window_end
    GROUP BY 1, 2, 3, 4
),
outward AS (
    SELECT
        *,
        ip_network(address) AS peer
    FROM slots
    WHERE is_outward
),
ends AS (
    SELECT max(hour) + INTERVAL '1 hour' AS last FROM outward
),
-- One destination's last seven days.
peers AS (
    SELECT
        o.workload, o.peer,
        sum(o.bytes) AS bytes,
        max(o.bytes) AS peak,
        count(DISTINCT date_bin(INTERVAL '1 day', o.hour)) AS days,
        min(o.hour) AS first_hour, max(o.hour) AS last_hour,
        bool_or(o.is_ours) AS is_ours
    FROM outward o
    CROSS JOIN ends e
    WHERE o.hour >= e.last - INTERVAL '7 days'
    GROUP BY o.workload, o.peer
    HAVING sum(o.bytes) >= 1000000000
),
-- The networks that each workload called, on whatever port, and since when.
known AS (
    SELECT entity AS workload, regexp_replace(subject, ':[0-9]+/[0-9]+$', '') AS peer, min(first_seen) AS first_seen
    FROM baseline_edges
    WHERE measure = 'out' AND state <> 'expired'
    GROUP BY 1, 2
),
met AS (
    SELECT workload, peer, min(hour) AS since
    FROM (
        SELECT workload, peer, hour FROM outward
        UNION ALL
        SELECT workload, peer, date_bin(INTERVAL '1 hour', first_seen) FROM known
    )
    GROUP BY workload, peer
),
firsts AS (
    SELECT peer, count(*) AS prevalence
    FROM met
    GROUP BY peer
),
-- Workloads of which enough was learnt. Their days are those of all that they send, as it is learnt.
learnt AS (
    SELECT n.workload
    FROM (SELECT DISTINCT entity AS workload FROM baseline_volumes WHERE measure = 'bytes_out' AND state = 'ripe') n
    JOIN (SELECT workload FROM slots GROUP BY workload HAVING bool_and(has_direction)) s ON s.workload = n.workload
),
-- The window's first whole day.
begins AS (
    SELECT date_bin(INTERVAL '1 day', min(hour) + INTERVAL '23 hours') AS day FROM slots
),
totals AS (
    SELECT o.workload, date_bin(INTERVAL '1 day', o.hour) AS day, sum(o.bytes) AS bytes
    FROM outward o
    LEFT JOIN learnt l ON l.workload = o.workload
    WHERE l.workload IS NULL
    GROUP BY 1, 2
    UNION ALL
    SELECT s.workload, date_bin(INTERVAL '1 day', s.hour), sum(s.bytes)
    FROM slots s
    JOIN learnt l ON l.workload = s.workload
    CROSS JOIN begins b
    WHERE s.hour >= b.day
    GROUP BY 1, 2
    UNION ALL
    -- Days before it, if half of their hours were seen, for the whole of the day.
    SELECT v.entity, date_bin(INTERVAL '1 day', v.event_time), CAST(avg(v.value) * 24 AS BIGINT)
    FROM baseline_volumes_samples v
    JOIN learnt l ON l.workload = v.entity
    CROSS JOIN begins b
    WHERE v.measure = 'bytes_out' AND v.excluded IS NULL AND v.event_time < b.day
    GROUP BY 1, 2
    HAVING count(*) >= 12
),
rare AS (
    SELECT p.*, m.since
    FROM peers p
    JOIN firsts f ON f.peer = p.peer
    JOIN met m ON m.workload = p.workload AND m.peer = p.peer
    -- Spread over days, and no hour holds a tenth of it: a burst is another rule's matter.
    WHERE f.prevalence = 1 AND p.is_ours AND p.days >= 5 AND p.peak <= p.bytes / 10
),
-- Whole days of the workload before it met the destination.
history AS (
    SELECT r.workload, r.peer, median(t.bytes) AS middle, count(*) AS samples
    FROM rare r
    JOIN totals t ON t.workload = r.workload AND t.day < date_bin(INTERVAL '1 day', r.since)
    GROUP BY r.workload, r.peer
),
spread AS (
    SELECT h.workload, h.peer, h.middle, median(abs(t.bytes - h.middle)) AS mad
    FROM history h
    JOIN rare r ON r.workload = h.workload AND r.peer = h.peer
    JOIN totals t ON t.workload = h.workload AND t.day < date_bin(INTERVAL '1 day', r.since)
    WHERE h.samples >= CAST(date_part('epoch', CAST($learn AS INTERVAL)) / 86400 AS BIGINT)
    GROUP BY h.workload, h.peer, h.middle
),
-- CUSUM: how far the daily totals have risen over what they may vary by, never below zero.
sums AS (
    SELECT
        s.workload, s.peer, s.middle, t.day,
        sum(t.bytes - s.middle - greatest(s.mad / 2, s.middle / 100)) OVER (PARTITION BY s.workload, s.peer ORDER BY t.day) AS running
    FROM spread s
    JOIN rare r ON r.workload = s.workload AND r.peer = s.peer
    JOIN totals t ON t.workload = s.workload AND t.day >= date_bin(INTERVAL '1 day', r.since)
),
risen AS (
    SELECT workload, peer, middle, max(running - least(low, 0)) AS cusum
    FROM (SELECT *, min(running) OVER (PARTITION BY workload, peer ORDER BY day) AS low FROM sums)
    GROUP BY workload, peer, middle
),
found AS (
    SELECT r.*, u.middle, u.cusum
    FROM risen u
    JOIN rare r ON r.workload = u.workload AND r.peer = u.peer
    WHERE u.cusum >= 0.5 * r.bytes
),
keys AS (
    SELECT f.*, o.address, o.hour
    FROM found f
    JOIN outward o ON o.workload = f.workload AND o.peer = f.peer AND o.hour >= f.first_hour
)
SELECT
    min(v.start_time) AS first_seen,
    max(v.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', v._source, v._line) AS evidence,
    k.workload,
    k.peer,
    CAST(round(k.bytes / 1e6) AS BIGINT) AS megabytes,
    k.days,
    CAST(ceil(k.peak / 1e6) AS BIGINT) AS peak_megabytes,
    CAST(round(k.middle / 1e6) AS BIGINT) AS median_megabytes,
    CAST(round(k.cusum / 1e6) AS BIGINT) AS risen_megabytes,
    min(v.interface_id) AS interface_id,
    min(v.account_id) AS account_id,
    min(v.region) AS region
FROM keys k
JOIN vpc_flow v
    ON coalesce(workload(v.ecs_service_name, v.ecs_task_definition_arn, v.asg_tag, v.interface_id), 'unknown') = k.workload
   AND coalesce(v.pkt_dstaddr, v.dstaddr) = k.address AND date_bin(INTERVAL '1 hour', v.start_time) = k.hour
WHERE v.action = 'ACCEPT' AND coalesce(v.flow_direction, 'egress') = 'egress'
GROUP BY k.workload, k.peer, k.bytes, k.days, k.peak, k.middle, k.cusum
