"""The benchmark's Q-network for many runs at once: parameters, forward and backward passes written out.

Four times [linear -> batch normalisation -> leaky ReLU -> dropout], then a linear head (Theate & Ernst 2021, public code).
Every tensor has a leading axis, the run. Gradients are written by hand, so that the half of a double-Q step that learns and
the half that only looks share their products.

Two sets of primitives do the same arithmetic: `CpuKernels` goes from run to run with oneDNN's products where torch has
them, `StackedKernels` handles all runs in one operation for a GPU. benchmarks/train_speed.py compares them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

SLOPE = 0.01  # leaky ReLU
EPS, MOMENTUM = 1e-5, 0.1  # batch normalisation


class Network:
    """Stacked parameters and running statistics, dictionaries from name to tensor with leading axis run.

    Names are those of a torch module with layers fc1.. and bn1..: `fc1.weight` (run, out, in), `fc1.bias` (run, out),
    `bn1.weight`, `bn1.bias`, `bn1.running_mean`, `bn1.running_var` (run, out). `by_run` holds each run's slices of all of
    them; they share memory.
    """

    def __init__(self, parameters: dict[str, Tensor], statistics: dict[str, Tensor], layers: int) -> None:
        self.parameters, self.statistics, self.layers = parameters, statistics, layers
        slices = {name: value.unbind() for name, value in self.tensors().items()}
        runs = len(next(iter(slices.values())))
        self.by_run = [{name: value[run] for name, value in slices.items()} for run in range(runs)]

    def layers_of(self, run: int) -> list[tuple[Tensor, ...]]:
        """A run's layers in order: weight and bias of the product; scale, shift, mean and variance of the normalisation."""
        own, parts = self.by_run[run], ("weight", "bias", "running_mean", "running_var")
        linear = [(own[f"fc{layer}.weight"], own[f"fc{layer}.bias"]) for layer in range(1, self.layers + 2)]
        normal = [tuple(own[f"bn{layer}.{part}"] for part in parts) for layer in range(1, self.layers + 1)]
        return [(*product, *rest) for product, rest in zip(linear, [*normal, ()], strict=True)]

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and statistics together."""
        return {**self.parameters, **self.statistics}

    def map(self, change: Callable[[Tensor], Tensor]) -> Network:
        """A network with `change` applied to every tensor: `clone`, `to`, a slice."""
        parameters, statistics = (
            {name: change(value) for name, value in store.items()} for store in (self.parameters, self.statistics)
        )
        return Network(parameters, statistics, self.layers)

    def run(self, index: int) -> Network:
        """One run's network, still with a leading axis of length 1; shares memory."""
        return self.map(lambda value: value[index : index + 1])


class Layer(NamedTuple):
    """What the backward pass needs of a layer, learning half only."""

    inputs: Tensor  # (run, batch, in)
    products: Tensor  # (run, batch, out), before normalisation
    mean: Tensor  # (run, out), of the batch
    inverse_sd: Tensor  # (run, out)
    active: Tensor  # (run, batch, out), after leaky ReLU, before dropout
    mask: Tensor | None  # dropout mask, 0 or 1 / (1 - p)


class Kernels(Protocol):
    """The primitives; `x` and gradients are (run, batch, width), `layer` counts from 1."""

    def narrow(self, x: Tensor) -> Tensor:
        """An input of products, in the precision of products."""

    def refresh(self, net: Network) -> None:
        """Called before a learning step: parameters may have changed."""

    def linear(self, x: Tensor, net: Network, layer: int) -> Tensor: ...
    def input_gradient(self, gradient: Tensor, net: Network, layer: int) -> Tensor: ...
    def weight_gradient(self, gradient: Tensor, x: Tensor) -> Tensor: ...
    def bias_gradient(self, gradient: Tensor) -> Tensor: ...
    def normalise(self, z: Tensor, net: Network, layer: int) -> tuple[Tensor, Tensor, Tensor]: ...
    def normalise_fixed(self, z: Tensor, net: Network, layer: int) -> Tensor: ...
    def normalise_gradient(
        self, gradient: Tensor, kept: Layer, net: Network, layer: int
    ) -> tuple[Tensor, Tensor, Tensor]: ...
    def clip(self, gradients: list[Tensor], limit: float) -> None: ...


