-- id       = "flowlog-delete"
-- title    = "Flow log deleted"
-- severity = "high"
-- attack   = ["T1685.002"]
-- csf      = ["DE.CM-1", "RS.CO-3"]
-- reads    = ["cloudtrail"]
-- every    = "5m"
-- window   = "1h"
-- entity   = ["principal"]
-- quiet    = "24h"
-- message  = "{who} {did} {flow_log}{remark}"
-- impact   = ["flow_log", "account_id"]
-- misses   = """
--   Flow logs that go on but lose their destination: a bucket policy, a log group or a role that is
--   taken away. A flow log that is created again with fewer fields or only for rejected traffic
--   looks like a change of format, and is reported as low."""
-- false_positives = """
--   A change of the format needs a new flow log: one created within 15 minutes makes the alert low.
--   So does the deletion of the VPC itself."""

WITH calls AS (
    SELECT
        *,
        -- The list comes as {"tag":1,"content":"fl-..."}, as an array of these, or as a plain array.
        regexp_match(request_parameters, 'fl-[0-9a-f]+')[1] AS first_flow_log,
        regexp_count(request_parameters, 'fl-[0-9a-f]+') AS flow_logs
    FROM cloudtrail
    WHERE event_source = 'ec2.amazonaws.com'
      AND event_name IN ('DeleteFlowLogs', 'CreateFlowLogs', 'DeleteVpc')
      AND event_time >= $window_start AND event_time < $window_end
),
deletions AS (
    SELECT *
    FROM calls
    WHERE event_name = 'DeleteFlowLogs'
      AND (error_code IS NULL OR error_code LIKE '%Unauthorized%' OR error_code LIKE '%AccessDenied%')
),
-- What makes a deletion look like maintenance: a successor, or no VPC left to log.
reasons AS (
    SELECT d._source, d._line, min(r.event_name) AS reason
    FROM deletions d
    JOIN calls r
      ON r.account_id = d.account_id
     AND r.aws_region = d.aws_region
     AND r.event_time BETWEEN d.event_time - INTERVAL '15 minutes' AND d.event_time + INTERVAL '15 minutes'
    WHERE r.event_name IN ('CreateFlowLogs', 'DeleteVpc') AND r.error_code IS NULL
    GROUP BY d._source, d._line
)
SELECT
    d.event_time,
    d.event_id,
    d._source,
    d._line,
    coalesce(d.principal_arn, d.principal_id, 'unknown') AS principal,
    coalesce(regexp_replace(d.principal_arn, '^.*:(assumed-role/)?', ''), d.principal_id, 'somebody') AS who,
    CASE WHEN d.error_code IS NULL THEN 'deleted' ELSE 'was refused to delete' END AS did,
    concat(
        coalesce(d.first_flow_log, 'a flow log'),
        CASE WHEN d.flow_logs > 1 THEN concat(' and ', d.flow_logs - 1, ' more') ELSE '' END
    ) AS flow_log,
    CASE r.reason
        WHEN 'CreateFlowLogs' THEN ', and one was created within 15 minutes'
        WHEN 'DeleteVpc' THEN ', and a VPC within 15 minutes'
        ELSE ''
    END AS remark,
    CASE
        WHEN r.reason IS NOT NULL THEN 'low'
        WHEN d.error_code IS NOT NULL THEN 'medium'
        ELSE 'high'
    END AS severity,
    d.event_name,
    d.event_source,
    d.error_code,
    d.principal_arn,
    d.session_name,
    d.role_arn,
    d.access_key_id,
    d.source_ip_address,
    d.user_agent,
    d.account_id,
    d.aws_region
FROM deletions d
LEFT JOIN reasons r ON r._source = d._source AND r._line = d._line
