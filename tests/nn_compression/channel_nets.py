"""Small networks in which channels are coupled in every way that the code knows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """A stem, a residual block with a projection, depthwise filters, global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.conv1 = nn.Conv2d(6, 5, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(5)
        self.conv2 = nn.Conv2d(5, 8, 3, padding=1)
        self.shortcut = nn.Conv2d(6, 8, 1)
        self.depthwise = nn.Conv2d(8, 16, 3, groups=8)
        self.activation = nn.PReLU(16)
        self.head = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.norm(self.stem(images)))
        branch = self.conv2(F.relu(self.norm1(self.conv1(maps))))
        maps = self.activation(self.depthwise(F.relu(branch + self.shortcut(maps))))
        return self.head(maps.mean((2, 3)))


class Dense(nn.Module):
    """Concatenations of concatenations, flattened before a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 6, 3, padding=1)
        self.c = nn.Conv2d(10, 7, 3, padding=1)
        self.norm = nn.BatchNorm2d(17)
        self.d = nn.Linear(17 * 16, 9)
        self.e = nn.Linear(9, 2)

    def forward(self, images: Tensor) -> Tensor:
        a = self.a(images)
        ab = torch.cat([a, self.b(a)], 1)
        maps = F.relu(self.norm(torch.cat([ab, self.c(ab)], 1)))
        return self.e(F.relu(self.d(maps.flatten(1))))


class Grouped(nn.Module):
    """Grouped and transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 12, 3, padding=1)
        self.grouped = nn.Conv2d(12, 8, 3, padding=1, groups=4)
        self.b = nn.Conv2d(8, 6, 1)
        self.up = nn.ConvTranspose2d(6, 8, 2, 2)
        self.parted = nn.ConvTranspose2d(8, 4, 2, 2, groups=2)
        self.c = nn.Conv2d(4, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.b(F.relu(self.grouped(F.relu(self.a(images))))))
        return self.c(F.relu(self.parted(F.relu(self.up(maps)))))


class SqueezeExcite(nn.Module):
    """Channels scaled by what a small branch makes of their means; a scale of its own for each besides."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)
        self.b = nn.Conv2d(8, 5, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.scale * F.relu(self.a(images))
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(maps.mean((2, 3), keepdim=True)))))
        return self.b(maps * weights).mean((2, 3))


class Gated(nn.Module):
    """A gated linear unit: half of a layer's outputs scale the other half."""

    def __init__(self) -> None:
        super().__init__()
        self.gated = nn.Linear(6, 16)
        self.out = nn.Linear(8, 3)

    def forward(self, features: Tensor) -> Tensor:
        values, gates = self.gated(features).chunk(2, -1)
        return self.out(values * torch.sigmoid(gates))


class Halves(nn.Module):
    """A layer's outputs in two halves: one goes past a convolution, which reads the other (the C2f block of YOLO)."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.middle = nn.Conv2d(8, 8, 3, padding=1)
        self.b = nn.Conv2d(24, 12, 1)
        self.head = nn.Linear(12, 4)

    def forward(self, images: Tensor) -> Tensor:
        halves = list(F.relu(self.a(images)).chunk(2, 1))
        maps = self.b(torch.cat([*halves, F.relu(self.middle(halves[1]))], 1))
        return self.head(F.relu(maps).mean((2, 3)))


class Split(Halves):
    """The same, but where the halves end is told by what is read."""

    def forward(self, images: Tensor) -> Tensor:
        maps, width = F.relu(self.a(images)), self.middle.in_channels
        halves = [maps[:, :-width], maps[:, -width:]]
        maps = self.b(torch.cat([*halves, F.relu(self.middle(halves[1]))], 1))
        return self.head(F.relu(maps).mean((2, 3)))


class Stubborn(nn.Module):
    """Reshapes to a constant, so that the convolution's channels cannot change; flattened the other way round, too."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed = nn.Conv2d(3, 4, 3, padding=1)
        self.free = nn.Conv2d(3, 5, 3, padding=1)
        self.a = nn.Linear(4 * 16, 9)
        self.b = nn.Linear(5 * 16, 9)
        self.out = nn.Linear(9, 2)

    def forward(self, images: Tensor) -> Tensor:
        fixed = self.fixed(images).view(-1, 64)
        free = self.free(images).permute(0, 2, 3, 1).flatten(1)
        return self.out(F.relu(self.a(fixed) + self.b(free)))


