"""Networks of tokens: attention in the forms in which people write it, norms over units, recurrence."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.structure.zoo.case import Case, images, tokens


class Attention(nn.Module):
    """By hand, as in a vision transformer: one layer for q, k and v, and a reshape with constants.

    joined: what makes one vector of the heads' outputs: any number of them (flatten), or as many as there were (a constant)"""

    def __init__(self, dim: int, heads: int, joined: Callable[[Tensor], Tensor] = lambda x: x.flatten(2)) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.joined = heads, dim // heads, joined
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)  # (N, heads, L, head_dim) each
        weights = (q @ k.transpose(-2, -1) * self.head_dim ** -0.5).softmax(-1)
        return self.proj(self.joined((weights @ v).transpose(1, 2)))  # (N, L, heads, head_dim) -> (N, L, C)


class EinsumAttention(nn.Module):
    """Three layers, heads by view, products by einsum."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).view(*x.shape[:2], self.heads, -1) for layer in (self.q, self.k, self.v))  # (N, L, heads, head_dim) each
        weights = torch.einsum("nqhd,nkhd->nhqk", q, k).div(8).softmax(-1)
        return self.out(torch.einsum("nhqk,nkhd->nqhd", weights, v).flatten(2))


class OneHead(nn.Module):
    """Attention of one head, whose q and k can lose equal dimensions, and v its own."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(6, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), scale=0.3))


class Block(nn.Module):
    """A transformer's block around one of these attentions, and a head on the mean of the tokens."""

    def __init__(self, attention: nn.Module, dim: int) -> None:
        super().__init__()
        self.embed, self.attention = nn.Linear(5, dim), attention
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp, self.head = nn.Sequential(nn.Linear(dim, 20), nn.GELU(), nn.Linear(20, dim)), nn.Linear(dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.attention(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return self.head(x.mean(1))


class Language(nn.Module):
    """Embeddings of words and places, a torch encoder, and an output layer whose weight is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(11, 16), nn.Parameter(torch.empty(1, 6, 16))
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 24, batch_first=True, norm_first=True), 2,
                                             enable_nested_tensor=False)
        self.head = nn.Linear(16, 11)
        self.head.weight = self.word.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.word(x) + self.place))


class WordVectors(nn.Module):
    """An embedding whose units can leave, and an encoder and a decoder that are one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.tied, self.head = nn.Embedding(11, 8), nn.Linear(8, 12), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tied(self.word(x)).relu()
        return self.head(F.linear(x, self.tied.weight.T).tanh().mean(1))


class NormMLP(nn.Module):
    """A residual stream under a norm over its units; the hidden layer has none."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Linear(6, 16), norm(16), nn.Linear(16, 3)
        self.up, self.down = nn.Linear(16, 20), nn.Linear(20, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(self.norm(x + self.down(F.silu(self.up(self.norm(x))))))


class LstmHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(3, 8, 3), nn.Conv1d(8, 6, 3)
        self.lstm, self.head = nn.LSTM(6, 7, batch_first=True), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x).relu()).relu()
        return self.head(self.lstm(x.transpose(1, 2))[0][:, -1])


class FixedTokens(nn.Module):
    """Tokens cut out of a layer's units by a view with constants."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.tokens, self.mix, self.head = nn.Linear(6, 10), nn.Linear(10, 24), nn.Linear(6, 5), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(self.stem(x).relu()).view(-1, 4, 6)
        return self.head(self.mix(x).relu().flatten(1))


def encoder_layer(norm_first: bool) -> nn.Module:
    return nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, norm_first=norm_first, activation="gelu")


TOKENS = {
    "encoder_layer": Case(lambda: encoder_layer(False), images(5, 16), cut=("linear1",),
                          kept={"self_attn.in_proj_weight": "MultiheadAttention"}),
    "encoder_layer_norm_first": Case(lambda: encoder_layer(True), images(5, 16), cut=("linear1",)),
    "attention_by_hand": Case(lambda: Block(Attention(24, 4), 24), images(6, 5), cut=("embed", "attention.qkv", "mlp.0")),
    "attention_as_many_heads_as_dimensions": Case(lambda: Block(Attention(16, 4), 16), images(6, 5), cut=("mlp.0",)),
    "attention_joined_by_a_constant": Case(lambda: Block(Attention(24, 4, lambda x: x.reshape(-1, 6, 24)), 24), images(6, 5),
                                           cut=("embed", "mlp.0"), kept={"attention.qkv": "shape"}),
    "attention_by_einsum": Case(lambda: Block(EinsumAttention(16, 2), 16), images(6, 5), cut=("embed", "mlp.0"),
                                kept={"attention.q": "einsum"}),
    "attention_of_one_head": Case(OneHead, images(6, 6), whole=True),
    "language": Case(Language, tokens(6, 11), cut=("encoder.layers.0.linear1", "encoder.layers.1.linear1"),
                     kept={"word": "MultiheadAttention"}),
    "word_vectors": Case(WordVectors, tokens(6, 11), whole=True),
    "layer_norm": Case(lambda: NormMLP(nn.LayerNorm), images(6), whole=True),
    "rms_norm": Case(lambda: NormMLP(nn.RMSNorm), images(6), whole=True),
    "group_norm": Case(lambda: NormMLP(lambda width: nn.GroupNorm(4, width)), images(6), cut=("up",), kept={"embed": "group_norm"}),
    "lstm": Case(LstmHead, images(3, 12), cut=("conv1",), kept={"conv2": "lstm"}),
    "fixed_tokens": Case(FixedTokens, images(6), cut=("stem", "mix"), kept={"tokens": "places"}),
}
