-- Which convention makes step events of a span: that of the engine whose SDK wrote it, or that of spans which say themselves
-- which step they are; empty: none does on its own.
CREATE OR REPLACE FUNCTION stallwatch_claimed_by AS (scope, attributes) ->
    multiIf(
        stallwatch_engine_of_span(scope, attributes) != '', stallwatch_engine_of_span(scope, attributes),
        stallwatch_is_marked(attributes), 'stallwatch',
        '')
