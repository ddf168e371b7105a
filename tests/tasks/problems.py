"""Problem files in the KernelBench contract, written from the descriptions of the problem table.

``EXPECTED`` holds what that table (``kernelbench-problems.csv``) says of the full-size problem:
inputs, constructor arguments, parameters, FLOPs, output; and overrides for a laptop.
"""

PROBLEMS = {}
EXPECTED = {}


def problem(name, inputs, init, parameters, flops, output, small):
    EXPECTED[name] = (inputs, init, parameters, flops, output, small)

    def add(text):
        PROBLEMS[name] = text

    return add


problem(
    "1_Square_matrix_multiplication_.py",
    "float32[4096,4096] ; float32[4096,4096]", [], 0, 137438953472, "float32[4096,4096]",
    {"N": 33},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    """
    Product of two square matrices.
    """
    def __init__(self):
        super(Model, self).__init__()

    def forward(self, A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
        return torch.matmul(A, B)

N = 2048 * 2

def get_inputs():
    A = torch.rand(N, N)
    B = torch.rand(N, N)
    return [A, B]

def get_init_inputs():
    return []  # No special initialization inputs needed
''')  # fmt: skip

problem(
    "5_Matrix_scalar_multiplication.py",
    "float32[65536,16384] ; float", [], 0, 0, "float32[65536,16384]", {"M": 65, "N": 16},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, A: torch.Tensor, s: float) -> torch.Tensor:
        return A * s

M = 16384 * 4
N = 4096 * 4

def get_inputs():
    A = torch.rand(M, N)
    s = 3.14
    return [A, s]

def get_init_inputs():
    return []
''')  # fmt: skip

problem(
    "12_Matmul_with_diagonal_matrices_.py",
    "float32[4096] ; float32[4096,4096]", [], 0, 0, "float32[4096,4096]", {"M": 5, "N": 7},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, A, B):
        return A.unsqueeze(1) * B

M = 4096
N = 4096

def get_inputs():
    A = torch.rand(N)
    B = torch.rand(N, M)
    return [A, B]

def get_init_inputs():
    return []
''')  # fmt: skip

problem(
    "40_LayerNorm.py",
    "float32[16,64,256,256]", [[64, 256, 256]], 8388608, 0, "float32[16,64,256,256]",
    {"batch_size": 2, "features": 3, "dim1": 8, "dim2": 9},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, normalized_shape: tuple):
        super().__init__()
        self.ln = nn.LayerNorm(normalized_shape=normalized_shape)

    def forward(self, x):
        return self.ln(x)

batch_size = 16
features = 64
dim1 = 256
dim2 = 256

def get_inputs():
    x = torch.rand(batch_size, features, dim1, dim2)
    return [x]

def get_init_inputs():
    return [(features, dim1, dim2)]
''')  # fmt: skip

problem(
    "41_Max_Pooling_1D.py",
    "float32[64,192,65536]", [8, 1, 4, 3, False], 0, 0, "float32[64,192,65523]",
    {"batch_size": 2, "features": 3, "sequence_length": 40},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, kernel_size: int, stride: int = None, padding: int = 0,
                 dilation: int = 1, return_indices: bool = False):
        super().__init__()
        self.maxpool = nn.MaxPool1d(kernel_size=kernel_size, stride=stride, padding=padding,
                                    dilation=dilation, return_indices=return_indices)

    def forward(self, x):
        return self.maxpool(x)

batch_size = 64
features = 192
sequence_length = 65536

kernel_size = 8
stride      = 1
padding     = 4
dilation    = 3

return_indices = False

def get_inputs():
    x = torch.rand(batch_size, features, sequence_length)
    return [x]

def get_init_inputs():
    return [kernel_size, stride, padding, dilation, return_indices]
''')  # fmt: skip

problem(
    "51_Argmax_over_a_dimension.py",
    "float32[128,4096,4095]", [1], 0, 0, "int64[128,4095]",
    {"batch_size": 2, "dim1": 16, "dim2": 15},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return torch.argmax(x, dim=self.dim)

batch_size = 128
dim1, dim2 = 4096, 4095

def get_inputs():
    return [torch.rand(batch_size, dim1, dim2)]

def get_init_inputs():
    return [1]
''')  # fmt: skip

