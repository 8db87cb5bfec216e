"""Sheets with labels."""

import numpy as np

from utils.sheets import FONT_SIZE, GAP, LINE, labelled_sheet, shrink

RED = np.zeros((20, 200, 3), np.uint8) + np.array([255, 0, 0], np.uint8)


def test_panels_stand_under_their_headings():
    sheet = labelled_sheet(
        ["one", "two"], [("", [RED, None]), ("a row", [np.ones((10, 30), np.float32), RED])]
    )
    assert sheet.shape == (LINE + 20 + GAP + LINE + 20 + GAP, 200 + 200 + 3 * GAP, 3)
    assert np.array_equal(sheet[LINE : LINE + 20, GAP : GAP + 200], RED)
    assert (sheet[LINE : LINE + 20, 2 * GAP + 200 :] == 255).all()
    below = LINE + 20 + GAP + LINE
    assert np.array_equal(sheet[below : below + 20, 2 * GAP + 200 : 2 * GAP + 400], RED)
    for top, left in ((0, GAP), (0, 2 * GAP + 200), (below - LINE, GAP)):
        text = sheet[top : top + LINE, left : left + 4 * FONT_SIZE]
        assert text.min() < 100
        assert text.max() == 255


def test_long_headings_and_names_are_not_cut():
    narrow = np.zeros((4, 4), np.uint16)
    wide = labelled_sheet(["m" * 40], [("", [narrow])]).shape[1]
    assert wide > 40 * FONT_SIZE / 2
    named = labelled_sheet(["m"], [("n" * 60 + "\udcff", [narrow])])
    assert (named[:, -GAP:] == 255).all()
    assert named.shape[1] > 60 * FONT_SIZE / 3


def test_only_large_layers_shrink():
    assert shrink(RED, 200) is RED
    assert shrink(RED, 100).shape == (10, 100, 3)
