"""The corpus of definitions from the wild: nothing crashes, what can be read is read, and each repair is told."""

import time
from pathlib import Path

import pytest

from chargehand.domain.agent import TOOL_NAMES, AgentDefinition, parse_definition
from chargehand.domain.agent_repair import decode
from chargehand.errors import Finding, InvalidDefinition
from tests.domain.corpus.definitions import Sample, corpus

SAMPLES = list(corpus())


def read(path: str, content: bytes) -> tuple[AgentDefinition, list[Finding]]:
    text, findings = decode(content, path)
    definition = parse_definition(text, origin=path, path=path)
    return definition, [*findings, *definition.findings]


def test_the_corpus_is_large_enough() -> None:
    assert len(SAMPLES) >= 300
    assert len({sample.path for sample in SAMPLES}) == len(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path)
def test_a_file_is_read_or_refused_with_its_findings(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / sample.path
    file.parent.mkdir(parents=True)
    file.write_bytes(sample.content)

    if not sample.recovered:
        with pytest.raises(InvalidDefinition) as caught:
            read(sample.path, file.read_bytes())
        assert tuple((one.where, one.line) for one in caught.value.findings) == sample.findings
        return
    definition, findings = read(sample.path, file.read_bytes())

    assert (definition.name, definition.tools) == (
        sample.name,
        TOOL_NAMES if sample.tools is None else sample.tools,
    )
    assert tuple((one.where, one.line) for one in findings) == sample.findings


def test_a_thousand_files_are_read_in_five_seconds() -> None:
    good = [sample for sample in SAMPLES if sample.recovered]
    thousand = [good[number % len(good)] for number in range(1000)]

    start = time.monotonic()
    for sample in thousand:
        read(sample.path, sample.content)

    assert time.monotonic() - start < 5