problem(
    "72_conv_transposed_3D_asymmetric_input_asymmetric_kernel___strided_padded_grouped_.py",
    "float32[8,32,12,24,48]", [32, 32, [3, 5, 7], [2, 2, 2], [1, 2, 3], [1, 1, 1], 4], 26880,
    5945425920, "float32[8,32,24,48,96]", {"batch_size": 1, "depth": 3, "height": 4, "width": 5},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=(1, 1, 1),
                 padding=(0, 0, 0), output_padding=(0, 0, 0), groups=1, bias=False):
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding,
            output_padding=output_padding, groups=groups, bias=bias)

    def forward(self, x):
        return self.conv_transpose3d(x)

batch_size = 8
in_channels = 32
out_channels = 32
kernel_size = (3, 5, 7)
depth = 12
height = 24
width = 48
stride = (2, 2, 2)
padding = (1, 2, 3)
output_padding = (1, 1, 1)
groups = 4

def get_inputs():
    return [torch.rand(batch_size, in_channels, depth, height, width)]

def get_init_inputs():
    return [in_channels, out_channels, kernel_size, stride, padding, output_padding, groups]
''')  # fmt: skip

problem(
    "93_masked_cumsum.py",
    "float32[32768,32768] ; bool[32768,32768]", [1], 0, 0, "float32[32768,32768]",
    {"batch_size": 8, "input_shape": (9,)},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x, mask):
        return torch.cumsum(x * mask, dim=self.dim)

batch_size = 32768
input_shape = (32768,)
dim = 1

def get_inputs():
    x = torch.rand(batch_size, *input_shape)
    mask = torch.randint(0, 2, x.shape).bool()
    return [x, mask]

def get_init_inputs():
    return [dim]
''')  # fmt: skip

problem(
    "95_CrossEntropyLoss.py",
    "float32[32768,4096] ; int64[32768]", [], 0, 0, "float32[]",
    {"batch_size": 8, "num_classes": 5},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self):
        super(Model, self).__init__()

    def forward(self, predictions, targets):
        return torch.nn.functional.cross_entropy(predictions, targets)

batch_size = 32768
num_classes = 4096
input_shape = (num_classes,)
dim = 1

def get_inputs():
    return [torch.rand(batch_size, *input_shape), torch.randint(0, num_classes, (batch_size,))]

def get_init_inputs():
    return []
''')  # fmt: skip

problem(
    "100_HingeLoss.py",
    "float32[32768,32768] ; float32[32768]", [], 0, 0, "float32[]",
    {"batch_size": 8, "input_shape": (8,)},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, predictions, targets):
        return torch.mean(torch.clamp(1 - predictions * targets, min=0))

batch_size = 32768
input_shape = (32768,)
dim = 1

def get_inputs():
    targets = torch.randint(0, 2, (batch_size,)).float() * 2 - 1
    return [torch.rand(batch_size, *input_shape), targets]

def get_init_inputs():
    return []
''')  # fmt: skip

problem(
    "2_ConvTranspose2d_BiasAdd_Clamp_Scaling_Clamp_Divide.py",
    "float32[128,64,128,128]", [64, 64, 3, 2, 1, 1, [64, 1, 1], 2.0], 36992, 154618822656,
    "float32[128,64,256,256]", {"batch_size": 1, "height": 6, "width": 5},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, output_padding,
                 bias_shape, scaling_factor):
        super().__init__()
        self.conv_transpose = nn.ConvTranspose2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding,
            output_padding=output_padding)
        self.bias = nn.Parameter(torch.randn(bias_shape))
        self.scaling_factor = scaling_factor

    def forward(self, x):
        x = self.conv_transpose(x)
        x = x + self.bias
        x = torch.clamp(x, min=0.0, max=1.0)
        x = x * self.scaling_factor
        x = torch.clamp(x, min=0.0, max=1.0)
        return x / self.scaling_factor

batch_size = 128
in_channels  = 64
out_channels = 64
height = width = 128
kernel_size = 3
stride = 2
padding = 1
output_padding = 1
bias_shape = (out_channels, 1, 1)
scaling_factor = 2.0

def get_inputs():
    return [torch.rand(batch_size, in_channels, height, width)]

def get_init_inputs():
    return [in_channels, out_channels, kernel_size, stride, padding, output_padding, bias_shape,
            scaling_factor]
