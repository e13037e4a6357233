-- id       = "net-scan-horizontal"
-- title    = "One address tries many hosts"
-- severity = "high"
-- attack   = ["T1046", "T1595.001"]
-- csf      = ["DE.CM-1", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- every    = "5m"
-- window   = "2h"
-- entity   = ["scanner"]
-- quiet    = "24h"
-- message  = "{srcaddr} tried {hosts} hosts that it had not met before, {failed} of them in vain"
-- impact   = ["srcaddr", "ports", "interface_id"]
-- misses   = """
--   Sweeps slower than ten hosts an hour, and those that find most hosts listening. Hosts that were
--   met before in the data. Ports from 32768 on, and TCP probes without a SYN."""
-- false_positives = """
--   Vulnerability scanners and monitoring of your own. Sweeps from outside never end: they are
--   informational, one alert a day for all of them."""

WITH flows AS (
    SELECT
        *,
        coalesce((tcp_flags & 18) = 18, false) AS is_answer,
        -- Flags tell who began. Without them only a refusal on a service port does, and an accepted
        -- flow there counts as answered.
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
        is_answer,
        is_answer OR is_taken AS answered,
        date_bin(INTERVAL '30 minutes', start_time) AS slot,
        start_time, end_time, interface_id, account_id, _source, _line
    FROM flows
    WHERE CASE WHEN is_answer THEN srcport ELSE dstport END < 32768
),
-- A threshold random walk: only the first contact of two hosts says anything, and a host that
-- knows its peers mostly succeeds.
contacts AS (
    SELECT
        srcaddr, dstaddr,
        date_bin(INTERVAL '30 minutes', min(start_time)) AS slot,
        bool_or(answered) AS answered
    FROM probes
    GROUP BY srcaddr, dstaddr
),
sources AS (
    SELECT srcaddr
    FROM contacts
    GROUP BY srcaddr
    HAVING count(*) >= 10 AND count(*) FILTER (WHERE NOT answered) >= 4
),
-- Hours that overlap by half, so that a burst over the edge of one lies inside of the next.
hours AS (
    SELECT
        c.srcaddr,
        c.slot - h.back AS hour,
        count(*) AS hosts,
        count(*) FILTER (WHERE NOT c.answered) AS failed
    FROM contacts c
    JOIN sources ON sources.srcaddr = c.srcaddr
    CROSS JOIN (VALUES (INTERVAL '0 minutes'), (INTERVAL '30 minutes')) AS h (back)
    GROUP BY c.srcaddr, c.slot - h.back
    -- Each failure makes a scanner four times as likely, each success four times less; 99 to 1 is enough.
    HAVING count(*) >= 10
       AND power(4.0, 2 * count(*) FILTER (WHERE NOT c.answered) - count(*)) >= 99
),
-- Back to half hours, which do not overlap, so that no record counts twice.
slots AS (
    SELECT srcaddr, hour + h.back AS slot, max(hosts) AS hosts, max(failed) AS failed
    FROM hours
    CROSS JOIN (VALUES (INTERVAL '0 minutes'), (INTERVAL '30 minutes')) AS h (back)
    GROUP BY srcaddr, hour + h.back
)
SELECT
    min(p.start_time) AS first_seen,
    max(p.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', p._source, p._line) AS evidence,
    CASE
        WHEN is_private_ip(p.srcaddr) THEN p.srcaddr
        ELSE concat('outside, ', to_char(p.slot, '%Y-%m-%d'))
    END AS scanner,
    p.srcaddr,
    s.hosts,
    s.failed,
    CASE WHEN is_private_ip(p.srcaddr) THEN 'high' ELSE 'informational' END AS severity,
    array_to_string(array_slice(array_sort(array_agg(DISTINCT p.port)), 1, 20), ', ') AS ports,
    min(p.interface_id) AS interface_id,
    min(p.account_id) AS account_id
FROM probes p
JOIN slots s ON s.srcaddr = p.srcaddr AND s.slot = p.slot
JOIN contacts c ON c.srcaddr = p.srcaddr AND c.dstaddr = p.dstaddr AND c.slot = p.slot
-- What was answered is how the scanner was told from a busy client; what it did in vain shows it.
WHERE NOT p.is_answer AND NOT c.answered
GROUP BY p.srcaddr, p.slot, s.hosts, s.failed
