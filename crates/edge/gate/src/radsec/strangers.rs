//! Connections that have not proved yet whose they are: few at a time, and fewer from one address, so that
//! whoever only connects keeps nobody out who can prove something.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Most of them at a time. Each is over after the time for a handshake.
const MAX: usize = 256;

/// Most from one address, or from one network of IPv6 hosts (64 bits).
const MAX_FROM_ONE: usize = 16;

/// All of them. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Strangers(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One of them; it makes room when it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    all: Strangers,
    from: IpAddr,
}

impl Strangers {
    /// One more, if there is room.
    pub(super) fn arrive(&self, from: IpAddr) -> Option<Stranger> {
        let from = source(from);
        self.change(|all| {
            let count: usize = all.values().sum();
            let of_this = all.get(&from).copied().unwrap_or_default();
            if count >= MAX || of_this >= MAX_FROM_ONE {
                return None;
            }
            all.insert(from, of_this + 1);
            Some(Stranger {
                all: self.clone(),
                from,
            })
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<IpAddr, usize>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.all.change(|all| {
            if let Some(count) = all.get_mut(&self.from) {
                *count -= 1;
                if *count == 0 {
                    all.remove(&self.from);
                }
            }
        });
    }
}

/// What one party can have many addresses of counts as one.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_few_places_and_all_together_have_a_bound() {
        let strangers = Strangers::default();
        let one: Vec<_> = (0..MAX_FROM_ONE)
            .map(|_| strangers.arrive([192, 0, 2, 1].into()).unwrap())
            .collect();
        assert!(strangers.arrive([192, 0, 2, 1].into()).is_none());
        // The same address, written as IPv6.
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert!(strangers.arrive(mapped).is_none());
        let mut others = Vec::new();
        for host in 0..=u8::MAX {
            others.extend(strangers.arrive([198, 51, 100, host].into()));
        }
        assert_eq!(one.len() + others.len(), MAX);
        drop(one);
        assert!(strangers.arrive([192, 0, 2, 1].into()).is_some());
        drop(others);
        assert!(strangers.change(|all| all.is_empty()));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let strangers = Strangers::default();
        let from = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        let places: Vec<_> = (0..20)
            .filter_map(|it| strangers.arrive(from(it)))
            .collect();
        assert_eq!(places.len(), MAX_FROM_ONE);
        assert!(
            strangers
                .arrive("2001:db8:0:2::1".parse().unwrap())
                .is_some()
        );
    }
}