def initial_network(features: Sequence[int], hidden: int, layers: int, seeds: list[int]) -> Network:
    """Xavier-uniform weights (gain 1) and torch's default biases, U(+-1/sqrt(inputs)); each seed draws its own.

    `features` is what each run observes. Runs that observe less than the widest get zero weights for the rest, whose inputs
    are zero: they stay zero, and such a run is what it would be alone.
    """
    widest = max(features)
    runs = [_initial_run(own, hidden, layers, seed) for own, seed in zip(features, seeds, strict=True)]
    for run, own in zip(runs, features, strict=True):
        run["fc1.weight"] = torch.nn.functional.pad(run["fc1.weight"], (0, widest - own))
    parameters = {name: torch.stack([run[name] for run in runs]) for name in runs[0]}
    statistics = {}
    for layer in range(1, layers + 1):
        statistics[f"bn{layer}.running_mean"] = torch.zeros(len(seeds), hidden)
        statistics[f"bn{layer}.running_var"] = torch.ones(len(seeds), hidden)
    return Network(parameters, statistics, layers)


def q_values(net: Network, x: Tensor, kernels: Kernels) -> Tensor:
    """Evaluation mode: running statistics, no dropout. x (run, batch, features) to (run, batch, action)."""
    for layer in range(1, net.layers + 1):
        z = kernels.linear(kernels.narrow(x), net, layer)
        x = torch.nn.functional.leaky_relu_(kernels.normalise_fixed(z, net, layer), SLOPE)
    return kernels.linear(kernels.narrow(x), net, net.layers + 1)


def row_values(layers: list[tuple[Tensor, ...]], x: Tensor) -> Tensor:
    """`q_values` of one observation x (1, features) by one run's `layers_of`, to (1, action); the CPU acts with it."""
    *hidden, (head, offset) = layers
    for weight, bias, scale, shift, mean, variance in hidden:
        z = torch.nn.functional.linear(x, weight, bias)
        z = torch.native_batch_norm(z, scale, shift, mean, variance, False, MOMENTUM, EPS)[0]
        x = torch.nn.functional.leaky_relu_(z, SLOPE)
    return torch.nn.functional.linear(x, head, offset)


def training_forward(
    net: Network, x: Tensor, masks: Tensor | None, batch: int, kernels: Kernels, fixed_second: bool = False
) -> tuple[Tensor, list[Layer], Tensor]:
    """Training mode for two batches that share their products: x (run, 2 * batch, features), states then next states.

    Each half is normalised by its own statistics, in that order, and each updates the running ones. `masks` is the dropout
    mask of shape (layer, run, 2 * batch, hidden) or None. With `fixed_second` the second half is evaluated instead.
    Returns Q (run, 2 * batch, action), the layers kept for `backward`, and the head's inputs (run, batch, hidden).
    """
    kept = []
    for layer in range(1, net.layers + 1):
        x = kernels.narrow(x)
        z = kernels.linear(x, net, layer)
        first, mean, inverse_sd = kernels.normalise(z[:, :batch], net, layer)
        if fixed_second:
            second = kernels.normalise_fixed(z[:, batch:], net, layer)
        else:
            second, _, _ = kernels.normalise(z[:, batch:], net, layer)
        active = torch.nn.functional.leaky_relu_(torch.cat([first, second], 1), SLOPE)
        mask = None if masks is None else masks[layer - 1]
        own_mask = None if mask is None else mask[:, :batch]
        kept.append(Layer(x[:, :batch], z[:, :batch], mean, inverse_sd, active[:, :batch], own_mask))
        if mask is None:
            x = active
        elif fixed_second:
            x = torch.cat([active[:, :batch] * mask[:, :batch], active[:, batch:]], 1)
        else:
            x = active * mask
    x = kernels.narrow(x)
    return kernels.linear(x, net, net.layers + 1), kept, x[:, :batch]


def backward(
    net: Network, kept: list[Layer], head_inputs: Tensor, q_gradient: Tensor, kernels: Kernels
) -> dict[str, Tensor]:
    """Gradients of every parameter from the loss's gradient with respect to Q, (run, batch, action)."""
    head, flow = net.layers + 1, kernels.narrow(q_gradient)
    gradients = {
        f"fc{head}.weight": kernels.weight_gradient(flow, head_inputs),
        f"fc{head}.bias": kernels.bias_gradient(q_gradient),
    }
    flow = kernels.input_gradient(flow, net, head)
    for layer in range(net.layers, 0, -1):
        here = kept[layer - 1]
        if here.mask is not None:
            flow = flow * here.mask
        flow = torch.ops.aten.leaky_relu_backward(flow, here.active, SLOPE, True)
        flow, scale, shift = kernels.normalise_gradient(flow, here, net, layer)
        gradients[f"bn{layer}.weight"], gradients[f"bn{layer}.bias"] = scale, shift
        gradients[f"fc{layer}.bias"] = kernels.bias_gradient(flow)
        flow = kernels.narrow(flow)
        gradients[f"fc{layer}.weight"] = kernels.weight_gradient(flow, here.inputs)
        if layer > 1:
            flow = kernels.input_gradient(flow, net, layer)
    return {name: gradients[name] for name in net.parameters}


