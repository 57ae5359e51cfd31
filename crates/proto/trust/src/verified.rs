//! The value that proves a check was made.
//!
//! A rule further on ("decide about this voucher request") takes a [`Verified`] argument, so the program that
//! forgets the check does not compile. Only this crate can make one, and it does so only after a signature
//! or a certificate path led to an anchor, or to a proved signer, that the caller named.

use std::ops::Deref;

/// A `T` whose signature and origin this crate has checked.
///
/// There is no public constructor, no `DerefMut` and no `Deserialize`: what was checked can be read and
/// narrowed ([`Verified::map`], [`Verified::try_map`]), never replaced in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn new(checked: T) -> Self {
        Self(checked)
    }

    /// Gives up the proof and keeps the value.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The proof of a part of the value, or of another form of it (content bytes to a parsed voucher).
    ///
    /// `form` answers for the new value resting on nothing but the one that was verified.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Verified<U> {
        Verified(form(self.0))
    }

    /// [`Verified::map`] with a form that can be refused.
    pub fn try_map<U, E>(self, form: impl FnOnce(T) -> Result<U, E>) -> Result<Verified<U>, E> {
        form(self.0).map(Verified)
    }

    /// The same proof over a borrowed value.
    pub fn as_ref(&self) -> Verified<&T> {
        Verified(&self.0)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Verified;

    #[test]
    fn a_verified_value_can_be_read_narrowed_and_taken_out() {
        let verified = Verified::new(String::from("17"));
        assert_eq!(verified.len(), 2);
        let number: Verified<u8> = verified.clone().try_map(|text| text.parse::<u8>()).unwrap();
        assert_eq!(number.map(|n| n + 1).into_inner(), 18);
        assert!(
            verified
                .as_ref()
                .try_map(|_| Err::<(), _>("refused"))
                .is_err()
        );
        assert_eq!(verified.into_inner(), "17");
    }
}
