SELECT
    namespace, engine, workflow, step, n, censored, p50_s, p95_s, p99_s, p999_s, p99_low_s, p99_high_s, current_timeout_s,
    recommended_timeout_s, guidance_timeout_s, buffer, verdict, healthy_cut, stuck_s_saved, week
FROM recommendations
WHERE ({namespace:String} = '' OR namespace = {namespace:String})
    AND ({engine:String} = '' OR engine = {engine:String})
    AND ({workflow:String} = '' OR workflow = {workflow:String})
    AND ({step:String} = '' OR step = {step:String})
ORDER BY namespace, engine, workflow, step, week DESC
LIMIT 1 BY namespace, engine, workflow, step
LIMIT {limit:UInt32}
