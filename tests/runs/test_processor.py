"""What a latency was measured on: read as Linux lists it, for Intel, AMD and Arm."""

import platform

import pytest

from mpox.runs.processor import in_words, processor_facts, read_cpuinfo

ARM = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd aes crc32 asimddp i8mm bf16
CPU part\t: 0xd40

processor\t: 1
Features\t: fp asimd
CPU part\t: 0xd03
"""
X86 = "processor\t: 0\nmodel name\t: Some Processor 9\nflags\t\t: fpu sse2 avx2 avx512_vnni avx512_bf16\n"


@pytest.mark.parametrize(
    ("text", "name", "features"),
    [
        (ARM, "Arm part 0xd40", {"fp", "asimd", "aes", "crc32", "asimddp", "i8mm", "bf16"}),
        (X86, "Some Processor 9", {"fpu", "sse2", "avx2", "avx512_vnni", "avx512_bf16"}),
        ("model name\t: Unlisted\n", "Unlisted", None),
    ],
)
def test_linux_lists_it(text: str, name: str, features: set[str] | None) -> None:
    assert read_cpuinfo(text) == (name, features)


def test_this_machine_is_described() -> None:
    facts = processor_facts(threads=2)
    assert facts["processor"] and facts["architecture"] == platform.machine()
    if platform.system() == "Linux":
        assert isinstance(facts["int8"], list) and isinstance(facts["bf16"], list)
    assert in_words(facts).startswith(facts["processor"]) and in_words(facts).endswith(", 2 threads")


def test_features_in_words() -> None:
    facts = {"processor": "P", "architecture": "x86_64", "int8": ["avx2", "avx512_vnni"], "bf16": [], "threads": 1}
    assert in_words(facts) == "P (int8 by avx2, avx512_vnni; bf16: none), 1 thread"
    unknown = {**facts, "int8": None, "bf16": None}
    assert in_words(unknown) == "P (int8: not known; bf16: not known), 1 thread"
    assert in_words(None) == "a processor that was not recorded"
