-- The spans of traces whose root says that they may be executions, as far as they came: read once, used twice. Of those that name
-- their step themselves, which have their own convention, only roots are looked at.
CREATE OR REPLACE TEMPORARY TABLE fold_node ENGINE = Memory AS
WITH
    touched AS
    (
        SELECT trace_id FROM touched_trace
        WHERE batch > {after:UInt64} AND batch <= {upto:UInt64}
    ),
    wanted AS
    (
        SELECT trace_id FROM trace_root
        WHERE trace_id IN (SELECT trace_id FROM touched)
            AND trace_id NOT IN (SELECT trace_id FROM engine_trace WHERE trace_id IN (SELECT trace_id FROM touched))
            AND (is_named OR arrayExists(
                glob -> service LIKE replaceAll(replaceAll(replaceRegexpAll(glob, '[\\\\%_]', '\\\\\\0'), '*', '%'), '?', '_'),
                {generic_services:Array(String)}))
    )
SELECT
    * EXCEPT (resource, resource_text),
    stallwatch_is_pending(attributes) AS is_pending,
    if(is_pending, parent_span_id, span_id) AS node_id,
    if(is_pending, toFixedString(unhex(leftPad(attributes['logfire.pending_parent_id'], 16, '0')), 8), parent_span_id) AS parent_id,
    replaceRegexpOne(toString(name), '^(.*) \\(pending\\)$', if(is_pending, '\\1', '\\0')) AS node_name,
    parent_id = toFixedString('', 8) AS is_root
FROM span_log FINAL
WHERE trace_id IN (SELECT trace_id FROM wanted)
    AND (is_root OR NOT stallwatch_is_marked(attributes))
