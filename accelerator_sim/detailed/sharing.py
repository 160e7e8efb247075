"""How the cores of an accelerator share an op, and what each operand then asks of the hardware.

Servers, by index: the tiers (one memory each; of a per-core tier the busiest core's), the
interconnect, the port of the busiest core, then the write ports of tiers that have their own, then
the streams whose requests in flight bound them.
"""

from dataclasses import dataclass, replace

from accelerator_sim.accelerator import Accelerator, Home
from graph_ir.workload import MacWork, Op, Operand, Role, Split, TensorKind

RESIDENT_KINDS = (TensorKind.WEIGHT, TensorKind.STATE)


@dataclass(frozen=True, slots=True)
class Route:
    """Where the bytes of one complete reading or writing go: (server, seconds) of each."""

    hops: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Servers:
    """Rates of all servers.

    Attributes:
        bytes_per_s: reading rate for memories, the rate for links and write ports.
        write_server: by tier, the server that writes go to.
        write_bytes_per_s: by tier.
        scale: by server, how many groups of cores share it.
        tier_count: memories; the interconnect's index, and the port's less one.
        streams: servers of the kinds of stream that a tier bounds, by tier and kind.
    """

    bytes_per_s: tuple[float, ...]
    write_server: tuple[int, ...]
    write_bytes_per_s: tuple[float, ...]
    scale: tuple[int, ...]
    tier_count: int
    streams: dict[tuple[int, str], int]

    @property
    def interconnect(self) -> int:
        """Index of the interconnect."""
        return self.tier_count

    @property
    def port(self) -> int:
        """Index of the port."""
        return self.tier_count + 1

    def read(self, tier: int, size_bytes: float) -> tuple[int, float]:
        """Server and seconds of reading from a tier."""
        return tier, size_bytes * self.scale[tier] / self.bytes_per_s[tier]

    def write(self, tier: int, size_bytes: float) -> tuple[int, float]:
        """Server and seconds of writing to a tier."""
        server = self.write_server[tier]
        return server, size_bytes * self.scale[tier] / self.write_bytes_per_s[tier]

    def bounded(self, route: Route, tier: int, kind: str) -> Route:
        """A route from or to a tier, which bounds streams of this kind."""
        server = self.streams.get((tier, kind))
        if server is None:
            return route
        reached, seconds = route.hops[0]
        size = seconds * (
            self.bytes_per_s[reached] if reached == tier else self.write_bytes_per_s[tier]
        )
        return Route((*route.hops, (server, size / self.bytes_per_s[server])))

    def link(self, server: int, size_bytes: float) -> tuple[int, float]:
        """Server and seconds of crossing the interconnect or the port."""
        return server, size_bytes * self.scale[server] / self.bytes_per_s[server]


def servers_of(accelerator: Accelerator) -> Servers:
    """The servers of an accelerator."""
    tiers, net = accelerator.tiers, accelerator.interconnect
    rates = [tier.read_bytes_per_s.value for tier in tiers]
    rates += [net.bytes_per_s.value, net.port_bytes_per_s.value]
    scale = [accelerator.groups if tier.scope == "shared" else 1 for tier in tiers]
    scale += [accelerator.groups, 1]
    write_server = []
    for index, tier in enumerate(tiers):
        if tier.ports == "separate":
            write_server.append(len(rates))
            rates.append(tier.write_bytes_per_s.value)
            scale.append(scale[index])
        else:
            write_server.append(index)
    streams: dict[tuple[int, str], int] = {}
    for index, tier in enumerate(tiers):
        for kind, rate in sorted(tier.stream_bytes_per_s.items()):
            streams[index, kind] = len(rates)
            rates.append(rate.value)
            scale.append(scale[index])
    return Servers(
        tuple(rates),
        tuple(write_server),
        tuple(tier.write_bytes_per_s.value for tier in tiers),
        tuple(scale),
        len(tiers),
        streams,
    )


@dataclass(frozen=True, slots=True)
class Sharing:
    """One way to share an op.

    Attributes:
        split: along which dimension.
        active: cores that have work.
        works: the products of the busiest core.
    """

    split: Split
    active: int
    works: tuple[MacWork, ...]


def sharings_of(op: Op, cores: int) -> list[Sharing]:
    """All ways that the op's outputs allow."""
    if cores == 1:
        return [Sharing(Split.NONE, 1, op.mac_work)]
    found = []
    for split, extent in ((Split.ROWS, op.rows), (Split.COLUMNS, op.columns)):
        writes = [o for o in op.operands if o.is_write]
        if extent > 1 and all(split in o.split_by for o in writes):
            active = min(cores, extent)
            works = tuple(_part(work, split, active) for work in op.mac_work)
            found.append(Sharing(split, active, works))
    return found or [Sharing(Split.NONE, 1, op.mac_work)]


