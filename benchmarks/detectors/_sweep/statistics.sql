-- Rows of the histograms for all steps and the last {windows} windows.
INSERT INTO step_histogram
    (window_s, window_start, namespace, engine, workflow, workflow_version, step, completed, failed, retried, completed_bins, failed_bins, version)
SELECT
    {window_s:UInt32}, toStartOfInterval({now:DateTime64(6, 'UTC')}, toIntervalSecond({window_s:UInt32})) - toIntervalSecond(intDiv(number, 1000) * {window_s:UInt32}),
    'default', 'custom', concat('workflow-', toString(number % 100)), '1', concat('step-', toString(intDiv(number, 100) % 10)),
    {n:UInt64}, intDiv({n:UInt64}, 50), intDiv({n:UInt64}, 50),
    mapFromArrays(arrayMap(b -> toInt16(b), range(-20, 20)), arrayMap(b -> toUInt64(1 + intDiv({n:UInt64}, 40)), range(40))), map(toInt16(-55), toUInt64(1)), 1
FROM numbers({windows:UInt64} * 1000)
