-- Whether an attribute of a span is a field of a step event, of those that are stored as they are told: names, ids and numbers,
-- by which what spans tell and what events tell find each other. Its value is not searched for secrets, as the field's is not. One
-- pattern, as a list of names takes longer to be read at every insert than to be searched.
CREATE OR REPLACE FUNCTION stallwatch_is_field AS (name) ->
    match(name, '^stallwatch\\.(event|time|workflow|execution_id|step|engine|namespace|run_id|workflow_version|parent_execution_id|step_run_id|attempt|branch|event_id|sequence|queue|worker|downstream|region|idempotency_key|timeout_s|heartbeat_timeout_s|schedule_to_start_timeout_s|schedule_to_close_timeout_s|max_attempts|backoff_s|backoff_rate|backoff_max_s|waiting_on|due|error_type|payload_bytes|compensates|is_replay|trace_id|span_id)$')
