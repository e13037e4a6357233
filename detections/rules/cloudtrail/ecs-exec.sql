-- id       = "ecs-exec"
-- title    = "Command run in a container through ECS Exec"
-- severity = "medium"
-- attack   = ["T1609"]
-- csf      = ["PR.AC-4", "DE.AE-3", "RS.CO-3"]
-- reads    = ["cloudtrail"]
-- every    = "5m"
-- window   = "30d"
-- learn    = "6h"
-- entity   = ["role", "task"]
-- quiet    = "24h"
-- message  = "{who} {did} {command} in {container} of task {task}{remark}"
-- impact   = ["cluster", "task", "container"]
-- misses   = """
--   Sessions that go around ECS: ssm:StartSession straight to the container. What is typed in the
--   shell: CloudTrail has the command that was started, not the keys."""
-- false_positives = "Engineers on call. Clusters whose name says that nothing there matters are informational."

WITH calls AS (
    SELECT
        *,
        coalesce(role_arn, principal_arn, principal_id, 'unknown') AS role,
        regexp_replace(request_parameters ->> 'cluster', '^.*/', '') AS cluster,
        regexp_replace(request_parameters ->> 'task', '^.*/', '') AS task,
        row_number() OVER (
            PARTITION BY coalesce(role_arn, principal_arn, principal_id), error_code IS NULL
            ORDER BY event_time, _source, _line
        ) AS nth
    FROM cloudtrail
    WHERE event_source = 'ecs.amazonaws.com'
      AND event_name = 'ExecuteCommand'
      AND (error_code IS NULL OR error_code LIKE '%AccessDenied%')
      AND event_time >= $window_start AND event_time < $window_end
),
judged AS (
    SELECT
        *,
        regexp_like(coalesce(cluster, ''), '(^|[^a-z])(prod|production|prd|live)([^a-z]|$)', 'i') AS in_production,
        regexp_like(coalesce(cluster, ''), '(^|[^a-z])(dev|development|test|testing|sandbox|playground)([^a-z]|$)', 'i')
            AS in_development,
        -- Without some history before it, every call is the first.
        nth = 1 AND event_time - CAST($learn AS INTERVAL) >= $window_start AS first_use
    FROM calls
)
SELECT
    event_time,
    event_id,
    _source,
    _line,
    role,
    coalesce(task, '-') AS task,
    coalesce(regexp_replace(principal_arn, '^.*:(assumed-role/)?', ''), principal_id, 'somebody') AS who,
    CASE WHEN error_code IS NULL THEN 'ran' ELSE 'was refused to run' END AS did,
    coalesce(request_parameters ->> 'command', 'a command') AS command,
    coalesce(request_parameters ->> 'container', 'a container') AS container,
    coalesce(cluster, 'default') AS cluster,
    concat_ws(
        '',
        CASE WHEN first_use AND error_code IS NULL THEN ', its first time' END,
        CASE WHEN in_production THEN ', in production' END
    ) AS remark,
    CASE
        WHEN error_code IS NOT NULL THEN 'low'
        WHEN in_production OR (first_use AND NOT in_development) THEN 'high'
        WHEN in_development THEN 'informational'
        ELSE 'medium'
    END AS severity,
    first_use,
    in_production,
    event_name,
    event_source,
    error_code,
    principal_arn,
    session_name,
    role_arn,
    access_key_id,
    source_ip_address,
    user_agent,
    account_id,
    aws_region
FROM judged
