-- name  = "edges"
-- code  = "B1"
-- title = "Who talks to whom"
-- kind  = "seen"
-- reads = ["vpc_flow"]
-- about = """
--   Connections that were accepted, by workload: the peers that it calls (a workload, an AWS service, or
--   the network of the address), the ports that it is called on, and its protocols. A new pair of a known
--   workload is what first-seen rules look for."""
--
-- [measures.out]
-- about = "Called by the workload: peer:port/protocol"
-- [measures.in_internal]
-- about = "Called on the workload from private addresses: :port/protocol"
-- [measures.in_external]
-- about = "Called on the workload from public addresses: :port/protocol"
-- [measures.protocol]
-- about = "IP protocol number in either direction"

-- Which workload had an address that day; of several, the one with the most records. Interfaces come and go, so
-- what only they name goes by its network.
WITH whose AS (
    SELECT address, first_value(owner ORDER BY records DESC, owner) AS owner
    FROM (
        SELECT own AS address, entity AS owner, count(*) AS records
        FROM ({flows})
        WHERE direction = 'egress' AND entity NOT LIKE 'eni-%'
        GROUP BY own, entity
    )
    GROUP BY address
),
talk AS (
    SELECT
        event_time, entity, peer, service, port, protocol, ours, count(*) AS records, sum(bytes) AS bytes,
        min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM ({flows})
    WHERE action = 'ACCEPT' AND direction IS NOT NULL
    GROUP BY event_time, entity, peer, service, port, protocol, ours
),
named AS (
    SELECT
        t.*,
        CASE
            WHEN w.owner IS NOT NULL THEN w.owner
            -- EC2 can be any customer's address.
            WHEN t.service <> 'EC2' THEN concat('aws:', t.service)
            ELSE ip_network(t.peer)
        END AS peer_name,
        w.owner IS NOT NULL OR coalesce(is_private_ip(t.peer), false) AS internal
    FROM talk t
    LEFT JOIN whose w ON w.address = t.peer
)
SELECT
    event_time, entity,
    CASE
        WHEN what.kind = 'protocol' THEN CAST(protocol AS text)
        WHEN ours THEN concat(peer_name, ':', port, '/', protocol)
        ELSE concat(':', port, '/', protocol)
    END AS subject,
    CASE
        WHEN what.kind = 'protocol' THEN 'protocol'
        WHEN ours THEN 'out'
        WHEN internal THEN 'in_internal'
        ELSE 'in_external'
    END AS measure,
    sum(bytes) AS value, sum(records) AS count, min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM named CROSS JOIN (VALUES ('protocol'), ('edge')) AS what(kind)
GROUP BY 1, 2, 3, 4
