-- As in error_burst, of attempts that were told to come later (error types that match `throttles`), by what they called; only the steps that were
-- told so, and each of them as soon as it was.
WITH suspects AS
(
    SELECT DISTINCT cityHash64(namespace, engine, workflow, step) AS place
    FROM recent_attempt
    WHERE folded >= {folded_from:UInt64} AND status IN ('failed', 'backing_off') AND match(toString(error_type), {throttles:String})
)
SELECT
    namespace, engine, downstream, workflow, step,
    groupArray(bin) AS bins,
    groupArray(ended) AS attempts,
    groupArray(refused) AS errors,
    groupArrayIf((bin, executions, shared), refused > 0) AS details
FROM
(
    SELECT
        namespace, engine, downstream, workflow, step,
        toUInt64(intDiv(toUnixTimestamp(assumeNotNull(ended_at)), {bin_s:UInt32})) AS bin,
        count() AS ended,
        countIf(is_refused) AS refused,
        groupUniqArrayIf({executions_max:UInt32})(execution_id, is_refused) AS executions,
        topKIf(1)((error_type, downstream, queue, worker, workflow_version), is_refused) AS shared
    FROM
    (
        SELECT
            namespace, engine, workflow, step, ended_at, execution_id, error_type, downstream, queue, worker, workflow_version,
            status IN ('failed', 'backing_off') AND match(toString(error_type), {throttles:String}) AS is_refused
        FROM attempts_since(folded_from = {folded_from:UInt64})
        WHERE status IN ('completed', 'failed', 'timed_out', 'backing_off')
            AND ended_at >= {from:DateTime64(6, 'UTC')}
            AND ended_at <= {until:DateTime64(6, 'UTC')}
            AND NOT historical
            AND workflow != ''
            AND cityHash64(namespace, engine, workflow, step) IN (SELECT place FROM suspects)
    )
    GROUP BY namespace, engine, downstream, workflow, step, bin
)
GROUP BY namespace, engine, downstream, workflow, step
HAVING sum(refused) > 0
ORDER BY namespace, engine, downstream, workflow, step
