"""The first convolutional networks: LeNet-5 (1998) and AlexNet (2012)."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")


@tasks.add(
    sizes(
        head={"batch_size": 4096, "num_classes": 20},
        paper={"batch_size": 1, "num_classes": 10},
        small={"batch_size": 16},
    ),
    name="lenet5",
    x="torch.rand(batch_size, 1, 32, 32)",
    kernelbench="L3/4",
)
class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pools: two 5x5 convolutions and three linear layers."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(F.relu(self.fc2(x)))


@tasks.add(
    sizes(
        head={"batch_size": 1024, "num_classes": 1000, "image_size": 224},
        paper={"batch_size": 10},
        small={
            "batch_size": 4,
            "num_classes": 10,
            "image_size": 95,
            "hidden": 64,
            "widths": [12, 32, 48, 48, 32],
            "grid": 2,
        },
    ),
    name="alexnet",
    x="torch.rand(batch_size, 3, image_size, image_size)",
    kernelbench="L3/5",
)
class AlexNet(nn.Module):
    """AlexNet in one tower: five convolutions, three 3x3 max pools, three linear layers
    (dropout 0)."""

    def __init__(self, num_classes=1000, hidden=4096, widths=(96, 256, 384, 384, 256), grid=6):
        super().__init__()
        a, b, c, d, e = widths
        self.features = nn.Sequential(
            nn.Conv2d(3, a, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(a, b, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(b, c, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c, d, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(d, e, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(e * grid * grid, hidden),
            nn.ReLU(),
            nn.Dropout(0.0),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(0.0),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))
