"""A target distribution over all combinations of its attributes' classes."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch

from fairdemo.stats.attributes import TARGET_CLASSES

Target = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Joint:
    """A target over all combinations of its attributes' groups: `groups` by attribute (each a tuple of
    classes), `shares` (K,), and the group of each attribute in each combination, `members` (K,
    attributes)."""

    groups: dict[str, tuple[tuple[str, ...], ...]]
    shares: np.ndarray
    members: np.ndarray

    def logits(self, logits: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Of each attribute's groups (n, groups), from those of its classes."""
        return {
            a: torch.stack(
                [
                    torch.logsumexp(logits[a][:, [TARGET_CLASSES[a].index(c) for c in group]], 1)
                    for group in groups
                ],
                1,
            )
            for a, groups in self.groups.items()
        }

    def probabilities(self, logits: dict[str, torch.Tensor]) -> np.ndarray:
        """Of each attribute's groups, side by side (n, D)."""
        tables = [torch.softmax(t.detach().double(), 1).cpu().numpy() for t in self.logits(logits).values()]
        return np.concatenate(tables, 1)

    @property
    def corners(self) -> np.ndarray:
        """What `probabilities` would be if each combination were sure (K, D)."""
        sizes = [len(groups) for groups in self.groups.values()]
        return np.concatenate([np.eye(size)[self.members[:, k]] for k, size in enumerate(sizes)], 1)

    def likeliest(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest group in each attribute (n, attributes) and its probability, of probabilities
        (n, D)."""
        ends = np.cumsum([len(groups) for groups in self.groups.values()])
        parts = np.split(p, ends[:-1], 1)
        return np.stack([part.argmax(1) for part in parts], 1), np.stack([part.max(1) for part in parts], 1)

    def marginals(self, p: np.ndarray) -> list[np.ndarray]:
        """Of each attribute's groups (n, groups), from those of all combinations (n, K)."""
        return [
            np.stack([p[:, self.members[:, k] == g].sum(1) for g in range(len(groups))], 1)
            for k, groups in enumerate(self.groups.values())
        ]


def joint_of(target: Target) -> Joint:
    """A target's combinations; ValueError if a class is unknown, missing or named twice, or shares don't
    sum to 1."""
    groups, shares = {}, []
    if not target or set(target) - set(TARGET_CLASSES):
        raise ValueError(
            f"target is over {', '.join(target) or 'nothing'}; expected some of {', '.join(TARGET_CLASSES)}"
        )
    for attribute, classes in TARGET_CLASSES.items():
        if attribute not in target:
            continue
        named = {
            tuple(c.strip() for c in name.split("+")): share for name, share in target[attribute].items()
        }
        all_named = list(itertools.chain(*named))
        if sorted(all_named) != sorted(classes) or len(named) < 2:
            raise ValueError(
                f"target of {attribute} names {', '.join(all_named)}; expected each of {', '.join(classes)}"
                " once, in two groups or more (a plus sign joins classes)"
            )
        if any(
            isinstance(v, bool) or not isinstance(v, (int, float)) or not 0 <= v <= 1 for v in named.values()
        ) or not math.isclose(sum(named.values()), 1, abs_tol=1e-3):
            raise ValueError(
                f"target shares of {attribute} are {list(named.values())}; expected numbers from 0 to 1 that"
                " sum to 1"
            )
        groups[attribute] = tuple(named)
        shares.append(np.array(list(named.values())) / sum(named.values()))
    whole = np.ones(1)
    for s in shares:
        whole = np.multiply.outer(whole, s).ravel()
    return Joint(
        groups, whole, np.stack(np.unravel_index(np.arange(whole.size), [len(s) for s in shares]), 1)
    )
