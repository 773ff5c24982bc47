-- Logfire announces a span when it starts: a pending span without duration whose parent id is the id of the real one.
CREATE OR REPLACE FUNCTION stallwatch_is_pending AS (attributes) ->
    attributes['logfire.span_type'] = 'pending_span'
