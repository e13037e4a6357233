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
-- message  = "The flow log of {what} has nothing {stretch}, although {proof}"
-- impact   = ["interface_id", "vpc_id"]
-- misses   = """
--   Interfaces that were silent from the start, that wrote for less than an hour, or that nobody else talked to
--   since and that did not write again. Silences of less than 45 minutes. What falls silent for everything at once, or
--   for more than half of a VPC's interfaces but not for all: there delivery has a hole, and coverage shows it."""
-- false_positives = """
--   Files that are late: three windows of ten minutes and a quarter of an hour are waited for. A VPC that was
--   taken down with all that was in it. An instance that was stopped and started again has no records in between
--   either: without proof that it lived, an interface that came back is low."""

WITH flows AS (
    SELECT
        interface_id, vpc_id, ecs_task_id, srcaddr, flow_direction, log_status, action,
        date_bin(INTERVAL '5 minutes', start_time) AS slot
    FROM vpc_flow
    WHERE log_status IS NOT NULL
      AND start_time >= $window_start AND start_time < $window_end
),
-- Minutes that the log as a whole has written by each slot. A window lasts ten minutes at most: where nobody wrote for
-- longer the log has a hole, and that is nobody's silence.
clock AS (
    SELECT slot, max(slot) OVER () AS end_slot, sum(least(minutes, 10)) OVER (ORDER BY slot) AS written
    FROM (
        SELECT
            slot,
            coalesce(date_part('epoch', slot) - lag(date_part('epoch', slot)) OVER (ORDER BY slot), 0) / 60 AS minutes
        FROM (SELECT slot FROM flows GROUP BY slot)
    )
),
-- Stretches in which an interface wrote, with 45 minutes or less between. A window without traffic is written down too
-- (NODATA), so an interface that lives is never silent.
runs AS (
    SELECT *, coalesce(lag(next_slot) OVER (PARTITION BY interface_id ORDER BY last_slot), first_slot) AS run_start
    FROM (
        SELECT
            interface_id,
            max(vpc_id) OVER (PARTITION BY interface_id) AS vpc_id,
            max(task_id) OVER (PARTITION BY interface_id) AS task_id,
            min(slot) OVER (PARTITION BY interface_id) AS first_slot,
            slot AS last_slot,
            lead(slot) OVER (PARTITION BY interface_id ORDER BY slot) AS next_slot,
            row_number() OVER (PARTITION BY interface_id ORDER BY slot) AS slots,
            max(slot) OVER (PARTITION BY interface_id) AS final_slot,
            count(*) OVER (PARTITION BY interface_id) AS all_slots
        FROM (
            SELECT interface_id, slot, max(vpc_id) AS vpc_id, max(ecs_task_id) AS task_id
            FROM flows
            WHERE interface_id IS NOT NULL
            GROUP BY interface_id, slot
        )
    )
    WHERE next_slot IS NULL OR next_slot > last_slot + INTERVAL '45 minutes'
),
-- What wrote regularly for an hour, ten minutes or less apart, and then no more, or not for 45 minutes.
gaps AS (
    SELECT
        r.interface_id, r.vpc_id, r.task_id, r.last_slot, r.next_slot,
        -- Proof is of the time between: after the window of the last record, and where files may be late, well after.
        r.last_slot + CASE WHEN r.next_slot IS NULL THEN INTERVAL '45 minutes' ELSE INTERVAL '15 minutes' END AS since,
        coalesce(r.next_slot, a.end_slot + INTERVAL '5 minutes') AS until
    FROM runs r
    JOIN clock a ON a.slot = r.last_slot
    JOIN clock b ON b.slot = coalesce(r.next_slot, a.end_slot)
    WHERE b.written - a.written > 45
      AND (
        r.last_slot >= r.first_slot + CAST($learn AS INTERVAL)
        AND r.slots * 10 >= 0.8 * (date_part('epoch', r.last_slot) - date_part('epoch', r.first_slot)) / 60
        -- Of one that came back, what it wrote since counts, too.
        OR r.last_slot - r.first_slot + (r.final_slot - r.next_slot) >= CAST($learn AS INTERVAL)
        AND r.all_slots * 10 >= 0.8 * (date_part('epoch', r.last_slot) - date_part('epoch', r.first_slot) + date_part('epoch', r.final_slot) - date_part('epoch', r.next_slot)) / 60
      )
),
-- Its address, and whether another interface had it then.
addresses AS (
    SELECT srcaddr AS address, interface_id, max(slot) AS last_slot, min(slot) AS first_slot
    FROM flows
    WHERE flow_direction = 'egress' AND srcaddr IS NOT NULL
    GROUP BY srcaddr, interface_id
),
owned AS (
    SELECT g.interface_id, g.last_slot, g.since, g.until, a.address
    FROM gaps g
    JOIN addresses a ON a.interface_id = g.interface_id
    LEFT JOIN addresses o
        ON o.address = a.address AND o.interface_id <> a.interface_id
       AND o.last_slot > g.last_slot AND o.first_slot < g.until
    WHERE o.address IS NULL
),
-- What others received from that address between.
heard AS (
    SELECT o.interface_id, o.last_slot, count(*) AS records
    FROM owned o
    JOIN flows f ON f.srcaddr = o.address
    WHERE f.flow_direction = 'ingress' AND f.action = 'ACCEPT' AND f.interface_id <> o.interface_id
      AND f.slot > o.since AND f.slot < o.until
    GROUP BY o.interface_id, o.last_slot
),
-- Tasks that ran on, as the agent measured or ECS said.
measured AS (
    SELECT g.interface_id, g.last_slot
    FROM gaps g
    JOIN container_insights i ON i.task_id = g.task_id
    WHERE i.network_tx_bytes > 0 AND i.event_time > g.since AND i.event_time < g.until
    GROUP BY g.interface_id, g.last_slot
),
states AS (
    SELECT eni_id, min(event_time) AS at
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
    SELECT g.interface_id, g.last_slot
    FROM gaps g
    JOIN states r ON r.eni_id = g.interface_id
    LEFT JOIN stopping s ON s.eni_id = g.interface_id
    WHERE r.at < g.until AND (s.at IS NULL OR s.at > coalesce(g.next_slot, g.since))
),
-- That it came back proves that it exists, but an instance that was stopped has no records either.
judged AS (
    SELECT
        g.interface_id, g.vpc_id, g.last_slot, g.next_slot,
        p.records IS NOT NULL OR m.interface_id IS NOT NULL OR r.interface_id IS NOT NULL AS lived,
        CASE
            WHEN p.records IS NOT NULL
                THEN concat(p.records, ' records of other interfaces have traffic from its address ', g.span)
            WHEN m.interface_id IS NOT NULL THEN concat('its task was measured sending ', g.span)
            WHEN r.interface_id IS NOT NULL AND g.next_slot IS NULL THEN 'ECS knows its task as running'
            WHEN r.interface_id IS NOT NULL THEN 'ECS knew its task as running'
            WHEN g.next_slot IS NOT NULL THEN concat('it wrote again at ', to_char(g.next_slot, '%H:%M'))
        END AS proof
    FROM (SELECT *, CASE WHEN next_slot IS NULL THEN 'since' ELSE 'meanwhile' END AS span FROM gaps) g
    LEFT JOIN heard p ON p.interface_id = g.interface_id AND p.last_slot = g.last_slot
    LEFT JOIN measured m ON m.interface_id = g.interface_id AND m.last_slot = g.last_slot
    LEFT JOIN running r ON r.interface_id = g.interface_id AND r.last_slot = g.last_slot
),
-- Where more than half of a VPC's interfaces, and three at least, fell silent together, it is delivery that did.
shared AS (
    SELECT g.vpc, g.last_slot
    FROM (SELECT coalesce(vpc_id, '-') AS vpc, last_slot FROM gaps GROUP BY coalesce(vpc_id, '-'), last_slot) g
    JOIN runs r ON coalesce(r.vpc_id, '-') = g.vpc
    WHERE r.run_start <= g.last_slot - CAST($learn AS INTERVAL) AND r.last_slot >= g.last_slot - INTERVAL '15 minutes'
    GROUP BY g.vpc, g.last_slot
    HAVING count(*) FILTER (WHERE r.last_slot <= g.last_slot + INTERVAL '15 minutes') > greatest(count(*) / 2.0, 2.0)
),
-- But not where a whole VPC of three interfaces or more did, while others wrote on.
vpcs AS (
    SELECT
        v.vpc_id, v.last_slot, v.next_slot, count(*) AS interfaces,
        bool_or(g.lived) AS lived, bool_or(g.next_slot IS NOT NULL) AS came_back
    FROM (
        SELECT
            vpc_id,
            max(last_slot) OVER (PARTITION BY vpc_id ORDER BY run_start, last_slot) AS last_slot,
            lead(run_start) OVER (PARTITION BY vpc_id ORDER BY run_start, last_slot) AS next_slot
        FROM runs
        WHERE vpc_id IS NOT NULL
    ) v
    JOIN clock a ON a.slot = v.last_slot
    JOIN clock b ON b.slot = coalesce(v.next_slot, a.end_slot)
    JOIN judged g ON g.vpc_id = v.vpc_id
    WHERE (v.next_slot IS NULL OR v.next_slot > v.last_slot + INTERVAL '45 minutes')
      AND b.written - a.written > 45
      AND g.last_slot >= v.last_slot - INTERVAL '15 minutes' AND g.last_slot <= v.last_slot
    GROUP BY v.vpc_id, v.last_slot, v.next_slot
    HAVING count(*) >= 3
),
found AS (
    SELECT
        g.interface_id, g.vpc_id, g.last_slot, g.next_slot, g.interface_id AS what, g.proof,
        CASE WHEN g.lived THEN 'medium' ELSE 'low' END AS severity
    FROM judged g
    LEFT JOIN shared d ON d.vpc = coalesce(g.vpc_id, '-') AND d.last_slot = g.last_slot
    LEFT JOIN vpcs v
        ON v.vpc_id = g.vpc_id AND g.last_slot >= v.last_slot - INTERVAL '15 minutes' AND g.last_slot <= v.last_slot
    WHERE g.proof IS NOT NULL AND d.vpc IS NULL AND v.vpc_id IS NULL
    UNION ALL
    SELECT
        r.interface_id, v.vpc_id, v.last_slot, v.next_slot, v.vpc_id AS what,
        CASE
            WHEN v.next_slot IS NULL THEN concat('it had ', v.interfaces, ' interfaces, and other VPCs write on')
            WHEN v.lived THEN concat('some of its ', v.interfaces, ' interfaces lived, and other VPCs wrote on')
            ELSE concat('it had ', v.interfaces, ' interfaces, and wrote again at ', to_char(v.next_slot, '%H:%M'))
        END AS proof,
        CASE WHEN v.next_slot IS NULL OR v.lived THEN 'high' ELSE 'low' END AS severity
    FROM vpcs v
    JOIN runs r ON r.vpc_id = v.vpc_id AND r.last_slot = v.last_slot
    WHERE v.next_slot IS NULL OR v.lived OR v.came_back
)
SELECT
    f.last_slot AS first_seen,
    coalesce(f.next_slot, f.end_slot) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', v._source, v._line) AS evidence,
    f.what,
    CASE
        WHEN f.next_slot IS NULL THEN concat('since ', f.last_record, ', ', f.minutes, ' minutes')
        ELSE concat('from ', f.last_record, ' for ', f.minutes, ' minutes')
    END AS stretch,
    f.last_record,
    f.minutes,
    f.proof,
    min(f.interface_id) AS interface_id,
    f.vpc_id,
    min(v.account_id) AS account_id,
    min(v.region) AS region,
    f.severity
FROM (
    SELECT
        f.*, c.end_slot,
        to_char(f.last_slot + INTERVAL '5 minutes', '%Y-%m-%d %H:%M') AS last_record,
        -- The last slot of all is silent throughout; the one in which it wrote again is not.
        CAST(
            date_part('epoch', coalesce(f.next_slot - INTERVAL '5 minutes', c.end_slot))
            - date_part('epoch', f.last_slot) AS BIGINT
        ) / 60 AS minutes
    FROM found f
    JOIN clock c ON c.slot = f.last_slot
) f
JOIN vpc_flow v ON v.interface_id = f.interface_id
WHERE v.log_status IS NOT NULL
  AND v.start_time >= f.last_slot AND v.start_time < coalesce(f.next_slot, f.end_slot) + INTERVAL '5 minutes'
GROUP BY f.what, f.vpc_id, f.last_slot, f.next_slot, f.end_slot, f.last_record, f.minutes, f.proof, f.severity
