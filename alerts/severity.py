"""How bad an incident is: as bad as the worst of its findings, and worse where it is large.

It is critical when there are many executions in it and it is either beyond chance or goes on.

- many: at least MANY executions, or at least SOME that are a fifth of what has the same cause;
- beyond chance: its cause is a billion times likelier than none (`score` of the cause);
- goes on: for GOES_ON since the first of its findings.

What is only informative (or was made so by a policy) counts for nothing here. What is critical stays so until half of
the executions are left, so that it does not come and go.
"""

import math
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from stallwatch.model.causes import cause_of
from stallwatch.model.findings import Finding, Severity, Status, executions_of

RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
MANY: Final = 100
SOME: Final = 10
LARGE_SHARE: Final = 0.2
BEYOND_CHANCE: Final = math.log(1e9)
GOES_ON: Final = timedelta(minutes=15)


def severity_of(
    findings: Collection[Finding], now: datetime, before: Severity = Severity.INFO
) -> Severity:
    """The severity of an incident with these findings, not all of which are resolved.

    `before`: what it was until now.
    """
    lasting = [one for one in findings if one.status is not Status.RESOLVED]
    worst = max((one.severity for one in lasting), key=RANK.__getitem__)
    counted = [one for one in lasting if one.severity is not Severity.INFO]
    if not counted or worst is Severity.CRITICAL:
        return worst
    ease = 2 if before is Severity.CRITICAL else 1
    executions = executions_of(counted) * ease
    causes = [cause for one in counted if (cause := cause_of(one.evidence)) is not None]
    share = max((cause.inside for cause in causes), default=0.0) * ease
    many = executions >= MANY or (executions >= SOME and share >= LARGE_SHARE)
    unusual = any(cause.score * ease >= BEYOND_CHANCE for cause in causes)
    lasted = now - min(one.first_seen for one in counted)
    if many and (unusual or lasted * ease >= GOES_ON):
        return Severity.CRITICAL
    return worst
