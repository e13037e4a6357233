-- id       = "net-new-listen-port"
-- title    = "Workload answers on a port that it never answered on"
-- severity = "medium"
-- attack   = ["T1133"]
-- csf      = ["DE.AE-1", "PR.PT-3", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_edges"]
-- every    = "15m"
-- window   = "24h"
-- learn    = "6h"
-- entity   = ["workload", "port"]
-- quiet    = "24h"
-- message  = "{workload} answered on {port}, not once in the {before}: {connections} connection(s), one from {client}{why}"
-- impact   = ["workload", "interface_id"]
-- misses   = """
--   UDP. Logs without tcp-flags: there an answer looks like any other record. A second port among those
--   from 32768 on, which count as one. A port that was asked while the baseline learnt, and let in: it counts as
--   known, though nothing answered. Where baseline_edges does not know the workload for 14 days, the first six
--   hours of the window, and long connections that began before it did. Logs without flow-direction, and
--   records that name no service, group or interface, are compared with the window alone."""
-- false_positives = """
--   A release that opens a port: within an hour of a new task definition the alert is one level lower.
--   Agents that are rolled out everywhere: three or more workloads are one alert. A scanner that is the first
--   to find an open port: less than three connections and 5 kB are low."""

WITH flows AS (
    SELECT
        -- As baselines name it. Without the direction it is not known whose interface it is, so the address has to do.
        CASE
            WHEN flow_direction IS NULL THEN coalesce(ecs_service_name, srcaddr, 'unknown')
            ELSE coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown')
        END AS workload,
        ecs_task_definition_arn AS definition,
        CASE WHEN srcport >= 32768 THEN 32768 ELSE srcport END AS number,
        -- SYN and ACK together: something listens there and took the connection.
        coalesce((tcp_flags & 18) = 18, false) AND coalesce(flow_direction, 'egress') = 'egress' AS is_answer,
        -- A NAT gateway answers inside in the name of somebody outside.
        coalesce(pkt_srcaddr, srcaddr) AS srcaddr,
        dstaddr, bytes, interface_id, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol = 6
      AND start_time >= $window_start AND start_time < $window_end
),
definitions AS (
    SELECT workload, definition, min(start_time) AS since
    FROM flows
    GROUP BY workload, definition
),
-- Workloads of which enough was learnt, and from when to when.
learnt AS (
    SELECT entity AS workload, min(first_seen) AS since, max(window_to) AS until
    FROM baseline_edges
    GROUP BY entity
    HAVING bool_or(state = 'ripe')
),
known AS (
    SELECT workload, CASE WHEN port >= 32768 THEN 32768 ELSE port END AS number, min(first_seen) AS first_seen
    FROM (
        SELECT entity AS workload, CAST(split_part(substr(subject, 2), '/', 1) AS INT) AS port, first_seen
        FROM baseline_edges
        WHERE measure IN ('in_internal', 'in_external') AND subject LIKE '%/6' AND state <> 'expired'
    )
    GROUP BY 1, 2
),
-- Which ports are new, and since when the workload is watched: in the window, and by the baseline.
history AS (
    SELECT p.workload, p.number, p.first_seen, w.since, l.since AS learnt_since, l.until AS learnt_until
    FROM (
        SELECT workload, number, min(start_time) AS first_seen
        FROM flows
        WHERE is_answer
        GROUP BY workload, number
    ) p
    JOIN (SELECT workload, min(since) AS since FROM definitions GROUP BY workload) w ON w.workload = p.workload
    LEFT JOIN learnt l ON l.workload = p.workload AND l.since < w.since
    -- A baseline that has this very day in it does not make its news old.
    LEFT JOIN known k ON k.workload = p.workload AND k.number = p.number AND k.first_seen < p.first_seen
    WHERE k.workload IS NULL
),
fresh AS (
    SELECT
        h.workload, h.number, h.since, h.learnt_since, h.learnt_until, h.first_seen,
        coalesce(bool_or(d.since > h.since), false) AS is_release,
        count(*) OVER (PARTITION BY h.number) AS prevalence
    FROM history h
    LEFT JOIN definitions d
        ON d.workload = h.workload AND d.since <= h.first_seen AND d.since > h.first_seen - INTERVAL '1 hour'
    WHERE h.first_seen >= coalesce(h.learnt_since, h.since) + CAST($learn AS INTERVAL)
    GROUP BY h.workload, h.number, h.since, h.learnt_since, h.learnt_until, h.first_seen
),
found AS (
    SELECT
        f.workload, f.number, f.since, f.learnt_since, f.learnt_until, f.is_release, f.prevalence,
        min(a.start_time) AS first_seen,
        max(a.end_time) AS last_seen,
        count(*) AS count,
        count(*) AS connections,
        sum(a.bytes) AS bytes,
        evidence('vpc_flow', a._source, a._line) AS evidence,
        bool_or(NOT is_private_ip(a.dstaddr)) AS is_outside,
        min(a.srcaddr) AS srcaddr,
        coalesce(min(a.dstaddr) FILTER (WHERE NOT is_private_ip(a.dstaddr)), min(a.dstaddr)) AS client,
        min(a.interface_id) AS interface_id,
        min(a.account_id) AS account_id,
        min(a.region) AS region
    FROM fresh f
    JOIN flows a ON a.workload = f.workload AND a.number = f.number
    WHERE a.is_answer
    GROUP BY f.workload, f.number, f.since, f.learnt_since, f.learnt_until, f.is_release, f.prevalence
)
SELECT
    first_seen,
    last_seen,
    count,
    evidence,
    CASE WHEN prevalence >= 3 THEN concat(prevalence, ' workloads') ELSE workload END AS workload,
    CASE WHEN number = 32768 THEN 'a port above 32767' ELSE concat('port ', number) END AS port,
    client,
    connections,
    bytes,
    prevalence,
    CASE
        WHEN learnt_since IS NULL
            THEN concat(CAST(floor((date_part('epoch', first_seen) - date_part('epoch', since)) / 3600) AS BIGINT), ' hours before')
        -- What was not seen for 45 days counts as new, so that much is certain and no more.
        ELSE concat(CAST(least(45, ceil((date_part('epoch', least(first_seen, learnt_until)) - date_part('epoch', learnt_since)) / 86400)) AS BIGINT), ' days learnt')
    END AS before,
    CASE WHEN is_release THEN '; a new task definition began within the hour before' ELSE '' END AS why,
    interface_id,
    srcaddr,
    account_id,
    region,
    CASE
        -- Scanners find every open port sooner or later. One answer to one of them is no use of it.
        WHEN connections < 3 AND bytes < 5000 THEN 'low'
        WHEN is_outside AND NOT is_release THEN 'high'
        WHEN is_release AND NOT is_outside THEN 'low'
        ELSE 'medium'
    END AS severity
FROM found
-- Addresses outside are no workloads of ours.
WHERE is_private_ip(srcaddr)
