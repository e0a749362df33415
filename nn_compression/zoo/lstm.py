"""A language model of long short-term memory layers, a token at a time."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

__all__ = ["LstmLanguageModel", "lstm_language_model"]


class LstmLanguageModel(nn.Module):
    """An embedding, LSTM layers, a linear layer; the state starts at zero in every window.

    One ``nn.LSTM`` a layer, not one of two layers: each may then have its own number of units after pruning. Dropout
    acts between the layers and before the output only, not along time (Zaremba et al. 2014).
    """

    def __init__(self, classes: int, units: int, layers: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding)
        sizes = [embedding, *[units] * layers]
        self.layers = nn.ModuleList(nn.LSTM(inputs, outputs, batch_first=True) for inputs, outputs in pairwise(sizes))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(units, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (windows, length) to logits of the token that follows each (windows, length, classes)."""
        hidden = self.embedding(tokens)
        for layer in self.layers:
            hidden, _ = layer(hidden)
            hidden = self.dropout(hidden)
        return self.linear(hidden)  # type: ignore[no-any-return]


def lstm_language_model(
    classes: int = 65, units: int = 512, layers: int = 2, embedding: int = 128, dropout: float = 0.3
) -> LstmLanguageModel:
    """An LSTM language model.

    Args:
        classes: tokens of the vocabulary; tinyshakespeare has 65 characters.
        units: of each layer.
        layers: LSTM layers.
        embedding: width of the embedding.
        dropout: share of the units dropped after each LSTM layer, in training.
    """
    return LstmLanguageModel(classes, units, layers, embedding, dropout)
