-- Every good span, with the convention that claims it.
CREATE MATERIALIZED VIEW classified_span_view TO claimed_span_flow AS
SELECT * EXCEPT (reason), stallwatch_claimed_by(scope, attributes) AS claimed_by
FROM span_flow
WHERE reason = ''
