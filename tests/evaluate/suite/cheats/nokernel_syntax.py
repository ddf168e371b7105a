# task: softmax | backend: torch | expect: syntax_error | level: L0
"""Not Python."""

class ModelNew(nn.Module)
    def forward(self, x):
        return x
