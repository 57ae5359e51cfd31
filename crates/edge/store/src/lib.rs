//! State tables and the journal, in one transaction, on SQLite or PostgreSQL.
