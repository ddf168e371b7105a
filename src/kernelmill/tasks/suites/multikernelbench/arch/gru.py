"""GRU stacks (Cho et al. 2014) over sequences of shape (steps, batch, features)."""

import torch
import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")
batch_size = 10  # a constant of the task's own text: the paper's state is drawn for this batch
NOTE = "at the paper's size the initial state is drawn by the constructor"
SIZES = sizes(
    head={
        "seq_len": 512,
        "batch_size": 10,
        "input_size": 128,
        "hidden_size": 256,
        "num_layers": 6,
    },
    small={
        "seq_len": 12,
        "batch_size": 4,
        "input_size": 32,
        "hidden_size": 24,
        "num_layers": 3,
    },
)
X = "torch.rand(seq_len, batch_size, input_size)"
ONE_WAY = {"x": X, "h0": "torch.rand(num_layers, batch_size, hidden_size)"}
TWO_WAY = {"x": X, "h0": "torch.rand(2 * num_layers, batch_size, hidden_size)"}


class Stack(nn.Module):
    """Layers of a GRU."""

    bidirectional = False

    def __init__(self, input_size, hidden_size, num_layers=3):
        super().__init__()
        self.gru = nn.GRU(input_size, hidden_size, num_layers, bidirectional=self.bidirectional)


class DrawnStack(Stack):
    """Layers of a GRU with an initial state drawn at construction."""

    def __init__(self, input_size, hidden_size, num_layers, batch):
        super().__init__(input_size, hidden_size, num_layers)
        states = (2 if self.bidirectional else 1) * num_layers
        self.register_buffer("h0", torch.randn(states, batch, hidden_size))


@tasks.add(SIZES, name="gru", **ONE_WAY, kernelbench="L3/39", note=NOTE)
class GRU(Stack):
    """A stack of GRU layers from a given state; returns the last layer's sequence."""

    def forward(self, x, h0):
        sequence, state = self.gru(x, h0)
        return sequence


@tasks.add(SIZES, name="gru", form="paper", x=X)
class DrawnGRU(DrawnStack):
    def __init__(self, input_size, hidden_size, num_layers=3):
        super().__init__(input_size, hidden_size, num_layers, batch_size)

    def forward(self, x):
        sequence, state = self.gru(x, self.h0)
        return sequence


@tasks.add(SIZES, name="gru_hidden", **ONE_WAY, kernelbench="L3/40", note=NOTE)
class GRUHidden(Stack):
    """A stack of GRU layers from a given state; returns the final state of every layer."""

    def forward(self, x, h0):
        sequence, state = self.gru(x, h0)
        return state


@tasks.add(SIZES, name="gru_hidden", form="paper", x=X)
class DrawnGRUHidden(DrawnStack):
    def __init__(self, input_size, hidden_size, num_layers=3):
        super().__init__(input_size, hidden_size, num_layers, batch_size)

    def forward(self, x):
        sequence, state = self.gru(x, self.h0)
        return state


@tasks.add(SIZES, name="gru_birectional", **TWO_WAY, kernelbench="L3/41", note=NOTE)
class GRUBidirectional(Stack):
    """A stack of bidirectional GRU layers from a given state; returns the last layer's sequence,
    both directions side by side."""

    bidirectional = True

    def forward(self, x, h0):
        sequence, state = self.gru(x, h0)
        return sequence


@tasks.add(SIZES, name="gru_birectional", form="paper", x=X)
class DrawnGRUBidirectional(DrawnStack):
    bidirectional = True

    def __init__(self, input_size, hidden_size, num_layers=3):
        super().__init__(input_size, hidden_size, num_layers, batch_size)

    def forward(self, x):
        sequence, state = self.gru(x, self.h0)
        return sequence


@tasks.add(SIZES, name="gru_bidirectional_hidden", **TWO_WAY, kernelbench="L3/42", note=NOTE)
class GRUBidirectionalHidden(Stack):
    """A stack of bidirectional GRU layers from a given state; returns the final state of every
    layer and direction."""

    bidirectional = True

    def forward(self, x, h0):
        sequence, state = self.gru(x, h0)
        return state


@tasks.add(SIZES, name="gru_bidirectional_hidden", form="paper", x=X)
class DrawnGRUBidirectionalHidden(DrawnStack):
    bidirectional = True

    def __init__(self, input_size, hidden_size, num_layers=3):
        super().__init__(input_size, hidden_size, num_layers, batch_size)

    def forward(self, x):
        sequence, state = self.gru(x, self.h0)
        return state
