-- name  = "series"
-- code  = "B3"
-- title = "How much happens"
-- kind  = "measured"
-- reads = ["cloudtrail", "ecs_events", "ecs_audit"]
-- hours = true
-- fill  = true
-- about = """
--   Single series by the hour: API calls and failed calls of each account and Region, starts and failures of
--   each ECS service, credentials that the agent gave to its tasks. A silent hour is 0."""
--
-- [measures.api_calls]
-- about = "API calls of an account in a Region"
-- unit  = 20.0
-- [measures.api_errors]
-- about = "API calls that failed"
-- unit  = 10.0
-- [measures.destroying_calls]
-- about = "Calls that delete, stop, drain or deregister"
-- unit  = 3.0
-- [measures.task_starts]
-- about = "Tasks of a service that came to RUNNING"
-- unit  = 3.0
-- [measures.task_failures]
-- about = "Tasks of a service that failed to start or whose essential container ended"
-- unit  = 3.0
-- [measures.credential_pulls]
-- about = "Credentials that the ECS agent gave to the tasks of a service"
-- unit  = 10.0

SELECT
    date_trunc('hour', c.event_time) AS event_time,
    concat(coalesce(c.recipient_account_id, c.account_id, '-'), '/', coalesce(c.aws_region, '-')) AS entity,
    CAST(NULL AS text) AS subject, m.measure,
    sum(CASE m.measure
        WHEN 'api_calls' THEN 1
        WHEN 'api_errors' THEN CASE WHEN c.error_code IS NULL THEN 0 ELSE 1 END
        ELSE CASE
            WHEN regexp_like(c.event_name, '^(Delete|Stop|Terminate|Deregister|Disable|Remove|Detach)') THEN 1 ELSE 0
        END
    END) AS value,
    count(*) AS count, min(c.event_time) AS first_seen, max(c.event_time) AS last_seen
FROM cloudtrail c
CROSS JOIN (VALUES ('api_calls'), ('api_errors'), ('destroying_calls')) AS m(measure)
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT
    date_trunc('hour', e.event_time), e.service_name, NULL, m.measure,
    sum(CASE m.measure
        WHEN 'task_starts' THEN CASE WHEN e.last_status = 'RUNNING' AND e.desired_status = 'RUNNING' THEN 1 ELSE 0 END
        ELSE CASE WHEN e.stop_code IN ('TaskFailedToStart', 'EssentialContainerExited') THEN 1 ELSE 0 END
    END),
    count(*) AS count, min(e.event_time), max(e.event_time)
FROM (
    -- One event of each state of a task: versions repeat it.
    SELECT task_arn, service_name, last_status, desired_status, stop_code, min(event_time) AS event_time
    FROM ecs_events
    WHERE detail_type = 'ECS Task State Change' AND service_name IS NOT NULL
    GROUP BY task_arn, service_name, last_status, desired_status, stop_code
) AS e
CROSS JOIN (VALUES ('task_starts'), ('task_failures')) AS m(measure)
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT
    date_trunc('hour', a.event_time), coalesce(t.service_name, a.cluster), NULL, 'credential_pulls', count(*) AS value, count(*) AS count,
    min(a.event_time), max(a.event_time)
FROM ecs_audit a
LEFT JOIN (
    SELECT task_id, max(service_name) AS service_name FROM ecs_events WHERE task_id IS NOT NULL GROUP BY task_id
) AS t ON t.task_id = a.task_id
WHERE a.status = 200
GROUP BY 1, 2
