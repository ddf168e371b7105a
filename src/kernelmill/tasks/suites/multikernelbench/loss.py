"""Losses: a scalar from predictions and targets.

Means over millions of uniform values hardly depend on the values. The repaired inputs give every
call another scale or another agreement between prediction and target.
"""

import torch
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("loss")
PAPER = {"batch_size": 128, "dim": 4096}
SMALL = {"batch_size": 32, "dim": 500}


def pairs(batch_size, dim):
    return sizes(head={"batch_size": batch_size, "dim": dim}, paper=PAPER, small=SMALL)


ROWS = "torch.rand(batch_size, dim)"
# Today's form of the mean losses scales the predictions of a call by one number.
SHRUNK = "torch.rand(batch_size, dim) * torch.rand(())"
NORMAL = "torch.randn(batch_size, dim)"
# One factor for the whole call: the mean then moves from call to call.
SCALED = "torch.randn(batch_size, dim) * (0.5 + torch.rand(1))"


@tasks.add(
    pairs(128, 4096),
    predictions="torch.randn(batch_size, dim)",
    targets="torch.randn(batch_size, dim)",
    kernelbench="L1/97",
    weak="input-independent@1e-2",
    repair={
        "predictions": "torch.randn(batch_size, dim) + 3 * torch.rand(1)",
        "targets": "torch.randn(batch_size, dim) + 1",
    },
)
def cosine_similarity_loss(predictions, targets):
    """The mean of 1 - cos(prediction, target) over the rows."""
    return torch.mean(1 - F.cosine_similarity(predictions, targets, dim=1))


@tasks.add(
    sizes(
        head={"batch_size": 32768, "num_classes": 4096},
        paper={"batch_size": 4096, "num_classes": 10},
        small={"batch_size": 64, "num_classes": 50},
    ),
    predictions="torch.rand(batch_size, num_classes)",
    targets="torch.randint(0, num_classes, (batch_size,))",
    kernelbench="L1/95",
    weak="input-independent@1e-2",
    repair={"predictions": "torch.randn(batch_size, num_classes) * (1 + 3 * torch.rand(1))"},
)
def cross_entropy_loss(predictions, targets):
    """The mean cross entropy of softmax(prediction) against class numbers."""
    return F.cross_entropy(predictions, targets)


@tasks.add(
    sizes(
        head={"batch_size": 32768, "dim": 32768},
        paper={"batch_size": 128, "dim": 1},
        small={"batch_size": 500, "dim": 500},
    ),
    predictions=ROWS,
    targets="torch.randint(0, 2, (dim,)).float() * 2 - 1",
    kernelbench="L1/100",
    repair={"predictions": SCALED},
)
def hinge_loss(predictions, targets):
    """The mean of max(0, 1 - prediction target), targets -1 or 1 for the last dimension."""
    return torch.mean(torch.clamp(1 - predictions * targets, min=0))


@tasks.add(
    sizes(
        head={"batch_size": 32768, "dim": 32768},
        paper={"batch_size": 128, "dim": 1},
        small={"batch_size": 500, "dim": 500},
    ),
    name="hinge_loss",
    form="paper",
    predictions=ROWS,
    targets="torch.randint(0, 2, (batch_size, 1)).float() * 2 - 1",
)
def hinge_loss_of_pairs(predictions, targets):
    """The mean of max(0, 1 - prediction target), targets -1 or 1."""
    return torch.mean(torch.clamp(1 - predictions * targets, min=0))


@tasks.add(
    pairs(32768, 32768),
    predictions=SHRUNK,
    targets=ROWS,
    kernelbench="L1/96",
    paper={"predictions": ROWS},
    repair={"predictions": SCALED, "targets": NORMAL},
)
def huber_loss(predictions, targets):
    """The mean smooth L1 loss with beta 1."""
    return F.smooth_l1_loss(predictions, targets)


@tasks.add(
    pairs(16384, 16384),
    predictions="(torch.rand(batch_size, dim) * torch.rand(())).softmax(dim=-1)",
    targets="torch.rand(batch_size, dim).softmax(dim=-1)",
    kernelbench="L1/98",
    weak="input-independent@1e-2",
    paper={"predictions": "torch.rand(batch_size, dim).softmax(dim=-1)"},
    repair={
        "predictions": "(torch.randn(batch_size, dim) * (1 + torch.rand(1))).softmax(dim=-1)",
        "targets": "torch.randn(batch_size, dim).softmax(dim=-1)",
    },
)
def kl_div_loss(predictions, targets):
    """The Kullback-Leibler divergence of targets from predictions, summed and divided by the
    batch size."""
    return F.kl_div(torch.log(predictions), targets, reduction="batchmean")


@tasks.add(
    pairs(32768, 32768),
    predictions=SHRUNK,
    targets=ROWS,
    kernelbench="L1/94",
    paper={"predictions": ROWS},
    repair={"predictions": SCALED, "targets": NORMAL},
)
def mse_loss(predictions, targets):
    """The mean squared error."""
    return torch.mean((predictions - targets) ** 2)


@tasks.add(
    {size: {**constants, "margin": 1.0} for size, constants in pairs(32768, 8192).items()},
    anchor=SHRUNK,
    positive=ROWS,
    negative=ROWS,
    kernelbench="L1/99",
    layers={"loss": "nn.TripletMarginLoss(margin=margin)"},
    signature="margin",
    paper={"anchor": ROWS},
    repair={"anchor": NORMAL, "positive": SCALED, "negative": SCALED},
)
def triplet_margin_loss(self, anchor, positive, negative):
    """The mean of max(0, |anchor - positive| - |anchor - negative| + margin), Euclidean norm."""
    return self.loss(anchor, positive, negative)
