from hypothesis import given
from hypothesis import strategies as st

from byheart.sweep.engines import Job, Outcome
from byheart.sweep.worker import job_line, outcome_line, read_job, read_outcome


@given(st.text(), st.text())
def test_a_job_crosses_as_one_line(prompt, answer):
    job = Job("ab12", {"seed": 1}, [{"id": "x", "messages": [{"role": "user", "content": prompt}, answer]}])
    line = job_line(job)
    assert line.count("\n") == 1
    assert read_job(line) == job


@given(st.binary(), st.none() | st.text())
def test_an_outcome_crosses_as_one_line(tokens, error):
    outcome = Outcome("ab12", numbers={"nll_after_nats": 0.1}, tokens=tokens, error=error, traceback="a\nb")
    line = outcome_line(outcome)
    assert line.count("\n") == 1
    assert read_outcome(line) == outcome
