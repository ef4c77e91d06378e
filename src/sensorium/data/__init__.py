"""Where batches come from: a user's folder or manifest, checked and split; the built-in world; and the pipeline."""

from sensorium.data.door import open as open
from sensorium.data.fields import fields_for as fields_for
from sensorium.data.folder import Folder as Folder
from sensorium.data.health import Health as Health
from sensorium.data.health import check as check
from sensorium.data.layout import scan as scan
from sensorium.data.listing import Listing as Listing
from sensorium.data.listing import Problem as Problem
from sensorium.data.mixture import Mixed as Mixed
from sensorium.data.mixture import Mixture as Mixture
from sensorium.data.pipeline import OtherData as OtherData
from sensorium.data.pipeline import Stream as Stream
from sensorium.data.pipeline import TooManyRejects as TooManyRejects
from sensorium.data.pipeline import WorkerLost as WorkerLost
from sensorium.data.pipeline import batches as batches
from sensorium.data.splits import split as split
