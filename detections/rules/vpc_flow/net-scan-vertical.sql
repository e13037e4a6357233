-- id       = "net-scan-vertical"
-- title    = "One address tries many ports on one host"
-- severity = "high"
-- attack   = ["T1046"]
-- csf      = ["DE.CM-1", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- every    = "5m"
-- window   = "2h"
-- entity   = ["srcaddr", "dstaddr"]
-- quiet    = "24h"
-- message  = "{srcaddr} tried {ports} ports on {dstaddr}, {failed} of them in vain"
-- impact   = ["dstaddr", "interface_id"]
-- misses   = """
--   Scans slower than 20 ports an hour, or spread over many sources. Ports from 32768 on, where
--   answers to ordinary connections go. TCP probes without a SYN."""
-- false_positives = """
--   Vulnerability scanners of your own. From outside it is medium: the internet is swept all the time,
--   and security groups are there to refuse it."""

WITH flows AS (
    SELECT
        *,
        coalesce((tcp_flags & 18) = 18, false) AS is_answer,
        -- Flags tell who began. Without them only a refusal on a service port does, and an accepted
        -- flow there counts as answered: better no alert than one about answers to ordinary calls.
        action = 'ACCEPT' AND (tcp_flags IS NULL OR protocol = 17) AS is_taken
    FROM vpc_flow
    WHERE protocol IN (6, 17)
      AND action IS NOT NULL
      AND (tcp_flags IS NULL OR protocol = 17 OR (tcp_flags & 2) <> 0)
      AND start_time >= $window_start AND start_time < $window_end
),
-- An answer counts for the side that asked, so that it meets its question.
probes AS (
    SELECT
        CASE WHEN is_answer THEN dstaddr ELSE srcaddr END AS srcaddr,
        CASE WHEN is_answer THEN srcaddr ELSE dstaddr END AS dstaddr,
        CASE WHEN is_answer THEN srcport ELSE dstport END AS port,
        is_answer OR is_taken AS answered,
        date_bin(INTERVAL '30 minutes', start_time) AS slot,
        start_time, end_time, protocol, interface_id, account_id, _source, _line
    FROM flows
    WHERE CASE WHEN is_answer THEN srcport ELSE dstport END < 32768
),
-- Few pairs ever meet on so many ports; only these are looked at more closely.
pairs AS (
    SELECT srcaddr, dstaddr
    FROM (SELECT srcaddr, dstaddr, port FROM probes GROUP BY srcaddr, dstaddr, port)
    GROUP BY srcaddr, dstaddr
    HAVING count(*) >= 20
),
-- Hours that overlap by half, so that a burst over the edge of one lies inside of the next.
tried AS (
    SELECT p.srcaddr, p.dstaddr, p.slot - h.back AS hour, p.port, bool_or(p.answered) AS answered, count(*) AS n
    FROM probes p
    JOIN pairs ON pairs.srcaddr = p.srcaddr AND pairs.dstaddr = p.dstaddr
    CROSS JOIN (VALUES (INTERVAL '0 minutes'), (INTERVAL '30 minutes')) AS h (back)
    GROUP BY p.srcaddr, p.dstaddr, p.slot - h.back, p.port
),
hours AS (
    SELECT srcaddr, dstaddr, hour, count(*) AS ports, count(*) FILTER (WHERE NOT answered) AS failed
    FROM tried
    GROUP BY srcaddr, dstaddr, hour
    HAVING count(*) >= 20
       AND count(*) FILTER (WHERE NOT answered) * 5 >= count(*) * 4
       -- At least four bits of entropy: the probes are spread, not one busy port with a few others.
       AND (ln(CAST(sum(n) AS DOUBLE)) - sum(n * ln(CAST(n AS DOUBLE))) / sum(n)) / ln(2.0) >= 4
),
-- Back to half hours, which do not overlap, so that no record counts twice.
slots AS (
    SELECT srcaddr, dstaddr, hour + h.back AS slot, max(ports) AS ports, max(failed) AS failed
    FROM hours
    CROSS JOIN (VALUES (INTERVAL '0 minutes'), (INTERVAL '30 minutes')) AS h (back)
    GROUP BY srcaddr, dstaddr, hour + h.back
)
SELECT
    min(p.start_time) AS first_seen,
    max(p.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', p._source, p._line) AS evidence,
    p.srcaddr,
    p.dstaddr,
    s.ports,
    s.failed,
    CASE WHEN is_private_ip(p.srcaddr) THEN 'high' ELSE 'medium' END AS severity,
    array_to_string(array_slice(array_sort(array_agg(DISTINCT p.port)), 1, 20), ', ') AS first_ports,
    min(p.interface_id) AS interface_id,
    min(p.account_id) AS account_id
FROM probes p
JOIN slots s ON s.srcaddr = p.srcaddr AND s.dstaddr = p.dstaddr AND s.slot = p.slot
GROUP BY p.srcaddr, p.dstaddr, p.slot, s.ports, s.failed
