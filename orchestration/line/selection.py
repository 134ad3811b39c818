"""Which stages a job is of, from dvc.yaml's edges and what few names tell them apart."""

from collections.abc import Mapping

from orchestration.bridge.project import Stage

# A person asks for a new model; the catalog's news does not.
LEARNING = ("triplets", "trained_model", "localizer", "taxonomy_model")
JUDGING = ("evaluation", "proposed_boxes")
SERVING = ("publish",)  # a new model is looked at before it is served: the next refresh does that


def refreshed(stages: Mapping[str, Stage]) -> list[str]:
    """Return the stages that bring what is served up to date with the catalog, with the model that is there."""
    return [name for name in stages if name not in (*LEARNING, *JUDGING)]


def retrained(stages: Mapping[str, Stage]) -> list[str]:
    """Return the stages that learn a model from the crops that are there, and all that it changes but serving."""
    found: list[str] = []
    for name, stage in stages.items():  # each stands after what it reads
        if name in LEARNING or any(read in found for read in stage.reads):
            found.append(name)
    return [name for name in found if name not in SERVING]
