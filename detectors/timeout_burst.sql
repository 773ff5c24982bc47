-- As in error_burst, of attempts that timed out.
WITH suspects AS
(
    -- Before rows are deduplicated, which only makes failures fewer.
    SELECT cityHash64(namespace, engine, workflow, step) AS place
    FROM recent_attempt
    WHERE folded >= {folded_from:UInt64} AND status = 'timed_out' AND ended_at >= {from:DateTime64(6, 'UTC')}
    GROUP BY place
    HAVING count() >= {errors_min:UInt8}
)
SELECT
    namespace, engine, workflow, step,
    groupArray(bin) AS bins,
    groupArray(ended) AS attempts,
    groupArray(timed_out) AS errors,
    groupArrayIf((bin, executions, shared), timed_out > 0) AS details
FROM
(
    SELECT
        namespace, engine, workflow, step,
        toUInt64(intDiv(toUnixTimestamp(assumeNotNull(ended_at)), {bin_s:UInt32})) AS bin,
        count() AS ended,
        countIf(status = 'timed_out') AS timed_out,
        groupUniqArrayIf({executions_max:UInt32})(execution_id, status = 'timed_out') AS executions,
        topKIf(1)((error_type, downstream, queue, worker, workflow_version), status = 'timed_out') AS shared
    FROM attempts_since(folded_from = {folded_from:UInt64})
    WHERE status IN ('completed', 'failed', 'timed_out')
        AND ended_at >= {from:DateTime64(6, 'UTC')}
        AND ended_at <= {until:DateTime64(6, 'UTC')}
        AND NOT historical
        AND workflow != ''
        AND cityHash64(namespace, engine, workflow, step) IN (SELECT place FROM suspects)
        AND execution_key IN (SELECT execution_key FROM recent_attempt WHERE folded >= {folded_from:UInt64} AND cityHash64(namespace, engine, workflow, step) IN (SELECT place FROM suspects))
    GROUP BY namespace, engine, workflow, step, bin
)
GROUP BY namespace, engine, workflow, step
HAVING sum(timed_out) >= {errors_min:UInt8}
ORDER BY namespace, engine, workflow, step
