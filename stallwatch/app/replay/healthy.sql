-- How long the completed attempts of some steps took, the replayed time included.
SELECT namespace, engine, workflow, step,
    groupArraySample(20000, 1)(greatest(0, dateDiff('microsecond', ifNull(started_at, scheduled_at), ended_at) / 1e6 - waited_s)) AS durations_s
FROM attempt_fold FINAL
WHERE status = 'completed' AND closed_by = 'event' AND step IN {steps:Array(String)} AND ifNull(started_at, scheduled_at) IS NOT NULL
    AND ended_at >= {past:DateTime64(6, 'UTC')} AND ended_at < {until:DateTime64(6, 'UTC')}
GROUP BY namespace, engine, workflow, step
