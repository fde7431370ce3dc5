"""Tests of ``processors.models.live_pins``."""

import logging
from pathlib import Path

import pytest

from engine.pipeline.memory_settings import MemorySettings
from processors.models.live_pins import LivePins
from processors.models.memory import ModelMemory, open_memory
from processors.models.memory_report import read_reports


def test_a_live_model_is_in_the_report_until_it_is_released(tmp_path: Path) -> None:
    pins = LivePins(lambda: open_memory(MemorySettings(), tmp_path, "server"))
    assert read_reports(tmp_path) == ()
    pin = pins.pin("inswapper", 1000, "cpu")
    (report,) = read_reports(tmp_path)
    assert [(m.key, m.bytes, m.pinned) for m in report.models] == [("inswapper", 1000, True)]
    pin.release()
    (report,) = read_reports(tmp_path)
    assert report.models == ()
    pins.close()
    assert read_reports(tmp_path) == ()


def test_a_folder_that_cannot_be_written_costs_no_live_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")

    def opened() -> ModelMemory:
        return open_memory(MemorySettings(), tmp_path / "file" / "memory", "server")

    pins = LivePins(opened)
    with caplog.at_level(logging.WARNING):
        pins.pin("yunet", 1000, "cpu").release()
    assert "do not know of yunet" in caplog.text
    pins.close()
