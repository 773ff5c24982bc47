-- Whether there are too many attributes, or one is too long.
CREATE OR REPLACE FUNCTION stallwatch_is_beyond_limits AS (attributes) ->
    length(attributes) > {{max_attributes}} OR arrayExists(v -> length(v) > {{max_attribute_bytes}}, mapValues(attributes))
