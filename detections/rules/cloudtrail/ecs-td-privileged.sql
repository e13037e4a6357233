-- id       = "ecs-td-privileged"
-- title    = "Task definition that can reach its host"
-- severity = "high"
-- attack   = ["T1611"]
-- csf      = ["PR.PT-3", "RS.CO-3"]
-- reads    = ["cloudtrail"]
-- every    = "5m"
-- window   = "30d"
-- entity   = ["account_id", "family"]
-- quiet    = "24h"
-- message  = "{who} registered {family} with {containers}{remark}"
-- impact   = ["family", "task_definition"]
-- misses   = """
--   Host networking, host process space and mounts of the host's folders, which reach the host too.
--   Definitions whose parameters CloudTrail left out for their size."""
-- false_positives = """
--   Agents that look after the node (monitoring, log shipping, security). The same container with the
--   same rights, registered again in the same family, is low."""

WITH definitions AS (
    SELECT
        *,
        coalesce(request_parameters ->> 'family', 'a definition') AS family,
        unnest(json_get_array(request_parameters, 'containerDefinitions')) AS definition
    FROM cloudtrail
    WHERE event_source = 'ecs.amazonaws.com'
      AND event_name IN ('RegisterTaskDefinition', 'RegisterDaemonTaskDefinition')
      AND error_code IS NULL
      AND event_time >= $window_start AND event_time < $window_end
),
rights AS (
    SELECT
        *,
        coalesce(definition ->> 'name', '?') AS name,
        concat_ws(
            ', ',
            CASE WHEN json_get_bool(definition, 'privileged') THEN 'privileged' END,
            -- With one of these, or all, a process can leave its container or read the host's memory and files.
            regexp_match(
                upper(json_as_text(definition, 'linuxParameters', 'capabilities', 'add')),
                '"(?:CAP_)?(SYS_ADMIN|SYS_PTRACE|SYS_MODULE|SYS_RAWIO|DAC_READ_SEARCH|ALL)"'
            )[1],
            CASE WHEN json_length(definition, 'linuxParameters', 'devices') > 0 THEN 'host devices' END
        ) AS held
    FROM definitions
),
events AS (
    SELECT
        event_time, event_id, _source, _line, family, request_parameters, response_elements, event_name, event_source,
        principal_arn, principal_id, session_name, role_arn, access_key_id, source_ip_address, user_agent,
        account_id, aws_region,
        array_to_string(array_sort(array_agg(concat(name, ' (', held, ')'))), ' and ') AS containers
    FROM rights
    WHERE held <> ''
    GROUP BY
        event_time, event_id, _source, _line, family, request_parameters, response_elements, event_name, event_source,
        principal_arn, principal_id, session_name, role_arn, access_key_id, source_ip_address, user_agent,
        account_id, aws_region
),
judged AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY account_id, family, containers ORDER BY event_time, _source, _line) > 1
            AS seen_before
    FROM events
)
SELECT
    event_time,
    event_id,
    _source,
    _line,
    account_id,
    family,
    coalesce(regexp_replace(principal_arn, '^.*:(assumed-role/)?', ''), principal_id, 'somebody') AS who,
    containers,
    CASE WHEN seen_before THEN ', as before' ELSE '' END AS remark,
    CASE WHEN seen_before THEN 'low' ELSE 'high' END AS severity,
    json_as_text(response_elements, 'taskDefinition', 'taskDefinitionArn') AS task_definition,
    event_name,
    event_source,
    principal_arn,
    session_name,
    role_arn,
    access_key_id,
    source_ip_address,
    user_agent,
    aws_region
FROM judged
