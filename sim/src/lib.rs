//! Whole simulated worlds for tests, benchmarks and the demo.
