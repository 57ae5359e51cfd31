//! The HTTP contract: routes, types, errors, OpenAPI, and a client.
