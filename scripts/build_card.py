"""Draws web/app/public/card.jpg, the picture that other sites show beside a link to the page, in a Chromium.

python scripts/build_card.py
"""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

PUBLIC = Path(__file__).parents[1] / "web" / "app" / "public"
# Width and height of the card in pixels, as sites expect it, and its JPEG quality of 100.
SIZE, QUALITY = {"width": 1200, "height": 630}, 82

HTML = """<body style="margin:0;width:1200px;height:630px;display:flex;background:#f6f1e8;color:#2a211a;
font-family:'Iowan Old Style',Palatino,'URW Palladio L',Georgia,serif">
<img src="data:image/webp;base64,{picture}" style="height:630px;width:504px;object-fit:cover">
<div style="padding:0 72px;align-self:center">
<div style="font-size:92px;font-weight:600">Gioconda</div>
<div style="font-size:40px;line-height:1.3;margin-top:20px">
Brings a portrait to life,<br>and signs what it makes.</div></div>"""


def main() -> None:
    picture = base64.b64encode((PUBLIC / "examples" / "mona-lisa.webp").read_bytes()).decode()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_content(HTML.format(picture=picture))
        page.wait_for_function("document.images[0].complete")
        page.screenshot(path=PUBLIC / "card.jpg", type="jpeg", quality=QUALITY)
        browser.close()


if __name__ == "__main__":
    main()
