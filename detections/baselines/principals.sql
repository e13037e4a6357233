-- name  = "principals"
-- code  = "B4"
-- title = "What each principal does, from where"
-- kind  = "seen"
-- reads = ["cloudtrail"]
-- about = """
--   Per role (not session) or user: the API actions it calls, Regions, networks, kinds of client, and hours
--   of the day. Calls of AWS services and service-linked roles are left out."""
--
-- [measures.api]
-- about = "service:Action that succeeded"
-- [measures.api_refused]
-- about = "service:Action that failed"
-- [measures.region]
-- about = "Region called"
-- [measures.network]
-- about = "/24 (IPv6: /48) of the caller's address"
-- [measures.client]
-- about = "First word of the user agent, without its version; the caller chooses it"
-- [measures.hour]
-- about = "Hour of the day in UTC"

WITH calls AS (
    SELECT
        date_trunc('hour', event_time) AS event_time, event_time AS at, {principal} AS entity,
        concat(split_part(event_source, '.', 1), ':', event_name) AS api, error_code, aws_region,
        ip_network(source_ip_address) AS network,
        nullif(regexp_replace(user_agent, '^\W*([A-Za-z][A-Za-z0-9_. -]*?)[/ (;,].*$', '\1'), '') AS client
    FROM cloudtrail
    WHERE invoked_by IS NULL
      AND principal_type IN ('AssumedRole', 'IAMUser', 'Root', 'FederatedUser', 'SAMLUser', 'WebIdentityUser',
                             'IdentityCenterUser')
      AND coalesce(role_arn, '') NOT LIKE '%:role/aws-service-role/%'
)
SELECT
    event_time, entity,
    CASE m.measure
        WHEN 'api' THEN api
        WHEN 'region' THEN aws_region
        WHEN 'network' THEN network
        WHEN 'client' THEN client
        ELSE lpad(CAST(date_part('hour', event_time) AS text), 2, '0')
    END AS subject,
    CASE WHEN m.measure = 'api' AND error_code IS NOT NULL THEN 'api_refused' ELSE m.measure END AS measure,
    count(*) AS value, count(*) AS count, min(at) AS first_seen, max(at) AS last_seen
FROM calls
CROSS JOIN (VALUES ('api'), ('region'), ('network'), ('client'), ('hour')) AS m(measure)
GROUP BY 1, 2, 3, 4