def _part(work: MacWork, split: Split, active: int) -> MacWork:
    """The busiest core's part of a product; whole products are dealt out before columns."""
    batch, rows, columns = work.batch, work.rows, work.columns
    if split is Split.ROWS:
        rows = -(-rows // active)
    elif batch >= active:
        batch = -(-batch // active)
    else:
        cores_each = active // batch
        batch, columns = 1, -(-columns // cores_each)
    return replace(work, batch=batch, rows=rows, columns=columns)


@dataclass(frozen=True, slots=True)
class Share:
    """Bytes of an operand: all of it, and what the busiest core needs of it."""

    whole: float
    core: float
    divided: bool


def share_of(operand: Operand, sharing: Sharing, stored_ratio: float) -> Share:
    """Bytes of one complete reading or writing."""
    whole = operand.traffic_bytes * stored_ratio
    if sharing.active == 1 or sharing.split not in operand.split_by:
        return Share(whole, whole, sharing.active == 1)
    halo = operand.halo_bytes * stored_ratio if sharing.split is Split.ROWS else 0.0
    return Share(whole, min(whole, whole / sharing.active + halo), True)


def _sent(share: Share, sharing: Sharing, accelerator: Accelerator) -> float:
    """Bytes that leave a shared memory for one reading by all cores."""
    if accelerator.interconnect.multicast or sharing.active == 1:
        return share.whole
    return share.core * sharing.active


def is_local(operand: Operand, kind: TensorKind, sharing: Sharing, cores: int) -> bool:
    """Whether a partitioned operand lies on the cores that use it."""
    if operand.role is Role.SCRATCH:
        return True
    cut = Split.COLUMNS if kind in RESIDENT_KINDS else Split.ROWS
    return cut is sharing.split and sharing.split in operand.split_by and sharing.active == cores


def reading(
    operand: Operand, kind: TensorKind, home: Home, sharing: Sharing, share: Share,
    accelerator: Accelerator, servers: Servers,
) -> Route:  # fmt: skip
    """Read an operand once from its home into the tile buffers."""
    cores = accelerator.core_count
    if home.mode == "shared":
        sent = _sent(share, sharing, accelerator)
        hops = [servers.read(home.tier, sent)]
        if cores > 1:
            hops.append(servers.link(servers.interconnect, sent))
        hops.append(servers.link(servers.port, share.core))
        return Route(tuple(hops))
    if home.mode == "replicated" or cores == 1:
        return Route((servers.read(home.tier, share.core),))
    if is_local(operand, kind, sharing, cores):
        halo = max(0.0, share.core - share.whole / cores) if operand.halo_bytes else 0.0
        hops = [servers.read(home.tier, share.core)]
        if halo > 0.0:
            hops.append(servers.link(servers.interconnect, halo * (cores - 1)))
            hops.append(servers.link(servers.port, halo))
        return Route(tuple(hops))
    others = (cores - 1) / cores
    copies = 1
    if not share.divided and not accelerator.interconnect.multicast:
        copies = sharing.active
    return Route(
        (
            servers.read(home.tier, share.whole / cores * copies),
            servers.link(servers.interconnect, share.whole * others * copies),
            servers.link(servers.port, share.core * others),
        )
    )


def writing(
    operand: Operand, kind: TensorKind, home: Home, sharing: Sharing, share: Share,
    accelerator: Accelerator, servers: Servers,
) -> Route:  # fmt: skip
    """Write an operand once from the tile buffers to its home."""
    cores = accelerator.core_count
    if home.mode == "shared":
        hops = [servers.write(home.tier, share.whole)]
        if cores > 1:
            hops.append(servers.link(servers.interconnect, share.whole))
        hops.append(servers.link(servers.port, share.core))
        return Route(tuple(hops))
    if operand.role is Role.SCRATCH or cores == 1:
        return Route((servers.write(home.tier, share.core),))
    others = (cores - 1) / cores
    if home.mode == "replicated":
        # Everybody's share goes to all others.
        copies = 1 if accelerator.interconnect.multicast else cores - 1
        return Route(
            (
                servers.write(home.tier, share.whole),
                servers.link(servers.interconnect, share.whole * copies),
                servers.link(servers.port, share.whole * others),
            )
        )
    stored = servers.write(home.tier, share.whole / cores)
    if is_local(operand, kind, sharing, cores):
        return Route((stored,))
    return Route(
        (
            stored,
            servers.link(servers.interconnect, share.whole * others),
            servers.link(servers.port, share.core * others),
        )
    )


@dataclass(frozen=True, slots=True)
class StreamRoutes:
    """A weight or state of an outer tier on its way through the staging ring.

    Attributes:
        fill: from its home into the ring.
        drain: from the ring into the tile buffers.
        ring_bytes: room that all of it takes in the ring.
    """

    fill: Route
    drain: Route
    ring_bytes: float


def streaming(
    home: Home, sharing: Sharing, share: Share, accelerator: Accelerator, servers: Servers
) -> StreamRoutes:
    """Bring an operand in once through the ring in the innermost tier."""
    tiers, inner = accelerator.tiers, len(accelerator.tiers) - 1
    sent = _sent(share, sharing, accelerator)
    if tiers[inner].scope == "shared":
        hops = [servers.read(home.tier, share.whole), servers.write(inner, share.whole)]
        drain = [servers.read(inner, sent), servers.link(servers.port, share.core)]
        if accelerator.core_count > 1:
            hops.append(servers.link(servers.interconnect, share.whole))
            drain.append(servers.link(servers.interconnect, sent))
        return StreamRoutes(Route(tuple(hops)), Route(tuple(drain)), share.whole)
    drain = [servers.read(inner, share.core)]
    if tiers[home.tier].scope == "per-core":
        hops = [servers.read(home.tier, share.core), servers.write(inner, share.core)]
    else:
        hops = [
            servers.read(home.tier, sent),
            servers.link(servers.interconnect, sent),
            servers.link(servers.port, share.core),
            servers.write(inner, share.core),
        ]
    return StreamRoutes(Route(tuple(hops)), Route(tuple(drain)), share.core)
