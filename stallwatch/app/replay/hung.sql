-- Attempts of the replayed time that never ended by themselves, the oldest first.
SELECT namespace, engine, workflow, step, workflow_version, execution_id,
    dateDiff('microsecond', assumeNotNull(started_at), least(ifNull(ended_at, {until:DateTime64(6, 'UTC')}), {until:DateTime64(6, 'UTC')})) / 1e6 - waited_s AS age_s
FROM attempt_fold FINAL
WHERE status IN ('running', 'timed_out', 'cancelled') AND NOT historical AND workflow != '' AND waiting_on = ''
    AND started_at < {until:DateTime64(6, 'UTC')}
    AND (ended_at IS NULL OR ended_at > {since:DateTime64(6, 'UTC')})
ORDER BY age_s DESC
LIMIT {limit:UInt32}
