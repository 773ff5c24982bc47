-- An attribute (`exception.type`, `exception.message`) of the span's last exception event; empty: there is none.
CREATE OR REPLACE FUNCTION stallwatch_exception AS (events, attribute) ->
    arrayLast(e -> e.name = 'exception', events).attributes[attribute]
