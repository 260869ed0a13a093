import pickle
from dataclasses import replace

from goodsam.stages.sam.factory import SamFactory
from goodsam.stages.sam.generate import GeneratorConfig


def test_a_factory_travels_to_workers_and_batch_size_is_no_identity():
    factory = SamFactory("street", None, GeneratorConfig(points_per_side=16))
    assert pickle.loads(pickle.dumps(factory)) == factory
    assert hash(factory) == hash(pickle.loads(pickle.dumps(factory)))
    assert factory.settings["points_per_side"] == 16
    smaller = replace(factory, generator=replace(factory.generator, points_per_batch=8))
    assert smaller.settings == factory.settings
    assert smaller.provenance["points_per_batch"] == 8
