"""The Spark engine: the same job as the other engine's, scored by ``mapInArrow`` in the Python workers of a cluster.

:mod:`engine` does the job from the driver: :mod:`session` finds or starts Spark and sends its workers what they lack,
:mod:`tables` reads and writes, :mod:`condition` makes Spark's filter of ``--where``, :mod:`types` are what Spark calls
Arrow's types. :mod:`worker` is what runs in the workers.
"""

from model_envelope.scoring.spark.engine import score

__all__ = ["score"]
