-- Attempts that ended and those of them that failed, per 10 s (`bins`, counted from 1970), of each step with enough failures of late.
-- A failed attempt whose next one is still to come is one of them; what a backing-off attempt was that says nothing, or speaks of a
-- timeout, shows when it is tried again. `details` of the bins with failures: (bin, executions, what most of them share: error type,
-- downstream, queue, worker, version).
WITH suspects AS
(
    -- Before rows are deduplicated, which only makes failures fewer.
    SELECT cityHash64(namespace, engine, workflow, step) AS place
    FROM recent_attempt
    WHERE folded >= {folded_from:UInt64} AND status IN ('failed', 'backing_off') AND ended_at >= {from:DateTime64(6, 'UTC')}
    GROUP BY place
    HAVING count() >= {errors_min:UInt8}
)
SELECT
    namespace, engine, workflow, step,
    groupArray(bin) AS bins,
    groupArray(ended) AS attempts,
    groupArray(failed) AS errors,
    groupArrayIf((bin, executions, shared), failed > 0) AS details
FROM
(
    SELECT
        namespace, engine, workflow, step,
        toUInt64(intDiv(toUnixTimestamp(assumeNotNull(ended_at)), {bin_s:UInt32})) AS bin,
        count() AS ended,
        countIf(status IN ('failed', 'backing_off')) AS failed,
        groupUniqArrayIf({executions_max:UInt32})(execution_id, status IN ('failed', 'backing_off')) AS executions,
        topKIf(1)((error_type, downstream, queue, worker, workflow_version), status IN ('failed', 'backing_off')) AS shared
    FROM attempts_since(folded_from = {folded_from:UInt64})
    WHERE (status IN ('completed', 'failed', 'timed_out') OR status = 'backing_off' AND error_type != '' AND NOT match(error_type, '(?i)time.?d?.?out'))
        AND ended_at >= {from:DateTime64(6, 'UTC')}
        AND ended_at <= {until:DateTime64(6, 'UTC')}
        AND NOT historical
        AND workflow != ''
        AND cityHash64(namespace, engine, workflow, step) IN (SELECT place FROM suspects)
        AND execution_key IN (SELECT execution_key FROM recent_attempt WHERE folded >= {folded_from:UInt64} AND cityHash64(namespace, engine, workflow, step) IN (SELECT place FROM suspects))
    GROUP BY namespace, engine, workflow, step, bin
)
GROUP BY namespace, engine, workflow, step
HAVING sum(failed) >= {errors_min:UInt8}
ORDER BY namespace, engine, workflow, step
