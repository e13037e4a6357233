-- id       = "net-beacon"
-- title    = "Workload calls one target at regular intervals"
-- severity = "medium"
-- attack   = ["T1071"]
-- csf      = ["DE.AE-1", "DE.CM-1"]
-- reads    = ["connections"]
-- every    = "1h"
-- window   = "8d"
-- learn    = "24h"
-- entity   = ["workload", "responder_addr", "responder_port"]
-- quiet    = "24h"
-- message  = "{workload} calls {responder_addr} port {responder_port} every {period_seconds} s, {beats} times in {span}"
-- impact   = ["workload", "interface_id"]
-- keep     = ["numbered"]
-- misses   = """
--   Fewer than 20 calls a day, so periods above 72 minutes. A channel that keeps one connection open:
--   see net-long-conn. Calls from one source port closer together than 2.5 aggregation windows, which
--   the log does not tell apart: `shortest_period_seconds` says what can be seen. Jitter above half of
--   the period. A target that was already called on the first day of the data is low at most."""
-- false_positives = """
--   Agents, health checks and pollers. What many workloads call, what is inside, and what was already
--   called on the first day is not medium; it is ranked all the same, by risk."""

WITH calls AS (
    SELECT
        -- Where only the target's interface logs, that is not the caller's.
        CASE
            WHEN interface_id = responder_interface_id THEN initiator_addr
            ELSE coalesce(ecs_service_name, interface_id, initiator_addr)
        END AS workload,
        initiator_addr, initiator_port, responder_addr, responder_port, protocol,
        date_trunc('second', start_time) AS at,
        date_bin(INTERVAL '24 hours', start_time, $window_start) AS day,
        end_time, bytes_out, bytes_in, records, window_seconds, interface_id, account_id, _source, _line
    FROM connections
    WHERE action = 'ACCEPT'
      AND protocol IN (6, 17)
      AND responder_port > 0
      -- Where flags tell who begins, a connection that nobody was seen to begin is a piece of a longer one.
      AND (initiator_by = 'tcp-flags' OR tcp_flags_out IS NULL OR protocol = 17)
      AND start_time >= $window_start AND start_time < $window_end
),
-- An aggregation window is 60 or 600 seconds; some connection shows which.
log AS (
    SELECT
        CASE WHEN max(window_seconds) > 60 THEN 600 ELSE 60 END AS window_seconds,
        count(DISTINCT workload) AS workloads
    FROM calls
),
targets AS (
    SELECT responder_addr, responder_port, count(DISTINCT workload) AS callers, min(at) AS first_contact
    FROM calls
    GROUP BY responder_addr, responder_port
),
-- Few pairs have calls enough; only these are looked at more closely, by number: text is slow to sort.
pairs AS (
    SELECT
        row_number() OVER (ORDER BY day, workload, initiator_addr, responder_addr, responder_port, protocol) AS pair,
        workload, initiator_addr, responder_addr, responder_port, protocol, day
    FROM calls
    GROUP BY workload, initiator_addr, responder_addr, responder_port, protocol, day
    HAVING count(*) >= 20
),
numbered AS (
    SELECT c.*, p.pair
    FROM pairs p
    JOIN calls c
      ON p.workload = c.workload AND p.initiator_addr = c.initiator_addr AND p.responder_addr = c.responder_addr
     AND p.responder_port = c.responder_port AND p.protocol = c.protocol AND p.day = c.day
),
-- Calls within one second are one beat: the second of them has no gap.
gaps AS (
    SELECT
        pair, at, CAST(bytes_out AS DOUBLE) AS size,
        nullif(date_part('epoch', at) - lag(date_part('epoch', at)) OVER (PARTITION BY pair ORDER BY at), 0.0) AS gap
    FROM numbered
),
-- Medians: nearly half of the calls may be anything.
middles AS (
    SELECT
        *,
        count(gap) OVER pair + 1 AS beats,
        median(gap) OVER pair AS period,
        median(size) OVER pair AS middle_size,
        min(at) OVER pair AS first_at,
        date_part('epoch', max(at) OVER pair) - date_part('epoch', min(at) OVER pair) AS span_seconds
    FROM gaps
    WINDOW pair AS (PARTITION BY pair)
),
-- Equal stretches of the span, so many that two beats are expected in each.
stretches AS (
    SELECT
        *,
        least(24, beats / 2) AS bins,
        least(
            least(24, beats / 2) - 1,
            floor((date_part('epoch', at) - date_part('epoch', first_at)) * least(24, beats / 2) / greatest(span_seconds, 1.0))
        ) AS bin
    FROM middles
    WHERE beats >= 20
),
counted AS (
    SELECT *, CAST(count(*) OVER (PARTITION BY pair, bin) AS DOUBLE) AS in_bin
    FROM stretches
),
measured AS (
    SELECT
        pair, first_at, beats, bins, period, span_seconds, middle_size,
        median(abs(gap - period)) AS gap_mad,
        percentile_cont(0.25) WITHIN GROUP (ORDER BY gap) AS gap_low,
        percentile_cont(0.75) WITHIN GROUP (ORDER BY gap) AS gap_high,
        median(abs(size - middle_size)) AS size_mad,
        percentile_cont(0.25) WITHIN GROUP (ORDER BY size) AS size_low,
        percentile_cont(0.75) WITHIN GROUP (ORDER BY size) AS size_high,
        sum(1 / in_bin) / bins AS coverage,
        -- The entropy of the stretches, as each call has the logarithm of its own stretch.
        (ln(CAST(count(*) AS DOUBLE)) - avg(ln(in_bin))) / ln(CAST(bins AS DOUBLE)) AS evenness
    FROM counted
    GROUP BY pair, first_at, beats, bins, period, span_seconds, middle_size
),
totals AS (
    SELECT
        pair,
        max(end_time) AS last_seen,
        sum(records) AS count,
        evidence('vpc_flow', _source, _line) AS evidence,
        sum(bytes_out) AS bytes_out,
        sum(bytes_in) AS bytes_in,
        min(interface_id) AS interface_id,
        min(account_id) AS account_id,
        count(*) AS calls,
        count(DISTINCT initiator_port) AS ports
    FROM numbered
    GROUP BY pair
),
scores AS (
    SELECT
        *,
        -- The spread, and whether early and late balance (Bowley's skew).
        0.7 * greatest(0.0, 1 - gap_mad / greatest(period, 1.0))
            + 0.3 * (1 - CASE WHEN gap_high > gap_low THEN abs(gap_low + gap_high - 2 * period) / (gap_high - gap_low) ELSE 0 END)
            AS interval_score,
        0.7 * greatest(0.0, 1 - size_mad / greatest(middle_size, 1.0))
            + 0.3 * (1 - CASE WHEN size_high > size_low THEN abs(size_low + size_high - 2 * middle_size) / (size_high - size_low) ELSE 0 END)
            AS size_score
    FROM measured
),
judged AS (
    SELECT
        s.*, p.workload, p.initiator_addr, p.responder_addr, p.responder_port, p.protocol,
        o.last_seen, o.count, o.evidence, o.bytes_out, o.bytes_in, o.interface_id, o.account_id,
        t.callers, t.first_contact,
        t.callers <= 2 OR t.callers * 50 <= l.workloads AS is_rare,
        -- From ports of its own every call has a record of its own, with its own second.
        CASE WHEN o.ports * 2 > o.calls THEN 5.0 ELSE 2.5 * l.window_seconds END AS shortest_period_seconds,
        CAST(round(greatest(0.0, least(100.0,
            45 * s.interval_score + 20 * s.size_score + 20 * s.evenness + 15 * s.coverage
            -- What half of all workloads call is infrastructure.
            - CASE WHEN l.workloads >= 4 AND t.callers * 2 >= l.workloads THEN 15 ELSE 0 END
        ))) AS BIGINT) AS risk
    FROM scores s
    JOIN pairs p ON p.pair = s.pair
    JOIN totals o ON o.pair = s.pair
    JOIN targets t ON t.responder_addr = p.responder_addr AND t.responder_port = p.responder_port
    CROSS JOIN log l
)
SELECT
    first_at AS first_seen,
    last_seen,
    count,
    evidence,
    workload,
    initiator_addr,
    responder_addr,
    responder_port,
    protocol,
    risk,
    CASE
        WHEN NOT is_rare
            OR is_private_ip(responder_addr)
            OR risk < 80
            OR interval_score < 0.6
            OR span_seconds < 21600
            OR period < shortest_period_seconds
            OR coverage < 0.8
            THEN 'informational'
        WHEN first_contact - CAST($learn AS INTERVAL) >= $window_start THEN 'medium'
        ELSE 'low'
    END AS severity,
    beats,
    CAST(round(period) AS BIGINT) AS period_seconds,
    CASE
        WHEN span_seconds >= 7200 THEN concat(CAST(span_seconds / 3600 AS BIGINT), ' hours')
        ELSE concat(CAST(span_seconds / 60 AS BIGINT), ' minutes')
    END AS span,
    round(interval_score, 2) AS interval_score,
    round(size_score, 2) AS size_score,
    round(evenness, 2) AS evenness,
    round(coverage, 2) AS coverage,
    shortest_period_seconds,
    callers,
    bytes_out,
    bytes_in,
    interface_id,
    account_id
FROM judged
