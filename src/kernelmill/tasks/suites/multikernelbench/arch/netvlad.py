"""NetVLAD pooling (Arandjelovic et al. 2016), ghost clusters after Zhong et al. 2018."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")
RUNNING = "normalises by the batch's statistics and updates its running ones at every call"
X = "torch.rand(batch_size, num_features, feature_size)"


class NetVLAD(nn.Module):
    """Residuals of features to the clusters that they are softly assigned to, summed."""

    def __init__(self, cluster_size, feature_size, ghost_clusters):
        super().__init__()
        self.cluster_size = cluster_size
        scale = 1 / math.sqrt(feature_size)
        clusters = cluster_size + ghost_clusters
        self.clusters = nn.Parameter(scale * torch.randn(feature_size, clusters))
        self.batch_norm = nn.BatchNorm1d(clusters)
        self.centres = nn.Parameter(scale * torch.randn(1, feature_size, cluster_size))

    def forward(self, x):
        batch, features, size = x.shape
        scores = self.batch_norm(x.reshape(-1, size) @ self.clusters)
        weights = F.softmax(scores, dim=1)[:, : self.cluster_size]  # ghosts take, and vanish
        weights = weights.reshape(batch, features, self.cluster_size)
        sums = x.transpose(1, 2) @ weights  # (batch, feature_size, clusters)
        vlad = sums - weights.sum(dim=1, keepdim=True) * self.centres
        return F.normalize(F.normalize(vlad).flatten(1))


ARGUMENTS = "cluster_size, feature_size, ghost_clusters"
LAYERS = {"pool": f"NetVLAD({ARGUMENTS})"}


def clusters(ghost_clusters):
    return sizes(
        head={
            "batch_size": 2048,
            "num_features": 100,
            "feature_size": 512,
            "cluster_size": 32,
            "ghost_clusters": ghost_clusters,
        },
        paper={"batch_size": 32},
        small={
            "batch_size": 4,
            "num_features": 20,
            "feature_size": 48,
            "cluster_size": 8,
            "ghost_clusters": ghost_clusters // 4,
        },
    )


@tasks.add(clusters(0), signature=ARGUMENTS, layers=LAYERS, x=X, kernelbench="L3/47", note=RUNNING)
def net_vlad_no_ghost_clusters(self, x):
    """NetVLAD: features are softly assigned to clusters (softmax of batch norm of a product),
    their residuals to the centres are summed, normalised per cluster and as a whole."""
    return self.pool(x)


@tasks.add(clusters(16), signature=ARGUMENTS, layers=LAYERS, x=X, kernelbench="L3/46", note=RUNNING)
def net_vlad_with_ghost_clusters(self, x):
    """NetVLAD with ghost clusters, which take part in the soft assignment and are then left out
    of the sums of residuals."""
    return self.pool(x)
