-- Whether some name or value of the map may have to be redacted: true more often than needed, never less often. One search over
-- all names, and one over all values, costs a fraction of one for each.
CREATE OR REPLACE FUNCTION stallwatch_may_hold_secrets AS (attributes) ->
    multiMatchAny(
        arrayStringConcat(mapKeys(attributes), '\n'),
        ['(?im)(authorization|cookie|secret|passw(or)?d|api[._-]?key|credential|(access|auth|id|refresh|session|task|bearer)[._-]?token$|(^|[._-])token$)'])
    OR multiMatchAny(
        arrayStringConcat(mapValues(attributes), '\n'),
        ['(?i)\\b(bearer|basic)\\s+[A-Za-z0-9._~+/=-]{8,}',
        '\\bA(?:AAAKgAAAAI|QC)[A-Za-z0-9+/=]{40,}|\\bAKIA[0-9A-Z]{16}\\b|\\bxox[abeoprs]-[A-Za-z0-9-]{8,}|\\beyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]*',
        '(?i)(authorization|cookie|secret|passw(or)?d|api[._-]?key|credential|token)[^"]*"\\s*:'])
