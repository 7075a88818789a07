"""Write docs/card.png: the first screen of a real bundle's release card, as a browser shows it (needs `chromium`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "card.png"
WINDOW = (1100, 1200)  # pixels
COLOURS = 64  # of the file: a page of text and plots needs no more, and stays far below 200 kB
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(bundle: str = "runs/reviews/bundle") -> int:
    """Take the picture of a bundle's card; the exit code."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    card = Path(bundle).resolve() / "card.html"
    if browser is None or not card.is_file():
        needed = f"one of {', '.join(BROWSERS)}" if browser is None else f"{card} (do: make launch)"
        sys.stderr.write(f"card_picture: no {needed}\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "card.png")
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
        ]
        size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
        command = [browser, *options, size, f"--screenshot={shot}", card.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        Image.open(shot).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
