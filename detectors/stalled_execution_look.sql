-- Whether anything stands still or fails at all: nearly always nothing does, and to know that is cheaper than to ask what.
SELECT 1
FROM
(
    SELECT 1
    FROM open_execution FINAL
    WHERE status = 'running' AND open_steps = 0 AND NOT historical AND last_progress_at < {until:DateTime64(6, 'UTC')} - toIntervalSecond({idle_s:UInt32})
    LIMIT 1
    UNION ALL
    SELECT 1
    FROM open_attempt FINAL
    WHERE engine = 'temporal' AND step = 'workflow task' AND NOT historical AND is_last_attempt AND (attempt > 1 OR status = 'backing_off')
    LIMIT 1
)
