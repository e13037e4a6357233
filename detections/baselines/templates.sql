-- name  = "templates"
-- code  = "B7"
-- title = "What each container usually logs, and how often"
-- kind  = "measured"
-- reads = ["container_logs"]
-- hours = false
-- fill  = false
-- about = """
--   Lines by their form: what differs from line to line (numbers, ids, addresses, quoted text) is masked. The
--   hundred most frequent forms of a container and hour are kept, and rates are compared over all hours."""
--
-- [measures.lines]
-- about = "Lines of this form"
-- unit  = 10.0

WITH masked AS (
    SELECT
        date_trunc('hour', event_time) AS event_time, event_time AS at,
        coalesce(concat_ws('/', stream_prefix, container_name), log_group) AS entity,
        left(
            regexp_replace(
                regexp_replace(
                    -- Names of JSON members, and what says what happened, are the form itself.
                    regexp_replace(
                        regexp_replace(
                            -- Bounded before it is masked: a stack trace is known by its first line.
                            left(split_part(message, chr(10), 1), 400),
                            '"(msg|message|event|level|severity)"\s*:\s*"([^"]*)"', '\1:\2', 'g'
                        ),
                        '"([A-Za-z0-9_.-]+)"\s*:', '\1:', 'g'
                    ),
                    '"[^"]*"|''[^'']*''', '<text>', 'g'
                ),
                '[0-9a-fA-F]*[0-9][0-9a-fA-F]*([-:.T/+_][0-9a-fA-F]+)*', '<n>', 'g'
            ),
            160
        ) AS subject
    FROM container_logs
),
counted AS (
    SELECT
        event_time, entity, subject, count(*) AS lines, min(at) AS first_seen, max(at) AS last_seen,
        row_number() OVER (PARTITION BY event_time, entity ORDER BY count(*) DESC, subject) AS rank
    FROM masked
    WHERE entity <> ''
    GROUP BY event_time, entity, subject
)
SELECT
    event_time, entity, subject, 'lines' AS measure, lines AS value, lines AS count, first_seen, last_seen
FROM counted
WHERE rank <= 100
