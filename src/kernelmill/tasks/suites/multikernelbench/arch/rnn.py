"""Recurrent networks: a tanh cell, LSTM and GRU stacks."""

import torch
import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")
# Constants of the task's own text; the paper's networks drew their state for this batch.
batch_size = 8
KEPT = "keeps the hidden state on the module from one call to the next"


class Cell(nn.Module):
    """h' = tanh(W [x, h] + b), y = V h' + c."""

    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)

    def step(self, x, hidden):
        return torch.tanh(self.i2h(torch.cat((x, hidden), dim=1)))


ONE_STEP = sizes(
    head={"batch_size": 256, "input_size": 16384, "hidden_size": 16384, "output_size": 8192},
    paper={"batch_size": 8, "input_size": 1024, "hidden_size": 256, "output_size": 128},
    small={"batch_size": 8, "input_size": 128, "hidden_size": 64, "output_size": 32},
)
STEP = {"x": "torch.rand(batch_size, input_size)"}
STEP_FROM = {**STEP, "initial_hidden": "torch.rand(batch_size, hidden_size)"}


@tasks.add(ONE_STEP, name="vanilla_rnn", **STEP_FROM, kernelbench="L3/33", note=KEPT)
class VanillaRNN(Cell):
    """One step of a tanh cell that keeps its state, and a linear layer:
    h' = tanh(W [x, h] + b), y = V h' + c."""

    def forward(self, x, initial_hidden):
        self.hidden = self.step(x, initial_hidden)
        return self.h2o(self.hidden)


@tasks.add(ONE_STEP, name="vanilla_rnn", form="paper", **STEP)
class KeptVanillaRNN(Cell):
    """The same from the state of the call before, drawn at random at first."""

    def __init__(self, input_size, hidden_size, output_size):
        super().__init__(input_size, hidden_size, output_size)
        self.hidden = torch.randn(batch_size, hidden_size)

    def forward(self, x):
        self.hidden = self.step(x, self.hidden)
        return self.h2o(self.hidden)


@tasks.add(ONE_STEP, name="vanilla_rnn", form="repaired", **STEP_FROM)
class StatelessVanillaRNN(Cell):
    """The same, keeping nothing."""

    def forward(self, x, initial_hidden):
        return self.h2o(self.step(x, initial_hidden))


UNROLLED = sizes(
    head={
        "batch_size": 8,
        "seq_len": 256,
        "input_size": 1024,
        "hidden_size": 256,
        "output_size": 128,
    },
    small={
        "batch_size": 4,
        "seq_len": 16,
        "input_size": 64,
        "hidden_size": 48,
        "output_size": 32,
    },
)


@tasks.add(
    UNROLLED,
    name="vanilla_rnn_hidden",
    x="torch.rand(seq_len, batch_size, input_size)",
    h0="torch.rand(batch_size, hidden_size)",
    kernelbench="L3/34",
)
class VanillaRNNHidden(Cell):
    """A tanh cell over a sequence from a given state, with a linear layer at every step:
    h_t = tanh(W [x_t, h_(t-1)] + b), y_t = V h_t + c."""

    def forward(self, x, h0):
        hidden, outputs = h0, []
        for step in x:
            hidden = self.step(step, hidden)
            outputs.append(self.h2o(hidden))
        return torch.stack(outputs)


@tasks.add(UNROLLED, name="vanilla_rnn_hidden", form="paper", **STEP)
class KeptVanillaRNNHidden(Cell):
    """One step from the state of the call before; returns the state."""

    def __init__(self, input_size, hidden_size, output_size):
        super().__init__(input_size, hidden_size, output_size)
        self.hidden = torch.randn(batch_size, hidden_size)

    def forward(self, x):
        self.hidden = self.step(x, self.hidden)
        self.h2o(self.hidden)
        return self.hidden
