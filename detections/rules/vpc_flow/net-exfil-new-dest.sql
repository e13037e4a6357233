-- id       = "net-exfil-new-dest"
-- title    = "Much data to a destination met less than a day ago"
-- severity = "high"
-- attack   = ["T1048", "T1567"]
-- csf      = ["DE.AE-1", "DE.AE-4", "RS.AN-2", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_edges"]
-- every    = "15m"
-- window   = "24h"
-- learn    = "6h"
-- entity   = ["workload", "peer"]
-- quiet    = "24h"
-- message  = "{workload} sent {megabytes} MB to {peer}, {ratio} times what came back, within a day of the first contact{usual}"
-- impact   = ["workload", "peer", "megabytes", "interface_id"]
-- misses   = """
--   Less than 100 MB. Destinations in a network (/24) that the workload knows for a day, and in AWS's own
--   ranges other than customers' addresses: somebody else's bucket is one of those. Data that is fetched from
--   outside, as from a server of yours. Where baseline_edges does not know the workload for 14 days, the first
--   six hours of the window. Nothing is learnt of records that name no service, group or interface."""
-- false_positives = """
--   A new supplier for backups, telemetry or files. Workloads that send much to ever new destinations: what five
--   first days within the window took is usual, but how much passed on earlier ones was not learnt. Three or more workloads that begin with the same
--   destination are one low alert."""

WITH flows AS (
    SELECT
        -- As baselines name it.
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        -- The side outside, where no direction says it, is the one that is not private.
        coalesce(flow_direction = 'egress', NOT is_private_ip(dstaddr)) AS is_out,
        CASE WHEN coalesce(flow_direction = 'egress', NOT is_private_ip(dstaddr)) THEN coalesce(pkt_dstaddr, dstaddr) ELSE coalesce(pkt_srcaddr, srcaddr) END AS address,
        CASE WHEN coalesce(flow_direction = 'egress', NOT is_private_ip(dstaddr)) THEN pkt_dst_aws_service ELSE pkt_src_aws_service END AS owner,
        srcport, dstport, tcp_flags, bytes,
        date_bin(INTERVAL '1 hour', start_time) AS slot,
        interface_type, flow_direction, srcaddr, dstaddr, pkt_dstaddr,
        interface_id, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT'
      AND start_time >= $window_start AND start_time < $window_end
),
-- NAT gateways pass on what others send.
gateways AS (
    SELECT interface_id
    FROM flows
    WHERE interface_type = 'nat_gateway'
       OR flow_direction = 'ingress' AND pkt_dstaddr <> dstaddr AND NOT is_private_ip(pkt_dstaddr) AND is_private_ip(dstaddr)
    GROUP BY interface_id
),
-- Workloads of which enough was learnt, and since when.
learnt AS (
    SELECT entity AS workload, min(first_seen) AS since
    FROM baseline_edges
    GROUP BY entity
    HAVING bool_or(state = 'ripe')
),
-- The networks that each workload called, on whatever port, and since when.
known AS (
    SELECT entity AS workload, regexp_replace(subject, ':[0-9]+/[0-9]+$', '') AS peer, min(first_seen) AS first_seen
    FROM baseline_edges
    WHERE measure = 'out' AND state <> 'expired'
    GROUP BY 1, 2
),
ages AS (
    SELECT f.workload, least(min(f.start_time), min(l.since)) AS since
    FROM (SELECT workload, min(start_time) AS start_time FROM flows GROUP BY workload) f
    LEFT JOIN learnt l ON l.workload = f.workload
    GROUP BY f.workload
),
talks AS (
    SELECT
        workload, address, slot,
        min(start_time) AS first_seen,
        coalesce(sum(bytes) FILTER (WHERE is_out), 0) AS sent,
        coalesce(sum(bytes) FILTER (WHERE NOT is_out), 0) AS received,
        -- Who began: by flags, or else the side with the higher port.
        bool_or(is_out AND coalesce((tcp_flags & 18) = 2, dstport < srcport)) AS is_ours
    FROM flows
    WHERE coalesce(owner, 'EC2') = 'EC2'
      -- Answers of our servers, with a low port here and a high one there, are the most and not wanted.
      AND (CASE WHEN is_out THEN dstport ELSE srcport END < 32768 OR CASE WHEN is_out THEN srcport ELSE dstport END >= 32768)
      AND interface_id NOT IN (SELECT interface_id FROM gateways WHERE interface_id IS NOT NULL)
    GROUP BY workload, address, slot
),
placed AS (
    SELECT
        workload, address, slot, sent, received, is_ours,
        ip_network(address) AS peer,
        first_seen
    FROM talks
    WHERE NOT is_private_ip(address)
),
-- The first day with each network: when it began, and what went.
history AS (
    SELECT
        workload, peer, first_contact,
        sum(sent) AS sent, sum(received) AS received, bool_or(is_ours) AS is_ours, max(slot) AS last_slot
    FROM (
        SELECT p.*, least(min(p.first_seen) OVER (PARTITION BY p.workload, p.peer), k.first_seen) AS first_contact
        FROM placed p
        LEFT JOIN known k ON k.workload = p.workload AND k.peer = p.peer
    )
    WHERE slot < first_contact + INTERVAL '24 hours'
    GROUP BY workload, peer, first_contact
),
fresh AS (
    SELECT h.*, a.since
    FROM history h
    JOIN ages a ON a.workload = h.workload
    WHERE h.first_contact >= a.since + CAST($learn AS INTERVAL) AND h.is_ours
),
found AS (
    SELECT
        f.workload, f.peer, f.first_contact, f.last_slot, f.sent, f.received,
        count(o.peer) AS others,
        -- What first days with other networks usually take, where there were enough of them.
        CASE WHEN count(o.peer) >= 5 THEN CAST(approx_percentile_cont(0.995) WITHIN GROUP (ORDER BY o.sent) AS DOUBLE) END AS usual
    FROM fresh f
    LEFT JOIN fresh o ON o.workload = f.workload AND o.first_contact < f.first_contact
    WHERE f.sent >= 100000000 AND f.sent >= 5 * f.received
    GROUP BY f.workload, f.peer, f.first_contact, f.last_slot, f.sent, f.received
),
judged AS (
    SELECT *, count(*) OVER (PARTITION BY peer) AS prevalence
    FROM found
    WHERE sent >= coalesce(usual, 0)
),
keys AS (
    SELECT j.*, p.address, p.slot
    FROM judged j
    JOIN placed p ON p.workload = j.workload AND p.peer = j.peer AND p.slot <= j.last_slot
)
SELECT
    min(f.start_time) AS first_seen,
    max(f.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', f._source, f._line) AS evidence,
    CASE WHEN k.prevalence >= 3 THEN concat(k.prevalence, ' workloads') ELSE k.workload END AS workload,
    k.peer,
    CAST(round(k.sent / 1e6) AS BIGINT) AS megabytes,
    CASE WHEN k.received = 0 THEN 'infinitely many' ELSE CAST(CAST(floor(k.sent / k.received) AS BIGINT) AS VARCHAR) END AS ratio,
    CASE
        WHEN k.usual IS NULL THEN ''
        ELSE concat('; of ', k.others, ' other first days 99.5% took at most ', CAST(round(k.usual / 1e6, 1) AS VARCHAR), ' MB')
    END AS usual,
    k.prevalence,
    k.sent,
    k.received,
    min(f.interface_id) AS interface_id,
    min(f.srcaddr) AS srcaddr,
    min(f.dstaddr) AS dstaddr,
    min(f.dstport) AS dstport,
    min(f.account_id) AS account_id,
    min(f.region) AS region,
    CASE WHEN k.prevalence >= 3 THEN 'low' ELSE 'high' END AS severity
FROM keys k
JOIN flows f ON f.workload = k.workload AND f.address = k.address AND f.slot = k.slot
WHERE f.is_out
GROUP BY k.workload, k.peer, k.sent, k.received, k.usual, k.others, k.prevalence
