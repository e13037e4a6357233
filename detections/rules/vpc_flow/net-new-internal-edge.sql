-- id       = "net-new-internal-edge"
-- title    = "Workload calls another one that it never called"
-- severity = "low"
-- attack   = ["T1021"]
-- csf      = ["DE.AE-1", "DE.CM-1"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_edges"]
-- every    = "15m"
-- window   = "24h"
-- learn    = "6h"
-- entity   = ["workload", "target", "dstport"]
-- quiet    = "24h"
-- message  = "{workload} began to call {target} on port {dstport}, not once in the {before}: {records} record(s), {bytes} bytes{why}"
-- impact   = ["workload", "target", "interface_id"]
-- misses   = """
--   A call to another task of a service, or to another address of a network (/24) without service or group,
--   that the workload already calls on that port. Where baseline_edges does not know the workload for
--   14 days, the first six hours of the window; so it is always for logs without flow-direction, and for records
--   that name no service, group or interface. Calls from where no flow log is taken. Without tcp-flags
--   the side that began is guessed by port."""
-- false_positives = """
--   A release that uses another service of yours: within an hour of a new task definition a call to a
--   database port is low as well, and so it is where the workload calls that port elsewhere already, as when
--   a database moves to its stand-by. What three or more workloads begin to call is one alert for all of them."""

WITH flows AS (
    SELECT
        -- As baselines name it.
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        ecs_service_name, ecs_task_definition_arn AS definition, flow_direction, interface_id,
        srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes, account_id, region,
        date_bin(INTERVAL '1 hour', start_time) AS slot,
        -- Who began: by flags, or else the side with the higher port.
        coalesce((tcp_flags & 18) = 2, dstport < 32768 AND srcport > dstport) AS is_opening,
        start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol IN (6, 17)
      AND start_time >= $window_start AND start_time < $window_end
),
definitions AS (
    SELECT workload, definition, min(start_time) AS since
    FROM flows
    GROUP BY workload, definition
),
-- Whose address it was in that hour, as baselines name it. Addresses go from task to task; an hour with two
-- services tells nothing.
owners AS (
    SELECT srcaddr AS address, slot, workload AS owner, max(ecs_service_name) AS service, count(*) AS records
    FROM flows
    -- Interfaces come and go: what only they name goes by its network, as in the baseline.
    WHERE flow_direction = 'egress' AND workload <> 'unknown' AND workload NOT LIKE 'eni-%'
    GROUP BY srcaddr, slot, workload
),
names AS (
    SELECT
        address, slot, first_value(owner ORDER BY records DESC, owner) AS owner, count(DISTINCT owner) <= 1 AS is_clear
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
pairs AS (
    SELECT
        workload, dstaddr, dstport, protocol, slot,
        min(start_time) AS first_seen, sum(packets) AS packets,
        bool_and(flow_direction IS NOT NULL) AS has_direction
    FROM flows
    WHERE is_opening AND coalesce(flow_direction, 'egress') = 'egress'
    GROUP BY workload, dstaddr, dstport, protocol, slot
    -- A handshake and some data, or it was only a try; sweeps have rules of their own.
    HAVING sum(packets) >= 4 AND (protocol = 17 OR sum(bytes) > CASE WHEN dstaddr LIKE '%:%' THEN 84 ELSE 64 END * sum(packets))
),
named AS (
    SELECT
        p.*,
        coalesce(n.owner, d.owner, ip_network(p.dstaddr)) AS target
    FROM pairs p
    LEFT JOIN names n ON n.address = p.dstaddr AND n.slot = p.slot
    LEFT JOIN days d ON d.address = p.dstaddr AND d.day = date_trunc('day', p.slot)
    WHERE coalesce(n.is_clear, true) AND is_private_ip(p.dstaddr)
),
-- Workloads of which enough was learnt, and from when to when.
learnt AS (
    SELECT entity AS workload, min(first_seen) AS since, max(window_to) AS until
    FROM baseline_edges
    GROUP BY entity
    HAVING bool_or(state = 'ripe')
),
known AS (
    SELECT entity AS workload, subject, first_seen
    FROM baseline_edges
    WHERE measure = 'out' AND state <> 'expired'
),
-- Since when each edge and each port is used, and since when the workload is watched: in the window, and by the
-- baseline. Peers have names there that take the direction to know.
history AS (
    SELECT
        e.*, w.since, l.since AS learnt_since, l.until AS learnt_until, k.workload IS NOT NULL AS is_known,
        min(least(e.first_seen, k.first_seen)) OVER (PARTITION BY e.workload, e.dstport, e.protocol) AS port_since
    FROM (
        SELECT
            workload, target, dstport, protocol, min(first_seen) AS first_seen, bool_and(has_direction) AS has_direction
        FROM named
        GROUP BY workload, target, dstport, protocol
    ) e
    JOIN (SELECT workload, min(since) AS since FROM definitions GROUP BY workload) w ON w.workload = e.workload
    LEFT JOIN learnt l ON l.workload = e.workload AND l.since < w.since AND e.has_direction
    -- A baseline that has this very day in it does not make its news old.
    LEFT JOIN known k
        ON k.workload = e.workload AND k.subject = concat(e.target, ':', e.dstport, '/', e.protocol)
       AND k.first_seen < e.first_seen
),
fresh AS (
    SELECT
        h.workload, h.target, h.dstport, h.protocol, h.since, h.learnt_since, h.learnt_until, h.first_seen,
        h.first_seen >= h.port_since + CAST($learn AS INTERVAL) AS is_known_port,
        coalesce(bool_or(d.since > h.since), false) AS is_release,
        count(*) OVER (PARTITION BY h.target, h.dstport, h.protocol) AS prevalence
    FROM history h
    LEFT JOIN definitions d
        ON d.workload = h.workload AND d.since <= h.first_seen AND d.since > h.first_seen - INTERVAL '1 hour'
    WHERE h.first_seen >= coalesce(h.learnt_since, h.since) + CAST($learn AS INTERVAL)
      AND h.target <> h.workload AND NOT h.is_known
    GROUP BY
        h.workload, h.target, h.dstport, h.protocol, h.since, h.learnt_since, h.learnt_until, h.first_seen, h.port_since
),
-- The addresses and hours behind each edge, to find the records again.
keys AS (
    SELECT DISTINCT
        f.workload, f.target, f.dstport, f.protocol, f.since, f.learnt_since, f.learnt_until, f.is_known_port,
        f.is_release, f.prevalence, n.dstaddr, n.slot
    FROM fresh f
    JOIN named n ON n.workload = f.workload AND n.target = f.target AND n.dstport = f.dstport AND n.protocol = f.protocol
),
found AS (
    SELECT
        k.workload, k.target, k.dstport, k.protocol, k.since, k.learnt_since, k.learnt_until, k.is_known_port,
        k.is_release, k.prevalence,
        min(r.start_time) AS first_seen,
        max(r.end_time) AS last_seen,
        count(*) AS count,
        sum(r.bytes) AS bytes,
        evidence('vpc_flow', r._source, r._line) AS evidence,
        min(r.interface_id) AS interface_id,
        min(r.srcaddr) AS srcaddr,
        min(r.dstaddr) AS dstaddr,
        min(r.account_id) AS account_id,
        min(r.region) AS region
    FROM keys k
    JOIN flows r
        ON r.workload = k.workload AND r.dstaddr = k.dstaddr AND r.dstport = k.dstport
       AND r.protocol = k.protocol AND r.slot = k.slot
    WHERE r.is_opening AND coalesce(r.flow_direction, 'egress') = 'egress'
    GROUP BY
        k.workload, k.target, k.dstport, k.protocol, k.since, k.learnt_since, k.learnt_until, k.is_known_port,
        k.is_release, k.prevalence
)
SELECT
    first_seen,
    last_seen,
    count,
    evidence,
    CASE WHEN prevalence >= 3 THEN concat(prevalence, ' workloads') ELSE workload END AS workload,
    target,
    dstport,
    protocol,
    count AS records,
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
    dstaddr,
    account_id,
    region,
    -- Where the data lies: SQL Server, Oracle, MySQL, PostgreSQL, Redshift, Redis, Cassandra, Elasticsearch,
    -- Memcached, MongoDB.
    CASE
        WHEN dstport IN (1433, 1521, 3306, 5432, 5439, 6379, 9042, 9200, 11211, 27017) AND prevalence < 3 AND NOT is_release
             AND NOT is_known_port
            THEN 'medium'
        ELSE 'low'
    END AS severity
FROM found
