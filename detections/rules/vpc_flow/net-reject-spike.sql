-- id       = "net-reject-spike"
-- title    = "Workload is refused far more often than usual"
-- severity = "medium"
-- attack   = ["T1046"]
-- csf      = ["DE.AE-1", "DE.CM-1"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_volumes"]
-- every    = "1h"
-- window   = "24h"
-- learn    = "6h"
-- entity   = ["workload"]
-- quiet    = "24h"
-- message  = "{workload} was refused {refused} times in an hour, by {hosts} hosts; of {samples} {pool} the median is {median_refused} and 95% are at most {p95_refused}, which makes z {z}"
-- impact   = ["workload", "ports", "interface_id"]
-- misses   = """
--   Less than 200 refusals an hour, and those of one host alone. What comes from outside: that is refused
--   all the time. Attempts that a firewall drops without a record. Where baseline_volumes has no ripe norm of the
--   workload, the first six hours of the window; so it is always for refusals that only the target's interface
--   wrote down, which are not learnt, for logs without flow-direction, and for records that name no service, group
--   or interface."""
-- false_positives = """
--   A security group that was closed under a running service. One that lost its target tries again for hours,
--   but mostly at one host."""

WITH flows AS (
    SELECT
        srcaddr, dstaddr, dstport, date_bin(INTERVAL '1 hour', start_time) AS hour,
        coalesce(flow_direction = 'egress', false) AS is_own, interface_id, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'REJECT'
      -- Stray packets of connections that are long over come without a SYN, or from a service's port.
      AND CASE WHEN protocol = 6 THEN coalesce((tcp_flags & 18) = 2, srcport > dstport) ELSE protocol = 17 AND srcport > dstport END
      AND dstport < 32768
      AND start_time >= $window_start AND start_time < $window_end
),
-- Refusals are written where they happen: at the caller's own interface or at the target's.
pairs AS (
    SELECT srcaddr, hour, dstaddr, is_own, count(*) AS n
    FROM flows
    GROUP BY srcaddr, hour, dstaddr, is_own
),
-- Whose address it was in that hour, as baselines name it. An hour with two services tells nothing.
names AS (
    SELECT
        address, hour, first_value(owner ORDER BY records DESC, owner) AS owner,
        count(DISTINCT owner) FILTER (WHERE owner NOT LIKE 'eni-%') <= 1 AS is_clear
    FROM (
        SELECT
            srcaddr AS address, date_bin(INTERVAL '1 hour', start_time) AS hour,
            workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id) AS owner,
            count(*) AS records
        FROM vpc_flow
        WHERE flow_direction = 'egress' AND start_time >= $window_start AND start_time < $window_end
        GROUP BY 1, 2, 3
    )
    WHERE owner IS NOT NULL
    GROUP BY address, hour
),
-- What was learnt of each hour of the week; grain says which hours were taken together for it.
norms AS (
    SELECT entity AS workload, hour_of_week, grain, samples, median, p95, unit, center, spread
    FROM baseline_volumes
    WHERE measure = 'rejects_out' AND state = 'ripe'
),
-- Norms are of what the workload's own interfaces wrote down. Where there are any, the rest is counted by itself.
named AS (
    SELECT
        w.workload, w.hour, w.srcaddr, w.dstaddr, w.n,
        CASE WHEN l.workload IS NULL THEN 'all' WHEN w.is_own THEN 'own' ELSE 'rest' END AS side
    FROM (
        SELECT CASE WHEN n.is_clear THEN n.owner ELSE p.srcaddr END AS workload, p.*
        FROM pairs p
        LEFT JOIN names n ON n.address = p.srcaddr AND n.hour = p.hour
        WHERE is_private_ip(p.srcaddr)
    ) w
    LEFT JOIN (SELECT DISTINCT workload FROM norms) l ON l.workload = w.workload
),
hours AS (
    SELECT workload, side, hour, sum(n) AS refused, count(DISTINCT dstaddr) AS hosts
    FROM named
    GROUP BY workload, side, hour
),
-- Hours that the logs have at all: in those without a refusal there were none.
clock AS (
    SELECT DISTINCT date_bin(INTERVAL '1 hour', start_time) AS hour
    FROM vpc_flow
    WHERE action IS NOT NULL AND start_time >= $window_start AND start_time < $window_end
),
started AS (
    SELECT min(hour) AS since FROM clock
),
candidates AS (
    SELECT h.*
    FROM hours h
    CROSS JOIN started s
    WHERE h.refused >= 200 AND h.hosts >= 2 AND (h.side = 'own' OR h.hour >= s.since + CAST($learn AS INTERVAL))
),
-- What a candidate of which nothing was learnt is compared with: every earlier hour.
history AS (
    SELECT c.workload, c.side, c.hour, c.refused, c.hosts, coalesce(h.refused, 0) AS past, ln(1 + CAST(coalesce(h.refused, 0) AS DOUBLE)) AS x
    FROM candidates c
    JOIN clock k ON k.hour < c.hour
    LEFT JOIN hours h ON h.workload = c.workload AND h.side = c.side AND h.hour = k.hour
    WHERE c.side <> 'own'
),
medians AS (
    SELECT
        workload, side, hour, refused, hosts,
        median(x) AS middle, median(past) AS middle_refused,
        CAST(approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(past AS DOUBLE)) AS DOUBLE) AS p95,
        count(*) AS samples
    FROM history
    GROUP BY workload, side, hour, refused, hosts
    HAVING count(*) >= 6
),
odd AS (
    SELECT
        m.workload, m.side, m.hour, m.refused, m.hosts, m.middle_refused, m.p95, m.samples, 'earlier hours' AS pool,
        -- The least that counts as spread keeps equal hours from dividing by zero.
        0.6745 * (ln(1 + CAST(m.refused AS DOUBLE)) - m.middle) / greatest(median(abs(h.x - m.middle)), 0.1) AS z
    FROM medians m
    JOIN history h ON h.workload = m.workload AND h.side = m.side AND h.hour = m.hour
    GROUP BY m.workload, m.side, m.hour, m.refused, m.hosts, m.middle, m.middle_refused, m.p95, m.samples
    UNION ALL
    SELECT
        c.workload, c.side, c.hour, c.refused, c.hosts, n.median, n.p95, n.samples,
        CASE n.grain
            WHEN 'hour_of_week' THEN 'such hours of the week that were learnt'
            WHEN 'hour_of_day' THEN 'such hours of the day that were learnt'
            ELSE 'hours that were learnt'
        END,
        0.6745 * (ln(1 + c.refused / n.unit) - n.center) / n.spread
    FROM candidates c
    -- 1970 began on a Thursday, three days after the Monday of its week.
    JOIN norms n
        ON n.workload = c.workload AND n.hour_of_week = (CAST(date_part('epoch', c.hour) AS BIGINT) / 3600 + 72) % 168
    WHERE c.side = 'own'
),
keys AS (
    SELECT DISTINCT o.*, n.srcaddr
    FROM odd o
    JOIN named n ON n.workload = o.workload AND n.side = o.side AND n.hour = o.hour
    WHERE o.z >= 6 AND o.refused >= 3 * o.p95
)
SELECT
    min(f.start_time) AS first_seen,
    max(f.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', f._source, f._line) AS evidence,
    k.workload,
    k.refused,
    k.hosts,
    k.samples,
    k.pool,
    CAST(round(k.middle_refused) AS BIGINT) AS median_refused,
    CAST(round(k.p95) AS BIGINT) AS p95_refused,
    CAST(round(k.z) AS BIGINT) AS z,
    array_to_string(array_slice(array_sort(array_agg(DISTINCT f.dstport)), 1, 20), ', ') AS ports,
    min(f.srcaddr) AS srcaddr,
    min(f.interface_id) AS interface_id,
    min(f.account_id) AS account_id,
    min(f.region) AS region
FROM keys k
JOIN flows f ON f.srcaddr = k.srcaddr AND f.hour = k.hour AND (k.side = 'all' OR f.is_own = (k.side = 'own'))
GROUP BY k.workload, k.side, k.hour, k.refused, k.hosts, k.samples, k.pool, k.middle_refused, k.p95, k.z
