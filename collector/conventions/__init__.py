"""The conventions: how the spans of each engine become step events. One `.sql` file a convention.

A file here whose name begins with a number is a function or a view. One that is named after an engine (as
`00_engine_of_span.sql` names it) makes step events of the spans which that engine's SDK wrote, a span at a time;
`stallwatch.sql` of those that say themselves which step they are. Those in `noting/` note which traces there are, those
in `traces/` look at whole traces, and those in `taken_back/` take back what these made of traces that turn out to be an
engine's. They run at each fold over what arrived since the last one, which is in `fold_span`. To add an engine's spans,
add a file, and name the engine in `00_engine_of_span.sql`.
"""

from importlib.resources import files

from stallwatch.store.definitions import Conventions, read_folder


def conventions() -> Conventions:
    """All of them, in the order in which they have to be made and run."""
    here = files(__name__)
    found = read_folder(here, "conventions", replaceable=True)
    named = {d.name.rpartition("/")[2].removesuffix(".sql"): d for d in found}
    noting = read_folder(here / "noting", "conventions/noting", replaceable=False)
    traces = read_folder(here / "traces", "conventions/traces", replaceable=False)
    taken_back = read_folder(here / "taken_back", "conventions/taken_back", replaceable=False)
    return Conventions(
        flows=tuple(d for name, d in named.items() if name[0].isdigit()),
        spans={name: d.sql for name, d in named.items() if not name[0].isdigit()},
        noting=tuple(d.sql for d in noting),
        traces=tuple(d.sql for d in traces),
        taken_back=tuple(d.sql for d in taken_back),
    )
