"""The stages in which a T-L network is trained (paper §II-D), their boundaries and their losses."""

import math
from dataclasses import asdict, dataclass

from acnn_nnunet.shape_prior.networks.tl_network import Stage, TLNetwork


@dataclass
class StageSchedule:
    """Moves from stage to stage within a fixed number of epochs.

    A stage ends when its validation loss has not improved by `tolerance` (relative) for `patience` epochs, at the
    latest after its share of the epochs; what an early end saves goes to the joint stage, which ends the training. A
    loss is NaN where no validation patch of the epoch held the whole anatomy: that is no gain, and no mark to reach.

    Attributes:
        num_epochs: of the whole training.
        with_predictor: false leaves all epochs to the autoencoder.
        stage: the current one.
        best: lowest validation loss of the stage, None before its first epoch.
        stale_epochs: epochs since it last improved.
        epochs_in_stage: epochs that the stage has had.
        code_loss_scale: brings the code loss to the range of the reconstruction loss in the joint stage.
        last_ratio: reconstruction loss over code loss, of the last epoch that knew both.
    """

    num_epochs: int
    with_predictor: bool = True
    stage: Stage = Stage.AUTOENCODER
    best: float | None = None
    stale_epochs: int = 0
    epochs_in_stage: int = 0
    code_loss_scale: float = 1.0
    last_ratio: float = 1.0

    SHARES = {Stage.AUTOENCODER: 0.7, Stage.PREDICTOR: 0.1}  # noqa: RUF012 (a constant, not a field)
    TOLERANCE = 0.005

    @property
    def patience(self) -> int:
        """Epochs without improvement after which a stage has converged: a fifth of the training, at least three."""
        return max(3, self.num_epochs // 5)

    def end_epoch(self, losses: "TLLosses") -> bool:
        """Take the epoch's validation losses into account; return whether the next epoch begins a new stage."""
        self.epochs_in_stage += 1
        if self.stage is Stage.JOINT or not self.with_predictor:
            return False
        loss = losses.reconstruction if self.stage is Stage.AUTOENCODER else losses.code
        if not math.isnan(losses.reconstruction + losses.code):
            self.last_ratio = losses.reconstruction / losses.code if losses.code > 0 else 1.0
        if not math.isnan(loss) and (self.best is None or loss < self.best * (1 - self.TOLERANCE)):
            self.best, self.stale_epochs = loss, 0
        else:
            self.stale_epochs += 1
        if self.epochs_in_stage < self._longest() and self.stale_epochs < self.patience:
            return False
        self._move_on()
        return True

    @property
    def trained_stage(self) -> Stage:
        """The stage of the last epoch that was trained."""
        if self.epochs_in_stage > 0 or self.stage is Stage.AUTOENCODER:
            return self.stage
        return Stage.AUTOENCODER if self.stage is Stage.PREDICTOR else Stage.PREDICTOR

    def state(self) -> dict:
        """Return plain values for a checkpoint."""
        return {**asdict(self), "stage": self.stage.value}

    def load_state(self, state: dict) -> None:
        """Go on where a checkpoint was written. How long, and with which stages, the settings of today say."""
        for name, value in state.items():
            if name not in ("num_epochs", "with_predictor"):
                setattr(self, name, Stage(value) if name == "stage" else value)
        if not self.with_predictor:
            self.stage = Stage.AUTOENCODER

    def _longest(self) -> int:
        """Return the epochs that the stage may have; every later stage keeps at least one."""
        predictor = max(1, round(self.SHARES[Stage.PREDICTOR] * self.num_epochs))
        if self.stage is Stage.PREDICTOR:
            return predictor
        return max(1, min(round(self.SHARES[Stage.AUTOENCODER] * self.num_epochs), self.num_epochs - predictor - 1))

    def _move_on(self) -> None:
        self.stage = Stage.PREDICTOR if self.stage is Stage.AUTOENCODER else Stage.JOINT
        self.best, self.stale_epochs, self.epochs_in_stage = None, 0, 0
        # "Scaled to match their range", once: rescaled ever again, shrinking codes would be rewarded without end.
        self.code_loss_scale = self.last_ratio


@dataclass(frozen=True)
class TLLosses:
    """Mean validation losses of an epoch: L_x, of the reconstruction, and L_h, squared code distance."""

    reconstruction: float
    code: float


def set_training_mode(network: TLNetwork, stage: Stage) -> None:
    """Put what the stage trains into train mode and freeze the rest, batch statistics included."""
    trains_autoencoder, trains_predictor = stage is not Stage.PREDICTOR, stage is not Stage.AUTOENCODER
    for module, trained in (
        (network.encoder, trains_autoencoder),
        (network.decoder, trains_autoencoder),
        (network.predictor, trains_predictor),
    ):
        module.train(trained).requires_grad_(trained)
