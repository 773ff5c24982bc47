-- As in error_burst, of attempts that timed out.
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
    FROM recent_attempt FINAL
    WHERE folded >= {folded_from:UInt64}
        AND status IN ('completed', 'failed', 'timed_out')
        AND ended_at >= {from:DateTime64(6, 'UTC')}
        AND ended_at <= {until:DateTime64(6, 'UTC')}
        AND NOT historical
        AND workflow != ''
    GROUP BY namespace, engine, workflow, step, bin
)
GROUP BY namespace, engine, workflow, step
HAVING sum(timed_out) >= {errors_min:UInt8}
ORDER BY namespace, engine, workflow, step
