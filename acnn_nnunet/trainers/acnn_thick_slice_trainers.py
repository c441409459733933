"""Thick slices with a frozen shape prior in the loss: sub-pixel segmentation (Table I) and super-resolution (§II-D)."""

from acnn_nnunet.fold_prior.loading import prior_command
from acnn_nnunet.shape_prior.grids.views import PatchGrid
from acnn_nnunet.shape_prior.loss.distances import make_code_distance
from acnn_nnunet.shape_prior.prior_file import Prior
from acnn_nnunet.sr.training.image_loss import PredictorTerm
from acnn_nnunet.trainers.acnn_trainer import ACNNTrainer
from acnn_nnunet.trainers.sr_trainer import SRTrainer
from acnn_nnunet.trainers.thick_slice_trainer import SubPixelSegTrainer


class ACNNSubPixelSegTrainer(ACNNTrainer, SubPixelSegTrainer):
    """SubPixelSegTrainer with λ1·w(t)·d(f(HR prediction), f(HR target)) added to its loss, as ACNNTrainer adds it.

    The order of the bases matters: the prior goes around the loss of the segmentation.
    """


class ACNNSRTrainer(ACNNTrainer, SRTrainer):
    """SRTrainer with λ1·w(t)·d(p(output), p(HR image)) added to its loss: p is the prior's predictor.

    The order of the bases matters: the prior goes around the loss of the image.

    Raises:
        NotImplementedError: for grid=roi.
        ValueError: if the prior's predictor was not trained.
    """

    loss_name = "image_loss"

    def _load_prior(self) -> Prior:
        settings, where = self.settings, f"{self.configuration_name} of {self.plans_manager.dataset_name}"
        if settings.grid != PatchGrid.kind:
            raise NotImplementedError(
                f"ACNNSRTrainer compares codes of whole patches: {where} has grid={settings.grid}, configure "
                f"grid=patch."
            )
        prior = super()._load_prior()
        if not prior.spec.has_predictor:
            command = prior_command(self.plans_manager.plans, self.configuration_name, self.fold)
            raise ValueError(
                f"The shape prior {prior.path} has no trained predictor, since its training ended in the autoencoder's "
                f"stage: train it longer (prior_num_epochs) with {command}"
            )
        return prior

    def _prior_term(self, prior: Prior) -> PredictorTerm:
        network = prior.network
        distance = make_code_distance(self.settings.prior_distance, network)
        return PredictorTerm(network.predictor, distance=distance)
