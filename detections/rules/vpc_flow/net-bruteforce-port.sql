-- id       = "net-bruteforce-port"
-- title    = "Login tried over and over"
-- severity = "medium"
-- attack   = ["T1110"]
-- csf      = ["DE.CM-1", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- every    = "5m"
-- window   = "24h"
-- entity   = ["source", "dstaddr", "port"]
-- quiet    = "24h"
-- message  = "{source} tried to log in to {dstaddr} on {port}: {tries} short connections in ten minutes{outcome}"
-- impact   = ["dstaddr", "interface_id"]
-- misses   = """
--   Less than 30 tries in ten minutes, or from many sources. Logins over HTTPS. Connections of more than 25
--   packets are no short ones, however they ended."""
-- false_positives = """
--   Clients without a connection pool: a database is left out where a source does so in many of its hours.
--   Health checks that only connect carry too little to count."""

WITH flows AS (
    SELECT
        srcaddr, dstaddr, srcport, dstport, packets, bytes,
        date_bin(INTERVAL '5 minutes', start_time) AS slot,
        flow_direction, interface_id, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND protocol = 6
      -- FTP, SSH, Telnet, POP3, IMAP, SMB, SQL Server, Oracle, MySQL, RDP, PostgreSQL, remote desktop, WinRM, MongoDB.
      AND dstport IN (21, 22, 23, 110, 143, 445, 1433, 1521, 3306, 3389, 5432, 5900, 5985, 5986, 27017)
      AND coalesce((tcp_flags & 18) <> 18, srcport > dstport)
      AND start_time >= $window_start AND start_time < $window_end
),
-- One connection, once, though both ends may have written it: a handshake, something said, and an end.
connections AS (
    SELECT
        srcaddr, dstaddr, dstport, slot, srcport,
        max(packets) AS packets, max(bytes) AS bytes
    FROM flows
    GROUP BY srcaddr, dstaddr, dstport, slot, srcport
),
slots AS (
    SELECT
        srcaddr, dstaddr, dstport, slot,
        count(*) FILTER (WHERE packets BETWEEN 4 AND 25 AND bytes >= 300) AS tries,
        max(bytes) AS largest
    FROM connections
    GROUP BY srcaddr, dstaddr, dstport, slot
),
-- Ten minutes that overlap by half, so that a burst over the edge of one lies inside of the next.
windows AS (
    SELECT srcaddr, dstaddr, dstport, slot - w.back AS at, sum(tries) AS tries
    FROM slots
    CROSS JOIN (VALUES (INTERVAL '0 minutes'), (INTERVAL '5 minutes')) AS w (back)
    GROUP BY srcaddr, dstaddr, dstport, slot - w.back
    HAVING sum(tries) >= 30
),
-- Who opens so many connections hour after hour works like that.
history AS (
    SELECT srcaddr, dstaddr, dstport, count(DISTINCT date_bin(INTERVAL '1 hour', at)) AS hours, min(at) AS since, max(at) AS last, max(tries) AS tries
    FROM windows
    GROUP BY srcaddr, dstaddr, dstport
),
guessed AS (
    SELECT h.*, p.opened
    FROM history h
    LEFT JOIN (
        SELECT s.srcaddr, s.dstaddr, s.dstport, max(s.largest) AS opened
        FROM history h
        JOIN slots s ON s.srcaddr = h.srcaddr AND s.dstaddr = h.dstaddr AND s.dstport = h.dstport AND s.slot >= h.since
        WHERE s.largest > 50000
        GROUP BY s.srcaddr, s.dstaddr, s.dstport
    ) p ON p.srcaddr = h.srcaddr AND p.dstaddr = h.dstaddr AND p.dstport = h.dstport
    WHERE h.dstport NOT IN (1433, 1521, 3306, 5432, 27017)
       OR NOT is_private_ip(h.srcaddr)
       -- Two hours of it inside are an attack, four are how the client was written.
       OR h.hours < 4
)
SELECT
    min(f.start_time) AS first_seen,
    max(f.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', f._source, f._line) AS evidence,
    g.srcaddr AS source,
    g.dstaddr,
    concat('port ', g.dstport) AS port,
    g.tries,
    CASE
        WHEN g.opened IS NULL THEN ''
        ELSE concat(', and one connection of ', CAST(round(g.opened / 1000) AS BIGINT), ' kB from then on')
    END AS outcome,
    min(f.interface_id) AS interface_id,
    min(f.account_id) AS account_id,
    min(f.region) AS region,
    CASE
        WHEN g.opened IS NOT NULL THEN 'high'
        WHEN g.dstport IN (1433, 1521, 3306, 5432, 27017) AND is_private_ip(g.srcaddr) THEN 'low'
        ELSE 'medium'
    END AS severity
FROM guessed g
JOIN flows f ON f.srcaddr = g.srcaddr AND f.dstaddr = g.dstaddr AND f.dstport = g.dstport
WHERE f.slot >= g.since
GROUP BY g.srcaddr, g.dstaddr, g.dstport, g.tries, g.opened
