"""Seeing what a model has learned: figures, galleries of what a search found, and one self-contained report."""

from sensorium.show.gallery import QueryResult as QueryResult
from sensorium.show.gallery import Shown as Shown
from sensorium.show.gallery import shown as shown
from sensorium.show.gallery import write_gallery as write_gallery
from sensorium.show.heat import panels as panels
from sensorium.show.heat import plot_attention as plot_attention
from sensorium.show.heat import plot_similarity as plot_similarity
from sensorium.show.plots import plot_curves as plot_curves
from sensorium.show.plots import plot_embedding as plot_embedding
from sensorium.show.report import Confusion as Confusion
from sensorium.show.report import Contrast as Contrast
from sensorium.show.report import DirectionRow as DirectionRow
from sensorium.show.report import Headline as Headline
from sensorium.show.report import Made as Made
from sensorium.show.report import Measure as Measure
from sensorium.show.report import Report as Report
from sensorium.show.report import Sheet as Sheet
from sensorium.show.report import SimilarityMap as SimilarityMap
from sensorium.show.report import SplitTable as SplitTable
from sensorium.show.report import write_report as write_report

similarity, attention = plot_similarity, plot_attention
