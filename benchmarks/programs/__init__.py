"""The benchmarks of compiled programs (`pygrad.compile`), beside hand-written C and other compilers."""
