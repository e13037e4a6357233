-- id       = "net-new-external-peer"
-- title    = "Workload calls a network outside that it never called"
-- severity = "low"
-- attack   = ["T1071"]
-- csf      = ["DE.AE-1", "DE.CM-1"]
-- reads    = ["vpc_flow"]
-- optional = ["baseline_edges"]
-- every    = "15m"
-- window   = "24h"
-- learn    = "6h"
-- entity   = ["workload", "peer"]
-- quiet    = "24h"
-- message  = "{workload} began to call {peer} on port {dstport}: {connections} connection(s), {bytes} bytes"
-- impact   = ["workload", "interface_id"]
-- misses   = """
--   Peers in AWS's own ranges other than customers' addresses, and those in a network that the
--   workload already calls on that port. A workload that baseline_edges does not know for 14 days is
--   compared with the window alone, and its first six hours there say nothing. Records that name no service,
--   group or interface, which nothing is learnt of. Without tcp-flags in the log the side that began is
--   guessed by port."""
-- false_positives = """
--   A release that uses a new service outside. What happens less often than every 45 days, or where nothing was
--   learnt, than the window is long. Content networks that move: what three or more
--   workloads begin to call is one alert for all of them."""

WITH flows AS (
    SELECT
        -- As baselines name it.
        coalesce(workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id), 'unknown') AS workload,
        interface_id, srcaddr, account_id, region, protocol, dstport, srcport, bytes, tcp_flags,
        coalesce(pkt_dstaddr, dstaddr) AS dstaddr,
        dstaddr AS hop,
        flow_direction, pkt_dst_aws_service, start_time, end_time, _source, _line
    FROM vpc_flow
    WHERE action = 'ACCEPT'
      AND protocol IN (6, 17)
      AND start_time >= $window_start AND start_time < $window_end
),
-- Interfaces of NAT gateways pass on what others began.
gateways AS (
    SELECT interface_id
    FROM flows
    WHERE flow_direction = 'ingress' AND dstaddr <> hop AND NOT is_private_ip(dstaddr) AND is_private_ip(hop)
    GROUP BY interface_id
),
-- Since when the workload is known, by what opened or answered a connection at it.
ages AS (
    SELECT workload, min(start_time) AS since
    FROM flows
    WHERE tcp_flags IS NULL OR (tcp_flags & 2) <> 0
    GROUP BY workload
),
-- Workloads of which enough was learnt, and since when.
learnt AS (
    SELECT entity AS workload, min(first_seen) AS since
    FROM baseline_edges
    GROUP BY entity
    HAVING bool_or(state = 'ripe')
),
known AS (
    SELECT entity AS workload, subject, first_seen
    FROM baseline_edges
    WHERE measure = 'out' AND state <> 'expired'
),
outward AS (
    SELECT
        *,
        ip_network(dstaddr) AS peer,
        coalesce((tcp_flags & 18) = 2, false) AS is_opening,
        -- Who began, where no flag says it: the side with the higher port.
        (tcp_flags IS NULL OR protocol = 17) AND dstport < 32768 AND srcport > dstport AS is_guess
    FROM flows
    WHERE NOT is_private_ip(dstaddr) AND is_private_ip(srcaddr)
      AND coalesce(flow_direction, 'egress') = 'egress'
      -- EC2 may be anybody's instance; the other names are AWS's own services.
      AND coalesce(pkt_dst_aws_service, 'EC2') = 'EC2'
      -- Answers go to a high port from a low one.
      AND (coalesce((tcp_flags & 18) = 18, false) = false)
),
edges AS (
    SELECT
        workload, peer, dstport, protocol,
        min(start_time) AS first_seen,
        max(end_time) AS last_seen,
        count(DISTINCT srcport) AS connections,
        sum(bytes) AS bytes,
        count(*) AS count,
        bool_or(is_opening) AS opened,
        evidence('vpc_flow', _source, _line) AS evidence,
        min(interface_id) AS interface_id,
        min(srcaddr) AS srcaddr,
        min(dstaddr) AS dstaddr,
        min(account_id) AS account_id,
        min(region) AS region
    FROM outward
    WHERE interface_id IS NULL OR interface_id NOT IN (SELECT interface_id FROM gateways WHERE interface_id IS NOT NULL)
    GROUP BY workload, peer, dstport, protocol
    HAVING bool_or(is_opening) OR bool_or(is_guess)
),
fresh AS (
    SELECT e.*, count(*) OVER (PARTITION BY e.peer, e.dstport, e.protocol) AS prevalence
    FROM edges e
    LEFT JOIN ages a ON a.workload = e.workload
    LEFT JOIN learnt l ON l.workload = e.workload
    -- A baseline that has this very day in it does not make its news old.
    LEFT JOIN known k
        ON k.workload = e.workload AND k.subject = concat(e.peer, ':', e.dstport, '/', e.protocol)
       AND k.first_seen < e.first_seen
    WHERE k.workload IS NULL
      AND e.first_seen >= least(a.since, l.since) + CAST($learn AS INTERVAL)
      -- Time servers rotate, and speak little: they count by bytes alone.
      AND (e.bytes >= 10000 OR e.connections >= 3 AND NOT (e.protocol = 17 AND e.dstport = 123))
)
SELECT
    first_seen,
    last_seen,
    count,
    evidence,
    CASE WHEN prevalence >= 3 THEN concat(prevalence, ' workloads') ELSE workload END AS workload,
    concat(peer, ' port ', dstport) AS edge,
    peer,
    dstport,
    protocol,
    connections,
    bytes,
    prevalence,
    interface_id,
    srcaddr,
    dstaddr,
    account_id,
    region,
    CASE WHEN opened AND prevalence = 1 AND dstport NOT IN (80, 443) THEN 'medium' ELSE 'low' END AS severity
FROM fresh
