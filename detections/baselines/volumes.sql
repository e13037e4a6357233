-- name  = "volumes"
-- code  = "B2"
-- title = "How much a workload sends and gets"
-- kind  = "measured"
-- reads = ["vpc_flow"]
-- hours = true
-- fill  = true
-- about = """
--   Per workload and hour: bytes, connections opened, peers, refused attempts, and how evenly connections
--   spread over peers. An hour in which a workload of that day was silent is 0. Hours with SKIPDATA on one
--   of its interfaces do not train."""
--
-- [measures.bytes_out]
-- about = "Bytes sent"
-- unit  = 1e6
-- shown = "bytes"
-- [measures.bytes_in]
-- about = "Bytes received"
-- unit  = 1e6
-- shown = "bytes"
-- [measures.connections_out]
-- about = "Records of connections that it opened"
-- unit  = 20.0
-- [measures.peers_out]
-- about = "Different addresses that it called"
-- unit  = 5.0
-- [measures.rejects_out]
-- about = "Attempts of its own that were refused"
-- unit  = 10.0
-- [measures.fanout_entropy]
-- about = "Evenness of its connections over peers, 0 (one peer) to 1 (all alike)"
-- unit  = 0.5

WITH pairs AS (
    SELECT
        event_time, entity, peer,
        sum(CASE WHEN direction = 'egress' AND action = 'ACCEPT' THEN bytes ELSE 0 END) AS bytes_out,
        sum(CASE WHEN direction = 'ingress' AND action = 'ACCEPT' THEN bytes ELSE 0 END) AS bytes_in,
        sum(CASE WHEN direction = 'egress' AND ours AND action = 'ACCEPT' THEN 1 ELSE 0 END) AS opened,
        sum(CASE WHEN direction = 'egress' AND opening AND action = 'REJECT' THEN 1 ELSE 0 END) AS rejects,
        count(*) AS records, min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM ({flows})
    WHERE direction IS NOT NULL
    GROUP BY event_time, entity, peer
),
hours AS (
    SELECT
        event_time, entity, sum(bytes_out) AS bytes_out, sum(bytes_in) AS bytes_in, sum(opened) AS opened,
        sum(rejects) AS rejects, sum(CASE WHEN opened > 0 THEN 1 ELSE 0 END) AS peers,
        sum(CASE WHEN opened > 0 THEN opened * ln(opened) ELSE 0 END) AS weighted,
        sum(records) AS records, min(first_seen) AS first_seen, max(last_seen) AS last_seen
    FROM pairs
    GROUP BY event_time, entity
),
-- Traffic went by unrecorded. These records name the interface only.
skipped AS (
    SELECT DISTINCT s.event_time, i.entity
    FROM (
        SELECT date_trunc('hour', event_time) AS event_time, interface_id
        FROM vpc_flow WHERE log_status = 'SKIPDATA'
    ) AS s
    INNER JOIN (SELECT DISTINCT interface_id, entity FROM ({flows})) AS i ON i.interface_id = s.interface_id
)
SELECT
    h.event_time, h.entity, CAST(NULL AS text) AS subject, m.measure,
    CASE m.measure
        WHEN 'bytes_out' THEN h.bytes_out
        WHEN 'bytes_in' THEN h.bytes_in
        WHEN 'connections_out' THEN h.opened
        WHEN 'peers_out' THEN h.peers
        WHEN 'rejects_out' THEN h.rejects
        -- Entropy of the shares, over that of equal shares.
        ELSE CASE WHEN h.peers > 1 THEN (ln(h.opened) - h.weighted / h.opened) / ln(h.peers) ELSE 0 END
    END AS value,
    h.records AS count, h.first_seen, h.last_seen,
    CASE WHEN s.entity IS NOT NULL THEN 'skipdata' END AS excluded
FROM hours h
CROSS JOIN (
    VALUES ('bytes_out'), ('bytes_in'), ('connections_out'), ('peers_out'), ('rejects_out'), ('fanout_entropy')
) AS m(measure)
LEFT JOIN skipped s ON s.event_time = h.event_time AND s.entity = h.entity
