"""The samplers there are, by the names that params.toml may say.

Every sampler module has
    class Params(Frozen), all with a default: its table `[triplets.NAME]`
    def draw(asked: Asked, params: Params) -> Sampled
"""

from types import ModuleType

from visnet.sampling import biss, importance, metadata, none, street2shop

SAMPLERS: dict[str, ModuleType] = {
    "street2shop": street2shop,
    "metadata": metadata,
    "biss": biss,
    "importance": importance,
    "none": none,
}
