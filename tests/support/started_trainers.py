"""Trainers for thick slices, ready for steps on batches."""

import torch


def start(trainer):
    """Make ready for steps on the host's own batches."""
    trainer.initialize()
    trainer._seed()
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    trainer.on_train_epoch_start()
    return trainer


def steps(trainer, count: int) -> list[float]:
    return [float(trainer.train_step(next(trainer.dataloader_train))["loss"]) for _ in range(count)]


def made_up_batch(trainer) -> dict:
    """Return a batch as the host's loader makes it, of random labels, the ignore label and regions included."""
    size, manager = trainer.configuration_manager.patch_size, trainer.label_manager
    values = torch.randint(len(manager.all_labels) + manager.has_ignore_label, (2, 1, *size))
    target = values.short()
    if manager.has_regions:
        target = torch.cat([torch.isin(values, torch.tensor(r)) for r in manager.foreground_regions], 1)
    _, cases = trainer.do_split()
    return {"data": torch.randn(2, 1, *size), "target": target, "keys": cases[:2]}
