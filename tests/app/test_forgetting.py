"""Whose name goes out of the brain's memory, and whose stays."""

from typing import cast

import pytest

from stallwatch.app.forgetting import FORGOTTEN, forget_everywhere
from stallwatch.store import Store
from stallwatch.store.state import State


class NoStore:
    """A store in which the execution had one event."""

    def forget(self, execution_id: str) -> int:
        return 1


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("o-1 failed", f"{FORGOTTEN} failed"),
        ("Look at the trace of o-1.", f"Look at the trace of {FORGOTTEN}."),
        ("It began in o-1... then", f"It began in {FORGOTTEN}... then"),
        ("o-1, o-1 and (o-1)", f"{FORGOTTEN}, {FORGOTTEN} and ({FORGOTTEN})"),
        ("o-10, o-1.2, o-1-b, x.o-1 and so-1", "o-10, o-1.2, o-1-b, x.o-1 and so-1"),
    ],
)
def test_a_name_goes_and_others_that_contain_it_stay(said: str, kept: str) -> None:
    state = State(None)
    with state.transaction() as db:
        db.execute(
            "INSERT INTO labels (fingerprint, first_seen, detector, namespace, engine, workflow, step,"
            " changed_at, note) VALUES ('', '', '', '', '', '', '', '', ?)",
            (said,),
        )
        assert forget_everywhere(cast(Store, NoStore()), state, "o-1") == 1
        assert db.execute("SELECT note FROM labels").fetchone()["note"] == kept
    state.close()
