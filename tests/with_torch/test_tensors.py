"""Tensors of torch: found, moved through JSON and Arrow. They need torch, which the other tests do not."""

import pytest
import torch

from model_envelope.inference.values import type_of
from model_envelope.runtime import signature as s
from model_envelope.runtime.codec import MethodCodec, dump_json, parse_json
from model_envelope.runtime.codec.arrow.streams import decode_arrow, encode_arrow, encode_arrow_arguments
from model_envelope.runtime.errors import InvalidAnswer, InvalidPayload, InvalidSignature

NAN, INF = float("nan"), float("inf")
TENSORS = [
    *(
        torch.tensor([[0, 1], [1, 0]], dtype=dtype)
        for dtype in (
            torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32,
            torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64,
            torch.complex128,
        )
    ),
    torch.tensor([2**63 - 1, -(2**63)]),
    torch.tensor([NAN, INF, -INF, 1.5]),
    torch.tensor([NAN, 1.5], dtype=torch.bfloat16),
    torch.tensor([complex(NAN, 1)]),
    torch.tensor(1.5),
    torch.zeros((2, 0, 3)),
    torch.ones((2, 3), requires_grad=True).T,
]  # fmt: skip


@pytest.mark.parametrize("tensor", TENSORS, ids=lambda tensor: f"{tensor.dtype}-{tuple(tensor.shape)}")
def test_a_tensor_comes_back_equal(tensor):
    kind = type_of(tensor)
    assert kind.flavor is s.Flavor.TORCH
    codec = MethodCodec(s.Method((s.Parameter("x", kind),), kind), {})
    body = parse_json(dump_json(codec.encode_arguments({"x": tensor})))
    by_arrow = decode_arrow(codec, encode_arrow_arguments(codec, {"x": tensor}))
    for found in (codec.decode(body).positional[0], by_arrow.positional[0]):
        assert type(found) is torch.Tensor
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert torch.allclose(found.to(torch.complex128), tensor.detach().to(torch.complex128), 0, 0, equal_nan=True)
    if tensor.dim():
        assert encode_arrow(codec, tensor)


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.zeros((2, 3)), s.Tensor("float32", (None, 3), 0, s.Flavor.TORCH)),
        (torch.tensor(1), s.Tensor("int64", (), None, s.Flavor.TORCH)),
        (torch.zeros(1, dtype=torch.bfloat16), s.Tensor("float32", (None,), 0, s.Flavor.TORCH, storage="bfloat16")),
        (torch.nn.Parameter(torch.tensor([NAN])), s.Tensor("float32", (None,), 0, s.Flavor.TORCH, non_finite=True)),
    ],
)
def test_the_type_of_a_tensor(tensor, kind):
    assert type_of(tensor) == kind


@pytest.mark.parametrize(
    "tensor", [torch.zeros((2, 2)).to_sparse(), torch.zeros(2, dtype=torch.float8_e4m3fn)], ids=["sparse", "float8"]
)
def test_a_tensor_without_a_type_is_refused(tensor):
    with pytest.raises(InvalidSignature) as caught:
        type_of(tensor)
    assert caught.value.code == "signature.unknown-type"
    assert "dense" in caught.value.hint


def test_numbers_beyond_the_dtype_are_refused():
    for dtype, value in ((torch.bfloat16, 3.4e38), (torch.float16, 65520), (torch.uint8, 256), (torch.int64, 2**63)):
        kind = type_of(torch.zeros(1, dtype=dtype))
        codec = MethodCodec(s.Method((s.Parameter("x", kind),), kind), {})
        with pytest.raises(InvalidPayload) as caught:
            codec.decode({"x": [1, value]})
        assert [problem.path for problem in caught.value.problems] == ["$.x[1]"]


@pytest.mark.parametrize("answer", [torch.zeros(2, dtype=torch.float64), torch.zeros((1, 1)), [1.0], "a"])
def test_another_tensor_is_no_answer(answer):
    kind = type_of(torch.zeros(1))
    with pytest.raises(InvalidAnswer):
        MethodCodec(s.Method((), kind), {}).encode(answer)
