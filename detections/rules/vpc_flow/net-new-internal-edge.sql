-- id       = "net-new-internal-edge"
-- title    = "Workload calls another one that it never called"
-- severity = "low"
-- attack   = ["T1021"]
-- csf      = ["DE.AE-1", "DE.CM-1"]
-- reads    = ["vpc_flow"]
-- every    = "15m"
-- window   = "14d"
-- learn    = "6h"
-- entity   = ["workload", "target", "dstport"]
-- quiet    = "24h"
-- message  = "{workload} began to call {target} on port {dstport}, not once in the {watched_hours} hours before: {records} record(s), {bytes} bytes{why}"
-- impact   = ["workload", "target", "interface_id"]
-- misses   = """
--   A call to another task of a service, or to another address of a network (/24), that the workload
--   already calls on that port. A workload's first six hours. Calls from where no flow log is taken.
--   Without tcp-flags the side that began is guessed by port."""
-- false_positives = """
--   A release that uses another service of yours: within an hour of a new task definition a call to a
--   database port is low as well, and so it is where the workload calls that port elsewhere already, as when
--   a database moves to its stand-by. What three or more workloads begin to call is one alert for all of them."""

WITH flows AS (
    SELECT
        coalesce(ecs_service_name, interface_id, 'unknown') AS workload,
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
-- Whose address it was in that hour. Addresses go from task to task; an hour with two owners tells nothing.
names AS (
    SELECT srcaddr AS address, slot, max(ecs_service_name) AS service, min(ecs_service_name) = max(ecs_service_name) AS is_clear
    FROM flows
    WHERE flow_direction = 'egress' AND ecs_service_name IS NOT NULL
    GROUP BY srcaddr, slot
),
pairs AS (
    SELECT
        workload, dstaddr, dstport, protocol, slot,
        min(start_time) AS first_seen, sum(packets) AS packets
    FROM flows
    WHERE is_opening AND coalesce(flow_direction, 'egress') = 'egress'
    GROUP BY workload, dstaddr, dstport, protocol, slot
    -- A handshake and some data, or it was only a try; sweeps have rules of their own.
    HAVING sum(packets) >= 4 AND (protocol = 17 OR sum(bytes) > CASE WHEN dstaddr LIKE '%:%' THEN 84 ELSE 64 END * sum(packets))
),
named AS (
    SELECT
        p.*,
        CASE
            WHEN n.service IS NOT NULL THEN n.service
            WHEN p.dstaddr LIKE '%:%'
                THEN concat(concat_ws(':', split_part(p.dstaddr, ':', 1), split_part(p.dstaddr, ':', 2), split_part(p.dstaddr, ':', 3), split_part(p.dstaddr, ':', 4)), '::/64')
            ELSE regexp_replace(p.dstaddr, '\.[0-9]+$', '.0/24')
        END AS target
    FROM pairs p
    LEFT JOIN names n ON n.address = p.dstaddr AND n.slot = p.slot
    WHERE coalesce(n.is_clear, true) AND is_private_ip(p.dstaddr)
),
-- Which edges are known, and since when the workload is watched.
history AS (
    SELECT e.*, w.since, min(e.first_seen) OVER (PARTITION BY e.workload, e.dstport, e.protocol) AS port_since
    FROM (
        SELECT workload, target, dstport, protocol, min(first_seen) AS first_seen
        FROM named
        GROUP BY workload, target, dstport, protocol
    ) e
    JOIN (SELECT workload, min(since) AS since FROM definitions GROUP BY workload) w ON w.workload = e.workload
),
fresh AS (
    SELECT
        h.workload, h.target, h.dstport, h.protocol, h.since, h.first_seen,
        h.first_seen >= h.port_since + CAST($learn AS INTERVAL) AS is_known_port,
        coalesce(bool_or(d.since > h.since), false) AS is_release,
        count(*) OVER (PARTITION BY h.target, h.dstport, h.protocol) AS prevalence
    FROM history h
    LEFT JOIN definitions d
        ON d.workload = h.workload AND d.since <= h.first_seen AND d.since > h.first_seen - INTERVAL '1 hour'
    WHERE h.first_seen >= h.since + CAST($learn AS INTERVAL)
      AND h.target <> h.workload
    GROUP BY h.workload, h.target, h.dstport, h.protocol, h.since, h.first_seen, h.port_since
),
-- The addresses and hours behind each edge, to find the records again.
keys AS (
    SELECT DISTINCT
        f.workload, f.target, f.dstport, f.protocol, f.since, f.is_known_port, f.is_release, f.prevalence, n.dstaddr, n.slot
    FROM fresh f
    JOIN named n ON n.workload = f.workload AND n.target = f.target AND n.dstport = f.dstport AND n.protocol = f.protocol
),
found AS (
    SELECT
        k.workload, k.target, k.dstport, k.protocol, k.since, k.is_known_port, k.is_release, k.prevalence,
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
    GROUP BY k.workload, k.target, k.dstport, k.protocol, k.since, k.is_known_port, k.is_release, k.prevalence
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
    CAST(floor((date_part('epoch', first_seen) - date_part('epoch', since)) / 3600) AS BIGINT) AS watched_hours,
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
