"""A step on a whole sphere: its terms in the paper's order of things, and what reaches whom."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goodsam.data.errors import InputError
from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.stages.adapt.beyond.view import View, ViewConfig, draw_view
from goodsam.stages.adapt.fusion import MaskBatch, fuse
from goodsam.stages.adapt.step import Networks, StepConfig, adaptation_step
from goodsam.stages.adapt.watch import measure, strip
from tests.stages.adapt import rasters

PLANS = [VerticalWindows.of(16, 32), TangentWindows(16, 32)]
NAMES = ("road", "car", "sky")
TEACHER_TERMS = {"teacher_windows", "consistency", "teacher_boundary"}
STUDENT_TERMS = {"whole_image", "student_windows", "student_boundary"}
EACH = pytest.mark.parametrize("plan", PLANS, ids=["vertical", "tangent"])


class Maps(torch.nn.Module):
    """A network whose logits of an image are its parameters, whatever the image."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, pixel_values: torch.Tensor):
        return SimpleNamespace(logits=self.logits)


class Pixelwise(torch.nn.Module):
    """Logits of each pixel from that pixel alone: whatever moves it moves its logits."""

    def forward(self, pixel_values: torch.Tensor):
        return SimpleNamespace(logits=pixel_values * 2)


def networks_for(plan, classes=3):
    """Logits in pieces, so that there are boundaries, and float64."""
    rng = np.random.default_rng(0)
    h, w = plan.window_shape
    coarse = rng.normal(size=(len(plan), classes, h // 4, w // 4))
    teacher = 4 * coarse.repeat(4, axis=2).repeat(4, axis=3) + rng.normal(size=(classes, h, w))
    student = 3 * rng.normal(size=(1, 3, plan.height, plan.width))
    return Networks(*(Maps(torch.from_numpy(logits)) for logits in (teacher, student)))


def inputs_for(plan):
    rng = np.random.default_rng(2)
    h, w = plan.window_shape
    stacks = rng.random((len(plan), 5, h // 4, w // 4)).repeat(4, 2).repeat(4, 3) < 0.3
    masks = [WindowMasks.of(stack, np.ones(5), np.ones(5)) for stack in stacks]
    boundaries = [torch.from_numpy(b) for b in overlap_boundaries(masks, plan)]
    image = torch.from_numpy(rng.normal(size=(1, 3, plan.height, plan.width)))
    return image, MaskBatch.of(masks), boundaries


def step(plan, networks, **settings):
    kept, view = settings.pop("kept", None), settings.pop("view", View())
    pasted = settings.pop("pasted", None)
    config = StepConfig(**settings)
    inputs = inputs_for(plan)
    return adaptation_step(networks, *inputs, plan, config, kept, view=view, pasted_HW=pasted)


@EACH
@pytest.mark.parametrize(("targets", "reduction"), [("soft", "printed"), ("hard", "balanced")])
def test_the_terms_are_those_of_loops_over_the_pixels(plan, targets, reduction):
    networks = networks_for(plan)
    outcome = step(plan, networks, whole_image_targets=targets, boundary_reduction=reduction)
    logits, whole = networks.teacher.logits.detach(), networks.student.logits.detach()
    _, masks, boundaries = inputs_for(plan)
    ensemble, weight_map = fuse(logits, masks)
    assert torch.equal(outcome.ensemble, ensemble)
    assert torch.equal(outcome.labels.weight_map, weight_map)
    assert 0 < weight_map.mean() < 1

    def to_ensemble(p):
        ce = -p.gather(1, ensemble[:, None])[:, 0].log()
        return (ce + 0.2 * weight_map * ce).mean()

    p, of_student = logits.softmax(1), whole.softmax(1)
    goal = plan.join(p)[None]
    if targets == "hard":
        goal = plan.join_labels(logits.argmax(1))[None]
    cut = plan.cut_overlaps(of_student[0].numpy())
    squares, teacher, student = [], [], []
    for i, overlap in enumerate(plan.overlaps):
        left, right, shown = rasters.meet(plan, overlap, p.numpy())
        squares.append(((left - right) ** 2)[:, shown].ravel())
        refined = rasters.refined(left, right, shown, boundaries[i].numpy(), plan.search(overlap))
        np.testing.assert_array_equal(outcome.refined[i].numpy(), refined)
        both = [rasters.soft(side, shown) for side in (left, right)]
        teacher.append(rasters.boundary_loss(refined, both, shown, reduction))
        own = [rasters.soft(cut[i], shown)]
        student.append(rasters.boundary_loss(refined, own, shown, reduction))
    expected = {
        "teacher_windows": to_ensemble(p).item(),
        "student_windows": to_ensemble(plan.cut(of_student[0])).item(),
        "whole_image": F.cross_entropy(whole, goal).item(),
        "consistency": np.concatenate(squares).mean(),
        "teacher_boundary": np.mean(teacher),
        "student_boundary": np.mean(student),
    }
    assert set(outcome.terms) == set(expected)
    for name, value in expected.items():
        assert outcome.terms[name].item() == pytest.approx(value, rel=1e-5), name


@EACH
def test_each_loss_reaches_its_own_network_only(plan):
    networks = networks_for(plan)
    outcome = step(plan, networks)
    assert set(outcome.terms) == TEACHER_TERMS | STUDENT_TERMS
    for name, term in outcome.terms.items():
        pair = (networks.teacher.logits, networks.student.logits)
        of_teacher, of_student = torch.autograd.grad(
            term, pair, retain_graph=True, allow_unused=True
        )
        own, other = of_teacher, of_student
        if name in STUDENT_TERMS:
            own, other = other, own
        assert other is None, name
        assert own.abs().sum() > 0, name
    for made in (outcome.ensemble, outcome.labels.weight_map, *outcome.refined):
        assert not made.requires_grad


@EACH
@pytest.mark.parametrize("network", ["teacher", "student"])
@pytest.mark.parametrize("space", ["probabilities", "logits"])
def test_the_steps_gradient_by_finite_differences(plan, network, space):
    networks = networks_for(plan)
    logits = getattr(networks, network).logits

    def total():
        return getattr(step(plan, networks, consistency_space=space), network)

    (gradient,) = torch.autograd.grad(total(), logits)
    direction, small = gradient / gradient.norm(), 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            logits += sign * small * direction
            values.append(total().item())
            logits -= sign * small * direction
    slope = (values[0] - values[1]) / (2 * small)
    assert slope == pytest.approx(gradient.norm().item(), rel=1e-4)


@EACH
@pytest.mark.parametrize("by", ["kept", "ignored"])
def test_no_loss_comes_from_pixels_that_are_not_kept(plan, by):
    """Left out by the cache, or because a class map ignores what the labeller sees there."""
    kept = torch.ones(plan.height, plan.width, dtype=torch.bool)
    kept[4:12, 6:20] = False
    if by == "kept":
        networks = networks_for(plan)
        outcome = step(plan, networks, kept=kept)
    else:
        networks = networks_for(plan, classes=4)  # the last one is what is ignored
        with torch.no_grad():
            ignored = plan.cut_labels(~kept)
            networks.teacher.logits[:, 3] = torch.where(ignored, 99.0, -99.0).double()
        kept = ~plan.join_labels(ignored)
        outcome = step(plan, networks)
    (outcome.teacher + outcome.student).backward()
    # a pixel's soft boundary looks at its neighbours, and a window's pixels are made of several
    near = F.max_pool2d(kept[None, None].float(), 5, 1, 2)[0, 0] > 0
    of_student, of_teacher = networks.student.logits.grad[0], networks.teacher.logits.grad[:, :3]
    assert (of_student[:, ~near] == 0).all()
    assert (of_student[:, kept] != 0).any(dim=0).all()
    assert (of_teacher.movedim(1, -1)[~plan.cut_labels(near)] == 0).all()
    left_out = ~plan.cut_labels(kept)
    assert (outcome.ensemble[left_out] == 255).all()
    assert (outcome.labels.weight_map[left_out] == 0).all()
    assert (outcome.ensemble[~left_out] != 255).all()


@EACH
def test_both_networks_may_see_the_sphere_mirrored_and_turned(plan):
    """What comes back is in its place: of networks that see pixels, it is the same."""
    networks = Networks(Pixelwise(), Pixelwise(), labeller=Pixelwise())
    plain = step(plan, networks)
    for view in (View(mirror=True), View(roll=13), View(mirror=True, roll=5)):
        seen = step(plan, networks, view=view)
        for name, term in plain.terms.items():
            torch.testing.assert_close(seen.terms[name], term)


@EACH
def test_pasted_things_are_labels_in_every_window_that_shows_them(plan):
    pasted = torch.full((plan.height, plan.width), 255)
    pasted[5:9, 28:32] = 1
    outcome = step(plan, networks_for(plan), pasted=pasted)
    in_windows = plan.cut_labels(pasted) == 1
    assert 0 < in_windows.flatten(1).any(dim=1).sum() < len(plan)
    assert (outcome.ensemble[in_windows] == 1).all()
    assert (outcome.labels.weight_map[in_windows] == 1).all()


def test_a_strip_of_windows_is_refused_for_they_stand_in_no_row():
    picture = torch.zeros(16, 32, 3, dtype=torch.uint8)
    for plan in PLANS:
        with pytest.raises(InputError, match=r"set view\.windows=null"):
            draw_view(ViewConfig(windows=3), plan, picture, 0, 0)
        views = ViewConfig(mirror=True, roll=True, photometric=0.5, paste=True)
        assert draw_view(views, plan, picture, 0, 0).indices(plan) == list(range(len(plan)))


def test_windows_that_share_nothing_have_no_losses_of_overlaps():
    cube = TangentWindows(16, 32, 90, 90)
    outcome = step(cube, networks_for(cube))
    assert set(outcome.terms) == {"teacher_windows", "whole_image", "student_windows"}


@EACH
def test_what_is_shown_of_a_step(plan):
    outcome = step(plan, networks_for(plan))
    figures = measure(outcome, NAMES)
    student = outcome.student_log_p[0].argmax(0)[::4, ::4]
    same = student == plan.join_labels(outcome.teacher_labels)[::4, ::4]
    assert figures["student_agreement"] == same.float().mean()
    picture = strip(torch.zeros(16, 32, 3, dtype=torch.uint8), outcome, NAMES)
    assert picture.shape == (5 * 16, 32, 3)
    drawn = np.zeros((16, 32), bool)
    for overlap, refined in zip(plan.overlaps, outcome.refined, strict=True):
        rows, columns = plan.overlap_pixels(overlap)
        for y, x in np.argwhere(refined.numpy()):
            drawn[rows[y, 0], columns[0, x]] = True
    np.testing.assert_array_equal(picture[48:64].any(axis=-1), drawn)
