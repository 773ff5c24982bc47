-- Secrets inside text: credentials of HTTP authorization, AWS task tokens and access keys, Slack tokens, JSON web tokens.
CREATE OR REPLACE FUNCTION stallwatch_redact_text AS (text) ->
    replaceRegexpAll(
        replaceRegexpAll(
            text,
            '(?i)\\b(bearer|basic)\\s+[A-Za-z0-9._~+/=-]{8,}',
            '\\1 [redacted]'),
        '(\\bA(?:AAAKgAAAAI|QC)[A-Za-z0-9+/=]{40,}|\\bAKIA[0-9A-Z]{16}\\b|\\bxox[abeoprs]-[A-Za-z0-9-]{8,}|\\beyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]*)',
        '[redacted]')
