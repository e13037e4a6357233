-- id       = "net-asymmetric"
-- title    = "One-sided traffic: a flood, or an amplifier"
-- severity = "low"
-- attack   = ["T1498", "T1499"]
-- csf      = ["DE.CM-1", "DE.AE-4"]
-- reads    = ["vpc_flow"]
-- every    = "5m"
-- window   = "2h"
-- entity   = ["workload", "peer", "shape"]
-- quiet    = "24h"
-- message  = "{workload} and {peer}: {shape}, {figures}"
-- impact   = ["workload", "interface_id", "peer"]
-- misses   = """
--   Floods that come in, which the target's capacity shows first. Those of many workloads with a little each.
--   Half-open connections in logs without tcp-flags."""
-- false_positives = """
--   Answers that take another path, through a second interface or a transit gateway. One-way streams by
--   UDP, such as metrics or video."""

WITH slots AS (
    SELECT
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        interface_id,
        date_bin(INTERVAL '10 minutes', start_time) AS slot,
        CASE WHEN coalesce(flow_direction = 'egress', NOT is_private_ip(dstaddr)) THEN dstaddr ELSE srcaddr END AS peer,
        coalesce(sum(packets) FILTER (WHERE coalesce(flow_direction = 'egress', NOT is_private_ip(dstaddr))), 0) AS packets_out,
        coalesce(sum(packets) FILTER (WHERE NOT coalesce(flow_direction = 'egress', NOT is_private_ip(dstaddr))), 0) AS packets_in,
        -- Half-open: nothing but the SYN went in the whole window.
        count(*) FILTER (WHERE protocol = 6 AND tcp_flags = 2 AND packets <= 3 AND coalesce(flow_direction, 'egress') = 'egress') AS half_open,
        count(*) FILTER (WHERE protocol = 6 AND (tcp_flags & 18) = 18 AND flow_direction = 'ingress') AS answered,
        -- DNS, NTP, SSDP, Memcached: small questions, large answers.
        coalesce(sum(bytes) FILTER (WHERE protocol = 17 AND srcport IN (53, 123, 1900, 11211) AND coalesce(flow_direction = 'egress', NOT is_private_ip(dstaddr))), 0) AS replies,
        coalesce(sum(bytes) FILTER (WHERE protocol = 17 AND dstport IN (53, 123, 1900, 11211) AND NOT coalesce(flow_direction = 'egress', NOT is_private_ip(dstaddr))), 0) AS questions
    FROM vpc_flow
    WHERE action = 'ACCEPT'
      AND start_time >= $window_start AND start_time < $window_end
    GROUP BY 1, 2, 3, 4
),
-- Each shape by its own measure, in ten minutes or in an hour.
shapes AS (
    SELECT
        workload, interface_id, peer, 'packets without an answer' AS shape, min(slot) AS first_slot, max(slot) AS last_slot,
        concat(max(packets_out), ' packets in ten minutes, ', max(packets_in), ' back') AS figures
    FROM slots
    WHERE packets_out >= 1000000 AND packets_in * 50 <= packets_out
    GROUP BY workload, interface_id, peer
    UNION ALL
    SELECT
        workload, interface_id, peer, 'connections that nobody answers' AS shape, min(slot) AS first_slot, max(slot) AS last_slot,
        concat(max(half_open), ' in an hour, ', max(answered), ' answered') AS figures
    FROM (
        SELECT workload, interface_id, peer, date_bin(INTERVAL '1 hour', slot) AS hour, min(slot) AS slot, sum(half_open) AS half_open, sum(answered) AS answered
        FROM slots
        WHERE half_open > 0 OR answered > 0
        GROUP BY 1, 2, 3, 4
    )
    WHERE half_open >= 50 AND answered * 10 <= half_open
    GROUP BY workload, interface_id, peer
    UNION ALL
    SELECT
        workload, interface_id, peer, 'large answers to small questions' AS shape, min(slot) AS first_slot, max(slot) AS last_slot,
        concat(CAST(sum(replies) / 1000 AS BIGINT), ' kB out for ', CAST(ceil(sum(questions) / 1000) AS BIGINT), ' kB in') AS figures
    FROM slots
    WHERE replies > 0
    GROUP BY workload, interface_id, peer
    HAVING sum(replies) >= 10000000 AND sum(replies) >= 20 * sum(questions)
)
SELECT
    min(v.start_time) AS first_seen,
    max(v.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', v._source, v._line) AS evidence,
    s.workload,
    s.peer,
    s.shape,
    s.figures,
    min(v.dstport) AS dstport,
    s.interface_id,
    min(v.account_id) AS account_id,
    min(v.region) AS region
FROM shapes s
JOIN vpc_flow v ON v.interface_id = s.interface_id AND v.dstaddr = s.peer
WHERE v.action = 'ACCEPT'
  AND v.start_time >= s.first_slot AND v.start_time < s.last_slot + INTERVAL '1 hour'
  AND v.start_time >= $window_start AND v.start_time < $window_end
GROUP BY s.workload, s.interface_id, s.peer, s.shape, s.figures
