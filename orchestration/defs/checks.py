"""The gates: what a stage's report must hold before anything downstream may run."""

from orchestration.bridge.gates import gate, verdict

GATES = [
    gate("raw_images", "lost_share", "max", "Few enough photos of the source are lost"),
    gate("crops", "lost_share", "max", "Few enough crops are lost"),
    gate("crops", "products_in_two_splits", "max", "No product is both learnt from and tested on"),
    gate("knn_results", "self_hit_share", "min", "A catalog photo is its own nearest neighbour"),
    verdict("evaluation", "recall_at_1", "Recall is not below the champion's on the questions both have answered"),
]
