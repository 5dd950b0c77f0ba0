"""Many jobs at once."""

from hypothesis import strategies as st
from hypothesis.stateful import rule
from protojobs_service.application import Action, Bulk, BulkJobs, SystemClock, Wait
from protojobs_service.domain.filter_text import parse
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.port import ListQuery

from tests.contract.model import FINAL, WAITING
from tests.contract.walk.ground import KEYED, LIMITED, MANY
from tests.contract.walk.schedules import Schedules


class ManyAtOnce(Schedules):
    """The rules of bulk actions."""

    @rule(queue=st.sampled_from([0, LIMITED, KEYED]), action=st.sampled_from([Action.CANCEL, Action.CANCEL, Action.DELETE]))
    def act_on_a_whole_queue(self, queue: int, action: Action) -> None:
        self.follow_expiry()
        query = ListQuery(where=parse(f"queue = {self.queues[queue]}"), newest_first=False, limit=MANY)

        done = self.wait(BulkJobs(self.driver, Wait(self.driver, SystemClock())).step(Bulk(action=action, query=query)))

        touched = self._of(queue, *WAITING, *((State.RUNNING,) if action is Action.CANCEL else FINAL))
        assert (done.changed, done.skipped, done.follows) == (len(touched), 0, False)
        for job_id in touched:
            job = self.model.jobs[job_id]
            if action is Action.DELETE:
                job.delete()
            elif job.is_waiting:
                job.end_unleased(Code.CANCELLED, State.CANCELLED)
            else:
                job.cancel_asked = True
        self.touch(*touched)
