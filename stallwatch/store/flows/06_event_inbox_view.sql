-- Events that senders wrote: redacted, then cut, and historical when they are told a day late or more.
CREATE MATERIALIZED VIEW event_inbox_view TO step_event_log AS
SELECT
    * REPLACE (
        (historical OR received_at > time + INTERVAL 1 DAY) AS historical,
        arrayMap(t -> stallwatch_cut_text(t), [stallwatch_redact_text(error_message)])[1] AS error_message,
        stallwatch_cut_map(stallwatch_redact_map(attributes)) AS attributes),
    sipHash64(namespace, engine, execution_id) AS execution_key
FROM event_inbox
