-- Which calls DBOS's spans are: its tables number a workflow's calls, its spans do not. One clock tells both, and a span begins while its
-- call is under way. Where there are as many spans of a step as calls and all fit, they are pairs in the order of their starts. Where
-- there are not (some are still to come, or were lost), the order counts on from each span that is the nearest to a call. Of a workflow
-- that is over the tables know all calls: a span that fits none is of a recovery, which finds what the call gave and does no work.
INSERT INTO fold_call
WITH
    calls AS
    (
        SELECT
            any(run_key) AS run_key, step_key, step_run_id, sipHash64(step_key, any(span_id)) AS span_key, max(trust) > 0 AS is_numbered,
            toUnixTimestamp64Micro(min(time)) AS at_us, toUnixTimestamp64Micro(max(time)) AS ended_us,
            toInt64(row_number() OVER (PARTITION BY step_key, is_numbered ORDER BY at_us, step_run_id)) AS place_of_call,
            count() OVER (PARTITION BY step_key, is_numbered) AS its_calls,
            count() OVER (PARTITION BY step_key) = 2 * its_calls AS are_as_many
        FROM fold_event
        WHERE engine = 'dbos' AND step_run_id != '' AND step_key IN (SELECT step_key FROM fold_complex WHERE is_mixed)
        GROUP BY step_key, step_run_id
    ),
    paired AS
    (
        SELECT s.step_key AS paired_step
        FROM calls AS n
        INNER JOIN calls AS s ON s.step_key = n.step_key AND s.place_of_call = n.place_of_call
        WHERE n.is_numbered AND NOT s.is_numbered AND n.are_as_many
        GROUP BY paired_step
        HAVING min(s.at_us BETWEEN n.at_us AND n.ended_us)
    ),
    nearest_to_call AS
    (
        SELECT argMin(s.span_key, (off_us, s.place_of_call)) AS nearest_key, any(n.place_of_call) AS its_place, min(abs(s.at_us - n.at_us) AS off_us) AS off_least_us
        FROM
        (
            -- Looked for in the half second of a span and in those beside it.
            SELECT step_key, step_run_id, place_of_call, at_us, arrayJoin([-1, 0, 1]) + intDiv(at_us, 500000) AS half_second
            FROM calls
            WHERE is_numbered AND step_key NOT IN (SELECT paired_step FROM paired)
        ) AS n
        INNER JOIN calls AS s ON s.step_key = n.step_key AND intDiv(s.at_us, 500000) = n.half_second
        WHERE NOT s.is_numbered
        GROUP BY n.step_key, n.step_run_id
    ),
    spans AS
    (
        SELECT
            run_key, step_key, span_key, at_us,
            place_of_call + anyLastIf(anchor - place_of_call, anchor > 0) OVER (PARTITION BY step_key ORDER BY place_of_call ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS place
        FROM calls
        LEFT ANY JOIN
        (
            SELECT nearest_key, argMin(its_place, (off_least_us, its_place)) AS anchor
            FROM nearest_to_call
            GROUP BY nearest_key
        ) AS nearest ON calls.span_key = nearest.nearest_key
        WHERE NOT is_numbered
    )
SELECT spans.span_key, if(fits, called.step_run_id, ''), NOT (called.step_run_id != '' AND spans.at_us BETWEEN called.at_us AND called.ended_us AS fits)
FROM spans
LEFT ANY JOIN (SELECT * FROM calls WHERE is_numbered) AS called ON spans.step_key = called.step_key AND spans.place = called.place_of_call
WHERE fits OR spans.run_key IN
(
    SELECT run_key
    FROM fold_event
    WHERE engine = 'dbos' AND road = 'history'
        AND event IN ('workflow.completed', 'workflow.failed', 'workflow.timed_out', 'workflow.cancelled', 'workflow.terminated')
)
