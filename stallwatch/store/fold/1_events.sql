-- All events of the touched keys, each once, each with its run: an empty run id belongs to the run open at its time, else
-- to the latest. A start without a run id that precedes every run began the run that followed.
INSERT INTO fold_event
WITH
    event_rows AS
    (
        SELECT * FROM step_event_log FINAL
        WHERE execution_key IN (SELECT execution_key FROM fold_touched)
            AND NOT is_replay
    ),
    runs AS
    (
        SELECT execution_key, arrayReverseSort(r -> (r.2, r.1), groupArray((run_id, first_at, closed_at))) AS known
        FROM
        (
            SELECT
                execution_key, run_id, min(time) AS first_at,
                maxIf(time, event IN ('workflow.completed', 'workflow.failed', 'workflow.timed_out', 'workflow.cancelled', 'workflow.terminated', 'workflow.continued')) AS closed_at
            FROM event_rows
            WHERE run_id != ''
            GROUP BY execution_key, run_id
        )
        GROUP BY execution_key
    )
SELECT
    e.*,
    multiIf(
        e.run_id != '' OR empty(runs.known), e.run_id,
        arrayExists(r -> r.2 <= e.time AND (r.3 < r.2 OR r.3 >= e.time), runs.known),
            arrayFirst(r -> r.2 <= e.time AND (r.3 < r.2 OR r.3 >= e.time), runs.known).1,
        e.event = 'workflow.started' AND arrayExists(r -> r.2 > e.time, runs.known),
            arrayLast(r -> r.2 > e.time, runs.known).1,
        runs.known[1].1) AS run,
    splitByChar('.', toString(event))[2] AS kind
FROM event_rows AS e
LEFT JOIN runs ON e.execution_key = runs.execution_key
