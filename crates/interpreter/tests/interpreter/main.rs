//! The interpreter with real kernels, over HTTP.
//!
//! Needs `OVERWINTER_TEST_PYTHON`; see the crate's README.md.

mod contexts;
mod execute;
mod java;
mod languages;
mod leaving;
mod r;
mod support;
