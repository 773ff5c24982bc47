CREATE VIEW recommendations AS
SELECT
    namespace, engine, workflow, step, n, censored, p50_s, p95_s, p99_s, p999_s, p99_low_s, p99_high_s, current_timeout_s,
    recommended_timeout_s, guidance_timeout_s, buffer, verdict, healthy_cut, stuck_s_saved, week,
    weekly_upper_s
FROM recommendation_log FINAL
