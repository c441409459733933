"""ShapeCompletionTrainer in the host's hands; tests/refinement/test_completion.py has its network."""

import torch

from acnn_nnunet.trainers import ShapeCompletionTrainer


def test_it_learns_to_mend_structured_defects_from_labels_alone(make_trainer):
    trainer = make_trainer(ShapeCompletionTrainer, block={"clean_share": 0.0, "prior_num_epochs": 7})
    trainer.on_train_start()
    batch = next(trainer.dataloader_train)
    seen = []
    trainer.network.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))

    result = trainer.train_step({**batch, "data": torch.full_like(batch["data"], torch.nan)})

    given, output = seen[0]
    assert given.shape == output.shape
    assert given.shape[1] == trainer.labels.num_channels  # label maps, no image
    assert torch.isfinite(torch.as_tensor(result["loss"]))
    assert trainer.num_epochs == 7
