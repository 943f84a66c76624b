"""Keys, and the ids of jobs in them."""

from hypothesis import given
from hypothesis import strategies as st

from tailrace import InvalidJobId
from tailrace.protocol.keys import Keys, checked_job_id, new_job_id


def test_a_new_id_is_an_id_and_never_twice_the_same() -> None:
    ids = {new_job_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(checked_job_id(job_id) == job_id for job_id in ids)


@given(st.text())
def test_what_is_no_id_never_gets_into_a_key(text: str) -> None:
    try:
        assert Keys().events(checked_job_id(text)) == f"tailrace:{{{text}}}:events"
    except InvalidJobId as error:
        assert repr(text) in str(error)
    else:
        assert text.isascii()
        assert not set(text) & set("{}:*? \n")


def test_all_keys_of_a_job_share_one_hash_tag() -> None:
    keys, job_id = Keys("app"), new_job_id()
    names = [keys.events(job_id), keys.record(job_id), keys.cancel(job_id), keys.bell(job_id)]
    assert {name[name.index("{") : name.index("}") + 1] for name in names} == {f"{{{job_id}}}"}
    assert all(name.startswith("app:") for name in names)
