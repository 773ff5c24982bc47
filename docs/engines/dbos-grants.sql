-- A role that may read what Stallwatch reads of DBOS's system database, and nothing else: no inputs, no results, no messages.
-- `output` of operation_outputs is there because a sleep keeps in it when it ends; without that column sleeps have no due time.
-- Run it as the owner of the tables, in the system database; then give the role a password (ALTER ROLE stallwatch PASSWORD …).
CREATE ROLE stallwatch LOGIN;
ALTER ROLE stallwatch SET default_transaction_read_only = on;
GRANT USAGE ON SCHEMA dbos TO stallwatch;
GRANT SELECT (
    workflow_uuid, status, name, created_at, updated_at, completed_at, started_at_epoch_ms, queue_name,
    recovery_attempts, workflow_timeout_ms, workflow_deadline_epoch_ms, executor_id, application_version,
    application_name, class_name, config_name, parent_workflow_id, schedule_name, forked_from, delay_until_epoch_ms,
    serialization, error
) ON dbos.workflow_status TO stallwatch;
GRANT SELECT (
    workflow_uuid, function_id, function_name, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms,
    serialization, error, output
) ON dbos.operation_outputs TO stallwatch;
GRANT SELECT (workflow_uuid, error) ON dbos.workflow_output TO stallwatch;
