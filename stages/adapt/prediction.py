"""A network's prediction in the forms that fusion and the losses read, computed once for all.

Class by class, where a sum or a maximum over classes is wanted: its temporaries are then maps of
one class, which stay in the processor's cache, while a new tensor of all classes costs a CPU more
than the arithmetic on it. Shapes: N windows or images, C classes, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Prediction:
    """labels: uint8 (N, H, W), the argmax. ignored: bool (N, H, W), where what a class map ignores
    is likelier; None: no map ignores any. The others: (N, C, H, W), with their gradient.
    """

    logits: torch.Tensor
    labels: torch.Tensor
    log_probabilities: torch.Tensor
    probabilities: torch.Tensor
    ignored: torch.Tensor | None = None

    @classmethod
    def of(cls, logits_NCHW: torch.Tensor, classes: int | None = None) -> Prediction:
        """From logits of at most 255 classes; those of 16 bits are made float32.

        classes: how many; a channel more is of those that a class map ignores. None: all channels.
        """
        if logits_NCHW.dtype.itemsize < 4:
            logits_NCHW = logits_NCHW.float()
        logits_NCHW, ignored = _without_ignored(logits_NCHW, classes)
        log_p = logits_NCHW.log_softmax(dim=1)
        return cls(logits_NCHW, argmax_labels(logits_NCHW), log_p, log_p.exp(), ignored)

    @classmethod
    def of_probabilities(
        cls, probabilities_NCHW: torch.Tensor, classes: int | None = None
    ) -> Prediction:
        """From float32 probabilities that sum to 1; their logarithms stand for the logits."""
        log_p = probabilities_NCHW.clamp(min=torch.finfo(probabilities_NCHW.dtype).tiny).log_()
        if classes is not None and log_p.shape[1] > classes:
            return cls.of(log_p, classes)
        return cls(log_p, argmax_labels(probabilities_NCHW), log_p, probabilities_NCHW)

    @property
    def classes(self) -> int:
        """How many classes it has."""
        return self.probabilities.shape[1]

    @torch.no_grad()
    def entropy(self) -> torch.Tensor:
        """Shannon entropy of each pixel's softmax, nats, (N, H, W); without gradient."""
        found = torch.zeros_like(self.probabilities[:, 0])
        for p, log_p in zip(
            self.probabilities.unbind(1), self.log_probabilities.unbind(1), strict=True
        ):
            found.addcmul_(p, log_p, value=-1)
        return found

    def margin(self) -> torch.Tensor:
        """`D`, the difference of the two largest probabilities of each pixel, (N, H, W)."""
        return margin_of(self.probabilities)


@torch.no_grad()
def margin_of(probabilities_NCHW: torch.Tensor) -> torch.Tensor:
    """`Prediction.margin` of these probabilities."""
    first, *others = probabilities_NCHW.unbind(1)
    highest, second = first.clone(), torch.zeros_like(first)
    for p in others:
        torch.maximum(second, torch.minimum(highest, p), out=second)
        torch.maximum(highest, p, out=highest)
    return highest - second


def _without_ignored(
    logits_NCHW: torch.Tensor, classes: int | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The logits of the classes, and where the channel beyond them, if there is one, is larger."""
    if classes is None or logits_NCHW.shape[1] == classes:
        return logits_NCHW, None
    wanted, beyond = logits_NCHW.split([classes, 1], dim=1)
    return wanted, (beyond[:, 0] > wanted.amax(dim=1)).detach()


@torch.no_grad()
def argmax_labels(logits_NCHW: torch.Tensor) -> torch.Tensor:
    """uint8 (N, H, W): the class with the largest logit, of equal ones the first."""
    highest = logits_NCHW.amax(dim=1)
    labels = torch.zeros_like(highest, dtype=torch.uint8)
    for label in range(logits_NCHW.shape[1] - 1, -1, -1):
        labels.masked_fill_(logits_NCHW[:, label] == highest, label)
    return labels
