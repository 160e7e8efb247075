"""A profile as a person reads it: plain ASCII, at most 100 columns."""

from accelerator_sim.units import plain, seconds_text
from runtime.profile import Profile, ProfiledOp

SLOWEST_OPS = 20
_NAME, _TIME, _KERNELS = 36, 10, 40
_KINDS = 3


def profile_text(profile: Profile) -> str:
    """Totals, then the ops that took longest, lines separated by newlines."""
    ops = sorted(profile.ops, key=lambda op: -op.measured_s)[:SLOWEST_OPS]
    shown = [op for op in ops if op.kernels]
    lines = [
        f"{plain(profile.graph, _NAME)}: {seconds_text(profile.inference_s)} an inference on this "
        f"machine while profiling, {seconds_text(profile.kernels_s)} in kernels",
        f"(medians of {profile.repeats}, threads {profile.threads or 'all'}); "
        f"{seconds_text(profile.simulated_s)} simulated on the accelerator",
        "",
        f"{'op':<{_NAME}} {'measured':>{_TIME}} {'simulated':>{_TIME}}  onnxruntime's kernels",
        *(_line(op) for op in shown),
    ]
    if profile.other_s > 0:
        lines.append(f"{'(of no op: changes of layout)':<{_NAME}} {_seconds(profile.other_s)}")
    rest = len(profile.ops) - len(shown)
    if rest:
        fused = sum(not op.kernels for op in profile.ops)
        lines.append(
            f"{rest} more ops, {fused} of them without a kernel of their own (fused into others)"
        )
    return "\n".join(line.rstrip() for line in lines)


def _line(op: ProfiledOp) -> str:
    kernels = list(op.kernels)
    shown = ", ".join(kernels[:_KINDS]) + (", ..." if len(kernels) > _KINDS else "")
    return (
        f"{plain(op.name, _NAME):<{_NAME}} {_seconds(op.measured_s)} {_seconds(op.simulated_s)}  "
        f"{plain(shown, _KERNELS)}"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds_text(seconds):>{_TIME}}"
