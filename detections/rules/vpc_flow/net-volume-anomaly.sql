-- id       = "net-volume-anomaly"
-- title    = "Workload moves far more than is usual for it"
-- severity = "medium"
-- attack   = ["T1030"]
-- csf      = ["DE.AE-1"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_volumes"]
-- every    = "1h"
-- window   = "48h"
-- learn    = "24h"
-- entity   = ["workload", "direction"]
-- quiet    = "24h"
-- message  = "{workload} {verb} {megabytes} MB in an hour and much in the hour before: of {samples} {pool} 95% were below {p95_megabytes} MB and the median {median_megabytes} MB, which makes z {z}"
-- impact   = ["workload", "megabytes"]
-- misses   = """
--   Less than 50 MB an hour, and what lasts less than two hours. What is spread over so many hours that it becomes
--   usual: net-slow-exfil looks for that. Where baseline_volumes has no ripe norm of the workload for that hour, it
--   is compared with the earlier hours of the window, and a day of those is silent. Nothing is learnt of records
--   that name no service, group or interface."""
-- false_positives = """
--   Batch jobs that were not seen before, migrations, load tests. Image pulls: what comes in during the
--   first ten minutes of an interface does not count."""

WITH slots AS (
    SELECT
        -- As baselines name it.
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        interface_id,
        CASE
            WHEN flow_direction IS NOT NULL THEN flow_direction
            WHEN NOT is_private_ip(dstaddr) THEN 'egress'
            WHEN NOT is_private_ip(srcaddr) THEN 'ingress'
        END AS direction,
        date_bin(INTERVAL '10 minutes', start_time) AS slot,
        sum(bytes) AS bytes,
        -- NAT gateways pass on what others send.
        bool_or(interface_type = 'nat_gateway' OR flow_direction = 'ingress' AND pkt_dstaddr <> dstaddr AND NOT is_private_ip(pkt_dstaddr)) AS is_gateway
    FROM vpc_flow
    WHERE action = 'ACCEPT'
      AND start_time >= $window_start AND start_time < $window_end
    GROUP BY 1, 2, 3, 4
),
interfaces AS (
    SELECT interface_id, min(slot) AS first_slot, bool_or(is_gateway) AS is_gateway
    FROM slots
    GROUP BY interface_id
),
hours AS (
    SELECT
        s.workload, s.direction, date_bin(INTERVAL '1 hour', s.slot) AS hour,
        CAST(coalesce(sum(s.bytes) FILTER (WHERE s.direction = 'egress' OR s.slot > i.first_slot + INTERVAL '10 minutes'), 0) AS BIGINT) AS bytes
    FROM slots s
    JOIN interfaces i ON i.interface_id = s.interface_id
    WHERE s.direction IS NOT NULL AND NOT coalesce(i.is_gateway, false)
    GROUP BY 1, 2, 3
),
workloads AS (
    SELECT workload, direction, min(hour) AS since, median(bytes) AS middle
    FROM hours
    GROUP BY workload, direction
),
-- What was learnt of each hour of the week; grain says which hours were taken together for it.
norms AS (
    SELECT
        entity AS workload, CASE measure WHEN 'bytes_out' THEN 'egress' ELSE 'ingress' END AS direction,
        hour_of_week, grain, samples, median, p95, unit, center, spread
    FROM baseline_volumes
    WHERE measure IN ('bytes_out', 'bytes_in') AND state = 'ripe'
),
-- Two hours in a row above the floor, and above three times the middle if nothing was learnt: few ever are.
candidates AS (
    SELECT
        h.workload, h.direction, h.hour, h.bytes, h.since, n.workload IS NOT NULL AS is_learnt,
        n.grain, n.samples, n.median, n.p95, n.unit, n.center, n.spread
    FROM (
        SELECT
            h.*, w.since, w.middle,
            -- 1970 began on a Thursday, three days after the Monday of its week.
            (CAST(date_part('epoch', h.hour) AS BIGINT) / 3600 + 72) % 168 AS hour_of_week,
            lag(h.hour) OVER o AS hour_before,
            lag(h.bytes) OVER o AS bytes_before,
            lead(h.hour) OVER o AS hour_after,
            lead(h.bytes) OVER o AS bytes_after
        FROM hours h
        JOIN workloads w ON w.workload = h.workload AND w.direction = h.direction
        WINDOW o AS (PARTITION BY h.workload, h.direction ORDER BY h.hour)
    ) h
    LEFT JOIN norms n ON n.workload = h.workload AND n.direction = h.direction AND n.hour_of_week = h.hour_of_week
    WHERE h.bytes >= 50000000 AND (n.workload IS NOT NULL OR h.bytes >= 3 * h.middle)
      AND (h.hour_before = h.hour - INTERVAL '1 hour' AND h.bytes_before >= 50000000
        OR h.hour_after = h.hour + INTERVAL '1 hour' AND h.bytes_after >= 50000000)
),
-- Hours that the logs have at all: one that nobody saw is no hour of silence.
clock AS (
    SELECT DISTINCT hour FROM hours
),
-- What a candidate of which nothing was learnt is compared with: all earlier hours, zeros too, but not the one just before.
history AS (
    SELECT
        c.workload, c.direction, c.hour, c.bytes, c.since,
        coalesce(h.bytes, 0) AS past,
        ln(1 + CAST(coalesce(h.bytes, 0) AS DOUBLE)) AS x,
        abs(date_part('hour', c.hour) - date_part('hour', k.hour)) IN (0, 1, 23) AS is_day,
        (CAST(date_part('epoch', c.hour) - date_part('epoch', k.hour) AS BIGINT) / 3600) % 168 IN (0, 1, 167) AS is_week
    FROM candidates c
    JOIN clock k ON k.hour >= c.since AND k.hour < c.hour - INTERVAL '1 hour'
    LEFT JOIN hours h ON h.workload = c.workload AND h.direction = c.direction AND h.hour = k.hour
    WHERE NOT c.is_learnt AND c.hour >= c.since + CAST($learn AS INTERVAL)
),
-- The same hour of the week where there is enough of it, or of the day, or else any hour.
levels AS (
    SELECT
        workload, direction, hour,
        CASE WHEN count(*) FILTER (WHERE is_week) >= 6 THEN 3 WHEN count(*) FILTER (WHERE is_day) >= 9 THEN 2 ELSE 1 END AS level
    FROM history
    GROUP BY workload, direction, hour
    HAVING count(*) >= 20
),
chosen AS (
    SELECT h.*, l.level
    FROM levels l
    JOIN history h ON h.workload = l.workload AND h.direction = l.direction AND h.hour = l.hour
    WHERE l.level = 1 OR l.level = 2 AND h.is_day OR l.level = 3 AND h.is_week
),
medians AS (
    SELECT
        workload, direction, hour, bytes, level,
        median(x) AS middle,
        median(past) AS middle_bytes,
        CAST(approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY past) AS DOUBLE) AS p95,
        -- A nightly job is in too few hours for the 95%, but always at this one.
        coalesce(max(past) FILTER (WHERE is_day), 0) AS same_hour,
        count(*) AS samples
    FROM chosen
    GROUP BY workload, direction, hour, bytes, level
),
scores AS (
    SELECT
        m.workload, m.direction, m.hour, m.bytes, m.level, m.middle, m.middle_bytes, m.p95, m.same_hour, m.samples,
        -- A tenth is the least that counts as spread, so equal hours divide by no zero.
        0.6745 * (ln(1 + CAST(m.bytes AS DOUBLE)) - m.middle) / greatest(median(abs(c.x - m.middle)), 0.1) AS z
    FROM medians m
    JOIN chosen c ON c.workload = m.workload AND c.direction = m.direction AND c.hour = m.hour
    GROUP BY m.workload, m.direction, m.hour, m.bytes, m.level, m.middle, m.middle_bytes, m.p95, m.same_hour, m.samples
),
odd AS (
    SELECT
        workload, direction, hour, bytes, middle_bytes, p95, samples, z,
        CASE level WHEN 3 THEN 'such hours of the week' WHEN 2 THEN 'such hours of the day' ELSE 'earlier hours' END AS pool
    FROM scores
    WHERE z >= 6 AND bytes >= 3 * p95 AND bytes >= 2 * same_hour
    UNION ALL
    SELECT
        workload, direction, hour, bytes, median, p95, samples, z,
        CASE grain
            WHEN 'hour_of_week' THEN 'such hours of the week that were learnt'
            WHEN 'hour_of_day' THEN 'such hours of the day that were learnt'
            ELSE 'hours that were learnt'
        END
    FROM (SELECT *, 0.6745 * (ln(1 + bytes / unit) - center) / spread AS z FROM candidates WHERE is_learnt)
    WHERE z >= 6 AND bytes >= 3 * p95
),
-- The second of two odd hours in a row.
running AS (
    SELECT b.*, a.hour AS before
    FROM odd a
    JOIN odd b ON b.workload = a.workload AND b.direction = a.direction AND b.hour = a.hour + INTERVAL '1 hour'
),
flows AS (
    SELECT
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        CASE
            WHEN flow_direction IS NOT NULL THEN flow_direction
            WHEN NOT is_private_ip(dstaddr) THEN 'egress'
            WHEN NOT is_private_ip(srcaddr) THEN 'ingress'
        END AS direction,
        date_bin(INTERVAL '1 hour', start_time) AS hour,
        interface_id, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT'
      AND start_time >= $window_start AND start_time < $window_end
)
SELECT
    min(f.start_time) AS first_seen,
    max(f.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', f._source, f._line) AS evidence,
    r.workload,
    r.direction,
    CASE WHEN r.direction = 'egress' THEN 'sent' ELSE 'received' END AS verb,
    CAST(round(r.bytes / 1e6) AS BIGINT) AS megabytes,
    CAST(round(r.p95 / 1e6) AS BIGINT) AS p95_megabytes,
    CAST(round(r.middle_bytes / 1e6) AS BIGINT) AS median_megabytes,
    r.samples,
    r.pool,
    CAST(round(r.z) AS BIGINT) AS z,
    min(f.interface_id) AS interface_id,
    min(f.account_id) AS account_id,
    min(f.region) AS region
FROM running r
JOIN flows f ON f.workload = r.workload AND f.direction = r.direction AND (f.hour = r.hour OR f.hour = r.before)
GROUP BY r.workload, r.direction, r.hour, r.bytes, r.p95, r.middle_bytes, r.samples, r.pool, r.z
