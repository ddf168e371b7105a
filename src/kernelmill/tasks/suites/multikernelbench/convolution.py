"""Convolutions, standard, transposed, depthwise and pointwise, in one to three dimensions.

A table: each row has the constructor's arguments and, per size, the shape of the input with the
values of those arguments. None has a bias unless it says so.
"""

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.shapes import argument_names, constants, uniform

tasks = Category("convolution")
BASIC = "in_channels, out_channels, kernel_size"
STRIDED = BASIC + ", stride, padding, dilation"
# What the layers take beyond the basic arguments, by keyword.
OPTIONS = ("stride", "padding", "output_padding", "dilation", "groups")


def layer(kind, signature, changed):
    """The layer's expression: constructor arguments by their names."""
    names = argument_names(signature)
    arguments = {name: name for name in names if name in OPTIONS} | changed
    kernel = arguments.pop("kernel_size", "kernel_size")
    out = arguments.pop("out_channels", "out_channels")
    given = "".join(f", {key}={value}" for key, value in arguments.items() if value)
    return f"nn.{kind}(in_channels, {out}, {kernel}{given}, bias=False)"


def row(name, kernelbench, kind, signature, head, small, paper=None, *, note="", **changed):
    """Declares a convolution; ``changed`` replaces arguments of the layer by expressions (an
    empty one leaves the argument out)."""
    table = sizes(
        head=constants(signature, head),
        paper=constants(signature, paper) if paper else None,
        small=constants(signature, small),
    )
    return lambda doc: tasks.add(
        table,
        name=name,
        kernelbench=kernelbench,
        note=note,
        signature=signature,
        description=doc,
        layers={"conv": layer(kind, signature, changed)},
        x=uniform(signature, len(head[0]) - 2),
    )(convolution)


def convolution(self, x):
    return self.conv(x)


row(
    "conv_depthwise_2d_asymmetric_input_asymmetric_kernel", "L1/85", "Conv2d",
    "in_channels, out_channels, kernel_size_h, kernel_size_w, stride_h, stride_w, padding_h, "
    "padding_w, dilation_h, dilation_w, groups",
    ((32, 128, 128, 256), (128, 128, 3, 7, 1, 1, 0, 0, 1, 1, 128)),
    ((2, 8, 24, 40), (8, 8, 3, 7, 1, 1, 0, 0, 1, 1, 8)),
    ((16, 3, 128, 256), (3, 3, 3, 5, 1, 1, 0, 0, 1, 1, 3)),
    kernel_size="(kernel_size_h, kernel_size_w)", stride="(stride_h, stride_w)",
    padding="(padding_h, padding_w)", dilation="(dilation_h, dilation_w)",
)("A depthwise 2-d convolution with a kernel and an input that are not square.")  # fmt: skip
row(
    "conv_depthwise_2d_asymmetric_input_square_kernel", "L1/84", "Conv2d",
    BASIC + ", stride, padding",
    ((64, 128, 256, 512), (128, 128, 3, 1, 0)),
    ((2, 8, 24, 40), (8, 8, 3, 1, 0)),
    ((16, 3, 128, 256), (3, 3, 3, 1, 0)),
    groups="in_channels",
)("A depthwise 2-d convolution on an input that is not square.")  # fmt: skip
row(
    "conv_depthwise_2d_square_input_asymmetric_kernel", "L1/83", "Conv2d",
    "in_channels, kernel_size, stride, padding, dilation",
    ((64, 8, 512, 512), (8, 3, 1, 0, 1)),
    ((2, 8, 32, 32), (8, 3, 1, 0, 1)),
    ((16, 3, 256, 256), (3, 3, 1, 0, 1)),
    out_channels="in_channels", kernel_size="(kernel_size, 1)", groups="in_channels",
)("A depthwise 2-d convolution with a kernel of a single column.")  # fmt: skip
row(
    "conv_depthwise_2d_square_input_square_kernel", "L1/82", "Conv2d",
    "in_channels, kernel_size, stride, padding",
    ((16, 64, 512, 512), (64, 3, 1, 0)),
    ((2, 8, 32, 32), (8, 3, 1, 0)),
    ((16, 3, 256, 256), (3, 3, 1, 0)),
    out_channels="in_channels", groups="in_channels",
)("A depthwise 2-d convolution.")  # fmt: skip
SEPARABLE = "in_channels, out_channels, kernel_size, stride, padding, dilation"


