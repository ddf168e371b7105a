"""Vision transformers and attention over feature maps."""

import torch
import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")


class ViT(nn.Module):
    """Linear patch embedding, class token, learned positions, transformer layers, an MLP head
    (Dosovitskiy et al. 2021, arXiv 2010.11929)."""

    batch_first: bool

    def __init__(
        self,
        image_size,
        patch_size,
        num_classes,
        dim,
        depth,
        heads,
        mlp_dim,
        channels=3,
        dropout=0.0,
        emb_dropout=0.0,
    ):
        super().__init__()
        self.patch_size = patch_size
        patches = (image_size // patch_size) ** 2
        self.embedding = nn.Linear(channels * patch_size**2, dim)
        self.positions = nn.Parameter(torch.randn(1, patches + 1, dim))
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.dropout = nn.Dropout(emb_dropout)
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    dim, heads, mlp_dim, dropout, batch_first=self.batch_first
                )
                for _ in range(depth)
            )
        )
        self.head = nn.Sequential(
            nn.Linear(dim, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, num_classes)
        )

    def forward(self, img):
        size = self.patch_size
        # (batch, channels, rows, columns, size, size), then one row per patch
        patches = img.unfold(2, size, size).unfold(3, size, size)
        patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        x = self.embedding(patches)
        x = torch.cat((self.class_token.expand(x.size(0), -1, -1), x), dim=1)
        x = self.layers(self.dropout(x + self.positions))
        return self.head(x[:, 0])


VIT = sizes(
    head={
        "batch_size": 2,
        "image_size": 224,
        "patch_size": 16,
        "num_classes": 10,
        "dim": 512,
        "depth": 6,
        "heads": 8,
        "mlp_dim": 2048,
        "channels": 3,
        "dropout": 0.0,
        "emb_dropout": 0.0,
    },
    small={
        "batch_size": 4,
        "image_size": 32,
        "patch_size": 8,
        "dim": 32,
        "depth": 2,
        "heads": 4,
        "mlp_dim": 64,
    },
)
IMAGE = {"img": "torch.rand(batch_size, channels, image_size, image_size)"}


@tasks.add(
    VIT,
    name="vision_transformer",
    **IMAGE,
    kernelbench="L3/28",
    note="its layers take the batch axis for the sequence, so that the class token sees no patch "
    "and the output does not depend on the image",
)
class VisionTransformer(ViT):
    """Vision transformer: linear patch embedding, class token, learned positions, transformer
    encoder layers (over the batch axis: batch_first is not set), a two-layer GELU head."""

    batch_first = False


@tasks.add(VIT, name="vision_transformer", form="repaired", **IMAGE)
class TokenVisionTransformer(ViT):
    """The same with attention over the tokens of each image."""

    batch_first = True


@tasks.add(
    sizes(
        head={
            "batch_size": 2,
            "embed_dim": 128,
            "num_heads": 4,
            "height": 128,
            "width": 128,
        },
        small={"embed_dim": 32, "height": 12, "width": 12},
    ),
    name="vision_attention",
    x="torch.rand(batch_size, embed_dim, height, width)",
    kernelbench="L3/31",
)
class VisionAttention(nn.Module):
    """Multi-head self-attention over the pixels of a feature map, the input added, then layer
    norm over channels."""

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, x):
        pixels = x.flatten(2).transpose(1, 2)  # (batch, pixels, channels)
        attended, _ = self.attention(pixels, pixels, pixels, need_weights=False)
        return self.norm(pixels + attended).transpose(1, 2).reshape(x.shape)


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "num_classes": 1000,
            "embed_dim": 128,
            "num_heads": 4,
        },
        small={"batch_size": 4, "num_classes": 10, "embed_dim": 32, "num_layers": 2},
    ),
    name="convolutional_vision_transformer",
    x="torch.rand(batch_size, 3, 32, 32)",
    kernelbench="L3/32",
)
class ConvolutionalVisionTransformer(nn.Module):
    """Convolutional patch embedding, all patches of an image projected to one token, a class
    token, six transformer encoder layers, a linear classifier on the class token."""

    def __init__(
        self, num_classes, embed_dim=512, num_heads=8, num_layers=6, patch_size=4, image_size=32
    ):
        super().__init__()
        self.patches = nn.Conv2d(3, embed_dim, patch_size, stride=patch_size)
        self.projection = nn.Linear(embed_dim * (image_size // patch_size) ** 2, embed_dim)
        self.class_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    embed_dim,
                    num_heads,
                    4 * embed_dim,
                    dropout=0.0,
                    batch_first=True,
                )
                for _ in range(num_layers)
            )
        )
        self.classifier = nn.Linear(embed_dim, num_classes)

    def forward(self, x):
        token = self.projection(self.patches(x).flatten(1)).unsqueeze(1)
        x = torch.cat((self.class_token.expand(x.size(0), -1, -1), token), dim=1)
        return self.classifier(self.layers(x)[:, 0])
