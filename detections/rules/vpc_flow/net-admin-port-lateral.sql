-- id       = "net-admin-port-lateral"
-- title    = "First connection to an administration port inside"
-- severity = "high"
-- attack   = ["T1021", "T1210"]
-- csf      = ["DE.CM-1", "PR.PT-3", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_edges"]
-- every    = "5m"
-- window   = "24h"
-- learn    = "6h"
-- entity   = ["source", "target", "port"]
-- quiet    = "24h"
-- message  = "{source} connected to {target} on {port}, not once in the {before}: {packets} packets, {bytes} bytes{why}"
-- impact   = ["source", "target", "interface_id"]
-- misses   = """
--   Connections from a source that already used that port on that service or network (/24). What one host
--   of a group did while the baseline learnt is known of all of them. Where baseline_edges does not
--   know the source's workload for 14 days, the first six hours of the window; so it is always for logs without
--   flow-direction, and for sources without flow logs of their own. Systems Manager sessions, which go out and not in. Other ports than the listed ones.
--   Without tcp-flags the side that began is guessed by port."""
-- false_positives = """
--   Bastions, replicas, backup and configuration management: a source that already administers others is
--   medium. Services call databases as a matter of course: that is low here, and net-new-internal-edge
--   has it too. Within an hour of a new task definition the alert is one level lower."""

WITH flows AS (
    SELECT
        -- As baselines name it.
        workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id) AS workload,
        -- Tasks that no service started go by their family.
        workload(ecs_service_name, ecs_task_definition_arn, NULL, NULL) AS service_name,
        ecs_task_definition_arn AS definition, interface_id, flow_direction,
        srcaddr, dstaddr, srcport, dstport, tcp_flags, packets, bytes, account_id, region,
        date_bin(INTERVAL '1 hour', start_time) AS slot,
        coalesce((tcp_flags & 18) = 2, srcport > dstport) AS is_opening,
        start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol = 6
      AND start_time >= $window_start AND start_time < $window_end
),
calls AS (
    SELECT
        srcaddr, dstaddr, dstport, slot,
        min(start_time) AS first_seen
    FROM flows
    -- SSH, RPC, NetBIOS, SMB, databases, Docker, RDP, remote desktop, WinRM, kubelet, etcd, ECS agent.
    WHERE dstport IN (22, 135, 139, 445, 1433, 1521, 2375, 2376, 2379, 3306, 3389, 5432, 5900, 5985, 5986, 6379,
                      9042, 9200, 10250, 27017, 51678)
      AND is_opening
    GROUP BY srcaddr, dstaddr, dstport, slot
    -- A handshake and some data, or it was only a try; sweeps have rules of their own.
    HAVING sum(packets) >= 4 AND sum(bytes) > CASE WHEN dstaddr LIKE '%:%' THEN 84 ELSE 64 END * sum(packets)
),
-- Whose address it was in that hour, as baselines name it. An hour with two services tells nothing.
owners AS (
    SELECT
        srcaddr AS address, slot, workload AS owner, max(service_name) AS service, min(definition) AS definition,
        count(*) AS records
    FROM flows
    WHERE flow_direction = 'egress' AND workload IS NOT NULL
    GROUP BY srcaddr, slot, workload
),
names AS (
    SELECT
        address, slot, first_value(owner ORDER BY owner LIKE 'eni-%', records DESC, owner) AS owner,
        max(service) AS service,
        count(DISTINCT owner) FILTER (WHERE owner NOT LIKE 'eni-%') <= 1 AS is_clear, min(definition) AS definition
    FROM owners
    GROUP BY address, slot
),
-- In an hour in which it did not speak it belongs to whom it belonged to most of that day.
days AS (
    SELECT address, day, first_value(owner ORDER BY records DESC, owner) AS owner
    FROM (
        SELECT address, date_trunc('day', slot) AS day, owner, sum(records) AS records
        FROM owners
        GROUP BY 1, 2, 3
    )
    GROUP BY address, day
),
definitions AS (
    SELECT service, definition, min(slot) AS since
    FROM names
    WHERE service IS NOT NULL
    GROUP BY service, definition
),
started AS (
    SELECT min(start_time) AS since FROM flows
),
named AS (
    SELECT
        c.*,
        coalesce(s.service, sn.service, c.srcaddr) AS source,
        coalesce(CASE WHEN s.owner NOT LIKE 'eni-%' THEN s.owner END, sn.owner, s.owner, sd.owner) AS workload,
        coalesce(s.service, sn.service) IS NOT NULL AS is_service,
        coalesce(
            CASE WHEN t.owner NOT LIKE 'eni-%' THEN t.owner END, CASE WHEN td.owner NOT LIKE 'eni-%' THEN td.owner END,
            ip_network(c.dstaddr)
        ) AS target
    FROM calls c
    LEFT JOIN names s ON s.address = c.srcaddr AND s.slot = c.slot
    -- A task that starts at the end of an hour is named by its own records of the next.
    LEFT JOIN names sn
        ON sn.address = c.srcaddr AND sn.slot = c.slot + INTERVAL '1 hour' AND (s.owner IS NULL OR s.owner LIKE 'eni-%')
    LEFT JOIN names t ON t.address = c.dstaddr AND t.slot = c.slot
    LEFT JOIN days sd ON sd.address = c.srcaddr AND sd.day = date_trunc('day', c.slot)
    LEFT JOIN days td ON td.address = c.dstaddr AND td.day = date_trunc('day', c.slot)
    WHERE is_private_ip(c.srcaddr) AND is_private_ip(c.dstaddr)
      AND coalesce(s.is_clear, sn.is_clear, true) AND coalesce(t.is_clear, true)
),
-- Workloads of which enough was learnt, and from when to when.
learnt AS (
    SELECT entity AS workload, min(first_seen) AS since, max(window_to) AS until
    FROM baseline_edges
    GROUP BY entity
    HAVING bool_or(state = 'ripe')
),
-- What each workload called inside: names that are no addresses are workloads.
known AS (
    SELECT workload, target, CAST(regexp_replace(subject, '^.*:([0-9]+)/6$', '\1') AS INT) AS dstport, first_seen
    FROM (
        SELECT entity AS workload, subject, regexp_replace(subject, ':[0-9]+/6$', '') AS target, first_seen
        FROM baseline_edges
        WHERE measure = 'out' AND subject LIKE '%/6' AND state <> 'expired'
    )
    WHERE target NOT LIKE 'aws:%' AND coalesce(is_private_ip(split_part(target, '/', 1)), true)
),
-- Which edges are known, and since when anything is: in the window, and by the baseline.
history AS (
    SELECT
        e.*, s.since, l.since AS learnt_since, l.until AS learnt_until, k.workload IS NOT NULL AS is_known
    FROM (
        SELECT
            source, target, dstport, min(first_seen) AS first_seen, bool_or(is_service) AS is_service,
            min(workload) AS workload
        FROM named
        GROUP BY source, target, dstport
    ) e
    CROSS JOIN started s
    LEFT JOIN learnt l ON l.workload = e.workload AND l.since < s.since
    -- A baseline that has this very day in it does not make its news old.
    LEFT JOIN known k
        ON k.workload = e.workload AND k.target = e.target AND k.dstport = e.dstport AND k.first_seen < e.first_seen
),
-- The first use of a port by a source, whatever the target: who administers as a habit.
habits AS (
    SELECT h.source, h.dstport, min(h.first_seen) AS first_seen, min(k.first_seen) AS learnt
    FROM history h
    LEFT JOIN (
        SELECT workload, dstport, min(first_seen) AS first_seen FROM known GROUP BY workload, dstport
    ) k ON k.workload = h.workload AND k.dstport = h.dstport
    GROUP BY h.source, h.dstport
),
fresh AS (
    SELECT
        h.source, h.target, h.dstport, h.is_service, h.since, h.learnt_since, h.learnt_until, h.first_seen,
        -- Who used it elsewhere: the source itself, or its group.
        CASE
            WHEN h.first_seen >= b.first_seen + CAST($learn AS INTERVAL) THEN 'it'
            WHEN h.first_seen >= b.learnt + CAST($learn AS INTERVAL) THEN CASE WHEN h.is_service THEN 'it' ELSE h.workload END
        END AS habit_of,
        coalesce(bool_or(d.since > h.since + INTERVAL '1 hour'), false) AS is_release,
        count(*) OVER (PARTITION BY h.target, h.dstport) AS prevalence
    FROM history h
    JOIN habits b ON b.source = h.source AND b.dstport = h.dstport
    LEFT JOIN definitions d
        ON d.service = h.source AND d.since <= h.first_seen AND d.since > h.first_seen - INTERVAL '1 hour'
    WHERE h.first_seen >= coalesce(h.learnt_since, h.since) + CAST($learn AS INTERVAL)
      AND h.source <> h.target AND NOT h.is_known
    GROUP BY
        h.source, h.target, h.dstport, h.is_service, h.since, h.learnt_since, h.learnt_until, h.first_seen, h.workload,
        b.first_seen, b.learnt
),
keys AS (
    SELECT DISTINCT f.*, n.srcaddr, n.dstaddr, n.slot
    FROM fresh f
    JOIN named n ON n.source = f.source AND n.target = f.target AND n.dstport = f.dstport
),
found AS (
    SELECT
        k.source, k.target, k.dstport, k.is_service, k.since, k.learnt_since, k.learnt_until, k.habit_of, k.is_release,
        k.prevalence,
        min(r.start_time) AS first_seen,
        max(r.end_time) AS last_seen,
        count(*) AS count,
        -- Both ends may have written the same.
        greatest(coalesce(sum(r.packets) FILTER (WHERE r.flow_direction = 'egress'), 0), coalesce(sum(r.packets) FILTER (WHERE r.flow_direction IS DISTINCT FROM 'egress'), 0)) AS packets,
        greatest(coalesce(sum(r.bytes) FILTER (WHERE r.flow_direction = 'egress'), 0), coalesce(sum(r.bytes) FILTER (WHERE r.flow_direction IS DISTINCT FROM 'egress'), 0)) AS bytes,
        evidence('vpc_flow', r._source, r._line) AS evidence,
        bool_or(coalesce((r.tcp_flags & 18) = 2, false)) AS is_certain,
        min(r.interface_id) AS interface_id,
        min(r.srcaddr) AS srcaddr,
        min(r.dstaddr) AS dstaddr,
        min(r.account_id) AS account_id,
        min(r.region) AS region
    FROM keys k
    JOIN flows r ON r.srcaddr = k.srcaddr AND r.dstaddr = k.dstaddr AND r.dstport = k.dstport AND r.slot = k.slot
    WHERE r.is_opening
    GROUP BY
        k.source, k.target, k.dstport, k.is_service, k.since, k.learnt_since, k.learnt_until, k.habit_of, k.is_release,
        k.prevalence
),
judged AS (
    SELECT
        *,
        habit_of IS NOT NULL AS is_habit,
        dstport IN (1433, 1521, 3306, 5432, 6379, 9042, 9200, 27017) AS is_database
    FROM found
)
SELECT
    first_seen,
    last_seen,
    count,
    evidence,
    CASE WHEN prevalence >= 3 THEN concat(prevalence, ' sources') ELSE source END AS source,
    target,
    concat('port ', dstport) AS port,
    packets,
    bytes,
    prevalence,
    CASE
        WHEN learnt_since IS NULL
            THEN concat(CAST(floor((date_part('epoch', first_seen) - date_part('epoch', since)) / 3600) AS BIGINT), ' hours before')
        -- What was not seen for 45 days counts as new, so that much is certain and no more.
        ELSE concat(CAST(least(45, ceil((date_part('epoch', least(first_seen, learnt_until)) - date_part('epoch', learnt_since)) / 86400)) AS BIGINT), ' days learnt')
    END AS before,
    concat(
        CASE WHEN is_habit THEN concat('; ', habit_of, ' used that port elsewhere before') ELSE '' END,
        CASE WHEN is_release THEN '; a new task definition began within the hour before' ELSE '' END
    ) AS why,
    interface_id,
    srcaddr,
    dstaddr,
    account_id,
    region,
    CASE
        WHEN NOT is_certain OR prevalence >= 3 OR is_release AND is_habit
             OR is_database AND (is_service OR is_habit OR is_release) THEN 'low'
        WHEN is_database OR is_habit OR is_release THEN 'medium'
        ELSE 'high'
    END AS severity
FROM judged
