-- Which attempt of which step run each event of the complex steps belongs to. Steps:
-- 1. carry the step run id forward (DBOS's spans take that of the call that they are); begin a new step run where an unnumbered start follows a completion;
-- 2. number the attempts: an unnumbered start after a failure, a timeout or a retry is the next attempt;
-- 3. see what a more trusted road tells as well.
INSERT INTO fold_number
WITH
    carried AS
    (
        SELECT
            *,
            if(said_step_run_id != '', said_step_run_id, ifNull(anyLast(nullIf(said_step_run_id, '')) OVER so_far, '')) AS call_id
        FROM fold_instant
        WINDOW so_far AS (PARTITION BY step_key ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    preceded AS
    (
        SELECT *, ifNull(anyLast(if(kind = 'heartbeat', NULL, kind)) OVER earlier, '') AS previous
        FROM carried
        WINDOW earlier AS (PARTITION BY step_key, call_id ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ),
    called AS
    (
        SELECT
            *,
            sum(opens AND attempt = 0 AND may_be_next_call AND previous IN ('completed', 'cancelled', 'skipped')) OVER so_far AS call_number,
            opens AND attempt = 0 AND previous IN ('failed', 'timed_out', 'retrying') AS advances
        FROM preceded
        WINDOW so_far AS (PARTITION BY step_key, call_id ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    advanced AS
    (
        SELECT *, sum(advances) OVER so_far AS advanced_by
        FROM called
        WINDOW so_far AS (PARTITION BY step_key, call_id, call_number ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    ),
    numbered AS
    (
        SELECT
            event_key, step_key, call_id, call_number, trust,
            -- A number that was said anchors the numbers that were not.
            if(attempt > 0, attempt, greatest(1, toInt64(advanced_by) + ifNull(anyLast(if(attempt > 0, attempt - toInt64(advanced_by), NULL)) OVER so_far, 1))) AS number,
            place,
            multiIf(kind IN ('scheduled', 'started'), kind, is_end, 'ended', '') AS tells
        FROM advanced
        WINDOW so_far AS (PARTITION BY step_key, call_id, call_number ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
SELECT
    event_key,
    bitOr(bitShiftLeft(toUInt64(trust), 62), bitShiftRight(place, 2)),
    bitOr(bitShiftLeft(toUInt64(trust = 0), 63), bitShiftRight(place, 1)),
    call_id, call_number, number,
    tells != '' AND trust < max(trust) OVER (PARTITION BY step_key, call_id, call_number, number, tells)
FROM numbered
