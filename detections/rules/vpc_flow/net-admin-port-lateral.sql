-- id       = "net-admin-port-lateral"
-- title    = "First connection to an administration port inside"
-- severity = "high"
-- attack   = ["T1021", "T1210"]
-- csf      = ["DE.CM-1", "PR.PT-3", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- every    = "5m"
-- window   = "14d"
-- learn    = "6h"
-- entity   = ["source", "target", "port"]
-- quiet    = "24h"
-- message  = "{source} connected to {target} on {port}, not once in the {watched_hours} hours before: {packets} packets, {bytes} bytes{why}"
-- impact   = ["source", "target", "interface_id"]
-- misses   = """
--   Connections from a source that already used that port on that service or network (/24). The first six
--   hours of the data. Systems Manager sessions, which go out and not in. Other ports than the listed ones.
--   Without tcp-flags the side that began is guessed by port."""
-- false_positives = """
--   Bastions, replicas, backup and configuration management: a source that already administers others is
--   medium. Services call databases as a matter of course: that is low here, and net-new-internal-edge
--   has it too. Within an hour of a new task definition the alert is one level lower."""

WITH flows AS (
    SELECT
        ecs_service_name, ecs_task_definition_arn AS definition, interface_id, flow_direction,
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
-- Whose address it was in that hour. An hour with two owners tells nothing.
names AS (
    SELECT
        srcaddr AS address, slot, max(ecs_service_name) AS service,
        min(ecs_service_name) = max(ecs_service_name) AS is_clear, min(definition) AS definition
    FROM flows
    WHERE flow_direction = 'egress' AND ecs_service_name IS NOT NULL
    GROUP BY srcaddr, slot
),
definitions AS (
    SELECT service, definition, min(slot) AS since
    FROM names
    GROUP BY service, definition
),
started AS (
    SELECT min(start_time) AS since FROM flows
),
named AS (
    SELECT
        c.*,
        coalesce(s.service, c.srcaddr) AS source,
        s.service IS NOT NULL AS is_service,
        coalesce(t.service, CASE WHEN c.dstaddr LIKE '%:%' THEN c.dstaddr ELSE regexp_replace(c.dstaddr, '\.[0-9]+$', '.0/24') END) AS target
    FROM calls c
    LEFT JOIN names s ON s.address = c.srcaddr AND s.slot = c.slot
    LEFT JOIN names t ON t.address = c.dstaddr AND t.slot = c.slot
    WHERE is_private_ip(c.srcaddr) AND is_private_ip(c.dstaddr)
      AND coalesce(s.is_clear, true) AND coalesce(t.is_clear, true)
),
-- Which edges are known, and since when anything is.
history AS (
    SELECT e.*, started.since
    FROM (
        SELECT source, target, dstport, min(first_seen) AS first_seen, bool_or(is_service) AS is_service
        FROM named
        GROUP BY source, target, dstport
    ) e
    CROSS JOIN started
),
-- The first use of a port by a source, whatever the target: who administers as a habit.
habits AS (
    SELECT source, dstport, min(first_seen) AS first_seen
    FROM history
    GROUP BY source, dstport
),
fresh AS (
    SELECT
        h.source, h.target, h.dstport, h.is_service, h.since, h.first_seen,
        h.first_seen >= b.first_seen + CAST($learn AS INTERVAL) AS is_habit,
        coalesce(bool_or(d.since > h.since + INTERVAL '1 hour'), false) AS is_release,
        count(*) OVER (PARTITION BY h.target, h.dstport) AS prevalence
    FROM history h
    JOIN habits b ON b.source = h.source AND b.dstport = h.dstport
    LEFT JOIN definitions d
        ON d.service = h.source AND d.since <= h.first_seen AND d.since > h.first_seen - INTERVAL '1 hour'
    WHERE h.first_seen >= h.since + CAST($learn AS INTERVAL)
      AND h.source <> h.target
    GROUP BY h.source, h.target, h.dstport, h.is_service, h.since, h.first_seen, b.first_seen
),
keys AS (
    SELECT DISTINCT f.*, n.srcaddr, n.dstaddr, n.slot
    FROM fresh f
    JOIN named n ON n.source = f.source AND n.target = f.target AND n.dstport = f.dstport
),
found AS (
    SELECT
        k.source, k.target, k.dstport, k.is_service, k.since, k.is_habit, k.is_release, k.prevalence,
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
    GROUP BY k.source, k.target, k.dstport, k.is_service, k.since, k.is_habit, k.is_release, k.prevalence
),
judged AS (
    SELECT
        *,
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
    CAST(floor((date_part('epoch', first_seen) - date_part('epoch', since)) / 3600) AS BIGINT) AS watched_hours,
    concat(
        CASE WHEN is_habit THEN '; it used that port elsewhere before' ELSE '' END,
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
