"""Box files as VoxCeleb hands them out."""

HEADER = "Identity  : \tid10001\nReference : \tREF\nOffset \t: \t1\nFV Conf   : \t16.140\t(1)\nASD Conf  : \t5.142\n\n"
COLUMNS = "FRAME \tX \tY \tW \tH \n"


def box_file(path, *rows, header=HEADER + COLUMNS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path
