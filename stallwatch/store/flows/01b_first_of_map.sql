-- At most so many attributes: those that say which step of which execution a span is, wherever they stand, and the first of the
-- others.
CREATE OR REPLACE FUNCTION stallwatch_first_of_map AS (attributes) ->
    CAST(
        arraySlice(
            arrayConcat(
                arrayFilter(a -> startsWith(a.1, 'stallwatch.'), CAST(attributes, 'Array(Tuple(String, String))')),
                arrayFilter(a -> NOT startsWith(a.1, 'stallwatch.'), CAST(attributes, 'Array(Tuple(String, String))'))),
            1, {{max_attributes}}),
        'Map(String, String)')
