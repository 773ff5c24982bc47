-- Whether a span says itself which step of which execution it is.
CREATE OR REPLACE FUNCTION stallwatch_is_marked AS (attributes) ->
    attributes['stallwatch.step'] != '' AND attributes['stallwatch.execution_id'] != '' AND attributes['stallwatch.workflow'] != ''
