-- id       = "net-fanout-entropy"
-- title    = "Workload spreads its calls over far more hosts than usual"
-- severity = "low"
-- attack   = ["T1018"]
-- csf      = ["DE.AE-1"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_volumes"]
-- every    = "1h"
-- window   = "48h"
-- learn    = "24h"
-- entity   = ["workload"]
-- quiet    = "24h"
-- message  = "{workload} called {hosts} hosts in an hour, spread like equal calls to {even_hosts}; of {samples} {pool} the median is {median_hosts} and 95% are at most {p95_hosts}, which makes z {z}"
-- impact   = ["workload", "hosts"]
-- misses   = """
--   Less than 30 hosts an hour. Calls that go on to mostly the same hosts, with few others beside them: those drown
--   where a workload calls its usual hosts very often.
--   Where baseline_volumes has no ripe norm of the workload for that hour, it is compared with the earlier hours of
--   the window, and a day of those is silent. Where it has one, calls that were refused, which are not learnt:
--   net-reject-spike looks at those. Nothing is learnt of records that name no service, group or
--   interface. Without tcp-flags the side that began is guessed by port."""
-- false_positives = """
--   Crawlers, webhooks, monitoring that begins. It is a hint to hunt with, not a finding."""

WITH pairs AS (
    SELECT
        -- As baselines name it.
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        date_bin(INTERVAL '1 hour', start_time) AS hour,
        dstaddr,
        -- Who began: by flags, or else the side with the higher port.
        CAST(count(*) FILTER (
            WHERE CASE
                WHEN protocol = 6 THEN coalesce((tcp_flags & 18) = 2, dstport < 32768 AND srcport > dstport)
                ELSE protocol = 17 AND dstport < 32768 AND srcport > dstport
            END
        ) AS DOUBLE) AS n,
        -- What baselines count: all records of calls that were let out.
        CAST(count(*) FILTER (
            WHERE action = 'ACCEPT' AND CASE
                WHEN protocol = 6 AND (tcp_flags & 18) = 2 THEN true
                WHEN protocol = 6 AND (tcp_flags & 18) = 18 THEN false
                WHEN protocol IN (6, 17) THEN dstport < srcport
                ELSE true
            END
        ) AS DOUBLE) AS opened
    FROM vpc_flow
    WHERE coalesce(flow_direction, 'egress') = 'egress'
      AND action IS NOT NULL
      AND coalesce(interface_type, '-') <> 'nat_gateway'
      AND start_time >= $window_start AND start_time < $window_end
    GROUP BY 1, 2, 3
),
-- The entropy of the calls over the hosts, said as a number of hosts: calls to so many, all alike, would be as spread.
-- Never more than there are, and hardly more than the usual ones where the others get a few calls beside many.
hours AS (
    SELECT
        workload, hour, hosts, opened_hosts,
        CASE WHEN hosts = 0 THEN 0.0 ELSE exp(ln(n) - weighted / n) END AS even_hosts,
        CASE WHEN opened_hosts = 0 THEN 0.0 ELSE exp(ln(opened) - opened_weighted / opened) END AS opened_even_hosts
    FROM (
        SELECT
            workload, hour,
            count(*) FILTER (WHERE n > 0) AS hosts,
            sum(n) AS n,
            sum(CASE WHEN n > 0 THEN n * ln(n) ELSE 0 END) AS weighted,
            count(*) FILTER (WHERE opened > 0) AS opened_hosts,
            sum(opened) AS opened,
            sum(CASE WHEN opened > 0 THEN opened * ln(opened) ELSE 0 END) AS opened_weighted
        FROM pairs
        GROUP BY workload, hour
    )
),
workloads AS (
    SELECT workload, min(hour) AS since, median(hosts) AS middle
    FROM hours
    WHERE hosts > 0
    GROUP BY workload
),
-- What was learnt of each hour of the week; grain says which hours were taken together for it.
norms AS (
    SELECT entity AS workload, hour_of_week, grain, samples, median, p95, unit, center, spread
    FROM baseline_volumes
    WHERE measure = 'peers_out' AND state = 'ripe'
),
candidates AS (
    SELECT
        h.*, w.since, n.workload IS NOT NULL AS is_learnt, n.grain, n.samples, n.median, n.p95, n.unit, n.center,
        n.spread
    FROM (
        -- 1970 began on a Thursday, three days after the Monday of its week.
        SELECT *, (CAST(date_part('epoch', hour) AS BIGINT) / 3600 + 72) % 168 AS hour_of_week
        FROM hours
        WHERE hosts >= 30
    ) h
    JOIN workloads w ON w.workload = h.workload
    LEFT JOIN norms n ON n.workload = h.workload AND n.hour_of_week = h.hour_of_week
    WHERE n.workload IS NOT NULL OR h.hosts >= 3 * w.middle AND h.hour >= w.since + CAST($learn AS INTERVAL)
),
-- What a candidate of which nothing was learnt is compared with: earlier hours in which it called anybody.
history AS (
    SELECT c.workload, c.hour, c.hosts, c.even_hosts, ln(CAST(h.hosts AS DOUBLE)) AS x, h.hosts AS past
    FROM candidates c
    JOIN hours h ON h.workload = c.workload AND h.hour < c.hour AND h.hosts > 0
    WHERE NOT c.is_learnt
),
medians AS (
    SELECT
        workload, hour, hosts, even_hosts,
        median(x) AS middle, median(past) AS middle_hosts,
        CAST(approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(past AS DOUBLE)) AS DOUBLE) AS p95,
        count(*) AS samples
    FROM history
    GROUP BY workload, hour, hosts, even_hosts
    HAVING count(*) >= 12
),
odd AS (
    SELECT
        m.workload, m.hour, m.hosts, m.even_hosts, m.middle_hosts, m.p95, m.samples,
        -- The least that counts as spread keeps equal hours from dividing by zero.
        0.6745 * (ln(CAST(m.hosts AS DOUBLE)) - m.middle) / greatest(median(abs(h.x - m.middle)), 0.1) AS z
    FROM medians m
    JOIN history h ON h.workload = m.workload AND h.hour = m.hour
    GROUP BY m.workload, m.hour, m.hosts, m.even_hosts, m.middle, m.middle_hosts, m.p95, m.samples
),
-- How even the calls are is no outlier by itself: ordinary ones are nearly even already, and none can be more than that.
-- So: had the usual hours been all even, this one would still spread over twice as many hosts.
found AS (
    SELECT workload, hour, hosts, even_hosts, middle_hosts, p95, samples, 'earlier hours' AS pool, z
    FROM odd
    WHERE z >= 5 AND even_hosts >= 2 * p95
    UNION ALL
    SELECT
        workload, hour, opened_hosts, opened_even_hosts, median, p95, samples,
        CASE grain
            WHEN 'hour_of_week' THEN 'such hours of the week that were learnt'
            WHEN 'hour_of_day' THEN 'such hours of the day that were learnt'
            ELSE 'hours that were learnt'
        END,
        z
    FROM (
        SELECT *, 0.6745 * (ln(1 + opened_hosts / unit) - center) / spread AS z
        FROM candidates
        WHERE is_learnt AND opened_hosts >= 30
    )
    WHERE z >= 5 AND opened_even_hosts >= 2 * p95
)
SELECT
    min(v.start_time) AS first_seen,
    max(v.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', v._source, v._line) AS evidence,
    f.workload,
    f.hosts,
    f.samples,
    f.pool,
    CAST(round(f.middle_hosts) AS BIGINT) AS median_hosts,
    CAST(round(f.p95) AS BIGINT) AS p95_hosts,
    CAST(round(f.z) AS BIGINT) AS z,
    CAST(round(f.even_hosts) AS BIGINT) AS even_hosts,
    min(v.interface_id) AS interface_id,
    min(v.account_id) AS account_id,
    min(v.region) AS region
FROM found f
JOIN vpc_flow v
    ON coalesce(workload(v.ecs_service_name, v.ecs_task_definition_arn, v.asg_tag, v.interface_id), 'unknown') = f.workload
   AND date_bin(INTERVAL '1 hour', v.start_time) = f.hour
WHERE v.protocol IN (6, 17)
  AND coalesce(v.flow_direction, 'egress') = 'egress'
  AND coalesce(v.interface_type, '-') <> 'nat_gateway'
  AND CASE WHEN v.protocol = 6 THEN coalesce((v.tcp_flags & 18) = 2, v.dstport < 32768 AND v.srcport > v.dstport) ELSE v.dstport < 32768 AND v.srcport > v.dstport END
GROUP BY f.workload, f.hour, f.hosts, f.samples, f.pool, f.middle_hosts, f.p95, f.z, f.even_hosts
