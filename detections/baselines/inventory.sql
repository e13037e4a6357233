-- name  = "inventory"
-- code  = "B8"
-- title = "What runs: images, roles, sizes, places"
-- kind  = "seen"
-- reads = ["ecs_events", "cloudtrail"]
-- about = """
--   Per service or family: images and their digests, task definitions, subnets, as ECS events tell them; roles,
--   size and images that were registered, as CloudTrail tells them."""
--
-- [measures.image]
-- about = "Image of a container"
-- [measures.digest]
-- about = "Image and digest of a container that ran"
-- [measures.task_definition]
-- about = "Task definition that ran, without its revision"
-- [measures.subnet]
-- about = "Subnet that a task ran in"
-- [measures.task_role]
-- about = "Task role that a family was registered with"
-- [measures.execution_role]
-- about = "Execution role that a family was registered with"
-- [measures.size]
-- about = "CPU units / MiB that a family was registered with"

WITH containers AS (
    SELECT
        event_time AS at, coalesce(service_name, group_name) AS entity, task_definition_arn, subnet_id,
        unnest(json_get_array(containers)) AS container
    FROM ecs_events
    WHERE detail_type = 'ECS Task State Change'
),
tasks AS (
    SELECT date_trunc('hour', at) AS event_time, at, entity, task_definition_arn, subnet_id, container
    FROM containers
),
registered AS (
    SELECT
        date_trunc('hour', event_time) AS event_time, event_time AS at,
        json_get_str(request_parameters, 'family') AS entity,
        json_get_str(request_parameters, 'taskRoleArn') AS task_role,
        json_get_str(request_parameters, 'executionRoleArn') AS execution_role,
        concat_ws(' / ', json_as_text(request_parameters, 'cpu'), json_as_text(request_parameters, 'memory')) AS size
    FROM cloudtrail
    WHERE event_source = 'ecs.amazonaws.com' AND event_name = 'RegisterTaskDefinition' AND error_code IS NULL
),
seen AS (
    SELECT
        event_time, at, entity, m.measure,
        CASE m.measure
            WHEN 'image' THEN json_get_str(container, 'image')
            WHEN 'digest' THEN concat(json_get_str(container, 'image'), '@', json_get_str(container, 'imageDigest'))
            WHEN 'task_definition' THEN regexp_replace(task_definition_arn, ':[0-9]+$', '')
            ELSE subnet_id
        END AS subject
    FROM tasks CROSS JOIN (VALUES ('image'), ('digest'), ('task_definition'), ('subnet')) AS m(measure)
    UNION ALL
    SELECT
        event_time, at, entity, m.measure,
        CASE m.measure WHEN 'task_role' THEN task_role WHEN 'execution_role' THEN execution_role ELSE size END
    FROM registered CROSS JOIN (VALUES ('task_role'), ('execution_role'), ('size')) AS m(measure)
)
SELECT
    event_time, entity, subject, measure, count(*) AS value, count(*) AS count, min(at) AS first_seen,
    max(at) AS last_seen
FROM seen
WHERE subject IS NOT NULL AND subject <> '' AND subject NOT LIKE '%@'
GROUP BY 1, 2, 3, 4
