-- The longest time that an attempt took which completed since the calibration, by step: a false alarm if it was called late.
SELECT
    namespace, engine, workflow, step,
    max(greatest(0, dateDiff('microsecond', ifNull(started_at, scheduled_at), ended_at) / 1e6 - waited_s)) AS longest_s
FROM attempt_fold FINAL
WHERE status = 'completed'
    AND closed_by = 'event'
    AND NOT historical
    AND ifNull(started_at, scheduled_at) IS NOT NULL
    AND ended_received_at > {from:DateTime64(6, 'UTC')}
    AND ended_received_at <= {until:DateTime64(6, 'UTC')}
    AND step IN {steps:Array(String)}
GROUP BY namespace, engine, workflow, step
