CREATE VIEW findings AS
SELECT
    detector, severity, status, namespace, engine, workflow, step, executions, count, first_seen, last_seen, fingerprint, title,
    explanation, evidence, next_steps, number
FROM
(
    SELECT * FROM finding_log FINAL
    ORDER BY fingerprint, number DESC
    LIMIT 1 BY fingerprint
)
