//! The device: pledge, key store, renewals.
