-- id       = "net-eni-silent"
-- title    = "Interface whose flow log fell silent while it lived on"
-- severity = "medium"
-- attack   = ["T1685.002"]
-- csf      = ["DE.CM-1", "DE.AE-3", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- optional = ["ecs_events", "container_insights"]
-- every    = "15m"
-- window   = "24h"
-- learn    = "1h"
-- entity   = ["what"]
-- quiet    = "24h"
-- message  = "The flow log of {what} has nothing since {last_record}, {minutes} minutes, although {proof}"
-- impact   = ["interface_id", "vpc_id"]
-- misses   = """
--   Interfaces that were silent from the start, and those that nobody else talked to since. A log that ends for
--   everything at once: then the data ends there, and coverage shows it. Silences of less than 45 minutes."""
-- false_positives = """
--   Files that are late: three windows of ten minutes and a quarter of an hour are waited for. A VPC that was
--   taken down with all that was in it."""

WITH flows AS (
    SELECT
        interface_id, vpc_id, ecs_task_id, srcaddr, flow_direction, log_status, action,
        date_bin(INTERVAL '5 minutes', start_time) AS slot
    FROM vpc_flow
    WHERE log_status IS NOT NULL
      AND start_time >= $window_start AND start_time < $window_end
),
-- A window without traffic is written down too (NODATA), so an interface that lives is never silent.
seen AS (
    SELECT
        interface_id,
        max(vpc_id) AS vpc_id,
        max(ecs_task_id) AS task_id,
        min(slot) AS first_slot,
        max(slot) AS last_slot,
        count(DISTINCT slot) AS slots,
        bool_or(log_status = 'NODATA') AS has_nodata
    FROM flows
    WHERE interface_id IS NOT NULL
    GROUP BY interface_id
),
ends AS (
    SELECT max(slot) AS slot FROM flows
),
-- What wrote regularly for an hour, ten minutes or less apart, and then no more.
history AS (
    SELECT s.*, e.slot AS end_slot
    FROM seen s
    CROSS JOIN ends e
    WHERE s.last_slot < e.slot - INTERVAL '45 minutes'
      AND s.last_slot >= s.first_slot + CAST($learn AS INTERVAL)
      AND s.slots * 10 >= 0.8 * (date_part('epoch', s.last_slot) - date_part('epoch', s.first_slot)) / 60
),
-- Its address, and whether another interface has it now.
addresses AS (
    SELECT srcaddr AS address, interface_id, max(slot) AS last_slot, min(slot) AS first_slot
    FROM flows
    WHERE flow_direction = 'egress' AND srcaddr IS NOT NULL
    GROUP BY srcaddr, interface_id
),
owned AS (
    SELECT h.interface_id, a.address, h.last_slot
    FROM history h
    JOIN addresses a ON a.interface_id = h.interface_id
    LEFT JOIN addresses o ON o.address = a.address AND o.interface_id <> a.interface_id AND o.last_slot > h.last_slot
    WHERE o.address IS NULL
),
-- What others received from that address since.
heard AS (
    SELECT o.interface_id, max(f.slot) AS slot, count(*) AS records
    FROM owned o
    JOIN flows f ON f.srcaddr = o.address
    WHERE f.flow_direction = 'ingress' AND f.action = 'ACCEPT' AND f.interface_id <> o.interface_id
      AND f.slot > o.last_slot + INTERVAL '45 minutes'
    GROUP BY o.interface_id
),
-- Tasks that ran on, as the agent measured or ECS said.
measured AS (
    SELECT h.interface_id, max(i.event_time) AS at
    FROM history h
    JOIN container_insights i ON i.task_id = h.task_id
    WHERE i.network_tx_bytes > 0 AND i.event_time > h.last_slot + INTERVAL '45 minutes'
    GROUP BY h.interface_id
),
states AS (
    SELECT eni_id, max(event_time) AS at
    FROM ecs_events
    WHERE eni_id IS NOT NULL AND last_status = 'RUNNING' AND desired_status = 'RUNNING'
    GROUP BY eni_id
),
stopping AS (
    SELECT eni_id, min(event_time) AS at
    FROM ecs_events
    WHERE eni_id IS NOT NULL AND (desired_status = 'STOPPED' OR last_status = 'STOPPED')
    GROUP BY eni_id
),
running AS (
    SELECT h.interface_id
    FROM history h
    JOIN states r ON r.eni_id = h.interface_id
    LEFT JOIN stopping s ON s.eni_id = h.interface_id
    WHERE s.at IS NULL OR s.at > h.last_slot + INTERVAL '45 minutes'
),
-- A whole VPC of three interfaces or more, silent together, while others write on.
vpcs AS (
    SELECT s.vpc_id, max(s.last_slot) AS last_slot, count(*) AS interfaces
    FROM seen s
    CROSS JOIN ends e
    WHERE s.vpc_id IS NOT NULL
    GROUP BY s.vpc_id, e.slot
    HAVING max(s.last_slot) < e.slot - INTERVAL '45 minutes'
       AND count(*) FILTER (WHERE s.last_slot >= s.first_slot + CAST($learn AS INTERVAL)) >= 3
),
found AS (
    SELECT
        h.interface_id, h.vpc_id, h.last_slot, h.end_slot, h.interface_id AS what,
        CASE
            WHEN p.records IS NOT NULL THEN concat(p.records, ' records of other interfaces have traffic from its address since')
            WHEN m.at IS NOT NULL THEN 'its task was measured sending since'
            ELSE 'ECS knows its task as running'
        END AS proof,
        'medium' AS severity
    FROM history h
    LEFT JOIN heard p ON p.interface_id = h.interface_id
    LEFT JOIN measured m ON m.interface_id = h.interface_id
    LEFT JOIN running r ON r.interface_id = h.interface_id
    WHERE (p.interface_id IS NOT NULL OR m.interface_id IS NOT NULL OR r.interface_id IS NOT NULL)
      AND (h.vpc_id IS NULL OR h.vpc_id NOT IN (SELECT vpc_id FROM vpcs WHERE vpc_id IS NOT NULL))
    UNION ALL
    SELECT
        s.interface_id, v.vpc_id, v.last_slot, e.slot AS end_slot, v.vpc_id AS what,
        concat('it had ', v.interfaces, ' interfaces, and other VPCs write on') AS proof,
        'high' AS severity
    FROM vpcs v
    JOIN seen s ON s.vpc_id = v.vpc_id AND s.last_slot = v.last_slot
    CROSS JOIN ends e
)
SELECT
    max(f.last_slot) AS first_seen,
    max(f.end_slot) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', v._source, v._line) AS evidence,
    f.what,
    to_char(max(f.last_slot) + INTERVAL '5 minutes', '%Y-%m-%d %H:%M') AS last_record,
    CAST((date_part('epoch', max(f.end_slot)) - date_part('epoch', max(f.last_slot))) / 60 AS BIGINT) AS minutes,
    f.proof,
    min(f.interface_id) AS interface_id,
    f.vpc_id,
    min(v.account_id) AS account_id,
    min(v.region) AS region,
    f.severity
FROM found f
JOIN vpc_flow v ON v.interface_id = f.interface_id
WHERE v.log_status IS NOT NULL AND v.start_time >= f.last_slot
GROUP BY f.what, f.vpc_id, f.proof, f.severity
