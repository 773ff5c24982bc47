-- What a span says that it waits for, of what there is to wait for; else what a convention makes of it.
CREATE OR REPLACE FUNCTION stallwatch_waiting_on AS (attributes, otherwise) ->
    if(attributes['stallwatch.waiting_on'] IN ('timer', 'signal', 'callback', 'human', 'child'), attributes['stallwatch.waiting_on'], otherwise)
