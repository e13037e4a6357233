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
-- Calls within one second are one beat.
pairs AS (
    SELECT
        row_number() OVER () AS pair,
        workload, initiator_addr, responder_addr, responder_port, protocol, day,
        beats, calls, ports, first_at, last_at,
        date_part('epoch', last_at) - date_part('epoch', first_at) AS span_seconds,
        -- At least two beats are expected in each.
        least(24, beats / 2) AS bins
    FROM (
        SELECT
            workload, initiator_addr, responder_addr, responder_port, protocol, day,
            count(DISTINCT at) AS beats,
            count(*) AS calls,
            count(DISTINCT initiator_port) AS ports,
            min(at) AS first_at,
            max(at) AS last_at
        FROM calls
        GROUP BY workload, initiator_addr, responder_addr, responder_port, protocol, day
        HAVING count(DISTINCT at) >= 20
    )
),
members AS (
    SELECT p.pair, c.*
    FROM calls c
    JOIN pairs p
      ON p.workload = c.workload AND p.initiator_addr = c.initiator_addr AND p.responder_addr = c.responder_addr
     AND p.responder_port = c.responder_port AND p.protocol = c.protocol AND p.day = c.day
),
beats AS (
    SELECT
        pair, at, size,
        date_part('epoch', at) - lag(date_part('epoch', at)) OVER (PARTITION BY pair ORDER BY at) AS gap
    FROM (SELECT pair, at, CAST(sum(bytes_out) AS DOUBLE) AS size FROM members GROUP BY pair, at)
),
-- Middle and quartiles: a fifth of the calls may be anything.
middles AS (
    SELECT
        pair,
        median(gap) AS period,
        percentile_cont(0.25) WITHIN GROUP (ORDER BY gap) AS gap_low,
        percentile_cont(0.75) WITHIN GROUP (ORDER BY gap) AS gap_high,
        median(size) AS size,
        percentile_cont(0.25) WITHIN GROUP (ORDER BY size) AS size_low,
        percentile_cont(0.75) WITHIN GROUP (ORDER BY size) AS size_high
    FROM beats
    GROUP BY pair
),
spreads AS (
    SELECT b.pair, median(abs(b.gap - m.period)) AS gap_mad, median(abs(b.size - m.size)) AS size_mad
    FROM beats b
    JOIN middles m ON m.pair = b.pair
    GROUP BY b.pair
),
-- Whether it goes on all the time: how many stretches of the span have calls, and how evenly.
stretches AS (
    SELECT pair, count(*) AS used, -sum(part * ln(part)) AS entropy
    FROM (
        SELECT p.pair, count(*) / CAST(p.beats AS DOUBLE) AS part
        FROM beats b
        JOIN pairs p ON p.pair = b.pair
        GROUP BY
            p.pair, p.beats,
            least(
                p.bins - 1,
                floor((date_part('epoch', b.at) - date_part('epoch', p.first_at)) * p.bins / greatest(p.span_seconds, 1.0))
            )
    )
    GROUP BY pair
),
scores AS (
    SELECT
        p.*, m.period,
        -- The spread, and whether early and late balance (Bowley's skew).
        0.7 * greatest(0.0, 1 - s.gap_mad / greatest(m.period, 1.0))
            + 0.3 * (1 - CASE WHEN m.gap_high > m.gap_low THEN abs(m.gap_low + m.gap_high - 2 * m.period) / (m.gap_high - m.gap_low) ELSE 0 END)
            AS interval_score,
        0.7 * greatest(0.0, 1 - s.size_mad / greatest(m.size, 1.0))
            + 0.3 * (1 - CASE WHEN m.size_high > m.size_low THEN abs(m.size_low + m.size_high - 2 * m.size) / (m.size_high - m.size_low) ELSE 0 END)
            AS size_score,
        st.entropy / ln(CAST(p.bins AS DOUBLE)) AS evenness,
        st.used / CAST(p.bins AS DOUBLE) AS coverage
    FROM pairs p
    JOIN middles m ON m.pair = p.pair
    JOIN spreads s ON s.pair = p.pair
    JOIN stretches st ON st.pair = p.pair
),
judged AS (
    SELECT
        s.*, t.callers, t.first_contact, l.workloads,
        t.callers <= 2 OR t.callers * 50 <= l.workloads AS is_rare,
        -- From ports of its own every call has a record of its own, with its own second.
        CASE WHEN s.ports * 2 > s.calls THEN 5.0 ELSE 2.5 * l.window_seconds END AS shortest_period_seconds,
        CAST(round(greatest(0.0, least(100.0,
            45 * s.interval_score + 20 * s.size_score + 20 * s.evenness + 15 * s.coverage
            -- What half of all workloads call is infrastructure.
            - CASE WHEN l.workloads >= 4 AND t.callers * 2 >= l.workloads THEN 15 ELSE 0 END
        ))) AS BIGINT) AS risk
    FROM scores s
    JOIN targets t ON t.responder_addr = s.responder_addr AND t.responder_port = s.responder_port
    CROSS JOIN log l
),
verdicts AS (
    SELECT
        *,
        risk >= 80
            AND interval_score >= 0.6
            AND span_seconds >= 21600
            AND period >= shortest_period_seconds
            AND (coverage >= 0.9 OR coverage >= 0.8 AND is_rare) AS is_beacon
    FROM judged
)
SELECT
    v.first_at AS first_seen,
    max(m.end_time) AS last_seen,
    sum(m.records) AS count,
    evidence('vpc_flow', m._source, m._line) AS evidence,
    v.workload,
    v.initiator_addr,
    v.responder_addr,
    v.responder_port,
    v.protocol,
    v.risk,
    CASE
        WHEN NOT (v.is_beacon AND v.is_rare) OR is_private_ip(v.responder_addr) THEN 'informational'
        WHEN v.first_contact >= $window_start + CAST($learn AS INTERVAL) THEN 'medium'
        ELSE 'low'
    END AS severity,
    v.beats,
    CAST(round(v.period) AS BIGINT) AS period_seconds,
    CASE
        WHEN v.span_seconds >= 7200 THEN concat(CAST(v.span_seconds / 3600 AS BIGINT), ' hours')
        ELSE concat(CAST(v.span_seconds / 60 AS BIGINT), ' minutes')
    END AS span,
    round(v.interval_score, 2) AS interval_score,
    round(v.size_score, 2) AS size_score,
    round(v.evenness, 2) AS evenness,
    round(v.coverage, 2) AS coverage,
    v.shortest_period_seconds,
    v.callers,
    sum(m.bytes_out) AS bytes_out,
    sum(m.bytes_in) AS bytes_in,
    min(m.interface_id) AS interface_id,
    min(m.account_id) AS account_id
FROM verdicts v
JOIN members m ON m.pair = v.pair
GROUP BY
    v.pair, v.first_at, v.workload, v.initiator_addr, v.responder_addr, v.responder_port, v.protocol, v.risk,
    v.is_beacon, v.is_rare, v.first_contact, v.beats, v.period, v.span_seconds, v.interval_score, v.size_score,
    v.evenness, v.coverage, v.shortest_period_seconds, v.callers
