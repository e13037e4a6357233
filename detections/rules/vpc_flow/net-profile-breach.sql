-- id       = "net-profile-breach"
-- title    = "Service outside of its declared profile"
-- severity = "medium"
-- attack   = ["T1071"]
-- csf      = ["DE.AE-1", "PR.PT-3"]
-- reads    = ["vpc_flow", "service_profiles"]
-- every    = "15m"
-- window   = "24h"
-- entity   = ["service", "edge"]
-- quiet    = "24h"
-- message  = "{service} {verb} {peer} on port {port}: none of the {rows} rows of its profile allows that ({packets} packets, {bytes} bytes)"
-- impact   = ["service", "interface_id"]
-- misses   = """
--   Services without a row in service_profiles. Whatever the profile allows, however it is used. Traffic of
--   the EC2 launch type in bridge or host mode, whose records name no service. Without tcp-flags the side that
--   began is guessed by port."""
-- false_positives = """
--   A profile that is older than the service. `trailhound baseline propose` writes rows from what was learnt."""

WITH flows AS (
    SELECT
        ecs_service_name AS service,
        flow_direction,
        -- The other end, and the port of the side that is called.
        CASE WHEN flow_direction = 'egress' THEN coalesce(pkt_dstaddr, dstaddr) ELSE coalesce(pkt_srcaddr, srcaddr) END AS address,
        CASE WHEN flow_direction = 'egress' THEN pkt_dst_aws_service ELSE pkt_src_aws_service END AS aws_service,
        dstport AS port, protocol, packets, bytes,
        date_bin(INTERVAL '1 hour', start_time) AS slot,
        srcaddr, interface_id, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol IN (6, 17)
      -- Records of the side that began, by flags, or else the one with the higher port.
      AND CASE WHEN protocol = 6 THEN coalesce((tcp_flags & 18) = 2, dstport < 32768 AND srcport > dstport) ELSE dstport < 32768 AND srcport > dstport END
      AND start_time >= $window_start AND start_time < $window_end
),
profiles AS (
    SELECT service, direction, peer, port, protocol, count(*) OVER (PARTITION BY service) AS size
    FROM service_profiles
    WHERE service IS NOT NULL
),
-- Whose address it was in that hour. An hour with two owners tells nothing.
names AS (
    SELECT srcaddr AS address, slot, max(service) AS service, min(owner) = max(owner) AS is_clear
    FROM (
        SELECT
            srcaddr, date_bin(INTERVAL '1 hour', start_time) AS slot, ecs_service_name AS service,
            workload(ecs_service_name, ecs_task_definition_arn, NULL, NULL) AS owner
        FROM vpc_flow
        WHERE action = 'ACCEPT' AND flow_direction = 'egress' AND coalesce(ecs_service_name, ecs_task_definition_arn) IS NOT NULL
          AND start_time >= $window_start AND start_time < $window_end
    )
    GROUP BY srcaddr, slot
),
edges AS (
    SELECT
        f.service, f.flow_direction, f.address, f.port, f.protocol, n.service AS peer_service,
        max(f.aws_service) AS aws_service, sum(f.packets) AS packets, sum(f.bytes) AS bytes, sum(f.count) AS count
    FROM (
        SELECT service, flow_direction, address, port, protocol, slot, max(aws_service) AS aws_service,
            sum(packets) AS packets, sum(bytes) AS bytes, count(*) AS count
        FROM flows
        WHERE service IN (SELECT service FROM profiles)
        GROUP BY service, flow_direction, address, port, protocol, slot
    ) f
    LEFT JOIN names n ON n.address = f.address AND n.slot = f.slot
    WHERE coalesce(n.is_clear, true)
    GROUP BY f.service, f.flow_direction, f.address, f.port, f.protocol, n.service
),
allowed AS (
    SELECT DISTINCT e.service, e.flow_direction, e.address, e.port, e.protocol, e.peer_service
    FROM edges e
    JOIN profiles p ON p.service = e.service
    WHERE CASE p.direction WHEN 'out' THEN e.flow_direction = 'egress' WHEN 'in' THEN e.flow_direction = 'ingress' ELSE true END
      AND (coalesce(p.peer, '*') = '*' OR p.peer = e.address OR coalesce(p.peer = e.peer_service, false) OR coalesce(ip_in_cidr(e.address, p.peer), false)
        OR coalesce(p.peer = concat('aws:', e.aws_service), false) OR (p.peer = 'private' AND coalesce(is_private_ip(e.address), false)))
      AND (coalesce(p.port, '*') = '*' OR p.port = CAST(e.port AS VARCHAR))
      AND (coalesce(p.protocol, '*') = '*'
        OR lower(p.protocol) = CASE e.protocol WHEN 6 THEN 'tcp' ELSE 'udp' END OR p.protocol = CAST(e.protocol AS VARCHAR))
),
breaches AS (
    SELECT e.*, s.size
    FROM edges e
    JOIN (SELECT service, max(size) AS size FROM profiles GROUP BY service) s ON s.service = e.service
    LEFT JOIN allowed a
        ON a.service = e.service AND a.flow_direction = e.flow_direction AND a.address = e.address AND a.port = e.port
       AND a.protocol = e.protocol AND a.peer_service IS NOT DISTINCT FROM e.peer_service
    -- A handshake and some data, or it was only a try.
    WHERE a.service IS NULL AND e.packets >= 4 AND (e.protocol = 17 OR e.bytes > 64 * e.packets)
),
labelled AS (
    SELECT
        *,
        coalesce(peer_service, ip_network(address)) AS peer
    FROM breaches
),
totals AS (
    SELECT service, flow_direction, peer, port, protocol, sum(packets) AS packets, sum(bytes) AS bytes
    FROM labelled
    GROUP BY service, flow_direction, peer, port, protocol
),
found AS (
    SELECT
        l.service, l.flow_direction, l.peer, l.port, l.protocol, l.size,
        min(f.start_time) AS first_seen,
        max(f.end_time) AS last_seen,
        count(*) AS count,
        evidence('vpc_flow', f._source, f._line) AS evidence,
        min(f.address) AS address,
        min(f.interface_id) AS interface_id,
        min(f.account_id) AS account_id,
        min(f.region) AS region
    FROM labelled l
    JOIN flows f
        ON f.service = l.service AND f.flow_direction = l.flow_direction AND f.address = l.address AND f.port = l.port AND f.protocol = l.protocol
    GROUP BY l.service, l.flow_direction, l.peer, l.port, l.protocol, l.size
)
SELECT
    f.first_seen,
    f.last_seen,
    f.count,
    f.evidence,
    f.service,
    CASE WHEN f.flow_direction = 'egress' THEN 'called' ELSE 'was called by' END AS verb,
    f.peer,
    f.port,
    concat_ws(' ', f.flow_direction, f.peer, f.port, f.protocol) AS edge,
    f.protocol,
    f.size AS rows,
    t.packets,
    t.bytes,
    f.address,
    f.interface_id,
    f.account_id,
    f.region
FROM found f
JOIN totals t
    ON t.service = f.service AND t.flow_direction = f.flow_direction AND t.peer = f.peer AND t.port = f.port AND t.protocol = f.protocol