class Tied(nn.Module):
    """A language model whose embedding is its output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.hidden = nn.Linear(6, 6)
        self.out = nn.Linear(6, 9, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(F.relu(self.hidden(self.embedding(tokens))))


class ConvLstm(nn.Module):
    """A convolution, rows of its maps through a stacked LSTM of two directions, a linear layer on the final states."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.lstm = nn.LSTM(6 * 8, 7, 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(14, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.norm(self.conv(images)))
        _, (final, _) = self.lstm(maps.permute(0, 3, 2, 1).flatten(2))
        return self.out(torch.cat([final[-2], final[-1]], 1))


class Recurrent(nn.Module):
    """An embedding, any recurrent module, a linear layer at every step."""

    def __init__(self, recurrent: nn.RNNBase, width: int, residual: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, recurrent.input_size)
        self.recurrent = recurrent
        self.out = nn.Linear(width, 9)
        self.residual = residual

    def forward(self, tokens: Tensor) -> Tensor:
        inputs = self.embedding(tokens)
        hidden, _ = self.recurrent(inputs)
        return self.out(inputs + hidden if self.residual else hidden)


class Cells(nn.Module):
    """An LSTM cell stepped by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.cell = nn.LSTMCell(6, 8)
        self.out = nn.Linear(8, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        state, outputs = None, []
        for step in range(tokens.shape[1]):
            state = self.cell(self.embedding(tokens[:, step]), state)
            outputs.append(state[0])
        return self.out(torch.stack(outputs, 1))


class Translator(nn.Module):
    """A GRU whose final states begin another."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 6)
        self.encoder = nn.GRU(6, 7, 2, batch_first=True)
        self.decoder = nn.GRU(6, 7, 2, batch_first=True)
        self.out = nn.Linear(7, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        embedded = self.embedding(tokens)
        _, state = self.encoder(embedded)
        return self.out(self.decoder(embedded, state)[0])


class Encoder(nn.Module):
    """A language model of torch's own transformer encoder."""

    def __init__(self, norm_first: bool = False, batch_first: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 24, dropout=0, norm_first=norm_first, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(16, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.encoder(self.embedding(tokens)))


IMAGE = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
LARGER = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
GREY = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
TOKENS = torch.randint(0, 9, (2, 6), generator=torch.Generator().manual_seed(3))
FEATURES = torch.randn(2, 6, generator=torch.Generator().manual_seed(4))

CONVOLUTIONAL = {"residual": (Residual, LARGER), "dense": (Dense, IMAGE), "grouped": (Grouped, IMAGE)}
OTHERS = {
    "squeeze_excite": (SqueezeExcite, IMAGE),
    "gated": (Gated, FEATURES),
    "halves": (Halves, IMAGE),
    "stubborn": (Stubborn, IMAGE),
    "tied": (Tied, TOKENS),
    "conv_lstm": (ConvLstm, GREY),
    "stacked_lstm": (lambda: Recurrent(nn.LSTM(6, 7, 3, batch_first=True), 7), TOKENS),
    "bidirectional_gru": (lambda: Recurrent(nn.GRU(6, 7, 2, batch_first=True, bidirectional=True), 14), TOKENS),
    "residual_rnn": (lambda: Recurrent(nn.RNN(7, 7, 2, batch_first=True, bias=False), 7, residual=True), TOKENS),
    "cells": (Cells, TOKENS),
    "translator": (Translator, TOKENS),
    "encoder": (Encoder, TOKENS),
    "pre_norm_encoder": (lambda: Encoder(norm_first=True, batch_first=False), TOKENS),
}
NETS = CONVOLUTIONAL | OTHERS


def net_of(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """A network in evaluation mode, its batch norms with statistics of their own, and an input of two examples."""
    make, inputs = NETS[name]
    torch.manual_seed(seed)
    net = make().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return net, inputs
