//! Private keys at rest and in hardware, behind the Signer trait.
