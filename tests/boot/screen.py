# SPDX-License-Identifier: Apache-2.0
"""Reads the text on a screen: a picture cut into cells, each compared with the glyphs of schema/font.txt."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))

from gen_font import glyphs  # noqa: E402

# include/keelson/glyph.h: each row of a glyph is drawn twice.
WIDTH, HEIGHT = 8, 16
BLACK = b"\0\0\0"
NOT_A_GLYPH = "\ufffd"


class Screen:
    """Pixels, and the text that they make."""

    def __init__(self, width, height, pixels):
        self._line = 3 * width
        self._pixels = pixels
        self._characters = {tuple(row for row in rows for _ in range(2)): c for c, rows in
                            glyphs((ROOT / "schema" / "font.txt").read_text()).items()}
        self.text = [self._row(row, width // WIDTH).rstrip() for row in range(height // HEIGHT)]

    def _row(self, row, columns):
        lines = []
        for y in range(row * HEIGHT, (row + 1) * HEIGHT):
            line = self._pixels[y * self._line:(y + 1) * self._line]
            lines.append([line[at:at + 3] != BLACK for at in range(0, columns * WIDTH * 3, 3)])
        return "".join(self._cell(lines, column * WIDTH) for column in range(columns))

    def _cell(self, lines, x):
        bits = tuple(sum(line[x + i] << (WIDTH - 1 - i) for i in range(WIDTH)) for line in lines)
        return self._characters.get(bits, NOT_A_GLYPH)

    def colours(self, first_row, last_row):
        """All colours in these rows of text."""
        part = self._pixels[first_row * HEIGHT * self._line:(last_row + 1) * HEIGHT * self._line]
        return {part[at:at + 3] for at in range(0, len(part), 3)}


def read_screen(path):
    """From a binary PPM file (P6, 8 bits a colour)."""
    kind, size, depth, pixels = path.read_bytes().split(b"\n", 3)
    assert (kind, depth) == (b"P6", b"255")
    width, height = map(int, size.split())
    return Screen(width, height, pixels)
