-- What one workflow's steps took in [since, until): each step's latest `per_step_max` attempts that came to an end
-- which says something about its timeout. Left out: failures (how long a failure takes is no guide), attempts that
-- waited (for a timer, a signal, a person, a child: not the step's own pace), and those whose start is not known.
SELECT
    step,
    workflow_version,
    status,
    duration_s,
    timeout_s
FROM attempts
WHERE namespace = {namespace:String}
    AND engine = {engine:String}
    AND workflow = {workflow:String}
    AND ended_at >= {since:DateTime64(6, 'UTC')}
    AND ended_at < {until:DateTime64(6, 'UTC')}
    AND status IN ('completed', 'timed_out', 'cancelled')
    AND started_at IS NOT NULL
    AND waiting_on = ''
    AND waited_s = 0
ORDER BY step, ended_at DESC, execution_id, run_id, step_run_id, attempt
LIMIT {per_step_max:UInt32} BY step
