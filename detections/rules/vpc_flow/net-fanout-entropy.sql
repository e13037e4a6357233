-- id       = "net-fanout-entropy"
-- title    = "Workload spreads its calls over far more hosts than usual"
-- severity = "low"
-- attack   = ["T1018"]
-- csf      = ["DE.AE-1"]
-- reads    = ["vpc_flow"]
-- every    = "1h"
-- window   = "14d"
-- learn    = "24h"
-- entity   = ["workload"]
-- quiet    = "24h"
-- message  = "{workload} called {hosts} hosts in an hour; of {samples} earlier hours the median is {median_hosts} and 95% are at most {p95_hosts}, which makes z {z}, and the spread over them has z {entropy_z}"
-- impact   = ["workload", "hosts"]
-- misses   = """
--   Less than 30 hosts an hour. Calls that go on to mostly the same hosts, with few others beside them.
--   A workload's first day. Without tcp-flags the side that began is guessed by port."""
-- false_positives = """
--   Crawlers, webhooks, monitoring that begins. It is a hint to hunt with, not a finding."""

WITH pairs AS (
    SELECT
        coalesce(ecs_service_name, interface_id, 'unknown') AS workload,
        date_bin(INTERVAL '1 hour', start_time) AS hour,
        dstaddr,
        count(*) AS n,
        bool_or(interface_type = 'nat_gateway') AS is_gateway
    FROM vpc_flow
    WHERE protocol IN (6, 17)
      AND coalesce(flow_direction, 'egress') = 'egress'
      -- Who began: by flags, or else the side with the higher port.
      AND CASE WHEN protocol = 6 THEN coalesce((tcp_flags & 18) = 2, dstport < 32768 AND srcport > dstport) ELSE dstport < 32768 AND srcport > dstport END
      AND start_time >= $window_start AND start_time < $window_end
    GROUP BY 1, 2, 3
),
hours AS (
    SELECT
        workload, hour,
        count(*) AS hosts,
        -- Entropy of the calls over the hosts, of what it could be at most: 1 is even.
        CASE
            WHEN count(*) < 2 THEN 0.0
            ELSE (ln(CAST(sum(n) AS DOUBLE)) - sum(n * ln(CAST(n AS DOUBLE))) / sum(n)) / ln(CAST(count(*) AS DOUBLE))
        END AS evenness
    FROM pairs
    GROUP BY workload, hour
    HAVING NOT coalesce(bool_or(is_gateway), false)
),
workloads AS (
    SELECT workload, min(hour) AS since, median(hosts) AS middle
    FROM hours
    GROUP BY workload
),
candidates AS (
    SELECT h.*, w.since
    FROM hours h
    JOIN workloads w ON w.workload = h.workload
    WHERE h.hosts >= 30 AND h.hosts >= 3 * w.middle AND h.hour >= w.since + CAST($learn AS INTERVAL)
),
-- What each candidate is compared with: the workload's earlier hours in which it called anybody.
history AS (
    SELECT c.workload, c.hour, c.hosts, c.evenness, ln(CAST(h.hosts AS DOUBLE)) AS x, h.hosts AS past, h.evenness AS e
    FROM candidates c
    JOIN hours h ON h.workload = c.workload AND h.hour < c.hour
),
medians AS (
    SELECT
        workload, hour, hosts, evenness,
        median(x) AS middle, median(e) AS middle_e, median(past) AS middle_hosts,
        CAST(approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(past AS DOUBLE)) AS DOUBLE) AS p95,
        count(*) AS samples
    FROM history
    GROUP BY workload, hour, hosts, evenness
    HAVING count(*) >= 12
),
odd AS (
    SELECT
        m.workload, m.hour, m.hosts, m.evenness, m.middle_hosts, m.p95, m.samples,
        -- The least that counts as spread keeps equal hours from dividing by zero.
        0.6745 * (ln(CAST(m.hosts AS DOUBLE)) - m.middle) / greatest(median(abs(h.x - m.middle)), 0.1) AS z,
        0.6745 * abs(m.evenness - m.middle_e) / greatest(median(abs(h.e - m.middle_e)), 0.01) AS entropy_z
    FROM medians m
    JOIN history h ON h.workload = m.workload AND h.hour = m.hour
    GROUP BY m.workload, m.hour, m.hosts, m.evenness, m.middle, m.middle_e, m.middle_hosts, m.p95, m.samples
),
found AS (
    SELECT * FROM odd WHERE z >= 5 AND entropy_z >= 3 AND hosts >= 2 * p95
)
SELECT
    min(v.start_time) AS first_seen,
    max(v.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', v._source, v._line) AS evidence,
    f.workload,
    f.hosts,
    f.samples,
    CAST(round(f.middle_hosts) AS BIGINT) AS median_hosts,
    CAST(round(f.p95) AS BIGINT) AS p95_hosts,
    CAST(round(f.z) AS BIGINT) AS z,
    CAST(round(f.entropy_z) AS BIGINT) AS entropy_z,
    round(f.evenness, 3) AS evenness,
    min(v.interface_id) AS interface_id,
    min(v.account_id) AS account_id,
    min(v.region) AS region
FROM found f
JOIN vpc_flow v
    ON coalesce(v.ecs_service_name, v.interface_id, 'unknown') = f.workload
   AND date_bin(INTERVAL '1 hour', v.start_time) = f.hour
WHERE v.protocol IN (6, 17)
  AND coalesce(v.flow_direction, 'egress') = 'egress'
  AND CASE WHEN v.protocol = 6 THEN coalesce((v.tcp_flags & 18) = 2, v.dstport < 32768 AND v.srcport > v.dstport) ELSE v.dstport < 32768 AND v.srcport > v.dstport END
GROUP BY f.workload, f.hour, f.hosts, f.samples, f.middle_hosts, f.p95, f.z, f.entropy_z, f.evenness
