-- id       = "ecs-change-unexpected"
-- title    = "Unexpected change to ECS"
-- severity = "medium"
-- attack   = ["T1578.005"]
-- csf      = ["DE.AE-1", "DE.AE-3", "PR.AC-4", "RS.CO-3"]
-- reads    = ["cloudtrail"]
-- every    = "5m"
-- window   = "30d"
-- learn    = "6h"
-- entity   = ["principal"]
-- quiet    = "24h"
-- message  = "{who} called {event_name} on {target}: {why} ({points} points)"
-- impact   = ["cluster", "target", "tier", "account_id"]
-- misses   = """
--   Changes by a deployment role from where it always works, and whatever is changed through
--   CloudFormation or another service. Calls that failed. In the first six hours of the data nothing
--   counts as new, so only the console, the hour and root weigh."""
-- false_positives = """
--   New colleagues and new pipelines: their first change scores, the next ones do not. Night work.
--   A deployment role whose name does not say so: give it a name with ci, deploy or pipeline in it,
--   or change the expression in a copy of this rule."""

-- Every action that changes ECS, with what it endangers.
WITH actions (name, tier) AS (
    VALUES
        ('CreateCapacityProvider', 'config'),
        ('CreateCluster', 'config'),
        ('CreateService', 'code'),
        ('CreateTaskSet', 'code'),
        ('DeleteAccountSetting', 'destroy'),
        ('DeleteAttributes', 'destroy'),
        ('DeleteCapacityProvider', 'destroy'),
        ('DeleteCluster', 'destroy'),
        ('DeleteService', 'destroy'),
        ('DeleteTaskSet', 'destroy'),
        ('DeregisterContainerInstance', 'destroy'),
        ('DeregisterTaskDefinition', 'destroy'),
        ('PutAccountSetting', 'config'),
        ('PutAttributes', 'config'),
        ('PutClusterCapacityProviders', 'config'),
        ('RegisterContainerInstance', 'agent'),
        ('RegisterTaskDefinition', 'code'),
        ('UpdateClusterSettings', 'config'),
        ('UpdateContainerAgent', 'config'),
        ('UpdateContainerInstancesState', 'config'),
        ('UpdateService', 'code'),
        ('UpdateServicePrimaryTaskSet', 'code'),
        ('UpdateTaskSet', 'code'),
        -- Newer ones.
        ('ContinueServiceDeployment', 'code'),
        ('CreateDaemon', 'code'),
        ('CreateExpressGatewayService', 'code'),
        ('DeleteDaemon', 'destroy'),
        ('DeleteDaemonTaskDefinition', 'destroy'),
        ('DeleteExpressGatewayService', 'destroy'),
        ('DeleteTaskDefinitions', 'destroy'),
        ('ExecuteCommand', 'code'),
        ('PutAccountSettingDefault', 'config'),
        ('RegisterDaemonTaskDefinition', 'code'),
        ('RunTask', 'code'),
        ('StartTask', 'code'),
        ('StopServiceDeployment', 'destroy'),
        ('StopTask', 'destroy'),
        ('SubmitAttachmentStateChanges', 'agent'),
        ('SubmitContainerStateChange', 'agent'),
        ('SubmitTaskStateChange', 'agent'),
        ('TagResource', 'config'),
        ('UntagResource', 'config'),
        ('UpdateCapacityProvider', 'config'),
        ('UpdateCluster', 'config'),
        ('UpdateDaemon', 'code'),
        ('UpdateExpressGatewayService', 'code'),
        ('UpdateTaskProtection', 'config')
),
changes AS (
    SELECT
        c.*,
        coalesce(a.tier, 'unknown') AS tier,
        coalesce(c.role_arn, c.principal_arn, c.principal_id, 'unknown') AS role,
        coalesce(role_name(c.role_arn), role_name(c.principal_arn), c.principal_name, '') AS name,
        coalesce(c.recipient_account_id, c.account_id) AS own_account,
        -- Addresses change within a network all the time. A service's name stands for itself.
        coalesce(ip_network(c.source_ip_address), c.source_ip_address) AS network,
        regexp_replace(
            coalesce(c.request_parameters ->> 'cluster', c.request_parameters ->> 'clusterName', 'default'), '^.*/', ''
        ) AS cluster,
        regexp_replace(
            coalesce(
                c.request_parameters ->> 'service',
                c.request_parameters ->> 'serviceName',
                c.request_parameters ->> 'family',
                c.request_parameters ->> 'task',
                c.request_parameters ->> 'taskDefinition',
                c.request_parameters ->> 'taskSet',
                c.request_parameters ->> 'containerInstance',
                c.request_parameters ->> 'capacityProvider',
                c.request_parameters ->> 'resourceArn',
                c.request_parameters ->> 'cluster',
                c.request_parameters ->> 'clusterName',
                c.request_parameters ->> 'name',
                'ECS'
            ),
            '^.*/', ''
        ) AS target
    FROM cloudtrail c
    LEFT JOIN actions a ON a.name = c.event_name
    WHERE c.event_source = 'ecs.amazonaws.com'
      AND c.error_code IS NULL
      -- An action that is younger than this list changes something if it does not only read.
      AND (a.name IS NOT NULL OR c.read_only = false)
      AND c.event_time >= $window_start AND c.event_time < $window_end
      -- Services at work on somebody's behalf: autoscaling, deployments, stacks.
      AND c.invoked_by IS NULL
      AND coalesce(c.principal_type, '') <> 'AWSService'
      AND coalesce(c.role_arn, '') NOT LIKE '%:role/aws-service-role/%'
      AND coalesce(c.principal_arn, '') NOT LIKE '%:assumed-role/AWSServiceRoleFor%'
      AND (
          c.source_ip_address IS NULL
          OR regexp_like(c.source_ip_address, '^[0-9a-fA-F.:]+$')
          OR c.source_ip_address LIKE 'AWS Internal%'
      )
      -- The agent of a container instance speaks for itself.
      AND NOT (coalesce(a.tier, '') = 'agent' AND regexp_like(coalesce(c.session_name, ''), '^i-[0-9a-f]+$'))
),
history AS (
    SELECT
        *,
        min(event_time) OVER (PARTITION BY own_account) AS account_since,
        min(event_time) OVER (PARTITION BY own_account, role) AS role_since,
        row_number() OVER (PARTITION BY own_account, role, event_name ORDER BY event_time, _source, _line) = 1
            AS first_of_role,
        row_number() OVER (PARTITION BY own_account, role, network ORDER BY event_time, _source, _line) = 1
            AS first_from_network,
        row_number() OVER (PARTITION BY own_account, aws_region ORDER BY event_time, _source, _line) = 1
            AS first_in_region
    FROM changes
),
judged AS (
    SELECT
        *,
        NOT regexp_like(
            name,
            '(^|[^a-z])(ci|cd|cicd|deploy|deployer|deployment|pipeline|terraform|cloudformation|cdk|github|gitlab|jenkins|codebuild|codepipeline|codedeploy|spinnaker|argocd|atlantis|buildkite|circleci)([^a-z]|$)',
            'i'
        ) AS not_pipeline,
        coalesce(session_credential_from_console, false)
            OR coalesce(user_agent, '') LIKE 'console.%' OR coalesce(user_agent, '') LIKE 'signin.%' AS in_console,
        -- In UTC: an estate elsewhere changes the hours in a copy.
        date_part('hour', event_time) NOT BETWEEN 6 AND 19 OR date_part('dow', event_time) IN (0, 6) AS off_hours,
        coalesce(principal_type, '') = 'Root' AS is_root,
        regexp_like(concat(cluster, ' ', target), '(^|[^a-z])(prod|production|prd|live)([^a-z]|$)', 'i') AS in_production
    FROM history
),
-- What is new needs something to be new against: a stranger the logs as such, a pipeline its own
-- earlier changes (the first of the day is no news), a Region those of the account.
factors AS (
    SELECT
        *,
        first_of_role AND event_time - CAST($learn AS INTERVAL) >= CASE WHEN not_pipeline THEN $window_start ELSE role_since END
            AS new_action,
        first_from_network AND event_time - CAST($learn AS INTERVAL) >= CASE WHEN not_pipeline THEN $window_start ELSE role_since END
            AS new_source,
        first_in_region AND event_time - CAST($learn AS INTERVAL) >= account_since AS new_region
    FROM judged
),
scored AS (
    SELECT
        *,
        CAST(floor(
            (
                CASE WHEN not_pipeline THEN 3 ELSE 0 END
                + CASE WHEN in_console THEN 2 ELSE 0 END
                + CASE WHEN off_hours THEN 2 ELSE 0 END
                + CASE WHEN new_action THEN 3 ELSE 0 END
                + CASE WHEN new_source THEN 2 ELSE 0 END
                + CASE WHEN new_region THEN 4 ELSE 0 END
                + CASE WHEN is_root THEN 5 ELSE 0 END
            ) * CASE WHEN in_production THEN 1.5 ELSE 1.0 END
        ) AS BIGINT) AS points
    FROM factors
)
SELECT
    event_time,
    event_id,
    _source,
    _line,
    coalesce(principal_arn, principal_id, 'unknown') AS principal,
    coalesce(regexp_replace(principal_arn, '^.*:(assumed-role/)?', ''), principal_id, 'somebody') AS who,
    points,
    least(100, points * 6) AS risk,
    CASE WHEN points >= 8 THEN 'high' ELSE 'medium' END AS severity,
    concat_ws(
        ', ',
        CASE WHEN is_root THEN 'root' END,
        CASE WHEN not_pipeline THEN 'no pipeline' END,
        CASE WHEN in_console THEN 'in the console' END,
        CASE WHEN off_hours THEN 'out of hours' END,
        CASE WHEN new_action THEN 'its first time' END,
        CASE WHEN new_source THEN 'from a new network' END,
        CASE WHEN new_region THEN 'in an unused Region' END,
        CASE WHEN in_production THEN 'production' END
    ) AS why,
    event_name,
    event_source,
    tier,
    scored.cluster,
    target,
    not_pipeline,
    in_console,
    off_hours,
    new_action,
    new_source,
    new_region,
    is_root,
    in_production,
    principal_arn,
    session_name,
    role_arn,
    access_key_id,
    source_ip_address,
    user_agent,
    account_id,
    aws_region
FROM scored
WHERE points >= 5
