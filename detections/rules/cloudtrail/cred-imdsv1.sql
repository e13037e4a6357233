-- id       = "cred-imdsv1"
-- title    = "Instance credentials handed out without a token"
-- severity = "low"
-- attack   = ["T1552.005"]
-- csf      = ["PR.AC-1", "PR.AC-4"]
-- reads    = ["cloudtrail"]
-- every    = "15m"
-- window   = "24h"
-- entity   = ["role"]
-- quiet    = "24h"
-- message  = "{role_name} used credentials from version 1 of the metadata service on {instances} instance(s){remark}"
-- impact   = ["role", "account_id"]
-- misses   = """
--   Credentials that nobody used in a call that CloudTrail records. Task roles: their endpoint has no
--   versions. Whether version 1 was asked by the instance's own software or through a forged request."""
-- false_positives = """
--   Old images and SDKs that know no tokens: one alert for each role and day, until they are replaced.
--   The host's own agent, whose role has no name of yours, is left out."""

WITH uses AS (
    SELECT *
    FROM cloudtrail
    WHERE ec2_role_delivery IS NOT NULL
      AND role_arn IS NOT NULL
      -- Host management speaks for itself, and picks its version itself.
      AND role_arn NOT LIKE '%:role/aws:%' AND principal_arn NOT LIKE '%:assumed-role/aws:%'
      AND event_time >= $window_start AND event_time < $window_end
),
-- A role that otherwise works with tokens does not need version 1: somebody else may.
with_token AS (
    SELECT role_arn FROM uses WHERE ec2_role_delivery LIKE '2%' GROUP BY role_arn
)
SELECT
    min(u.event_time) AS first_seen,
    max(u.event_time) AS last_seen,
    count(*) AS count,
    evidence('cloudtrail', u._source, u._line, u.event_id) AS evidence,
    u.role_arn AS role,
    coalesce(role_name(u.role_arn), u.role_arn) AS role_name,
    count(DISTINCT u.session_name) AS instances,
    min(u.session_name) AS instance_id,
    CASE WHEN max(t.role_arn) IS NOT NULL THEN ', though it also works with tokens' ELSE '' END AS remark,
    CASE WHEN max(t.role_arn) IS NOT NULL THEN 'medium' ELSE 'low' END AS severity,
    min(u.account_id) AS account_id,
    min(u.aws_region) AS aws_region,
    min(u.source_ip_address) AS source_ip_address
FROM uses u
LEFT JOIN with_token t ON t.role_arn = u.role_arn
WHERE u.ec2_role_delivery LIKE '1%'
GROUP BY u.role_arn, date_trunc('day', u.event_time)
