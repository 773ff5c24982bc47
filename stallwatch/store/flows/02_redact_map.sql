-- Attributes whose name says that the value is a secret lose it; all other values are searched for secrets.
-- Hardly any map holds a secret. One search over all names, and one over all values, tells which may; only these are taken
-- apart (an empty map in place of the others costs nothing).
CREATE OR REPLACE FUNCTION stallwatch_redact_map AS (attributes) ->
    if(
        stallwatch_may_hold_secrets(attributes),
        mapApply(
            (k, v) -> (
                k,
                if(
                    match(k, '(?i)(authorization|cookie|secret|passw(or)?d|api[._-]?key|credential|(access|auth|id|refresh|session|task|bearer)[._-]?token$|(^|[._-])token$)'),
                    '[redacted]',
                    stallwatch_redact_text(v))),
            if(stallwatch_may_hold_secrets(attributes), attributes, CAST(map(), 'Map(String, String)'))),
        attributes)
