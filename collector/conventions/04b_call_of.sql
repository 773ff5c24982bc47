-- The step run of a span: a span that numbers its attempt is one of several of the same call; else each span is a call of its own.
CREATE OR REPLACE FUNCTION stallwatch_call_of AS (attributes, span_id) ->
    stallwatch_said(attributes, 'step_run_id', if(attributes['stallwatch.attempt'] = '', span_id, ''))
