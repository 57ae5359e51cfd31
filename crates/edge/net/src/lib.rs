//! Sockets: the TLS accept loop and client, verifiers, exporter, certificate reload, and the clock.
