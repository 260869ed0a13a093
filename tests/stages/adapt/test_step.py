"""The step: which loss reaches which network, and that a switched-off loss is gone."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from goodsam.data.errors import InputError
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.adapt.boundary import hard_boundary, refine_boundary, soft_boundary
from goodsam.stages.adapt.fusion import MaskBatch, fuse
from goodsam.stages.adapt.losses import boundary_loss
from goodsam.stages.adapt.step import ByClass, LossWeights, Networks, StepConfig, adaptation_step
from goodsam.stages.adapt.watch import measure
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.segment import segment

WINDOWS = Windows(32, 128, 32, 16)
NAMES = ("road", "car", "sky")
TEACHER_TERMS = {"teacher_windows", "consistency", "teacher_boundary"}
STUDENT_TERMS = {"whole_image", "student_windows", "student_boundary"}


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return build_segformer("w16", NAMES).eval(), build_segformer("w16", NAMES).eval()


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(len(WINDOWS)):
        stack = np.zeros((4, 32, 32), bool)
        for mask in stack:
            y, x = rng.integers(24, size=2)
            mask[y : y + 8, x : x + 8] = True
        masks.append(WindowMasks.of(stack, np.ones(4), np.ones(4)))
    boundaries = [torch.from_numpy(b) for b in overlap_boundaries(masks, WINDOWS)]
    image = torch.from_numpy(rng.normal(size=(1, 3, 32, 128)).astype(np.float32))
    return image, MaskBatch.of(masks), boundaries


@pytest.fixture(scope="module")
def sharp(networks):
    """The same two networks with classifiers that are sure of something."""
    pair = copy.deepcopy(networks)
    with torch.no_grad():
        for network in pair:
            network.decode_head.classifier.weight *= 300
    return pair


def inputs_for(windows: Windows):
    rng = np.random.default_rng(2)
    stacks = rng.random((len(windows), 5, 4, windows.window // 8)).repeat(8, 2).repeat(8, 3) < 0.3
    masks = [WindowMasks.of(stack, np.ones(5), np.ones(5)) for stack in stacks]
    boundaries = [torch.from_numpy(b) for b in overlap_boundaries(masks, windows)]
    image = torch.from_numpy(rng.normal(size=(1, 3, 32, 128)).astype(np.float32))
    return image, MaskBatch.of(masks), boundaries


def gradients(network: torch.nn.Module) -> float:
    return sum(p.grad.abs().sum().item() for p in network.parameters() if p.grad is not None)


def run(networks, inputs, windows=WINDOWS, **weights):
    config = StepConfig(weights=LossWeights(**weights))
    for network in networks:
        network.zero_grad()
    return adaptation_step(Networks(*networks), *inputs, windows, config)


def test_each_loss_reaches_its_own_network_only(networks, inputs):
    teacher, student = networks
    outcome = run(networks, inputs)
    assert set(outcome.terms) == TEACHER_TERMS | STUDENT_TERMS
    outcome.student.backward(retain_graph=True)
    assert gradients(teacher) == 0
    assert gradients(student) > 0
    student.zero_grad()
    outcome.teacher.backward()
    assert gradients(teacher) > 0
    assert gradients(student) == 0


@pytest.mark.parametrize("name", sorted(TEACHER_TERMS | STUDENT_TERMS))
def test_each_loss_can_be_switched_off(networks, inputs, name):
    outcome = run(networks, inputs, **{name: 0.0})
    assert set(outcome.terms) == (TEACHER_TERMS | STUDENT_TERMS) - {name}


def test_totals_are_weighted_sums(networks, inputs):
    weights = {name: w for w, name in enumerate(sorted(TEACHER_TERMS | STUDENT_TERMS), start=1)}
    outcome = run(networks, inputs, **weights)
    for total, names in ((outcome.teacher, TEACHER_TERMS), (outcome.student, STUDENT_TERMS)):
        expected = sum(weights[name] * outcome.terms[name].item() for name in names)
        assert total.item() == pytest.approx(expected, rel=1e-5)


class Maps(torch.nn.Module):
    """A network whose logits of an image are its parameters, whatever the image."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, pixel_values: torch.Tensor):
        return SimpleNamespace(logits=self.logits)


