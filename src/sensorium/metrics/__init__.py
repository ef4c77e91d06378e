"""What the numbers in a report mean: ranks, recall, precision, nDCG, accuracy on pairs and of answers, captions beside those of
people, generated things as a crowd; with their intervals and chance lines. NumPy only.
"""

from sensorium.metrics.answers import by_type as by_type
from sensorium.metrics.captions import bleu as bleu
from sensorium.metrics.captions import captioning as captioning
from sensorium.metrics.captions import cider as cider
from sensorium.metrics.captions import rouge_l as rouge_l
from sensorium.metrics.clipscore import clip_score as clip_score
from sensorium.metrics.clipscore import ref_clip_score as ref_clip_score
from sensorium.metrics.images import fid as fid
from sensorium.metrics.images import kid as kid
from sensorium.metrics.interval import bootstrap as bootstrap
from sensorium.metrics.interval import measured as measured
from sensorium.metrics.interval import wilson as wilson
from sensorium.metrics.pairs import pair_accuracy as pair_accuracy
from sensorium.metrics.pairs import pairs_right as pairs_right
from sensorium.metrics.ranking import average_precision as average_precision
from sensorium.metrics.ranking import average_precision_by_chance as average_precision_by_chance
from sensorium.metrics.ranking import ndcg as ndcg
from sensorium.metrics.ranking import ndcg_by_chance as ndcg_by_chance
from sensorium.metrics.ranking import reciprocal as reciprocal
from sensorium.metrics.retrieval import Unmeasurable as Unmeasurable
from sensorium.metrics.retrieval import chance as chance
from sensorium.metrics.retrieval import median_rank as median_rank
from sensorium.metrics.retrieval import ranks as ranks
from sensorium.metrics.retrieval import recall as recall
from sensorium.metrics.retrieval import recall_by_chance as recall_by_chance
from sensorium.metrics.retrieval import retrieval as retrieval
