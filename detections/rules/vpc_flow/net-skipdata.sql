-- id       = "net-skipdata"
-- title    = "Flow log that skipped records"
-- severity = "low"
-- attack   = ["T1685.002"]
-- csf      = ["DE.CM-1", "DE.AE-3"]
-- reads    = ["vpc_flow"]
-- every    = "15m"
-- window   = "24h"
-- entity   = ["interface_id"]
-- quiet    = "24h"
-- message  = "The flow log of {interface_id} skipped records in {windows} window(s), at most {an_hour} in an hour: nothing is known of them"
-- impact   = ["interface_id", "account_id"]
-- misses   = """
--   Records that are lost on the way from AWS to here: coverage shows such gaps. Windows without traffic
--   (NODATA) are no loss and do not count."""
-- false_positives = """
--   AWS skips records when its capacity does not suffice, without anybody's doing. What other rules say of the
--   same time and interface is worth less for it."""

WITH skipped AS (
    SELECT
        coalesce(interface_id, 'unknown') AS interface_id, start_time, end_time,
        date_bin(INTERVAL '30 minutes', start_time) AS slot,
        account_id, region, _source, _line
    FROM vpc_flow
    WHERE log_status = 'SKIPDATA'
      AND start_time >= $window_start AND start_time < $window_end
),
halves AS (
    SELECT interface_id, slot, count(DISTINCT start_time) AS windows
    FROM skipped
    GROUP BY interface_id, slot
),
-- Hours that overlap by half, so that a run over the edge of one lies inside of the next.
hours AS (
    SELECT interface_id, slot - h.back AS hour, sum(windows) AS windows
    FROM halves
    CROSS JOIN (VALUES (INTERVAL '0 minutes'), (INTERVAL '30 minutes')) AS h (back)
    GROUP BY interface_id, slot - h.back
),
worst AS (
    SELECT interface_id, max(windows) AS an_hour
    FROM hours
    GROUP BY interface_id
)
SELECT
    min(s.start_time) AS first_seen,
    max(s.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', s._source, s._line) AS evidence,
    s.interface_id,
    count(DISTINCT s.start_time) AS windows,
    w.an_hour,
    min(s.account_id) AS account_id,
    min(s.region) AS region,
    CASE WHEN w.an_hour >= 3 THEN 'medium' ELSE 'low' END AS severity
FROM worst w
JOIN skipped s ON s.interface_id = w.interface_id
GROUP BY s.interface_id, w.an_hour
