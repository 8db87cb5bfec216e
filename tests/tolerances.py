"""Bounds of approximate comparisons, each with what makes it hold on any processor.

Processors differ in the order of a sum, in fused multiply-adds and in the last bit of exp, log and pow. One
operation rounds by 6e-8 of its result in float32, 1e-16 in float64, 4e-3 in bf16; n of them by at most n
times as much, whatever their order, and by about the square root of n in practice. So the libraries' own
bounds need no word beside them: pytest.approx (1e-6) and np.testing.assert_allclose (1e-7) where float64 is
computed, or a float32 from a few numbers; torch.testing.assert_close (1e-6 + 1e-5 of float32, else 1e-7)
and allclose (1e-5) element by element. Every other bound has one of these names or a comment
(tests/test_structure.py).
"""

ROUNDED = 1e-6
"""A dozen float32 operations on values up to 1."""
SUMMED = 1e-5
"""A hundred float32 operations on values up to 1, or relative: means over pictures, filters, resampling."""
NETWORK = 1e-4
"""A network in float32: some 50 layers, whose sums of up to 5,000 terms keep 1e-6 of their size."""
DOUBLE = 1e-9
"""Ten million float64 operations."""
FP16 = 1e-3
"""Relative: half a step of fp16 is 2**-11, 5e-4."""
STORED_16 = 1e-5
"""Half a level of 16 bits, 0.8e-5, and rounding."""
HALF_LEVEL = 0.51
"""Rounding to whole levels, and 0.01 of a level for the float32 that was rounded."""
ONE_LEVEL = 1
"""Two results less than SUMMED apart may round to neighbouring levels."""
