-- The spans that a convention has something to say about.
CREATE MATERIALIZED VIEW claimed_span_view TO claimed_span_flow AS
SELECT * EXCEPT (reason), stallwatch_engine_of_span(scope, attributes) AS claimed_by
FROM span_flow
WHERE reason = '' AND (claimed_by != '' OR stallwatch_is_marked(attributes))
