import torch

from acnn_nnunet.refinement.structural_errors import draw_structural_errors, spoil
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

CLASSES = LabelSpace(3)


def blocks(size=(12, 16, 20)):
    labels = torch.zeros(size, dtype=torch.long)
    labels[3:9, 4:12, 4:10], labels[3:9, 4:12, 10:16] = 1, 2
    return torch.nn.functional.one_hot(labels, 3).permute(3, 0, 1, 2).float()


def test_an_empty_map_stays_empty():
    empty = torch.zeros(3, 4, 8, 8)
    empty[0] = 1

    assert torch.equal(spoil(empty, CLASSES), empty)


def test_every_voxel_has_one_class_and_samples_differ():
    torch.manual_seed(0)

    spoilt = draw_structural_errors(blocks().repeat(8, 1, 1, 1, 1), CLASSES)

    assert set(spoilt.unique().tolist()) == {0.0, 1.0}
    assert (spoilt.sum(1) == 1).all()
    wrong = (spoilt != blocks()).any(1).flatten(1).float().mean(1)
    assert len(set(wrong.tolist())) > 4
    assert 0.01 < wrong.mean() < 0.3


def test_soft_maps_stay_probabilities_and_parts_go_missing():
    soft = 0.9 * blocks() + 0.1 / 3
    torch.manual_seed(1)

    spoilt = [spoil(soft, CLASSES) for _ in range(20)]

    for each in spoilt:
        torch.testing.assert_close(each.sum(0), torch.ones(12, 16, 20))
    anatomy = blocks()[1:].sum()
    assert min((each.argmax(0) > 0).sum() for each in spoilt) < 0.8 * anatomy
    assert max((each.argmax(0) > 0).sum() for each in spoilt) >= anatomy


def test_regions():
    regions = LabelSpace(2, regions=True)
    maps = torch.stack([blocks()[1:].sum(0), blocks()[2]])
    torch.manual_seed(0)

    spoilt = draw_structural_errors(maps[None].repeat(4, 1, 1, 1, 1), regions)

    assert set(spoilt.unique().tolist()) == {0.0, 1.0}
