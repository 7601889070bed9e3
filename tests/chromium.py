"""A headless browser, for tests of pages; skips where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync hide-scrollbars"
)


def start(profile: Path) -> Any:
    """Start a browser that keeps its files in a folder, and notes every request and message."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS.split(" "), f"user-data-dir={profile}"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def resize(browser: Any, width: int, height: int = 1000, scheme: str = "light") -> None:
    """Let a page be seen on a screen of a size, light or dark."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


# WCAG 2: contrast = (lighter + 0.05) / (darker + 0.05), of relative luminances.
LEAST_CONTRAST = """
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const parts = colour => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = colour => parts(colour).slice(0, 3)
        .map(v => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = node => {
        const colour = getComputedStyle(node).backgroundColor;
        return parts(colour)[3] === 0 && node.parentElement ? behind(node.parentElement) : colour;
    };
    return Math.min(...[...document.querySelector(arguments[0]).querySelectorAll('*')]
        .filter(node => !node.closest('svg') && node.getClientRects().length
            && [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
        .map(node => {
            const [dark, light] = [getComputedStyle(node).color, behind(node)]
                .map(luminance).sort((a, b) => a - b);
            return (light + 0.05) / (dark + 0.05);
        }));
"""
