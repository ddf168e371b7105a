# task: softmax | backend: torch
# try: a cache of half the stream? pass. except that no thread sleeps here.
"""Words in strings: try, except, pass, half, cache, stream, thread, fp16, time.sleep, gc."""

import torch
from torch import nn

NOTE = "torch.cuda.Stream(); try: x.half() except: pass; data_ptr cache; os._exit(0); .float16"


class ModelNew(nn.Module):
    """Does not half anything; there is no cache, no stream and no thread.

    try:
        nothing
    except:
        pass
    """

    def forward(self, x):
        # time.perf_counter = fake would be a cheat; this is a comment
        return torch.softmax(x, dim=1)
