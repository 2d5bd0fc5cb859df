"""One trial on several devices of a machine: each process, a rank, trains on its share of every batch.

DistributedDataParallel (Li et al. 2020, arXiv 2006.15704) averages the gradients. The ranks meet in a file of the run's
private folder: torch's server for that, at MASTER_PORT, listens on all networks and asks for no token. What gloo and
NCCL then open is on loopback.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = timedelta(days=30)
"""Whoever started the ranks ends them all once one has died. One may wait while another decodes a data set."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of its trial: each has the whole model and all images, and draws the same order."""

    rank: int = 0
    count: int = 1

    def share(self, images: int, least: int) -> tuple[slice, float]:
        """This rank's rows of a batch of so many images, and the factor of its mean loss.

        With these factors, the average of the ranks' losses is the mean over the batch. No rank has fewer than `least`
        images: where too few are left for all, the last ranks see those of the first, and their factor is 0.
        """
        sharers = max(1, min(self.count, images // least))
        here = self.rank if self.rank < sharers else 0
        size, more = divmod(images, sharers)
        first = here * size + min(here, more)
        rows = slice(first, first + size + int(here < more))
        return rows, (rows.stop - rows.start) * self.count / images if here == self.rank else 0.0

    def parallel(self, net: nn.Module) -> nn.Module:
        """`net`, whose gradients are then the average over all ranks. Each rank calls this at the same time."""
        return DistributedDataParallel(net, find_unused_parameters=True) if self.count > 1 else net

    def summed(self, values: Tensor) -> Tensor:
        """The sum of the ranks' `values`, of the same shape on each."""
        if self.count > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def part(self, index: Tensor) -> Tensor:
        """This rank's part of the indices (N,)."""
        return index.tensor_split(self.count)[self.rank]

    def gathered(self, part: Tensor, rows: int) -> Tensor:
        """The ranks' parts (n, ...) of so many rows as one tensor (rows, ...), where `part` divided their indices."""
        if self.count == 1:
            return part
        whole = torch.zeros((rows, *part.shape[1:]), dtype=part.dtype, device=part.device)
        whole[self.part(torch.arange(rows, device=part.device))] = part
        distributed.all_reduce(whole)  # with zeros, which change no value
        return whole

    def share_statistics(self, model: nn.Module) -> None:
        """Give every rank the first one's buffers, such as the statistics of batch normalisation."""
        if self.count > 1:
            for values in model.buffers():
                distributed.broadcast(values, 0)

    def agree(self, number: int) -> bool:
        """Whether `number` is the same on every rank."""
        if self.count == 1:
            return True
        ends = torch.tensor([number, -number], device=self._device())
        distributed.all_reduce(ends, distributed.ReduceOp.MAX)
        return bool(ends[0] == -ends[1])

    def reseed(self, seed: int, epoch: int) -> None:
        """Have dropout draw otherwise on each rank, and the same again where an epoch is trained again."""
        if self.count > 1:
            drawn = np.random.SeedSequence([seed, epoch, self.rank]).generate_state(1, np.uint64)[0]
            torch.manual_seed(int(drawn) >> 1)

    @staticmethod
    def _device() -> str:
        return "cuda" if distributed.get_backend() == "nccl" else "cpu"


ALONE = Ranks()
"""The one process of a trial."""


def join(rank: int, count: int, meeting: str, device: str) -> Ranks:
    """Make this process one of `count` ranks, which meet in the file `meeting`; on CUDA, it takes the GPU `rank`.

    Sets the variables of torchrun that tell a model's code the same. Waits for the others. A process joins once.
    """
    if count == 1:
        return ALONE
    if not distributed.is_initialized():
        known = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count}
        os.environ.update({name: str(value) for name, value in known.items()})
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
        if device == "cuda":
            torch.cuda.set_device(rank)
        store = distributed.FileStore(meeting, count)  # type: ignore[attr-defined] # it is public
        store.set_timeout(_PATIENCE)
        backend = "nccl" if device == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=_PATIENCE)
    return Ranks(rank, count)
