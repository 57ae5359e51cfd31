//! The factory line and the MASA.
