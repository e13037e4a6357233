-- id       = "net-threat-ip"
-- title    = "Traffic with an address of a threat list"
-- severity = "high"
-- attack   = ["T1090.003"]
-- csf      = ["DE.CM-1", "RS.CO-3"]
-- reads    = ["vpc_flow"]
-- every    = "5m"
-- window   = "24h"
-- entity   = ["workload", "address"]
-- quiet    = "24h"
-- message  = "{workload} {verb} {address}, which is on the list {list}: {sent} bytes sent, {received} received"
-- impact   = ["workload", "interface_id", "address"]
-- misses   = """
--   Addresses that no list names, and everything while no list is configured. Lists older than a week count
--   as informational: addresses change hands."""
-- false_positives = """
--   Shared addresses, such as those of content networks, and wide lists. Calls from outside, which every public
--   address gets, are informational, and so are calls of ours that nothing answered."""

WITH flows AS (
    SELECT
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        interface_id,
        coalesce(flow_direction = 'egress', is_private_ip(srcaddr)) AS is_out,
        CASE WHEN coalesce(flow_direction = 'egress', is_private_ip(srcaddr)) THEN coalesce(pkt_dstaddr, dstaddr) ELSE coalesce(pkt_srcaddr, srcaddr) END AS address,
        action, protocol, srcport, dstport, tcp_flags, bytes,
        interface_type, account_id, region, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action IS NOT NULL
      AND start_time >= $window_start AND start_time < $window_end
),
talks AS (
    SELECT
        workload, interface_id, address,
        coalesce(sum(bytes) FILTER (WHERE is_out AND action = 'ACCEPT'), 0) AS sent,
        coalesce(sum(bytes) FILTER (WHERE NOT is_out AND action = 'ACCEPT'), 0) AS received,
        -- Who began: by flags, or else the side with the higher port.
        bool_or(is_out AND CASE WHEN protocol = 6 THEN coalesce((tcp_flags & 18) = 2, srcport > dstport) ELSE coalesce(srcport > dstport, true) END) AS is_ours
    FROM flows
    GROUP BY workload, interface_id, address
),
-- Each address is looked up once.
listed AS (
    SELECT address, threat_list(address) AS list, threat_list_age_days(address) AS age_days
    FROM (SELECT DISTINCT address FROM talks)
    WHERE threat_list(address) IS NOT NULL
),
-- NAT gateways pass on what others send.
gateways AS (
    SELECT interface_id
    FROM vpc_flow
    WHERE action = 'ACCEPT' AND flow_direction = 'ingress' AND pkt_dstaddr <> dstaddr
      AND NOT is_private_ip(pkt_dstaddr) AND is_private_ip(dstaddr)
    GROUP BY interface_id
),
found AS (
    SELECT t.*, l.list, l.age_days
    FROM listed l
    JOIN talks t ON t.address = l.address
    WHERE t.interface_id IS NULL OR t.interface_id NOT IN (SELECT interface_id FROM gateways WHERE interface_id IS NOT NULL)
)
SELECT
    min(v.start_time) AS first_seen,
    max(v.end_time) AS last_seen,
    count(*) AS count,
    evidence('vpc_flow', v._source, v._line) AS evidence,
    f.workload,
    f.address,
    CASE
        WHEN f.is_ours AND f.received > 0 THEN 'called'
        WHEN f.is_ours THEN 'tried to call'
        ELSE 'was called by'
    END AS verb,
    f.list,
    CAST(floor(f.age_days) AS BIGINT) AS age_days,
    f.sent,
    f.received,
    min(v.dstport) AS dstport,
    f.interface_id,
    min(v.account_id) AS account_id,
    min(v.region) AS region,
    CASE WHEN f.is_ours AND f.received > 0 AND coalesce(f.age_days <= 7, true) THEN 'high' ELSE 'informational' END AS severity
FROM found f
JOIN flows v ON v.address = f.address AND v.workload = f.workload
WHERE v.interface_id IS NOT DISTINCT FROM f.interface_id
GROUP BY f.workload, f.interface_id, f.address, f.is_ours, f.list, f.age_days, f.sent, f.received
