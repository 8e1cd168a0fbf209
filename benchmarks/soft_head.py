"""A linear head that learns shares of classes instead of labels: what a distilled network's last layer would be."""

import torch
from torch import Tensor
from torch.nn import functional as F


def fit_soft_head(features_NF: Tensor, shares_NC: Tensor, l2: float) -> tuple[Tensor, Tensor]:
    """Return weight (C, F) and bias (C), float64, at the optimum of cross-entropy with an L2 penalty.

    Features are divided by their common sd, as the probe's are; `l2 / 2 * ||weight||^2` is added to the mean loss.
    """
    features = features_NF.double()
    mean = features.mean(0)
    sd = (features - mean).square().mean().sqrt()
    scaled = (features - mean) / sd
    weight = torch.zeros(shares_NC.shape[1], features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(shares_NC.shape[1], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=300, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = F.cross_entropy(scaled @ weight.T + bias, shares_NC.double()) + l2 / 2 * weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    weight = weight.detach() / sd
    return weight, bias.detach() - weight @ mean
