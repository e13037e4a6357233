-- name  = "deployers"
-- code  = "B6"
-- title = "Who changes the estate, how and when"
-- kind  = "seen"
-- reads = ["cloudtrail"]
-- about = """
--   Principals that successfully change ECS, images, stacks and deployments: their actions, the services
--   that act for them (such as CloudFormation), and the hours of the week in which they do so."""
--
-- [measures.action]
-- about = "service:Action that changed something"
-- [measures.via]
-- about = "Service that made the call for the principal, or `direct`"
-- [measures.change_window]
-- about = "Day of the week (1 is Monday) and hour in UTC: 1-09"

SELECT
    date_trunc('hour', event_time) AS event_time, {principal} AS entity,
    CASE m.measure
        WHEN 'action' THEN concat(split_part(event_source, '.', 1), ':', event_name)
        WHEN 'via' THEN coalesce(invoked_by, 'direct')
        ELSE concat((date_part('dow', event_time) + 6) % 7 + 1, '-', lpad(CAST(date_part('hour', event_time) AS text), 2, '0'))
    END AS subject,
    m.measure, count(*) AS value, count(*) AS count, min(event_time) AS first_seen, max(event_time) AS last_seen
FROM cloudtrail
CROSS JOIN (VALUES ('action'), ('via'), ('change_window')) AS m(measure)
WHERE error_code IS NULL AND read_only = false
  AND event_source IN (
      'ecs.amazonaws.com', 'ecr.amazonaws.com', 'cloudformation.amazonaws.com', 'codedeploy.amazonaws.com',
      'codepipeline.amazonaws.com', 'application-autoscaling.amazonaws.com', 'elasticloadbalancing.amazonaws.com'
  )
  -- The agent's own reports are no changes.
  AND event_name NOT LIKE 'Submit%' AND event_name NOT LIKE 'RegisterContainerInstance'
  AND event_name <> 'DiscoverPollEndpoint'
  AND coalesce(role_arn, '') NOT LIKE '%:role/aws-service-role/%'
GROUP BY 1, 2, 3, 4
