-- Rows of dirty windows that the computation above did not write again: nothing ended there after all.
INSERT INTO step_histogram (window_s, window_start, namespace, engine, workflow, workflow_version, step, queue, version, is_deleted)
SELECT window_s, window_start, namespace, engine, workflow, workflow_version, step, queue, {version:UInt64}, 1
FROM step_histogram FINAL
WHERE window_s = {window_s:UInt32} AND version < {version:UInt64}
    AND window_start IN
        (SELECT toStartOfInterval(minute, toIntervalSecond({window_s:UInt32})) FROM dirty_window WHERE if({is_shared:UInt8}, noted_us, batch) > {after:UInt64} AND if({is_shared:UInt8}, noted_us, batch) <= {upto:UInt64})
