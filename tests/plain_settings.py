"""Settings that tests start from."""

from sparsify.bayes.priors import PriorSettings
from sparsify.training import TrainSettings

PRIOR = PriorSettings(kind="log_uniform", beta=1.0, kl_weight="units", initial_alpha=0.1, indicator="weight", variance_floor=1e-6)
TRAIN = TrainSettings(epochs=2, batch_size=8, optimizer="adamw", lr=1e-2, weight_decay=0.0, label_smoothing=0.0,
                      input_noise=0.0, input_dropout=0.0, shift=0, flip=False, precision="float32")
