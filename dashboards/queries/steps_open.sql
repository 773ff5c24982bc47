-- What is open has a status that says so: an attempt that is backing off has ended, its step has not.
SELECT
    a.namespace AS namespace, a.engine AS engine, a.workflow AS workflow, a.step AS step, count() AS open,
    min(coalesce(a.started_at, a.scheduled_at, a.waiting_at, a.ended_at)) AS oldest_open_at, groupUniqArray(a.status) AS statuses
FROM attempts AS a
WHERE a.status IN ('scheduled', 'running', 'waiting', 'backing_off') AND a.is_last_attempt
    AND ({namespace:String} = '' OR a.namespace = {namespace:String})
    AND ({engine:String} = '' OR a.engine = {engine:String})
    AND ({workflow:String} = '' OR a.workflow = {workflow:String})
    AND ({step:String} = '' OR a.step = {step:String})
GROUP BY namespace, engine, workflow, step
LIMIT 100000