@pytest.mark.parametrize("reduction", ["printed", "balanced"])
def test_no_loss_comes_from_pixels_that_are_not_kept(inputs, reduction):
    torch.manual_seed(3)
    n = len(WINDOWS)
    networks = Maps(3 * torch.randn(n, 3, 32, 32)), Maps(3 * torch.randn(1, 3, 32, 128))
    kept = torch.ones(32, 128, dtype=torch.bool)
    kept[20:, 40:90] = False
    config = StepConfig(boundary_reduction=reduction)
    outcome = adaptation_step(Networks(*networks), *inputs, WINDOWS, config, kept)
    (outcome.teacher + outcome.student).backward()
    assert all(term.item() > 0 for term in outcome.terms.values())
    # a kept pixel's soft boundary looks at its neighbours: the ignored ones beside it take part
    inner = kept.clone()
    inner[20:, 39:91] = True
    inner[21:, 41:89] = False
    student, teacher = networks[1].logits.grad[0], networks[0].logits.grad
    assert (student[:, ~inner] == 0).all()
    assert (student[:, kept] != 0).any(dim=0).all()
    assert (teacher.movedim(1, -1)[~WINDOWS.cut(inner)] == 0).all()
    assert (teacher.movedim(1, -1)[WINDOWS.cut(kept)] != 0).any(dim=-1).all()
    ignored = ~WINDOWS.cut(kept)
    assert (outcome.ensemble[ignored] == 255).all()
    assert (outcome.labels.weight_map[ignored] == 0).all()


