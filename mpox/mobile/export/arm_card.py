"""What a check on Arm64 kernels found, in words: for the terminal, and as a section of the model card."""

from typing import Any

HEADING = "## On Arm64 kernels, without a phone"
NAMES = {
    "i8mm": "8-bit matrix products (i8mm)",
    "dotprod": "8-bit dot products",
    "neither": "neither, as a Cortex-A53",
}
LEFT_OUT = (
    "Retired instructions are the same on every machine that counts them; they leave out what caches, memory, clocks "
    "and several instructions at once do, so they are no latency."
)


def with_section(card: str, result: dict[str, Any]) -> str:
    """Return the Markdown of a model card with the section of this check at its end, in place of an earlier one."""
    return card.partition(HEADING)[0].rstrip() + "\n\n" + section(result)


def section(result: dict[str, Any]) -> str:
    """Return the section of the model card; `result` is what `mpox.mobile.export.arm_check` returns."""
    photos = result["photos"]
    others = f" and {photos['others']} photos ({photos['of']})" if photos["others"] else ""
    lines = [
        HEADING,
        "",
        f"The golden set ({photos['golden']} photos){others}, run by ExecuTorch {result['executorch']}'s Arm64 kernels "
        f"on cores that qemu {result['qemu']} emulates, beside this file's answers on the machine that checked it:",
        "",
        "| core has | same answers | largest abs. Δp | million instructions a photo | of fp32's | heap, MB | fp32's |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, core in result["cores"].items():
        share, heap = "-", "-"
        if core["ratio"] is not None:
            share, heap = f"{core['ratio']:.3f}", f"{core['fp32_heap_bytes'] / 1e6:.1f}"
        lines.append(
            f"| {NAMES[name]} | {core['agreement']:.1%} | {core['max_delta_p']:.1e} | "
            f"{sum(core['instructions'].values()) / 1e6:.1f} | {share} | {core['heap_bytes'] / 1e6:.1f} | {heap} |"
        )
    bits = "The cores agree to the last bit." if result["same_bits"] else "The cores differ in their last bits."
    lines += ["", f"{bits} {LEFT_OUT}"]
    if result["network"] is not None:
        found = result["network"]
        lines += [
            "",
            f"Beside the network in PyTorch: agreement {found['agreement']:.1%}, largest abs. Δp "
            f"{found['max_delta_p']:.3f}.",
        ]
    if not result["passed"]:
        lines += ["", f"**Not passed: {'; '.join(result['reasons'])}. Do not ship this file to phones.**"]
    return "\n".join(lines) + "\n"


def lines(result: dict[str, Any]) -> list[tuple[bool, str]]:
    """Return what the check found as lines for the terminal, each with whether it passed."""
    found = []
    for name, core in result["cores"].items():
        failed = [reason for reason in result["reasons"] if reason.startswith(f"{name}:")]
        cost = f"{sum(core['instructions'].values()) / 1e6:.1f} million instructions a photo"
        share = "" if core["ratio"] is None else f", {core['ratio']:.3f} of fp32's"
        text = (
            f"{name}: same answer as here on {core['agreement']:.1%}, largest |Δp| {core['max_delta_p']:.1e}, {cost}"
            f"{share}, heap {core['heap_bytes'] / 1e6:.1f} MB"
        )
        found.append((not failed, "; ".join([*failed, text]) if failed else text))
    bits = "the cores agree to the last bit" if result["same_bits"] else "the cores differ in their last bits"
    found.append((True, f"{bits}; {result['seconds']:.0f} s"))
    if result["network"] is not None:
        of = result["network"]
        found.append((True, f"network: agreement {of['agreement']:.1%}, largest |Δp| {of['max_delta_p']:.3f}"))
    return found
