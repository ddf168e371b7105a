"""One step of an optimiser, written as a forward: the new parameter from the old state.

The steps are so short that the old parameter passes for the new one at 1e-2; the repaired form
takes a longer one.
"""

import torch

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("optimizer")
ROWS = "torch.rand(rows, columns)"
NONE_YET = "torch.zeros(rows, columns)"
SMALL = {"rows": 64, "columns": 100}


def step(rows, columns, *names):
    """Declares a first step, from a state ``names`` of zeros; repaired, a later and longer one."""
    extents = {"rows": rows, "columns": columns}
    given = dict.fromkeys(("parameter", "gradient"), ROWS)
    first, later = (given | dict.fromkeys(names, state) for state in (NONE_YET, ROWS))

    def declare(function):
        tasks.add(sizes(head=extents, small=SMALL), weak="identity@1e-2", **first)(function)
        longer = {**extents, "learning_rate": 0.1}
        tasks.add(
            sizes(head=longer, small=SMALL), name=function.__name__, form="repaired", **later
        )(function)
        return function

    return declare


@step(1024, 4096, "accumulator")
def adagrad(parameter, gradient, accumulator, *, learning_rate=0.01):
    """An Adagrad step: p - lr g / (sqrt(a + g^2) + 1e-10)."""
    accumulator = accumulator + gradient * gradient
    return parameter - learning_rate * gradient / (torch.sqrt(accumulator) + 1e-10)


@step(512, 2048, "first", "second")
def adam(parameter, gradient, first, second, *, learning_rate=0.001):
    """The first Adam step with betas 0.9 and 0.999 and bias correction."""
    first = 0.9 * first + 0.1 * gradient
    second = 0.999 * second + 0.001 * gradient * gradient
    unbiased = first / (1 - 0.9)
    spread = torch.sqrt(second / (1 - 0.999)) + 1e-8
    return parameter - learning_rate * unbiased / spread


@tasks.add(
    sizes(head={"rows": 512, "columns": 4096}, small=SMALL),
    parameter=ROWS,
    first=ROWS,
    second="torch.rand(rows, columns) + 0.001",
)
def lamb(parameter, first, second, *, learning_rate=0.001):
    """A LAMB update: m / (sqrt(v) + eps) times the trust ratio |p| / |update| of the layer."""
    update = first / (torch.sqrt(second) + 1e-6)
    trust = torch.norm(parameter) / (torch.norm(update) + 1e-6)
    return parameter - learning_rate * trust * update


@step(2048, 2048, "average")
def rmsprop(parameter, gradient, average, *, learning_rate=0.001):
    """An RMSprop step with alpha 0.99: p - lr g / (sqrt(v) + 1e-8)."""
    average = 0.99 * average + 0.01 * gradient * gradient
    return parameter - learning_rate * gradient / (torch.sqrt(average) + 1e-8)


@step(1024, 4096, "velocity")
def sgd(parameter, gradient, velocity, *, learning_rate=0.01):
    """A step of gradient descent with momentum 0.9."""
    velocity = 0.9 * velocity + gradient
    return parameter - learning_rate * velocity
