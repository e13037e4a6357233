-- id       = "net-cleartext-regulated"
-- title    = "Clear text where regulated data lies"
-- severity = "medium"
-- attack   = ["T1040"]
-- csf      = ["DE.AE-1"]
-- reads    = ["vpc_flow", "regulated"]
-- optional = ["declared_flows"]
-- every    = "1h"
-- window   = "24h"
-- entity   = ["source", "destination", "port"]
-- quiet    = "7d"
-- message  = "{source} called {destination} on {port}, {name}, which is clear text: {what} ({packets} packets, {bytes} bytes)"
-- impact   = ["source", "destination", "interface_id"]
-- misses   = """
--   Clear text on other ports, and TLS that is negotiated on these. Ends that the table regulated does not
--   name. Less than ten kilobytes a day, both ways together."""
-- false_positives = """
--   Health checks of more than ten kilobytes a day, and redirects to TLS: approve them in declared_flows.
--   One regulated end only, with the other inside, is low."""

WITH flows AS (
    SELECT
        -- Calls and their answers, both from the caller's point of view.
        srcport > dstport AS is_call,
        CASE WHEN srcport > dstport THEN srcaddr ELSE dstaddr END AS srcaddr,
        CASE WHEN srcport > dstport THEN dstaddr ELSE srcaddr END AS dstaddr,
        least(srcport, dstport) AS dstport,
        protocol, packets, bytes, flow_direction,
        date_bin(INTERVAL '1 hour', start_time) AS slot,
        interface_id, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol = 6
      -- Who began is told by flags, or else by the higher port.
      AND (dstport IN (21, 23, 25, 80, 110, 143, 389) AND srcport > dstport AND coalesce((tcp_flags & 18) = 2, true)
        OR srcport IN (21, 23, 25, 80, 110, 143, 389) AND dstport > srcport AND coalesce((tcp_flags & 18) = 18, true))
      AND start_time >= $window_start AND start_time < $window_end
),
calls AS (
    SELECT srcaddr, dstaddr, dstport, protocol, slot, sum(packets) AS packets, sum(bytes) AS bytes
    FROM (
        SELECT
            srcaddr, dstaddr, dstport, protocol, slot, is_call,
            -- Both ends may have written the same.
            greatest(coalesce(sum(packets) FILTER (WHERE flow_direction = 'egress'), 0), coalesce(sum(packets) FILTER (WHERE coalesce(flow_direction, 'ingress') = 'ingress'), 0)) AS packets,
            greatest(coalesce(sum(bytes) FILTER (WHERE flow_direction = 'egress'), 0), coalesce(sum(bytes) FILTER (WHERE coalesce(flow_direction, 'ingress') = 'ingress'), 0)) AS bytes
        FROM flows
        GROUP BY srcaddr, dstaddr, dstport, protocol, slot, is_call
    )
    GROUP BY srcaddr, dstaddr, dstport, protocol, slot
),
-- Whose address it was in that hour, by its own interface's records. An hour with two owners tells nothing.
owners AS (
    SELECT
        srcaddr AS address, date_bin(INTERVAL '1 hour', start_time) AS slot,
        max(ecs_service_name) AS service, max(interface_id) AS interface_id, max(subnet_id) AS subnet_id,
        min(workload(ecs_service_name, ecs_task_definition_arn, NULL, NULL))
            = max(workload(ecs_service_name, ecs_task_definition_arn, NULL, NULL)) AS is_clear
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND flow_direction = 'egress'
      AND start_time >= $window_start AND start_time < $window_end
    GROUP BY 1, 2
),
ends AS (
    SELECT DISTINCT e.address, o.service, o.interface_id, o.subnet_id, e.slot
    FROM (SELECT srcaddr AS address, slot FROM calls UNION SELECT dstaddr AS address, slot FROM calls) e
    LEFT JOIN owners o ON o.address = e.address AND o.slot = e.slot
    WHERE coalesce(o.is_clear, true)
),
tags AS (
    SELECT e.address, e.slot, min(upper(r.class)) AS class
    FROM ends e
    CROSS JOIN regulated r
    WHERE r.member IS NOT NULL AND r.class IS NOT NULL
      AND (r.member = e.address OR coalesce(r.member = e.service, false) OR coalesce(r.member = e.interface_id, false)
        OR coalesce(r.member = e.subnet_id, false) OR coalesce(ip_in_cidr(e.address, r.member), false))
    GROUP BY e.address, e.slot
),
edges AS (
    SELECT
        coalesce(s.service, c.srcaddr) AS source, coalesce(d.service, c.dstaddr) AS destination,
        s.service AS source_service, d.service AS destination_service,
        c.srcaddr, c.dstaddr, c.dstport, c.protocol, c.slot, c.packets, c.bytes,
        st.class AS source_class, dt.class AS destination_class
    FROM calls c
    JOIN ends s ON s.address = c.srcaddr AND s.slot = c.slot
    JOIN ends d ON d.address = c.dstaddr AND d.slot = c.slot
    LEFT JOIN tags st ON st.address = c.srcaddr AND st.slot = c.slot
    LEFT JOIN tags dt ON dt.address = c.dstaddr AND dt.slot = c.slot
    WHERE st.class IS NOT NULL OR dt.class IS NOT NULL
),
-- What the list of approved flows covers on that day.
approved AS (
    SELECT DISTINCT e.srcaddr, e.dstaddr, e.dstport, e.protocol, e.slot
    FROM edges e
    CROSS JOIN declared_flows a
    WHERE a.source IS NOT NULL
      AND (a.source = '*' OR a.source = e.srcaddr OR coalesce(a.source = e.source_service, false) OR coalesce(ip_in_cidr(e.srcaddr, a.source), false))
      AND (coalesce(a.destination, '*') = '*' OR a.destination = e.dstaddr OR coalesce(a.destination = e.destination_service, false) OR coalesce(ip_in_cidr(e.dstaddr, a.destination), false))
      AND (coalesce(a.port, '*') = '*' OR a.port = CAST(e.dstport AS VARCHAR))
      AND (coalesce(a.protocol, '*') = '*'
        OR lower(a.protocol) = CASE e.protocol WHEN 6 THEN 'tcp' ELSE 'udp' END OR a.protocol = CAST(e.protocol AS VARCHAR))
      AND (a.expires IS NULL OR a.expires >= to_char(e.slot, '%Y-%m-%d'))
),
open_edges AS (
    SELECT e.*
    FROM edges e
    LEFT JOIN approved a
        ON a.srcaddr = e.srcaddr AND a.dstaddr = e.dstaddr AND a.dstport = e.dstport AND a.protocol = e.protocol AND a.slot = e.slot
    WHERE a.srcaddr IS NULL
),
totals AS (
    SELECT
        source, destination, dstport, protocol,
        max(source_class) AS source_class, max(destination_class) AS destination_class,
        sum(packets) AS packets, sum(bytes) AS bytes
    FROM open_edges
    GROUP BY source, destination, dstport, protocol
),
found AS (
    SELECT
        o.source, o.destination, o.dstport, o.protocol,
        min(f.start_time) AS first_seen,
        max(f.end_time) AS last_seen,
        count(*) AS count,
        evidence('vpc_flow', f._source, f._line) AS evidence,
        min(f.interface_id) AS interface_id,
        min(f.srcaddr) AS srcaddr,
        min(f.dstaddr) AS dstaddr,
        min(f.account_id) AS account_id,
        min(f.region) AS region
    FROM open_edges o
    JOIN flows f
        ON f.srcaddr = o.srcaddr AND f.dstaddr = o.dstaddr AND f.dstport = o.dstport AND f.protocol = o.protocol AND f.slot = o.slot
    GROUP BY o.source, o.destination, o.dstport, o.protocol
)
SELECT
    f.first_seen,
    f.last_seen,
    f.count,
    f.evidence,
    f.source,
    f.destination,
    concat('port ', f.dstport) AS port,
    f.protocol,
    t.packets,
    t.bytes,
    CASE f.dstport
        WHEN 21 THEN 'FTP' WHEN 23 THEN 'Telnet' WHEN 25 THEN 'SMTP' WHEN 80 THEN 'HTTP' WHEN 110 THEN 'POP3'
        WHEN 143 THEN 'IMAP' ELSE 'LDAP'
    END AS name,
    CASE
        WHEN t.source_class IS NOT NULL AND t.destination_class IS NOT NULL THEN concat('data of the classes ', t.source_class, ' and ', t.destination_class, ' lies at its ends')
        ELSE concat('data of the class ', coalesce(t.source_class, t.destination_class), ' lies at one end')
    END AS what,
    f.interface_id,
    f.srcaddr,
    f.dstaddr,
    f.account_id,
    f.region,
    CASE
        WHEN t.source_class IS NOT NULL AND t.destination_class IS NOT NULL OR NOT is_private_ip(f.srcaddr) OR NOT is_private_ip(f.dstaddr) THEN 'medium'
        ELSE 'low'
    END AS severity
FROM found f
JOIN totals t ON t.source = f.source AND t.destination = f.destination AND t.dstport = f.dstport AND t.protocol = f.protocol
WHERE t.bytes >= 10000 AND t.bytes > 64 * t.packets
