-- What definitions declare of each step (empty step: of the workflow), a row for each source: configuration, asl, hostjson, server.
-- The view definitions adds what attempts and executions said themselves, for which it reads them all; this one costs nothing.
CREATE VIEW declarations AS
SELECT
    namespace, engine, workflow, workflow_version, step, kind, source, timeout_s, heartbeat_timeout_s,
    schedule_to_start_timeout_s, schedule_to_close_timeout_s, max_attempts, backoff_s, backoff_rate, backoff_max_s, jitter, retries, catches,
    caught_by, compensated_by, inside, waiting_on, downstream, region, next, attributes, declared_at
FROM definition_log FINAL
