-- id       = "ecs-td-image"
-- title    = "Task definition with an image from elsewhere"
-- severity = "medium"
-- attack   = ["T1204.003", "T1525"]
-- csf      = ["PR.PT-3"]
-- reads    = ["cloudtrail"]
-- every    = "5m"
-- window   = "30d"
-- entity   = ["account_id", "repository"]
-- quiet    = "24h"
-- message  = "{who} registered {family} with the image {image}: {why}"
-- impact   = ["family", "image", "task_definition"]
-- misses   = """
--   Images of the account's own registry that were replaced under the same tag. What happened to an
--   image on its way into that registry, or through a pull-through cache. A foreign registry that
--   three families already use."""
-- false_positives = """
--   Public images that the estate means to use. A repository that was registered a day before is
--   silent, so is a registry that three or more families use, so are Amazon's own sidecars."""

WITH containers AS (
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
named AS (
    SELECT
        *,
        definition ->> 'name' AS container_name,
        definition ->> 'image' AS image,
        -- [registry/]path[:tag][@digest]; a first part without a dot or a port is no registry but a path.
        regexp_like(definition ->> 'image', '^(localhost|[^/]*[.:][^/]*)/') AS has_registry,
        regexp_replace(regexp_replace(definition ->> 'image', '@.*$', ''), ':[^/:]*$', '') AS path,
        regexp_match(regexp_replace(definition ->> 'image', '@.*$', ''), ':([^/:]*)$')[1] AS tag,
        regexp_like(definition ->> 'image', '@sha256:') AS pinned
    FROM containers
    WHERE (definition ->> 'image') IS NOT NULL
),
split AS (
    SELECT
        *,
        CASE WHEN has_registry THEN split_part(path, '/', 1) ELSE 'docker.io' END AS registry,
        CASE WHEN has_registry THEN path ELSE concat('docker.io/', path) END AS repository
    FROM named
),
owned AS (
    SELECT
        *,
        coalesce(recipient_account_id, account_id) AS own_account,
        regexp_match(registry, '^([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$')[1]
            AS registry_account
    FROM split
),
-- A registry that several families live from is the estate's own, wherever it lies.
shared AS (
    SELECT own_account, registry
    FROM owned
    WHERE registry NOT IN ('docker.io', 'public.ecr.aws', 'ghcr.io', 'quay.io', 'gcr.io', 'registry.k8s.io', 'mcr.microsoft.com')
    GROUP BY own_account, registry
    HAVING count(DISTINCT family) >= 3
),
judged AS (
    SELECT
        o.*,
        coalesce(o.registry_account = o.own_account, false) OR s.registry IS NOT NULL AS is_own,
        regexp_like(
            o.repository,
            '^(docker\.io/amazon/|public\.ecr\.aws/(aws-observability|xray|cloudwatch-agent|appmesh|amazonlinux|amazon-ecs|ecs|aws-guardduty)/|906394416424\.dkr\.ecr\.)'
        ) AS is_amazon,
        NOT o.pinned AND coalesce(o.tag, 'latest') = 'latest' AS is_floating,
        min(o.event_time) OVER (PARTITION BY o.own_account, o.repository) AS first_time
    FROM owned o
    LEFT JOIN shared s ON s.own_account = o.own_account AND s.registry = o.registry
)
SELECT
    event_time,
    event_id,
    _source,
    _line,
    account_id,
    repository,
    family,
    container_name,
    image,
    registry,
    coalesce(regexp_replace(principal_arn, '^.*:(assumed-role/)?', ''), principal_id, 'somebody') AS who,
    concat_ws(
        ', ',
        CASE WHEN NOT is_own THEN concat('not from a registry of ', own_account) END,
        CASE WHEN is_floating THEN 'its tag can move' END
    ) AS why,
    -- A moving tag in one's own registry is a habit to break, not an intruder.
    CASE WHEN is_own THEN 'low' ELSE 'medium' END AS severity,
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
WHERE NOT is_amazon
  AND (NOT is_own OR is_floating)
  AND event_time < first_time + INTERVAL '24 hours'
