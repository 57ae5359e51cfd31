//! The tables: how a row of each is written and read back.

pub(crate) mod admission;
pub(crate) mod audit;
pub(crate) mod credential;
pub(crate) mod device;
pub(crate) mod ownership;
pub(crate) mod register;
pub(crate) mod voucher;
pub(crate) mod wifi;