''')  # fmt: skip

problem(
    "11_ConvTranspose2d_BatchNorm_Tanh_MaxPool_GroupNorm.py",
    "float32[512,64,32,32]", [64, 128, 5, 1, 1, 8, 8], 205440, 214748364800,
    "float32[512,128,17,17]", {"batch_size": 2, "height": 8, "width": 8},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, groups,
                 num_groups):
        super().__init__()
        self.conv_transpose = nn.ConvTranspose2d(in_channels, out_channels, kernel_size,
                                                 stride=stride, padding=padding)
        self.batch_norm = nn.BatchNorm2d(out_channels)
        self.tanh = nn.Tanh()
        self.max_pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.group_norm = nn.GroupNorm(num_groups=num_groups, num_channels=out_channels)

    def forward(self, x):
        x = self.tanh(self.batch_norm(self.conv_transpose(x)))
        return self.group_norm(self.max_pool(x))

batch_size = 512
in_channels = 64
out_channels = 128
height = width = 32
kernel_size = 5
stride = 1
padding = 1
groups = 8
num_groups = 8

def get_inputs():
    return [torch.rand(batch_size, in_channels, height, width)]

def get_init_inputs():
    return [in_channels, out_channels, kernel_size, stride, padding, groups, num_groups]
''')  # fmt: skip

problem(
    "75_Gemm_GroupNorm_Min_BiasAdd.py",
    "float32[1024,8192]", [8192, 8192, 512, [1, 8192, 1, 1]], 67141632, 137438953472,
    "float32[1,8192,1024,1]",
    {"batch_size": 4, "in_features": 16, "out_features": 32, "num_groups": 8},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, in_features, out_features, num_groups, bias_shape):
        super(Model, self).__init__()
        self.gemm = nn.Linear(in_features, out_features)
        self.group_norm = nn.GroupNorm(num_groups, out_features)
        self.bias = nn.Parameter(torch.randn(bias_shape))

    def forward(self, x):
        x = self.group_norm(self.gemm(x))
        x = torch.min(x, dim=1, keepdim=True)[0]
        return x + self.bias

batch_size = 1024
in_features, out_features = 8192, 8192
num_groups = 512
bias_shape = (1, out_features, 1, 1)

def get_inputs():
    return [torch.rand(batch_size, in_features)]

def get_init_inputs():
    return [in_features, out_features, num_groups, bias_shape]
''')  # fmt: skip

problem(
    "3_DeepNarrowMLP.py",
    "float32[1024,8192]", [8192, [1024] * 16, 8192], 32530432, 66571993088, "float32[1024,8192]",
    {"batch_size": 4, "input_size": 12, "output_size": 6, "hidden_layer_sizes": [8, 8]},
)('''
import torch
import torch.nn as nn
import torch.nn.functional as F

class Model(nn.Module):
    def __init__(self, input_size, hidden_layer_sizes, output_size):
        super(Model, self).__init__()
        layers = []
        current = input_size
        for size in hidden_layer_sizes:
            layers.append(nn.Linear(current, size))
            layers.append(nn.ReLU())
            current = size
        layers.append(nn.Linear(current, output_size))
        self.network = nn.Sequential(*layers)

    def forward(self, x):
        return self.network(x)

batch_size = 1024
input_size = 8192
hidden_layer_sizes = [1024] * 16
output_size = 8192

def get_inputs():
    return [torch.rand(batch_size, input_size)]

def get_init_inputs():
    return [input_size, hidden_layer_sizes, output_size]
''')  # fmt: skip

problem(
    "36_LSTMHn.py",
    "float32[10,512,128] ; float32[6,10,256] ; float32[6,10,256]", [128, 256, 6, 10, 0.0],
    3029514, None, "float32[6,10,256]",
    {"batch_size": 2, "sequence_length": 3, "input_size": 4, "hidden_size": 8},
)('''
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers, output_size, dropout=0.0):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True,
                            dropout=dropout, bidirectional=False)
        self.fc = nn.Linear(hidden_size, output_size)

    def forward(self, x, h0, c0):
        out, state = self.lstm(x, (h0, c0))
        out = self.fc(out[:, -1, :])
        return state[0]

batch_size = 10
sequence_length = 512
input_size = 128
hidden_size = 256
num_layers = 6
output_size = 10
dropout = 0.0

def get_inputs():
    return [torch.rand(batch_size, sequence_length, input_size),
            torch.rand((num_layers, batch_size, hidden_size)),
            torch.rand((num_layers, batch_size, hidden_size))]

def get_init_inputs():
    return [input_size, hidden_size, num_layers, output_size, dropout]
''')  # fmt: skip
