-- name  = "addresses"
-- code  = "B5"
-- title = "Addresses and networks that are ours"
-- kind  = "seen"
-- reads = ["vpc_flow", "ecs_events", "cloudtrail"]
-- about = """
--   Private addresses by workload, from flow logs and from attachments of tasks; VPC endpoints and accounts;
--   and public addresses that workloads call AWS from. An address counts as a shared way out only if
--   sessions of three roles or more used it in one hour: one stolen key does not make its thief's
--   address ours."""
--
-- [measures.private_ip]
-- about = "Address of an interface of the workload"
-- [measures.egress_ip]
-- about = "Public address that sessions of tasks and instances share"
-- [measures.vpc_endpoint]
-- about = "VPC endpoint that the account's calls come through"
-- [measures.account]
-- about = "Account that has a trail here"

SELECT
    event_time, entity, own AS subject, 'private_ip' AS measure, count(*) AS value, count(*) AS count,
    min(first_seen) AS first_seen, max(last_seen) AS last_seen
FROM ({flows})
WHERE direction IS NOT NULL
GROUP BY event_time, entity, own
UNION ALL
SELECT
    date_trunc('hour', event_time), coalesce(service_name, group_name), private_ip, 'private_ip', count(*) AS value,
    count(*) AS count,
    min(event_time), max(event_time)
FROM ecs_events
WHERE private_ip IS NOT NULL
GROUP BY 1, 2, 3
UNION ALL
SELECT
    date_trunc('hour', event_time), account_id, source_ip_address, 'egress_ip', count(DISTINCT role_arn) AS value,
    count(*) AS count,
    min(event_time), max(event_time)
FROM cloudtrail
WHERE principal_type = 'AssumedRole' AND invoked_by IS NULL AND vpc_endpoint_id IS NULL
  AND regexp_like(session_name, '^(i-[0-9a-f]{8,17}|[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$')
  AND regexp_like(source_ip_address, '^[0-9a-fA-F.:]+$')
  AND NOT coalesce(is_private_ip(source_ip_address), true)
GROUP BY 1, 2, 3
HAVING count(DISTINCT role_arn) >= 3
UNION ALL
SELECT
    date_trunc('hour', event_time), recipient_account_id, vpc_endpoint_id, 'vpc_endpoint', count(*) AS value,
    count(*) AS count,
    min(event_time), max(event_time)
FROM cloudtrail
WHERE vpc_endpoint_id IS NOT NULL AND error_code IS NULL
GROUP BY 1, 2, 3
UNION ALL
SELECT
    date_trunc('hour', event_time), recipient_account_id AS entity, recipient_account_id AS subject, 'account', count(*) AS value,
    count(*) AS count,
    min(event_time), max(event_time)
FROM cloudtrail
WHERE recipient_account_id IS NOT NULL
GROUP BY 1, 2, 3
