//! Devices and their life cycle, owners, credentials, claims, policy, decisions. Pure.
