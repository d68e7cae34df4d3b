"""Lay out the footage of these networks: films of GRID's speaker s1, and each still as a clip of five equal frames."""

import csv
import sys
from pathlib import Path

from gioconda import media
from media_factory import write_clip

data, out = Path(sys.argv[1]), Path(sys.argv[2])
rows = ["path\tsplit\tidentity"]
out.mkdir(exist_ok=True)
(out / "grid_s1").symlink_to(data / "grid_s1")
for film in sorted((data / "grid_s1").glob("*.mp4")):
    # Sentences that begin with "set" are left out of training.
    rows.append(f"grid_s1/{film.name}\t{'dev' if film.name.startswith('s') else 'train'}\tgrid_s1")
with (data / "stills" / "stills.tsv").open(encoding="utf-8") as table:
    for row in csv.DictReader(table, delimiter="\t"):
        clip = out / f"{Path(row['path']).stem}.mp4"
        write_clip(clip, [media.read_picture(data / row["path"])[0]] * 5)
        rows.append(f"{clip.name}\t{row['split']}\t{row['identity']}")
(out / "clips.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
