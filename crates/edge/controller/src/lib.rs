//! The network owner's side: registrar, EST, decisions, API.
