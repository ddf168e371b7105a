"""Average and maximum pooling in one to three dimensions."""

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("pooling")
LINE = "torch.rand(batch_size, channels, length)"
IMAGE = "torch.rand(batch_size, channels, height, width)"
VOLUME = "torch.rand(batch_size, channels, depth, height, width)"
SMALL = {"batch_size": 2, "channels": 5}


@tasks.add(
    sizes(
        head={
            "batch_size": 64, "channels": 128, "length": 65536,
            "kernel_size": 8, "stride": 1, "padding": 4,
        },
        paper={
            "batch_size": 16, "channels": 32, "length": 128,
            "kernel_size": 4, "stride": 2, "padding": 1,
        },
        small={**SMALL, "length": 500},
    ),
    x=LINE,
    kernelbench="L1/44",
    layers={"pool": "nn.AvgPool1d(kernel_size, stride=stride, padding=padding)"},
    signature="kernel_size, stride, padding",
)  # fmt: skip
def average_pooling_1d(self, x):
    """Average pooling over one dimension; the padding counts."""
    return self.pool(x)


@tasks.add(
    sizes(
        head={"batch_size": 16, "channels": 64, "height": 512, "width": 512, "kernel_size": 11},
        paper={"height": 256, "width": 256, "kernel_size": 3},
        small={**SMALL, "height": 50, "width": 60},
    ),
    x=IMAGE,
    kernelbench="L1/45",
    layers={"pool": "nn.AvgPool2d(kernel_size)"},
    signature="kernel_size",
)
def average_pooling_2d(self, x):
    """Average pooling over squares that do not overlap."""
    return self.pool(x)


@tasks.add(
    sizes(
        head={
            "batch_size": 16, "channels": 32, "depth": 128, "height": 128, "width": 256,
            "kernel_size": 3, "stride": 2, "padding": 1,
        },
        paper={"depth": 64, "height": 64, "width": 64},
        small={**SMALL, "depth": 12, "height": 14, "width": 16},
    ),
    x=VOLUME,
    kernelbench="L1/46",
    layers={"pool": "nn.AvgPool3d(kernel_size, stride=stride, padding=padding)"},
    signature="kernel_size, stride, padding",
)  # fmt: skip
def average_pooling_3d(self, x):
    """Average pooling over cubes; the padding counts."""
    return self.pool(x)


@tasks.add(
    sizes(
        head={
            "batch_size": 64, "channels": 192, "length": 2048,
            "kernel_size": 8, "stride": 1, "padding": 4, "return_indices": False,
        },
        small={**SMALL, "length": 500},
    ),
    x=LINE,
    kernelbench="L1/41",
    layers={
        "pool": "nn.MaxPool1d(kernel_size, stride=stride, padding=padding, "
        "return_indices=return_indices)"
    },
    signature="kernel_size, stride, padding, return_indices",
)  # fmt: skip
def max_pooling_1d(self, x):
    """Maximum pooling over one dimension."""
    return self.pool(x)


@tasks.add(
    sizes(
        head={
            "batch_size": 16, "channels": 64, "length": 128, "kernel_size": 4, "stride": 2,
            "padding": 2, "dilation": 3, "return_indices": False,
        },
        small={},
    ),
    name="max_pooling_1d",
    form="paper",
    x=LINE,
    layers={
        "pool": "nn.MaxPool1d(kernel_size, stride=stride, padding=padding, dilation=dilation, "
        "return_indices=return_indices)"
    },
    signature="kernel_size, stride, padding, dilation, return_indices",
)  # fmt: skip
def max_pooling_1d_dilated(self, x):
    """Maximum pooling over one dimension, dilated."""
    return self.pool(x)


@tasks.add(
    sizes(
        head={
            "batch_size": 32, "channels": 64, "height": 512, "width": 512,
            "kernel_size": 4, "stride": 1, "padding": 1,
        },
        paper={
            "batch_size": 16, "channels": 32, "height": 128, "width": 128,
            "kernel_size": 2, "stride": 2, "padding": 1, "dilation": 3,
        },
        small={**SMALL, "height": 40, "width": 50},
    ),
    x=IMAGE,
    kernelbench="L1/42",
    layers={
        "pool": "nn.MaxPool2d(kernel_size, stride=stride, padding=padding, dilation=dilation)"
    },
    signature="kernel_size, stride, padding, dilation",
)  # fmt: skip
def max_pooling_2d(self, x, *, dilation=1):
    """Maximum pooling over squares."""
    return self.pool(x)


@tasks.add(
    sizes(
        head={
            "batch_size": 16, "channels": 32, "depth": 128, "height": 128, "width": 128,
            "kernel_size": 3, "stride": 2, "padding": 1,
        },
        paper={"depth": 64, "height": 64, "width": 64, "dilation": 3},
        small={**SMALL, "depth": 12, "height": 14, "width": 16},
    ),
    x=VOLUME,
    kernelbench="L1/43",
    layers={
        "pool": "nn.MaxPool3d(kernel_size, stride=stride, padding=padding, dilation=dilation)"
    },
    signature="kernel_size, stride, padding, dilation",
)  # fmt: skip
def max_pooling_3d(self, x, *, dilation=1):
    """Maximum pooling over cubes."""
    return self.pool(x)