def test_of_each_class_the_surest_pixels_can_be_learnt_from_alone(sharp, inputs):
    """Eq. 5 and 6 of half the pixels are those of all, weighted so; nothing else changes."""
    every = adaptation_step(Networks(*sharp), *inputs, WINDOWS, StepConfig())
    half = adaptation_step(Networks(*sharp), *inputs, WINDOWS, StepConfig(confident=0.5))
    kept = half.ensemble != 255
    assert (half.ensemble == every.ensemble)[kept].all()
    for label in every.ensemble.unique().tolist():
        count = int((every.ensemble == label).sum())
        assert int((half.ensemble == label).sum()) == -(-count // 2)
    p = segment(sharp[0], WINDOWS.cut(inputs[0][0])).softmax(dim=1)
    of_label = p.gather(1, every.ensemble[:, None])[:, 0]
    weight = 1 + 0.2 * every.labels.weight_map
    expected = (-of_label.log() * weight)[kept].mean()
    torch.testing.assert_close(half.terms["teacher_windows"], expected)
    for label in every.ensemble.unique().tolist():
        own = every.ensemble == label
        if (own & ~kept).any():
            assert of_label[own & kept].min() >= of_label[own & ~kept].max()
    for name in ("whole_image", "consistency", "teacher_boundary", "student_boundary"):
        assert half.terms[name] == every.terms[name]
    agreement = measure(half, NAMES)["agreement"]
    torch.testing.assert_close(
        agreement, (half.teacher_labels == half.ensemble)[kept].float().mean()
    )
    with pytest.raises(InputError, match=r"step.confident 0"):
        StepConfig(confident=0)


def test_classes_can_weigh_differently_in_eq_5_and_6_alone(sharp, inputs):
    heavy = torch.tensor([1.0, 3.0, 0.5])
    plain = adaptation_step(Networks(*sharp), *inputs, WINDOWS, StepConfig())
    found = adaptation_step(
        Networks(*sharp), *inputs, WINDOWS, StepConfig(), by_class=ByClass(weights=heavy)
    )
    of_pixel = heavy[plain.ensemble] * (1 + 0.2 * plain.labels.weight_map)
    whole = found.student_log_p[0]
    for name, log_p in (
        ("teacher_windows", segment(sharp[0], WINDOWS.cut(inputs[0][0])).log_softmax(dim=1)),
        ("student_windows", WINDOWS.cut(whole)),
    ):
        own = log_p.gather(1, plain.ensemble[:, None])[:, 0]
        torch.testing.assert_close(found.terms[name], -(own * of_pixel).mean())
    for name in ("whole_image", "consistency", "teacher_boundary", "student_boundary"):
        assert found.terms[name] == plain.terms[name]


def test_no_overlaps_no_overlap_losses(networks, inputs):
    image, _, _ = inputs
    windows = Windows(32, 128, 32, 32)
    masks = MaskBatch.of([WindowMasks.of(np.zeros((0, 32, 32), bool), np.ones(0), np.ones(0))] * 4)
    outcome = run(networks, (image, masks, []), windows)
    assert set(outcome.terms) == {"teacher_windows", "whole_image", "student_windows"}
    # no mask anywhere: the ensemble is the TA's own label, trusted nowhere
    assert torch.equal(outcome.ensemble, outcome.teacher_labels.long())
    assert outcome.labels.weight_map.sum() == 0


def test_overlaps_of_unequal_width_weigh_by_pixels_and_by_overlap(networks):
    windows = Windows(32, 128, 48, 40)  # overlaps of 8, 8, 8 and 40 columns
    assert len({overlap.width for overlap in windows.overlaps}) == 2
    rng = np.random.default_rng(1)
    stack = np.zeros((1, 32, 48), bool)
    stack[0, 8:24, 4:40] = True
    masks = [WindowMasks.of(stack, np.ones(1), np.ones(1))] * len(windows)
    boundaries = [torch.from_numpy(b) for b in overlap_boundaries(masks, windows)]
    image = torch.from_numpy(rng.normal(size=(1, 3, 32, 128)).astype(np.float32))
    outcome = run(networks, (image, MaskBatch.of(masks), boundaries), windows)
    with torch.no_grad():
        p = segment(networks[0], windows.cut(image[0])).softmax(1)
    pairs = [windows.pair(p, overlap) for overlap in windows.overlaps]
    squares = torch.cat([((a - b) ** 2).flatten() for a, b in pairs])
    assert outcome.terms["consistency"].item() == pytest.approx(squares.mean().item(), rel=1e-5)
    assert [tuple(r.shape) for r in outcome.refined] == [(32, o.width) for o in windows.overlaps]


@pytest.mark.parametrize("targets", ["soft", "hard"])
@pytest.mark.parametrize("reduction", ["printed", "balanced"])
@pytest.mark.parametrize(
    "windows", [WINDOWS, Windows(32, 128, 48, 40), Windows(32, 128, 32, 16, False)]
)
def test_the_terms_are_those_of_predictions_cut_out_one_by_one(sharp, targets, reduction, windows):
    """The step's shortcuts against the paper's order of things: cut first, then compute."""
    image, masks, boundaries = inputs_for(windows)
    config = StepConfig(whole_image_targets=targets, boundary_reduction=reduction)
    outcome = adaptation_step(Networks(*sharp), image, masks, boundaries, windows, config)
    with torch.no_grad():
        logits = segment(sharp[0], windows.cut(image[0]))
        whole = segment(sharp[1], image)
    ensemble, weight_map = fuse(logits, masks, config.fusion)
    assert torch.equal(outcome.ensemble, ensemble)
    assert torch.equal(outcome.labels.weight_map, weight_map)
    assert 0 < weight_map.mean() < 1

    def to_ensemble(predicted):
        ce = torch.nn.functional.cross_entropy(predicted, ensemble, reduction="none")
        return (ce + config.lambda_ * weight_map * ce).mean()

    joined = windows.join(logits)[None]
    goal = joined.softmax(1) if targets == "soft" else joined.argmax(1)
    teacher, student = [], []
    for index, overlap in enumerate(windows.overlaps):
        left, right = (side[None].softmax(1) for side in windows.pair(logits, overlap))
        first, second = (side.topk(2, dim=1).values for side in (left, right))
        refined = refine_boundary(
            hard_boundary(left.argmax(1)),
            hard_boundary(right.argmax(1)),
            boundaries[index][None],
            first[:, 0] - first[:, 1],
            second[:, 0] - second[:, 1],
        )
        assert torch.equal(outcome.refined[index], refined[0])
        both = (soft_boundary(left), soft_boundary(right))
        teacher.append(boundary_loss(refined, both, reduction))
        crop = whole[..., windows.overlap_columns(overlap)].softmax(1)
        student.append(boundary_loss(refined, (soft_boundary(crop),), reduction))
    expected = {
        "teacher_windows": to_ensemble(logits),
        "student_windows": to_ensemble(windows.cut(whole[0])),
        "whole_image": torch.nn.functional.cross_entropy(whole, goal),
        "teacher_boundary": torch.stack(teacher).mean(),
        "student_boundary": torch.stack(student).mean(),
    }
    for name, value in expected.items():
        assert outcome.terms[name].item() == pytest.approx(value.item(), rel=1e-5, abs=1e-6), name


def test_nothing_flows_through_the_labels(sharp):
    outcome = adaptation_step(Networks(*sharp), *inputs_for(WINDOWS), WINDOWS, StepConfig())
    for made in (
        outcome.ensemble,
        outcome.labels.weight_map,
        outcome.labels.trusted,
        *outcome.refined,
    ):
        assert not made.requires_grad
    assert any(refined.any() for refined in outcome.refined)


@pytest.mark.parametrize("network", [0, 1])
def test_the_steps_gradient_by_finite_differences(sharp, network):
    """Of both totals, along the gradient of the classifier's bias, in float64."""
    pair = [copy.deepcopy(n).double() for n in sharp]
    image, masks, boundaries = inputs_for(WINDOWS)
    bias = pair[network].decode_head.classifier.bias

    def total() -> torch.Tensor:
        outcome = adaptation_step(
            Networks(*pair), image.double(), masks, boundaries, WINDOWS, StepConfig()
        )
        return outcome.teacher if network == 0 else outcome.student

    loss = total()
    (gradient,) = torch.autograd.grad(loss, bias)
    direction, small = gradient / gradient.norm(), 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            bias += sign * small * direction
            values.append(total().item())
            bias -= sign * small * direction
    assert (values[0] - values[1]) / (2 * small) == pytest.approx(gradient.norm().item(), rel=1e-4)
