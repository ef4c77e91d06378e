"""What is wrong with a person's data: every finding names its file, says why it matters, and what to do."""

from sensorium.doctor.examine import Report as Report
from sensorium.doctor.examine import examine as examine
from sensorium.doctor.finding import Finding as Finding
from sensorium.doctor.pairs import Audit as Audit
from sensorium.doctor.plan import apply as apply
from sensorium.doctor.plan import write_plan as write_plan
