-- What the span says itself, as attribute `stallwatch.<name>`, comes before what a convention makes of it.
CREATE OR REPLACE FUNCTION stallwatch_said AS (attributes, name, otherwise) ->
    if(attributes[concat('stallwatch.', name)] != '', attributes[concat('stallwatch.', name)], otherwise)
