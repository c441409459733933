"""The smooth ℓ1 loss, by hand, and the unit that it is taken in."""

import torch

from acnn_nnunet.sr.image_target import HuberLoss, ImageTarget


def target_of(values, scale=1.0, offset=0.0) -> ImageTarget:
    shape = (len(values), 1, 1, 1, 1)
    return ImageTarget(
        torch.tensor(values).view(shape), torch.full((len(values), 1, 1, 1, 1), scale), torch.full(shape, offset)
    )


def test_the_papers_smooth_l1():
    # Ψ(0) = 0, Ψ(0.5) = 0.125, Ψ(1) = 0.5, Ψ(−3) = 2.5.
    output = torch.tensor([1.0, 0.5, 3.0, -3.0]).view(4, 1, 1, 1, 1)
    loss = HuberLoss()(output, [target_of([1.0, 0.0, 2.0, 0.0])])
    torch.testing.assert_close(loss, torch.tensor((0 + 0.125 + 0.5 + 2.5) / 4))


def test_outputs_are_brought_to_the_images_unit():
    # 2·0.5 + 1 = 2: no error; in bfloat16, as under autocast, the loss is float32.
    output = torch.full((1, 1, 1, 1, 1), 0.5, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = HuberLoss()(output, [target_of([2.0], scale=2.0, offset=1.0)])
    assert loss.dtype == torch.float32
    assert loss == 0


def test_a_target_goes_to_a_device_as_a_tensor_does():
    moved = target_of([1.0]).to(torch.device("meta"), non_blocking=True)
    assert {each.device.type for each in (moved.image, moved.scale, moved.offset)} == {"meta"}
