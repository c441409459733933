"""Label maps as the prior sees them: one channel a class or region, each voxel a probability."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class LabelSpace:
    """What the channels of a segmentation head mean, in nnU-Net's conventions.

    Attributes:
        num_channels: C, classes with background, or regions without.
        regions: True where channels are overlapping regions (sigmoid), False for exclusive classes (softmax).
        ignore_label: value of unannotated voxels in class targets; with regions any value that is not None says
            that the target's last channel marks them.
    """

    num_channels: int
    regions: bool = False
    ignore_label: int | None = None

    def target_maps(self, target: Tensor) -> Tensor:
        """Return float maps (B, C, …) in 0…1 of a target (B, 1, …) of classes or (B, R[+1], …) of regions.

        Unannotated and negative (padded) voxels become background.
        """
        if self.regions:
            return target[:, : self.num_channels].float() * ~self.ignored(target)
        return one_hot(target.masked_fill(self.ignored(target), 0).clamp(min=0), self.num_channels)

    def prediction_maps(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return float32 probabilities (B, C, …) of logits, with the target's constant where it is unannotated."""
        probabilities = self.probabilities(logits)
        if self.ignore_label is None:
            return probabilities
        return torch.where(self.ignored(target), self.target_maps(target), probabilities)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return probabilities (B, C, …) of logits, in float32 at least."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return torch.sigmoid(logits) if self.regions else torch.softmax(logits, dim=1)

    def ignored(self, target: Tensor) -> Tensor:
        """Return the mask (B, 1, …) of unannotated voxels."""
        if self.ignore_label is None:
            return torch.zeros_like(target[:, :1], dtype=torch.bool)
        return target[:, -1:].bool() if self.regions else target == self.ignore_label

    def known(self, target: Tensor) -> Tensor:
        """Return the float mask (B, 1, …) of annotated voxels."""
        return (~self.ignored(target)).float()

    @property
    def background(self) -> tuple[float, ...]:
        """The channels of a voxel without anatomy, such as one beyond the patch."""
        return (0.0,) * self.num_channels if self.regions else (1.0, *(0.0,) * (self.num_channels - 1))

    def foreground(self, maps: Tensor) -> Tensor:
        """Return the mask (B, 1, …) of voxels that are more likely anatomy than background."""
        return self.foreground_probability(maps) > 0.5

    def foreground_probability(self, maps: Tensor) -> Tensor:
        """Return the probability (B, 1, …) of anatomy: of any class but background, or of the likeliest region."""
        return maps.amax(1, keepdim=True) if self.regions else 1 - maps[:, :1]

    def cross_entropy(self, logits: Tensor, maps: Tensor, known: Tensor) -> Tensor:
        """Return the mean cross-entropy of label maps (B, C, …) in 0…1 under logits (B, C, …).

        Args:
            logits: (B, C, …).
            maps: (B, C, …), which may be soft.
            known: (B, 1, …), the weight of each voxel.
        """
        loss = self.voxelwise_cross_entropy(logits, maps)
        return (loss * known).sum() / (known.sum() * loss.shape[1]).clamp(min=1)

    def cross_entropy_per_class(self, logits: Tensor, maps: Tensor, known: Tensor) -> Tensor:
        """Return the sum over the classes of each class's mean cross-entropy (paper §II-A, L_x = Σ_c L_(x,c)).

        A class without a voxel in the batch adds nothing. Arguments as in `cross_entropy`.
        """
        return self.class_means(logits, maps, known)[0].sum()

    def class_means(self, logits: Tensor, maps: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return each class's mean of -log p_c over its own voxels, 0 where it has none, and its number of voxels.

        Both are (C,); of regions (2R,), foregrounds before backgrounds, since each region has these two classes. They
        are of the batch of all processes, so that DDP's average gradient is that of the whole batch.
        """
        log_probabilities, maps = self._log_probabilities(logits), self._exclusive(maps) * known
        axes = (0, *range(2, maps.ndim))
        sums, sizes = -(maps * log_probabilities).sum(axes), maps.sum(axes)
        world_size = sum_over_processes(sizes)
        return sums * world_size / torch.where(sizes > 0, sizes, 1), sizes

    def voxelwise_cross_entropy(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Return the cross-entropy (B, 1, …) of classes, or (B, C, …) of regions, of label maps under logits."""
        if self.regions:
            return F.binary_cross_entropy_with_logits(logits, maps, reduction="none")
        return F.cross_entropy(logits, maps, reduction="none").unsqueeze(1)

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        """Return log p (B, C, …) of classes; of regions (B, 2R, …), foregrounds before backgrounds."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.regions:
            return F.logsigmoid(torch.cat([logits, -logits], dim=1))
        return F.log_softmax(logits, dim=1)

    def _exclusive(self, maps: Tensor) -> Tensor:
        """Return maps as `_log_probabilities` orders its channels."""
        return torch.cat([maps, 1 - maps], dim=1) if self.regions else maps

    def soft_dice_loss(self, logits: Tensor, maps: Tensor, known: Tensor) -> Tensor:
        """Return 1 - soft Dice of label maps, averaged over samples and foreground channels; arguments as above."""
        probabilities = self.probabilities(logits)
        first = 0 if self.regions else 1
        maps, probabilities = (maps * known)[:, first:].flatten(2), (probabilities * known)[:, first:].flatten(2)
        overlap = (maps * probabilities).sum(2)
        # One voxel of smoothing: a label that is neither there nor predicted costs nothing.
        return 1 - ((2 * overlap + 1) / (maps.sum(2) + probabilities.sum(2) + 1)).mean()

    def decisions(self, logits: Tensor) -> Tensor:
        """Return hard maps (B, C, …) of logits: the most likely class, or every region above 0.5."""
        if self.regions:
            return (logits > 0).float()
        # On CPUs, argmax along a strided axis takes ten times as long as max.
        return one_hot(logits.max(1, keepdim=True).indices, self.num_channels)

    def hardened(self, maps: Tensor) -> Tensor:
        """Return hard maps (B, C, …) of soft ones: the most likely class, or every region above 0.5."""
        return self.decisions(maps - 0.5)

    def margins(self, maps: Tensor) -> Tensor:
        """Return by how much (B, C, …) each channel of soft maps leads, above 0 where `hardened` chooses it."""
        if self.regions:
            return maps - 0.5
        first, second = maps.topk(2, dim=1).values.split(1, dim=1)
        return maps - torch.where(maps == first, second, first)


def sum_over_processes(values: Tensor) -> int:
    """Replace values by their sums over the processes of a distributed training; return the number of processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return 1
    dist.all_reduce(values)
    return dist.get_world_size()


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Return the float one-hot map (B, C, …) of integer labels (B, 1, …) in 0…C-1."""
    shape = (labels.shape[0], num_classes, *labels.shape[2:])
    return torch.zeros(shape, device=labels.device).scatter_(1, labels.long(), 1)