class CpuKernels:
    """One run after the other, each small enough to stay in the processor's cache."""

    def __init__(self) -> None:
        self._has_onednn = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")

    def narrow(self, x: Tensor) -> Tensor:
        return x

    def refresh(self, net: Network) -> None:
        pass

    def linear(self, x: Tensor, net: Network, layer: int) -> Tensor:
        weight, bias = f"fc{layer}.weight", f"fc{layer}.bias"
        runs = zip(x.unbind(), net.by_run, strict=True)
        return _stack([self._product(own, run[weight], run[bias]) for own, run in runs])

    def input_gradient(self, gradient: Tensor, net: Network, layer: int) -> Tensor:
        name = f"fc{layer}.weight"
        runs = zip(gradient.unbind(), net.by_run, strict=True)
        return _stack([self._product(own, run[name].t(), None) for own, run in runs])

    def weight_gradient(self, gradient: Tensor, x: Tensor) -> Tensor:
        runs = zip(gradient.unbind(), x.unbind(), strict=True)
        return _stack([self._product(own.t(), inputs.t(), None) for own, inputs in runs])

    def bias_gradient(self, gradient: Tensor) -> Tensor:
        return _stack([own.sum(0) for own in gradient.unbind()])

    def normalise(self, z: Tensor, net: Network, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        return self._normalise(z, net, layer, True)

    def normalise_fixed(self, z: Tensor, net: Network, layer: int) -> Tensor:
        return self._normalise(z, net, layer, False)[0]

    def normalise_gradient(
        self, gradient: Tensor, kept: Layer, net: Network, layer: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        scale = f"bn{layer}.weight"
        columns = (tensor.unbind() for tensor in (gradient, kept.products, kept.mean, kept.inverse_sd))
        parts = [
            torch.ops.aten.native_batch_norm_backward(g, z, run[scale], None, None, m, i, True, EPS, [True, True, True])
            for run, g, z, m, i in zip(net.by_run, *columns, strict=True)
        ]
        return (
            _stack([part[0] for part in parts]),
            _stack([part[1] for part in parts]),
            _stack([part[2] for part in parts]),
        )

    def clip(self, gradients: list[Tensor], limit: float) -> None:
        """Scales each run's gradients, in place, so that their joint L2 norm is at most `limit`."""
        for own in zip(*(gradient.unbind() for gradient in gradients), strict=True):
            norm = float(torch.stack(torch._foreach_norm(own)).norm())
            if norm + 1e-6 > limit:
                torch._foreach_mul_(own, limit / (norm + 1e-6))

    def _normalise(self, z: Tensor, net: Network, layer: int, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        names = [f"bn{layer}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        parts = []
        for own, run in zip(z.unbind(), net.by_run, strict=True):
            scale, shift, running_mean, running_var = (run[name] for name in names)
            parts.append(torch.native_batch_norm(own, scale, shift, running_mean, running_var, training, MOMENTUM, EPS))
        return (
            _stack([part[0] for part in parts]),
            _stack([part[1] for part in parts]),
            _stack([part[2] for part in parts]),
        )

    def _product(self, a: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """a @ weight.T + bias."""
        if self._has_onednn and a.shape[0] > 1 and a.dtype != torch.float64:
            return torch.ops.mkldnn._linear_pointwise(a, weight, bias, "none", [], "")
        return torch.nn.functional.linear(a, weight, bias)


class CpuBfloat16Kernels(CpuKernels):
    """Products of bfloat16 numbers, summed in float32 and rounded to bfloat16; everything else stays float32."""

    def __init__(self) -> None:
        super().__init__()
        self._weights: list[dict[str, Tensor]] = []  # rounded once per learning step

    def narrow(self, x: Tensor) -> Tensor:
        return x.bfloat16()

    def refresh(self, net: Network) -> None:
        names = [name for name in net.parameters if name.startswith("fc")]
        self._weights = [{name: run[name].bfloat16() for name in names} for run in net.by_run]

    def linear(self, x: Tensor, net: Network, layer: int) -> Tensor:  # noqa: ARG002 (uses the rounded weights)
        weight, bias = f"fc{layer}.weight", f"fc{layer}.bias"
        runs = zip(x.unbind(), self._weights, strict=True)
        return _stack([self._product(own, run[weight], run[bias]).float() for own, run in runs])

    def input_gradient(self, gradient: Tensor, net: Network, layer: int) -> Tensor:  # noqa: ARG002 (likewise)
        name = f"fc{layer}.weight"
        runs = zip(gradient.unbind(), self._weights, strict=True)
        return _stack([self._product(own, run[name].t(), None).float() for own, run in runs])

    def weight_gradient(self, gradient: Tensor, x: Tensor) -> Tensor:
        return super().weight_gradient(gradient, x).float()


class StackedKernels:
    """All runs in one operation."""

    def narrow(self, x: Tensor) -> Tensor:
        return x

    def refresh(self, net: Network) -> None:
        pass

    def linear(self, x: Tensor, net: Network, layer: int) -> Tensor:
        bias, weight = net.parameters[f"fc{layer}.bias"], net.parameters[f"fc{layer}.weight"]
        return torch.baddbmm(bias[:, None], x, weight.mT)

    def input_gradient(self, gradient: Tensor, net: Network, layer: int) -> Tensor:
        return torch.bmm(gradient, net.parameters[f"fc{layer}.weight"])

    def weight_gradient(self, gradient: Tensor, x: Tensor) -> Tensor:
        return torch.bmm(gradient.mT, x)

    def bias_gradient(self, gradient: Tensor) -> Tensor:
        return gradient.sum(1)

    def normalise(self, z: Tensor, net: Network, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        scale, shift, running_mean, running_var = _normalisation(net, layer)
        batch = z.shape[1]
        variance, mean = torch.var_mean(z, dim=1, correction=0)
        inverse_sd = torch.rsqrt(variance + EPS)
        running_mean.lerp_(mean, MOMENTUM)
        running_var.lerp_(variance * (batch / (batch - 1)), MOMENTUM)
        slope = scale * inverse_sd
        return torch.addcmul((shift - mean * slope)[:, None], z, slope[:, None]), mean, inverse_sd

    def normalise_fixed(self, z: Tensor, net: Network, layer: int) -> Tensor:
        scale, shift, running_mean, running_var = _normalisation(net, layer)
        slope = scale * torch.rsqrt(running_var + EPS)
        return torch.addcmul((shift - running_mean * slope)[:, None], z, slope[:, None])

    def normalise_gradient(
        self, gradient: Tensor, kept: Layer, net: Network, layer: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        standard = (kept.products - kept.mean[:, None]) * kept.inverse_sd[:, None]
        scale_gradient, shift_gradient = (gradient * standard).sum(1), gradient.sum(1)
        batch = gradient.shape[1]
        centred = gradient - (shift_gradient[:, None] + standard * scale_gradient[:, None]) / batch
        slope = net.parameters[f"bn{layer}.weight"] * kept.inverse_sd
        return centred * slope[:, None], scale_gradient, shift_gradient

    def clip(self, gradients: list[Tensor], limit: float) -> None:
        """Scales each run's gradients, in place, so that their joint L2 norm is at most `limit`."""
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
        factor = (limit / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))


class StackedBfloat16Kernels(StackedKernels):
    """Stacked products of bfloat16 numbers; see `CpuBfloat16Kernels`."""

    def narrow(self, x: Tensor) -> Tensor:
        return x.bfloat16()

    def linear(self, x: Tensor, net: Network, layer: int) -> Tensor:
        bias, weight = net.parameters[f"fc{layer}.bias"], net.parameters[f"fc{layer}.weight"]
        return torch.bmm(x, weight.bfloat16().mT).float() + bias[:, None]

    def input_gradient(self, gradient: Tensor, net: Network, layer: int) -> Tensor:
        return torch.bmm(gradient, net.parameters[f"fc{layer}.weight"].bfloat16()).float()

    def weight_gradient(self, gradient: Tensor, x: Tensor) -> Tensor:
        return torch.bmm(gradient.mT, x).float()


def kernels_for(device: torch.device, precision: str, stacked: bool = False) -> Kernels:
    """The primitives that suit a device and a precision of products ("float32" or "bfloat16")."""
    if device.type == "cpu" and not stacked:
        return CpuKernels() if precision == "float32" else CpuBfloat16Kernels()
    return StackedKernels() if precision == "float32" else StackedBfloat16Kernels()


def _initial_run(features: int, hidden: int, layers: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    widths = [features] + [hidden] * layers + [2]
    parameters = {}
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1):
        bound = (6.0 / (inputs + outputs)) ** 0.5
        parameters[f"fc{layer}.weight"] = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
        bound = inputs**-0.5
        parameters[f"fc{layer}.bias"] = torch.empty(outputs).uniform_(-bound, bound, generator=generator)
        if layer <= layers:
            parameters[f"bn{layer}.weight"] = torch.ones(outputs)
            parameters[f"bn{layer}.bias"] = torch.zeros(outputs)
    return parameters


def _normalisation(net: Network, layer: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scale, shift, running mean and running variance of a layer, each (run, out)."""
    name = f"bn{layer}"
    return (
        net.parameters[f"{name}.weight"],
        net.parameters[f"{name}.bias"],
        net.statistics[f"{name}.running_mean"],
        net.statistics[f"{name}.running_var"],
    )


def _stack(parts: list[Tensor]) -> Tensor:
    return parts[0][None] if len(parts) == 1 else torch.stack(parts)
