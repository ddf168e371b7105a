"""LSTM stacks over sequences of shape (batch, steps, features)."""

import torch
import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")
batch_size = 10  # a constant of the task's own text: the paper's state is drawn for this batch
SIZES = sizes(
    head={
        "batch_size": 10,
        "sequence_length": 512,
        "input_size": 128,
        "hidden_size": 256,
        "num_layers": 6,
        "output_size": 10,
        "dropout": 0.0,
    },
    small={
        "batch_size": 4,
        "sequence_length": 12,
        "input_size": 32,
        "hidden_size": 24,
        "num_layers": 3,
    },
)
X = "torch.rand(batch_size, sequence_length, input_size)"
STATE = "torch.rand(num_layers, batch_size, hidden_size)"
BOTH_WAYS = "torch.rand(2 * num_layers, batch_size, hidden_size)"


class Stack(nn.Module):
    """LSTM layers and a linear layer for the last step."""

    bidirectional = False

    def __init__(self, input_size, hidden_size, num_layers, output_size, dropout=0.0):
        super().__init__()
        self.lstm = nn.LSTM(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout,
            bidirectional=self.bidirectional,
        )
        self.states = (2 if self.bidirectional else 1) * num_layers
        self.hidden_size = hidden_size
        self.fc = nn.Linear((2 if self.bidirectional else 1) * hidden_size, output_size)


class DrawnStack(Stack):
    """The same with an initial state drawn at construction."""

    def __init__(self, input_size, hidden_size, num_layers, output_size, dropout, batch):
        super().__init__(input_size, hidden_size, num_layers, output_size, dropout)
        self.register_buffer("h0", torch.randn(self.states, batch, hidden_size))
        self.register_buffer("c0", torch.randn(self.states, batch, hidden_size))


@tasks.add(
    SIZES,
    name="lstm",
    x=X,
    kernelbench="L3/35",
    note="draws its initial state at random in every call",
)
class LSTM(Stack):
    """A stack of LSTM layers from a random state, and a linear layer for the last step."""

    def forward(self, x):
        shape = (2, self.states, x.size(0), self.hidden_size)
        # float32 in any case, so that float64 starts from the same numbers
        h0, c0 = torch.randn(shape, device=x.device, dtype=torch.float32).to(x.dtype)
        sequence, _ = self.lstm(x, (h0, c0))
        return self.fc(sequence[:, -1])


@tasks.add(SIZES, name="lstm", form="repaired", x=X, h0=STATE, c0=STATE)
class GivenLSTM(Stack):
    """The initial state is given."""

    def forward(self, x, h0, c0):
        sequence, _ = self.lstm(x, (h0, c0))
        return self.fc(sequence[:, -1])


@tasks.add(SIZES, name="lstm", form="paper", x=X)
class DrawnLSTM(DrawnStack):
    def __init__(self, input_size, hidden_size, num_layers, output_size, dropout=0.0):
        super().__init__(input_size, hidden_size, num_layers, output_size, dropout, batch_size)

    def forward(self, x):
        sequence, _ = self.lstm(x, (self.h0, self.c0))
        return self.fc(sequence[:, -1])


DROPPED = "computes a linear layer and drops it"


@tasks.add(SIZES, name="lstm_bidirectional", x=X, h0=BOTH_WAYS, c0=BOTH_WAYS, kernelbench="L3/38")
class LSTMBidirectional(Stack):
    """A stack of bidirectional LSTM layers from a given state, and a linear layer for the last
    step."""

    bidirectional = True

    def forward(self, x, h0, c0):
        sequence, _ = self.lstm(x, (h0, c0))
        return self.fc(sequence[:, -1])


@tasks.add(SIZES, name="lstm_bidirectional", form="paper", x=X)
class DrawnLSTMBidirectional(DrawnStack):
    bidirectional = True

    def __init__(self, input_size, hidden_size, num_layers, output_size, dropout=0.0):
        super().__init__(input_size, hidden_size, num_layers, output_size, dropout, batch_size)

    def forward(self, x):
        sequence, _ = self.lstm(x, (self.h0, self.c0))
        return self.fc(sequence[:, -1])


@tasks.add(SIZES, name="lstm_hn", x=X, h0=STATE, c0=STATE, kernelbench="L3/36", note=DROPPED)
class LSTMHn(Stack):
    """A stack of LSTM layers from a given state; returns the final hidden state of every layer
    (a linear layer for the last step is computed and dropped)."""

    def forward(self, x, h0, c0):
        sequence, (hidden, _) = self.lstm(x, (h0, c0))
        self.fc(sequence[:, -1])
        return hidden


@tasks.add(SIZES, name="lstm_hn", form="paper", x=X)
class DrawnLSTMHn(DrawnStack):
    def __init__(self, input_size, hidden_size, num_layers, output_size, dropout=0.0):
        super().__init__(input_size, hidden_size, num_layers, output_size, dropout, batch_size)

    def forward(self, x):
        sequence, (hidden, _) = self.lstm(x, (self.h0, self.c0))
        self.fc(sequence[:, -1])
        return hidden


@tasks.add(SIZES, name="lstm_cn", x=X, h0=STATE, c0=STATE, kernelbench="L3/37", note=DROPPED)
class LSTMCn(Stack):
    """A stack of LSTM layers from a given state; returns the final cell state of every layer
    (a linear layer for the last step is computed and dropped)."""

    def forward(self, x, h0, c0):
        sequence, (_, cell) = self.lstm(x, (h0, c0))
        self.fc(sequence[:, -1])
        return cell


@tasks.add(SIZES, name="lstm_cn", form="paper", x=X)
class DrawnLSTMCn(DrawnStack):
    def __init__(self, input_size, hidden_size, num_layers, output_size, dropout=0.0):
        super().__init__(input_size, hidden_size, num_layers, output_size, dropout, batch_size)

    def forward(self, x):
        sequence, (_, cell) = self.lstm(x, (self.h0, self.c0))
        self.fc(sequence[:, -1])
        return cell