@tasks.add(
    sizes(
        head=constants(SEPARABLE, ((16, 64, 512, 512), (64, 128, 3, 1, 1, 1))),
        paper=constants(SEPARABLE, ((16, 3, 256, 256), (3, 64, 3, 1, 0, 1))),
        small=constants(SEPARABLE, ((2, 8, 24, 24), (8, 12, 3, 1, 1, 1))),
    ),
    kernelbench="L1/86",
    signature=SEPARABLE,
    layers={
        "depthwise": "nn.Conv2d(in_channels, in_channels, kernel_size, stride=stride, "
        "padding=padding, dilation=dilation, groups=in_channels, bias=False)",
        "pointwise": "nn.Conv2d(in_channels, out_channels, 1, bias=False)",
    },
    x="torch.rand(batch_size, in_channels, height, width)",
)
def conv_depthwise_separable_2d(self, x):
    """A depthwise 2-d convolution, then a pointwise one."""
    return self.pointwise(self.depthwise(x))


row(
    "conv_pointwise_2d", "L1/87", "Conv2d", "in_channels, out_channels",
    ((16, 64, 1024, 1024), (64, 128)),
    ((2, 8, 24, 24), (8, 12)),
    ((16, 3, 256, 256), (3, 64)),
    kernel_size="1",
)("A 1 x 1 convolution: the channels of every pixel are mixed.")  # fmt: skip
row(
    "conv_standard_1d", "L1/67", "Conv1d", BASIC,
    ((32, 64, 131072), (64, 128, 3)),
    ((2, 8, 200), (8, 12, 3)),
    ((16, 3, 512), (3, 64, 3)),
)("A 1-d convolution.")  # fmt: skip
row(
    "conv_standard_1d_dilated_strided", "L1/76", "Conv1d", BASIC + ", stride, dilation",
    ((64, 64, 524280), (64, 128, 3, 3, 4)),
    ((2, 8, 200), (8, 12, 3, 3, 4)),
    ((16, 3, 256), (3, 64, 3, 3, 4)),
)("A 1-d convolution with stride and dilation.")  # fmt: skip
row(
    "conv_standard_2d_asymmetric_input_asymmetric_kernel", "L1/56", "Conv2d", BASIC,
    ((8, 64, 512, 256), (64, 128, (5, 7))),
    ((2, 8, 24, 20), (8, 12, (5, 7))),
    ((16, 3, 256, 128), (3, 64, (3, 5))),
)("A 2-d convolution with a kernel and an input that are not square.")  # fmt: skip
row(
    "conv_standard_2d_asymmetric_input_square_kernel", "L1/55", "Conv2d", BASIC,
    ((8, 64, 512, 1024), (64, 128, 3)),
    ((2, 8, 20, 28), (8, 12, 3)),
    ((16, 3, 128, 256), (3, 64, 3)),
)("A 2-d convolution on an input that is not square.")  # fmt: skip
row(
    "conv_standard_2d_square_input_asymmetric_kernel", "L1/62", "Conv2d", BASIC,
    ((8, 32, 512, 512), (32, 64, (5, 9))),
    ((2, 8, 24, 24), (8, 12, (5, 9))),
    ((16, 3, 256, 256), (3, 64, (3, 5))),
)("A 2-d convolution with a kernel that is not square.")  # fmt: skip
row(
    "conv_standard_2d_square_input_asymmetric_kernel_dilated_padded", "L1/80", "Conv2d", STRIDED,
    ((8, 32, 512, 512), (32, 64, (5, 9), 1, (2, 4), (2, 3))),
    ((2, 8, 32, 32), (8, 12, (5, 9), 1, (2, 4), (2, 3))),
    ((16, 3, 256, 256), (3, 64, (3, 5), 1, (1, 2), (2, 1))),
)("A 2-d convolution with a kernel that is not square, padding and dilation.")  # fmt: skip


@tasks.add(
    sizes(
        head={"batch_size": 256, "in_channels": 3, "height": 224, "width": 224, "classes": 1000},
        small={"batch_size": 2, "height": 48, "width": 48},
    ),
    kernelbench="L1/63",
    signature="classes",
    layers={"conv1": "nn.Conv2d(3, 96, kernel_size=11, stride=4, padding=2)"},
    x="torch.rand(batch_size, in_channels, height, width)",
)
def conv_standard_2d_square_input_square_kernel(self, x):
    """The first layer of AlexNet: an 11 x 11 convolution with stride 4 and a bias."""
    return self.conv1(x)


@tasks.add(
    sizes(head=constants(BASIC, ((16, 3, 256, 256), (3, 64, 3))), small={}),
    name="conv_standard_2d_square_input_square_kernel",
    form="paper",
    signature=BASIC,
    layers={"conv": "nn.Conv2d(in_channels, out_channels, kernel_size, bias=False)"},
    x="torch.rand(batch_size, in_channels, height, width)",
)
def conv_standard_2d_of_paper(self, x):
    """A 2-d convolution."""
    return self.conv(x)


