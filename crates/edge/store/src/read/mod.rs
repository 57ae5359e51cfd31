//! Reading facts. Every look-up goes by an indexed key; every list has a limit.

mod device;
