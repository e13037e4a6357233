-- id       = "cred-offnet"
-- title    = "Credentials of a task or instance used from outside"
-- severity = "critical"
-- attack   = ["T1552.005", "T1078.004"]
-- csf      = ["PR.AC-1", "DE.AE-3", "RS.CO-3"]
-- reads    = ["cloudtrail"]
-- optional = ["own_addresses"]
-- every    = "5m"
-- window   = "24h"
-- entity   = ["account_id", "session_name"]
-- quiet    = "24h"
-- message  = "{role_name} of {session_name} was used from {addresses}: {count} call(s){remark}"
-- impact   = ["role_arn", "session_name", "account_id"]
-- misses   = """
--   Use from another host behind the same NAT gateway, or through a VPC endpoint. A session of a role
--   without shared egress that was only ever used by the thief. Calls that CloudTrail does not record,
--   such as object access without data events."""
-- false_positives = """
--   A NAT gateway that fewer than three sessions have used, an instance that got another public
--   address when it was stopped and started, one that people work on with keys of their own: name
--   their addresses in the table own_addresses."""

-- Sessions of workloads carry the instance's id, or the task's.
WITH calls AS (
    SELECT
        *,
        CASE WHEN source_ip_address LIKE '%:%' THEN 6 ELSE 4 END AS family
    FROM cloudtrail
    WHERE principal_type = 'AssumedRole'
      AND regexp_like(
          session_name,
          '^(i-[0-9a-f]{8}|i-[0-9a-f]{17}|[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$',
          'i'
      )
      -- An address, not the name of an AWS service that calls on the workload's behalf.
      AND regexp_like(source_ip_address, '^[0-9a-fA-F.:]+$')
      AND invoked_by IS NULL
      AND event_time >= $window_start AND event_time < $window_end
),
-- What comes through a VPC endpoint or has a private address is inside of some network of ours.
outer_calls AS (
    SELECT *
    FROM calls
    WHERE NOT coalesce(is_private_ip(source_ip_address), false) AND vpc_endpoint_id IS NULL
),
-- Where people and their keys work. Workloads do not live there, unless they share a way out.
people AS (
    SELECT account_id, source_ip_address
    FROM cloudtrail
    WHERE (principal_type IN ('IAMUser', 'Root') OR role_arn LIKE '%/AWSReservedSSO_%')
      AND regexp_like(source_ip_address, '^[0-9a-fA-F.:]+$')
      AND NOT coalesce(is_private_ip(source_ip_address), false)
      AND invoked_by IS NULL
      AND event_time >= $window_start AND event_time < $window_end
    GROUP BY account_id, source_ip_address
),
used AS (
    SELECT
        account_id, role_arn, session_name, family, source_ip_address,
        min(event_time) AS first_time,
        -- What runs on a desktop is no task, whatever else it says of itself.
        bool_or(regexp_like(coalesce(user_agent, ''), '(darwin|os/macos|md/macos|kali|parrot|pentoo)', 'i')) AS from_desktop
    FROM outer_calls
    GROUP BY account_id, role_arn, session_name, family, source_ip_address
),
placed AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY account_id, session_name, family ORDER BY first_time, source_ip_address
        ) = 1 AS is_first
    FROM used
),
-- The NAT gateways: where three or more sessions began. An intruder with many stolen
-- sessions began none of them, so the intruder's address does not become ours that way.
shared AS (
    SELECT account_id, source_ip_address
    FROM placed
    WHERE is_first
    GROUP BY account_id, source_ip_address
    HAVING count(DISTINCT session_name) >= 3
),
-- Roles whose sessions leave through such a gateway have no reason to leave elsewhere.
behind_shared AS (
    SELECT p.account_id, p.role_arn, p.family
    FROM placed p
    JOIN shared s ON s.account_id = p.account_id AND s.source_ip_address = p.source_ip_address
    GROUP BY p.account_id, p.role_arn, p.family
),
declared AS (
    SELECT p.account_id, p.source_ip_address
    FROM placed p
    JOIN own_addresses o ON ip_in_cidr(p.source_ip_address, o.address)
    GROUP BY p.account_id, p.source_ip_address
),
foreign_use AS (
    SELECT
        p.account_id, p.session_name, p.role_arn, p.source_ip_address,
        b.role_arn IS NOT NULL AS has_gateway,
        h.source_ip_address IS NOT NULL AS among_people,
        p.from_desktop
    FROM placed p
    LEFT JOIN shared s ON s.account_id = p.account_id AND s.source_ip_address = p.source_ip_address
    LEFT JOIN declared d ON d.account_id = p.account_id AND d.source_ip_address = p.source_ip_address
    LEFT JOIN people h ON h.account_id = p.account_id AND h.source_ip_address = p.source_ip_address
    LEFT JOIN behind_shared b
      ON b.account_id = p.account_id AND b.role_arn = p.role_arn AND b.family = p.family
    WHERE s.source_ip_address IS NULL
      AND d.source_ip_address IS NULL
      -- Without a gateway the address where a session began is its own, unless it is somebody's desk.
      AND (b.role_arn IS NOT NULL OR NOT p.is_first OR h.source_ip_address IS NOT NULL OR p.from_desktop)
),
-- Sessions that are also seen where they belong: then the same credentials are in two places.
at_home AS (
    SELECT c.account_id, c.session_name, max(c.event_time) AS last_home
    FROM calls c
    LEFT JOIN foreign_use f
      ON f.account_id = c.account_id AND f.session_name = c.session_name
     AND f.source_ip_address = c.source_ip_address AND c.vpc_endpoint_id IS NULL
    WHERE f.session_name IS NULL
    GROUP BY c.account_id, c.session_name
)
SELECT
    min(c.event_time) AS first_seen,
    max(c.event_time) AS last_seen,
    count(*) AS count,
    evidence('cloudtrail', c._source, c._line, c.event_id) AS evidence,
    c.account_id,
    c.session_name,
    c.role_arn,
    coalesce(role_name(c.role_arn), c.role_arn, 'a role') AS role_name,
    array_to_string(array_sort(array_agg(DISTINCT c.source_ip_address)), ', ') AS addresses,
    min(c.source_ip_address) AS source_ip_address,
    min(c.principal_arn) AS principal_arn,
    min(c.access_key_id) AS access_key_id,
    min(c.aws_region) AS aws_region,
    count(DISTINCT c.event_name) AS actions,
    count(*) FILTER (WHERE c.error_code IS NOT NULL) AS failed,
    concat_ws(
        '',
        CASE WHEN max(h.last_home) IS NOT NULL THEN ', and from its own network too' END,
        CASE WHEN bool_or(f.among_people) THEN ', where people work' END,
        CASE WHEN bool_or(f.from_desktop) THEN ', on a desktop' END
    ) AS remark,
    CASE
        -- It goes on at home after it has begun elsewhere: two holders of one session.
        WHEN max(h.last_home) >= min(c.event_time) THEN 'critical'
        WHEN bool_or(f.has_gateway) AND max(h.last_home) IS NOT NULL THEN 'critical'
        WHEN bool_or(f.has_gateway) OR bool_or(f.from_desktop) THEN 'high'
        -- It left one public address and went on at another, as a restarted instance does; or it only
        -- shares its address with people, as an instance does that they work on.
        ELSE 'medium'
    END AS severity
FROM calls c
JOIN foreign_use f
  ON f.account_id = c.account_id AND f.session_name = c.session_name
 AND f.source_ip_address = c.source_ip_address AND c.vpc_endpoint_id IS NULL
LEFT JOIN at_home h ON h.account_id = c.account_id AND h.session_name = c.session_name
GROUP BY c.account_id, c.session_name, c.role_arn