row(
    "conv_standard_3d_asymmetric_input_asymmetric_kernel", "L1/66", "Conv3d", BASIC,
    ((8, 3, 16, 128, 128), (3, 64, (3, 5, 7))),
    ((2, 3, 6, 10, 14), (3, 8, (3, 5, 7))),
    ((16, 3, 16, 256, 256), (3, 64, (3, 5, 7))),
)("A 3-d convolution with a kernel and an input of unequal extents.")  # fmt: skip
row(
    "conv_standard_3d_asymmetric_input_square_kernel", "L1/59", "Conv3d", BASIC,
    ((16, 3, 256, 256, 10), (3, 64, 3)),
    ((2, 3, 16, 16, 6), (3, 8, 3)),
    kernel_size="(kernel_size, kernel_size, 1)",
)("A 3-d convolution with a kernel that is flat in the last dimension.")  # fmt: skip
row(
    "conv_standard_3d_square_input_asymmetric_kernel", "L1/60", "Conv3d", BASIC,
    ((16, 3, 64, 64, 64), (3, 64, (3, 5, 7))),
    ((2, 3, 12, 12, 12), (3, 8, (3, 5, 7))),
)("A 3-d convolution of a cube with a kernel of unequal extents.")  # fmt: skip
row(
    "conv_standard_3d_square_input_square_kernel", "L1/54", "Conv3d", BASIC,
    ((16, 3, 64, 64, 64), (3, 64, 3)),
    ((2, 3, 12, 12, 12), (3, 8, 3)),
)("A 3-d convolution of a cube.")  # fmt: skip
row(
    "conv_transposed_1d", "L1/64", "ConvTranspose1d", BASIC,
    ((64, 128, 65536), (128, 128, 3)),
    ((2, 8, 150), (8, 12, 3)),
    ((16, 64, 128), (64, 3, 3)),
)("A transposed 1-d convolution.")  # fmt: skip
row(
    "conv_transposed_1d_asymmetric_input_square_kernel_padded_strided_dilated", "L1/79",
    "ConvTranspose1d", STRIDED,
    ((16, 32, 131072), (32, 64, 3, 2, 1, 2)),
    ((2, 8, 150), (8, 12, 3, 2, 1, 2)),
    ((16, 32, 128), (32, 64, 3, 2, 1, 2)),
)("A transposed 1-d convolution with stride, padding and dilation.")  # fmt: skip
row(
    "conv_transposed_1d_dilated", "L1/74", "ConvTranspose1d", STRIDED,
    ((32, 32, 131072), (32, 64, 5, 1, 0, 3)),
    ((2, 8, 150), (8, 12, 5, 1, 0, 3)),
    ((16, 3, 256), (3, 64, 5, 1, 0, 3)),
)("A transposed 1-d convolution with dilation.")  # fmt: skip
row(
    "conv_transposed_2d_asymmetric_input_asymmetric_kernel", "L1/69", "ConvTranspose2d", BASIC,
    ((64, 64, 128, 256), (64, 128, (3, 5))),
    ((2, 8, 12, 20), (8, 12, (3, 5))),
    ((16, 32, 16, 32), (32, 64, (3, 5))),
)("A transposed 2-d convolution with a kernel and an input that are not square.")  # fmt: skip
row(
    "conv_transposed_2d_asymmetric_input_asymmetric_kernel_padded", "L1/78", "ConvTranspose2d",
    BASIC + ", stride, padding",
    ((8, 32, 512, 1024), (32, 32, (3, 7), (1, 1), (1, 3))),
    ((2, 8, 12, 20), (8, 12, (3, 7), (1, 1), (1, 3))),
    ((16, 32, 128, 256), (32, 64, (3, 5), (1, 1), (1, 2))),
)("A transposed 2-d convolution with padding and a kernel that is not square.")  # fmt: skip
row(
    "conv_transposed_2d_asymmetric_input_asymmetric_kernel_strided_grouped_padded_dilated",
    "L1/75", "ConvTranspose2d", STRIDED + ", groups",
    ((16, 32, 128, 256), (32, 64, (3, 5), (2, 3), (1, 2), (2, 1), 4)),
    ((2, 8, 10, 16), (8, 12, (3, 5), (2, 3), (1, 2), (2, 1), 4)),
)("A transposed 2-d convolution with stride, padding, dilation and groups.")  # fmt: skip
row(
    "conv_transposed_2d_asymmetric_input_square_kernel", "L1/71", "ConvTranspose2d", BASIC,
    ((8, 32, 512, 1024), (32, 32, 3)),
    ((2, 8, 12, 20), (8, 12, 3)),
    ((16, 32, 128, 256), (32, 64, 3)),
)("A transposed 2-d convolution on an input that is not square.")  # fmt: skip
row(
    "conv_transposed_2d_asymmetric_input_square_kernel_dilated_padded_strided", "L1/81",
    "ConvTranspose2d", STRIDED,
    ((16, 32, 64, 128), (32, 64, 3, 5, 1, 2)),
    ((2, 8, 6, 10), (8, 12, 3, 5, 1, 2)),
)("A transposed 2-d convolution with stride, padding and dilation.")  # fmt: skip
row(
    "conv_transposed_2d_square_input_asymmetric_kernel", "L1/65", "ConvTranspose2d", BASIC,
    ((8, 64, 512, 512), (64, 64, (3, 7))),
    ((2, 8, 16, 16), (8, 12, (3, 7))),
    ((16, 32, 128, 128), (32, 64, (3, 5))),
)("A transposed 2-d convolution with a kernel that is not square.")  # fmt: skip
row(
    "conv_transposed_2d_square_input_square_kernel", "L1/57", "ConvTranspose2d", BASIC,
    ((8, 64, 1024, 1024), (64, 64, 3)),
    ((2, 8, 16, 16), (8, 12, 3)),
    ((16, 32, 128, 128), (32, 64, 3)),
)("A transposed 2-d convolution.")  # fmt: skip
row(
    "conv_transposed_3d_asymmetric_input_asymmetric_kernel", "L1/58", "ConvTranspose3d", BASIC,
    ((16, 32, 16, 32, 64), (32, 16, (3, 5, 7))),
    ((2, 6, 4, 6, 8), (6, 8, (3, 5, 7))),
)("A transposed 3-d convolution with a kernel and an input of unequal extents.")  # fmt: skip
row(
    "conv_transposed_3d_asymmetric_input_asymmetric_kernel_strided_padded_grouped", "L1/72",
    "ConvTranspose3d", BASIC + ", stride, padding, output_padding, groups",
    ((8, 32, 12, 24, 48), (32, 32, (3, 5, 7), (2, 2, 2), (1, 2, 3), (1, 1, 1), 4)),
    ((2, 8, 3, 5, 7), (8, 8, (3, 5, 7), (2, 2, 2), (1, 2, 3), (1, 1, 1), 4)),
    ((16, 32, 16, 32, 64), (32, 64, (3, 5, 7), (2, 2, 2), (1, 2, 3), (1, 1, 1), 4)),
)("A transposed 3-d convolution with stride, padding on both sides and groups.")  # fmt: skip
row(
    "conv_transposed_3d_asymmetric_input_square_kernel", "L1/70", "ConvTranspose3d", BASIC,
    ((8, 48, 96, 96, 96), (48, 24, 3)),
    ((2, 6, 6, 7, 8), (6, 8, 3)),
    ((16, 32, 16, 32, 64), (32, 16, 3)),
)("A transposed 3-d convolution.")  # fmt: skip
row(
    "conv_transposed_3d_asymmetric_input_square_kernel_strided_padded_grouped", "L1/73",
    "ConvTranspose3d", BASIC + ", stride, padding, output_padding",
    ((4, 32, 32, 64, 128), (32, 32, 3, 2, 1, 4)),
    ((2, 8, 4, 5, 6), (8, 8, 3, 2, 1, 4)),
    ((16, 32, 16, 32, 32), (32, 64, 3, 2, 3, 4)),
    note="name says grouped, computation is ungrouped: the sixth value, meant as the number of "
    "groups, is that of an unused argument",
    output_padding="",
)("A transposed 3-d convolution with stride and padding.")  # fmt: skip
row(
    "conv_transposed_3d_square_input_asymmetric_kernel", "L1/68", "ConvTranspose3d", BASIC,
    ((16, 32, 64, 64, 64), (32, 64, (3, 5, 5))),
    ((2, 6, 6, 6, 6), (6, 8, (3, 5, 5))),
)("A transposed 3-d convolution of a cube with a kernel of unequal extents.")  # fmt: skip
row(
    "conv_transposed_3d_square_input_square_kernel", "L1/61", "ConvTranspose3d", BASIC,
    ((8, 48, 64, 64, 64), (48, 48, 3)),
    ((2, 6, 6, 6, 6), (6, 8, 3)),
    ((16, 3, 32, 32, 32), (3, 64, 3)),
)("A transposed 3-d convolution of a cube.")  # fmt: skip
row(
    "conv_transposed_3d_square_input_square_kernel_padded_dilated_strided", "L1/77",
    "ConvTranspose3d", STRIDED,
    ((16, 32, 16, 32, 32), (32, 64, 3, 2, 1, 2)),
    ((2, 6, 4, 5, 5), (6, 8, 3, 2, 1, 2)),
)("A transposed 3-d convolution with stride, padding and dilation.")  # fmt: skip
