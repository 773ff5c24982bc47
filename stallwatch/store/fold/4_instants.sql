-- The events of the complex steps in order: by sequence where every event of the run has one, else by time. What happens at one
-- position is put in order by what came before and comes behind: events of the same microsecond close what was open before, then
-- open the next (and, after a failure, close that too). Temporal's spans, which never say their number, are counted, from those on
-- that are known to be a certain attempt.
INSERT INTO fold_instant
WITH
    placed AS
    (
        SELECT
            e.event_key AS event_key, e.step_key AS step_key, event_id, kind, trust,
            -- Temporal schedules a call once, for all its attempts.
            if(e.engine = 'temporal' AND kind = 'scheduled' AND e.step_run_id != '', greatest(1, e.attempt), e.attempt) AS said_attempt,
            if(known.step_run_id != '', known.step_run_id, e.step_run_id) AS said_step_run_id, span_id,
            -- Temporal never runs an attempt twice: every span of a call is an attempt, though a timed-out one may still be
            -- at work while the next one is, and reports its end after the other's start. Of Durable the same is sure where a history
            -- tells the runs apart: its task ids begin anew with each continue-as-new, and otherwise the same id behind a completion
            -- is another call.
            (e.engine = 'temporal' OR (e.engine = 'durable' AND is_mixed)) AND e.road = 'span' AND e.step_run_id != '' AND e.attempt = 0
                AND (kind != 'scheduled' OR e.engine = 'durable') AS is_attempt_span,
            is_attempt_span AND kind IN ('scheduled', 'started') AS starts_span,
            anchor.attempt AS anchored_attempt,
            e.step_run_id = '' OR (e.engine = 'durable' AND e.road = 'span' AND NOT is_mixed) AS may_be_next_call,
            kind IN ('scheduled', 'started', 'waiting') AS opens,
            kind IN ('completed', 'cancelled', 'skipped') AS finishes,
            kind IN ('failed', 'timed_out', 'retrying') AS fails,
            if(x.all_sequenced, sequence, toUnixTimestamp64Micro(time)) AS position,
            transform(kind, ['scheduled', 'started', 'heartbeat', 'waiting', 'failed', 'timed_out', 'retrying'], [0, 1, 2, 3, 4, 5, 6], 7) AS natural_rank
        FROM fold_event AS e
        INNER JOIN fold_execution AS x ON e.run_key = x.run_key
        INNER JOIN fold_complex AS c ON e.step_key = c.step_key
        LEFT ANY JOIN fold_anchor AS anchor ON e.event_key = anchor.event_key
        LEFT ANY JOIN fold_call AS known ON if(trust = 0, sipHash64(e.step_key, e.span_id), 0) = known.span_key
        WHERE NOT known.is_replay
    ),
    -- Where every event names its call, calls do not look at each other.
    laned AS
    (
        SELECT *, if(countIf(said_step_run_id = '') OVER (PARTITION BY step_key) = 0, said_step_run_id, '') AS lane
        FROM placed
    ),
    positioned AS
    (
        SELECT
            *, max(opens) OVER together AS any_opens, max(finishes OR fails) OVER together AS any_ends, max(fails) OVER together AS any_fails,
            countIf(kind = 'started') OVER together > 1 AS starts_again,
            -- What only waits begins with that.
            kind = if(countIf(kind = 'started') OVER whole > 0, 'started', 'waiting') AS begins,
            span_id != '' AND countIf(kind = 'started') OVER in_span > 0 AND countIf(kind != 'started') OVER in_span > 0 AS is_instant_span,
            row_number() OVER (PARTITION BY step_key, said_step_run_id, starts_span, kind ORDER BY position, event_id) AS start_number
        FROM laned
        WINDOW whole AS (PARTITION BY step_key, lane), together AS (PARTITION BY step_key, lane, position),
            in_span AS (PARTITION BY step_key, lane, position, span_id)
    ),
    -- Where calls or attempts without a number begin or end more than once at a position, they do so in turn, on each road. What an
    -- instant span began it also ends.
    in_turn AS
    (
        SELECT
            *,
            finishes OR kind IN ('failed', 'timed_out') AS is_end, said_attempt = 0 AND said_step_run_id = lane AND NOT is_attempt_span AS is_loose,
            countIf(is_end) OVER together AS ends_here, max(is_instant_span) OVER together AS instant_spans,
            row_number() OVER (
                PARTITION BY step_key, lane, position, trust, is_loose, if(is_end, 'ended', kind)
                ORDER BY is_instant_span = is_end, NOT fails, if(is_instant_span, span_id, ''), event_id) AS turn
        FROM positioned
        WINDOW together AS (PARTITION BY step_key, lane, position, trust)
    ),
    counted AS
    (
        SELECT *, start_number + anyLastIf(toInt64(anchored_attempt) - toInt64(start_number), anchored_attempt > 0) OVER so_far AS span_number
        FROM in_turn
        WINDOW so_far AS (PARTITION BY step_key, said_step_run_id, starts_span, kind ORDER BY position, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    ranked AS
    (
        SELECT
            *,
            if(is_attempt_span, maxIf(span_number, starts_span) OVER (PARTITION BY step_key, said_step_run_id, span_id), said_attempt) AS attempt,
            -- Whether an attempt ran just before this position: then its end comes first among equals. What was only scheduled, or
            -- waited, goes on and ends here, unless another end follows, or it fails here and starts again. Where the position
            -- before it had a start and an end as well, starts are counted against ends.
            maxIf((position, any_opens, any_ends), any_opens OR any_ends) OVER before AS last_position,
            minIf((position, any_opens, any_ends), any_opens OR any_ends) OVER behind AS next_position,
            maxIf(position, begins) OVER before >= maxIf(position, opens) OVER before AS ran_last,
            countIf(begins) OVER before > countIf(is_end) OVER before AS more_starts,
            last_position.2 AND if(last_position.3, more_starts, ran_last OR (any_fails AND starts_again AND NOT is_loose) OR (next_position.3 AND NOT next_position.2)) AS open_before,
            -- What was open before has no start here: the first end is its. A start that no end follows may be one told twice.
            multiIf(NOT is_loose OR ends_here = 0, 1, is_end, turn, NOT begins, 1, open_before OR instant_spans OR next_position.3, turn, least(turn, ends_here)) AS slot,
            -- Where an attempt fails and another finishes, the one that finishes is the next.
            16 * (slot - 1) + multiIf(NOT open_before, natural_rank, finishes AND any_fails AND NOT is_loose, 10, transform(kind, ['failed', 'timed_out', 'completed', 'cancelled', 'skipped', 'retrying', 'scheduled', 'started', 'heartbeat', 'waiting'], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 9)) AS rank
        FROM counted
        WINDOW before AS (PARTITION BY step_key, lane ORDER BY position RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            behind AS (PARTITION BY step_key, lane ORDER BY position RANGE BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
    )
SELECT
    event_key, step_key, trust, kind, said_step_run_id, attempt, opens, is_end, may_be_next_call,
    row_number() OVER (PARTITION BY step_key ORDER BY position, rank, event_id) AS nth,
    bitOr(bitShiftLeft(toUInt64(position), 12), bitOr(bitShiftLeft(toUInt64(if(slot > 1, natural_rank + 8, rank)), 8), bitAnd(xxh3(event_id), 255))) AS place
FROM ranked
