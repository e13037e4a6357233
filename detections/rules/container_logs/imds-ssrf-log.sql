-- id       = "imds-ssrf-log"
-- title    = "Request that names the credentials' address"
-- severity = "medium"
-- attack   = ["T1190", "T1552.005"]
-- csf      = ["DE.CM-1", "RS.CO-3"]
-- reads    = ["container_logs"]
-- entity   = ["workload", "client"]
-- quiet    = "24h"
-- message  = "{client} asked {workload} for {target}{remark}"
-- impact   = ["workload", "task_id"]
-- misses   = """
--   Requests that the application does not log, or logs without their parameters and bodies. Names
--   that resolve to the address, other than the well-known ones. Encodings deeper than three levels."""
-- false_positives = """
--   Scanners try this on every site: one alert for each client and day. The application's own SDK
--   that logs how it fetches credentials is told apart by the shape of the line: it names the
--   address as a host of its own, not inside of somebody's request."""

WITH decoded AS (
    SELECT
        *,
        -- Three levels, as that is what proxies and frameworks undo on the way in.
        CASE
            WHEN strpos(message, '%') > 0 THEN lower(percent_decode(percent_decode(percent_decode(message))))
            ELSE lower(message)
        END AS line
    FROM container_logs
),
found AS (
    SELECT
        *,
        regexp_match(
            line,
            '169\.254\.169\.254|169\.254\.170\.2\b|\b2852039166\b|\b2852039170\b|0xa9fea9fe|0xa9feaa02|0xa9\.0xfe\.0xa9\.0xfe|0xa9\.0xfe\.0xaa\.0x0?2|0?0?251\.0?0?376\.0?0?251\.0?0?376|0?0?251\.0?0?376\.0?0?252\.0*2\b|169\.254\.43518\b|169\.16689662\b|::ffff:a9fe:a9fe|::ffff:169\.254\.|fd00:ec2::254|fd00:ec2::23\b|instance-data\.ec2\.internal|//instance-data\b|169-254-169-254\.|a9fea9fe\.(?:nip|sslip)\.io'
        )[1] AS address,
        regexp_match(
            line,
            '/latest/meta-data[^\s"''&<>]*|/latest/user-data|/latest/api/token|/latest/dynamic[^\s"''&<>]*|/v2/credentials/[0-9a-f-]{36}|/proc/self/environ.*aws_container_credentials'
        )[1] AS path
    FROM decoded
),
-- Inside of a request means: after a parameter's name or in the path of another URL; in a field of a log
-- of requests in JSON; in a header that the client sets.
judged AS (
    SELECT
        *,
        regexp_like(
            line,
            '(?:[?&;][a-z0-9_.\[\]-]+=|(?:get|post|put|head|patch|options)\s+/[^\s"]*/)[^\s"]*(?:169\.254\.|2852039166|2852039170|0xa9|0?0?251\.0?0?376|169\.16689662|::ffff:a9fe|fd00:ec2|instance-data|169-254-|a9fea9fe)'
        ) AS in_url,
        regexp_like(
            line,
            '"[a-z0-9_.-]*(?:ur[il]|target|host|dest|link|src|source|redirect|feed|callback|image|img|path|page|proxy|query|body|referer|forwarded)[a-z0-9_.-]*"\s*:\s*\\?"[^\s"]*(?:169\.254\.|2852039166|2852039170|0xa9|0?0?251\.0?0?376|169\.16689662|::ffff:a9fe|fd00:ec2|instance-data|169-254-|a9fea9fe)'
        ) AND regexp_like(line, '"(?:http_?)?(?:method|verb|request|route|client_?ip|remote_?addr|remote_?ip|headers)"\s*:')
            AS in_json,
        regexp_like(
            line,
            '\b(?:host|referer|x-forwarded-host|x-original-url|x-rewrite-url):\s*[^\s"]*(?:169\.254\.|2852039166|2852039170|0xa9|0?0?251\.0?0?376|169\.16689662|::ffff:a9fe|fd00:ec2|instance-data|169-254-|a9fea9fe)'
        ) AS in_header,
        -- A status of 2xx beside a size: `" 200 1294`, `status=200`, `"status":200`.
        regexp_like(line, '"\s+2[0-9]{2}\s+[1-9][0-9]*|\bstatus(?:_?code)?"?\s*[=:]\s*"?2[0-9]{2}\b') AS answered,
        regexp_match(
            line,
            '^\s*((?:[0-9]{1,3}\.){3}[0-9]{1,3})\b'
        )[1] AS client_first,
        regexp_match(
            line,
            '"?\b(?:remote_?addr|remote_?ip|client_?ip|client|ip|x-forwarded-for|x_forwarded_for|source_?ip)"?\s*[=:]\s*"?((?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9a-f]*:[0-9a-f:]+)'
        )[1] AS client_named,
        -- The first address of the line that is not the one asked for.
        regexp_match(line, '\b((?:[02-9][0-9]?|1[0-9]?|1[0-57-9][0-9]|16[0-8]|2[0-9]{2})\.(?:[0-9]{1,3}\.){2}[0-9]{1,3})\b')[1]
            AS client_any
    FROM found
    WHERE address IS NOT NULL
)
SELECT
    event_time,
    event_id,
    _source,
    _line,
    coalesce(container_name, log_group, regexp_replace(log_stream, '-[0-9a-f]{32}$', ''), _source) AS workload,
    coalesce(client_first, client_named, client_any, 'somebody') AS client,
    concat(address, coalesce(path, '')) AS target,
    CASE WHEN answered THEN ', and was answered' ELSE '' END AS remark,
    CASE WHEN answered THEN 'high' ELSE 'medium' END AS severity,
    message,
    log_group,
    log_stream,
    container_name,
    task_id
FROM judged
WHERE in_url
   OR in_json
   -- An SDK that logs its own requests shows such a header too, but no client beside it.
   OR in_header AND coalesce(client_first, client_named, client_any) IS NOT NULL
