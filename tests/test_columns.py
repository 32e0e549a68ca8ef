"""Column read-out and replacement equal the dense float64 maps, for fresh random inputs of every shape."""

import pytest
import torch
from styo.styo_attention.columns import Replacement, read_columns, replace_columns, replace_columns_of


def dense_map(q, k, heads):
    q, k = (t.double().unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k))
    return torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1)


def dense_attention(m, v, heads):
    v = v.double().unflatten(-1, (heads, -1)).transpose(1, 2)
    return (m @ v).transpose(1, 2).flatten(-2)


def attention(heads):
    return lambda q, k, v: dense_attention(dense_map(q, k, heads), v, heads).to(v.dtype)


def random_qkv(b, n, t, heads, d, dtype=torch.float32):
    return [torch.randn(b, length, heads * d, dtype=dtype) * 2 for length in (n, t, t)]


CASES = [
    (1, 33, 77, 8, 40, list(range(21, 28))),
    (3, 16, 77, 4, 8, [5, 9, 70]),
    (2, 20, 154, 2, 16, [75, 76, 78, 79, 153]),
    (1, 12, 231, 2, 8, list(range(100, 131))),
    (1, 7, 77, 1, 160, [0]),
]


@pytest.mark.parametrize(("b", "n", "t", "heads", "d", "columns"), CASES)
def test_read_columns_equal_the_softmax_columns(b, n, t, heads, d, columns):
    q, k, _ = random_qkv(b, n, t, heads, d)
    expected = dense_map(q, k, heads)[..., columns]
    torch.testing.assert_close(read_columns(q, k, columns, heads).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["direct", "delta"])
@pytest.mark.parametrize("strength", [1.0, 0.4])
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize(("b", "n", "t", "heads", "d", "columns"), CASES)
def test_equation_3(b, n, t, heads, d, columns, repeats, strength, form):
    """In float64 both forms are exact; a second prompt in the batch is left alone."""
    q, k, v = random_qkv(2 * b, n, t, heads, d, torch.float64)
    k, v = k.repeat(1, repeats, 1), v.repeat(1, repeats, 1)
    source = dense_map(*random_qkv(b, n, t, heads, d, torch.float64)[:2], heads)[..., columns]
    rows = slice(b, 2 * b)

    m = dense_map(q, k, heads).unflatten(-1, (repeats, t)).sum(-2)
    m[rows, :, :, columns] = (1 - strength) * m[rows][..., columns] + strength * source
    expected = dense_attention(m, v[:, :t], heads)

    given = v.clone()
    replacements = [Replacement(rows, columns, t, source, strength)]
    if form == "direct":
        result = replace_columns(q, k, v, replacements, heads, attention(heads))
    else:
        base = attention(heads)(q, k, v)
        result = replace_columns_of(base, q, k, v, replacements, heads)
        assert torch.equal(base, attention(heads)(q, k, v)), "the other node's output was changed"
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(v, given)


def test_one_source_map_serves_a_batch():
    q, k, v = random_qkv(3, 10, 77, 4, 8)
    source = dense_map(*random_qkv(1, 10, 77, 4, 8)[:2], 4)[..., :5].float()
    batch = replace_columns(q, k, v, [Replacement(slice(0, 3), range(5), 77, source)], 4, attention(4))
    for i in range(3):
        item = [t[i : i + 1] for t in (q, k, v)]
        alone = replace_columns(*item, [Replacement(slice(0, 1), range(5), 77, source)], 4, attention(4))
        torch.testing.assert_close(batch[i : i + 1], alone)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_within_its_rounding(dtype):
    q, k, v = (t.to(dtype) for t in random_qkv(1, 64, 77, 8, 40))
    columns = list(range(21, 28))
    source = read_columns(q.flip(1), k, columns, 8)
    m = dense_map(q, k, 8)
    m[..., columns] = dense_map(q.flip(1), k, 8)[..., columns]
    expected = dense_attention(m, v, 8)
    result = replace_columns(q, k, v, [Replacement(slice(0, 1), columns, 77, source)], 8, attention(8))
    error = (result.double() - expected).norm() / expected.norm()
    assert error < 4 * torch.finfo(dtype).eps
