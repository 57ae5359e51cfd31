-- One text for SQLite and PostgreSQL. Names (ids) are TEXT, times BIGINT milliseconds since 1970,
-- digests and certificates BYTEA, lists and documents JSON as TEXT. A key that is one BIGINT is
-- SQLite's own row number there.
--
-- There are no foreign keys: a device is never deleted, every commit about one checks its row
-- first, and rows arrive in batches of thousands.

CREATE TABLE device (
    id                 TEXT   NOT NULL PRIMARY KEY,
    manufacturer       TEXT   NOT NULL,
    serial             TEXT   NOT NULL,
    model              TEXT,
    state              TEXT   NOT NULL,
    owner              TEXT,
    segment            TEXT,
    idevid_sha256      BYTEA,
    idevid_spki_sha256 BYTEA,
    idevid_der         BYTEA,
    mud_url            TEXT,
    key_origin         TEXT   NOT NULL,
    version            BIGINT NOT NULL,
    journal_seq        BIGINT NOT NULL,
    journal_head       BYTEA  NOT NULL,
    reason             TEXT,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL
);
-- Lists are ordered by serial number, which people know and factories count up: neighbours in a
-- batch are neighbours in every index.
CREATE INDEX device_serial       ON device (serial, id);
CREATE INDEX device_state        ON device (state, serial, id);
CREATE INDEX device_owner        ON device (owner, serial, id) WHERE owner IS NOT NULL;
CREATE INDEX device_manufacturer ON device (manufacturer, serial, id);
CREATE INDEX device_idevid_key   ON device (idevid_spki_sha256);

CREATE TABLE credential (
    id             TEXT   NOT NULL PRIMARY KEY,
    device         TEXT   NOT NULL,
    certificate    BYTEA  NOT NULL,
    spki_sha256    BYTEA  NOT NULL,
    request_sha256 BYTEA  NOT NULL,
    not_before     BIGINT NOT NULL,
    not_after      BIGINT NOT NULL,
    status         TEXT   NOT NULL,
    revoked_reason TEXT,
    revoked_at     BIGINT,
    issued_at      BIGINT NOT NULL,
    confirmed_at   BIGINT
);
CREATE INDEX credential_device  ON credential (device, not_after, id);
CREATE INDEX credential_spki    ON credential (spki_sha256, issued_at);
CREATE INDEX credential_revoked ON credential (revoked_at, id) WHERE revoked_at IS NOT NULL;

CREATE TABLE voucher (
    id             TEXT   NOT NULL PRIMARY KEY,
    device         TEXT   NOT NULL,
    owner          TEXT,
    request_sha256 BYTEA  NOT NULL,
    nonce          TEXT,
    status         TEXT   NOT NULL,
    assertion      TEXT,
    media_type     TEXT   NOT NULL,
    voucher        BYTEA,
    expires_on     BIGINT,
    reason         TEXT,
    segment        TEXT,
    requested_at   BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    version        BIGINT NOT NULL
);
CREATE INDEX voucher_device ON voucher (device, requested_at, id);
-- Few wait for a person, and all others need not be found by what became of them.
CREATE INDEX voucher_waiting ON voucher (requested_at, id) WHERE status = 'awaiting-approval';
-- A nonce is good for one request of one device. Nonceless requests have NULL, which is never equal.
CREATE UNIQUE INDEX voucher_nonce ON voucher (device, nonce);

CREATE TABLE ownership (
    device TEXT   NOT NULL,
    owner  TEXT   NOT NULL,
    basis  TEXT   NOT NULL,
    since  BIGINT NOT NULL,
    until  BIGINT,
    PRIMARY KEY (device, since, owner)
);

CREATE TABLE audit_event (
    device    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    domain_id TEXT   NOT NULL,
    nonce     TEXT,
    assertion TEXT   NOT NULL,
    truncated BIGINT NOT NULL
);
CREATE INDEX audit_event_device ON audit_event (device, at);

CREATE TABLE audit_truncation (
    device               TEXT   NOT NULL PRIMARY KEY,
    nonced_duplicates    BIGINT NOT NULL,
    nonceless_duplicates BIGINT NOT NULL,
    arbitrary            BIGINT NOT NULL
);

CREATE TABLE claim (
    subject_kind TEXT   NOT NULL,
    subject      TEXT   NOT NULL,
    kind         TEXT   NOT NULL,
    issuer       TEXT   NOT NULL,
    issued_at    BIGINT NOT NULL,
    expires_at   BIGINT,
    document     TEXT   NOT NULL,
    PRIMARY KEY (subject_kind, subject, kind, issuer)
);
CREATE INDEX claim_end ON claim (expires_at, issued_at) WHERE expires_at IS NOT NULL;

CREATE TABLE manufacturer (
    id       TEXT   NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    document TEXT   NOT NULL
);

CREATE TABLE owner (
    id       TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
);

CREATE TABLE token (
    id            TEXT  NOT NULL PRIMARY KEY,
    secret_sha256 BYTEA NOT NULL,
    document      TEXT  NOT NULL
);
CREATE UNIQUE INDEX token_secret ON token (secret_sha256);

CREATE TABLE policy (
    since  BIGINT NOT NULL,
    id     BYTEA  NOT NULL,
    text   TEXT   NOT NULL,
    author TEXT   NOT NULL,
    PRIMARY KEY (since, id)
);

CREATE TABLE sighting (
    device       TEXT   NOT NULL PRIMARY KEY,
    manufacturer TEXT,
    serial       TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX sighting_end ON sighting (expires_at);

-- The journal: hash chains, one for each subject, in one global order. The order is the outbox:
-- positions become visible in ascending order.
CREATE TABLE journal (
    position BIGINT NOT NULL PRIMARY KEY,
    chain    TEXT   NOT NULL,
    seq      BIGINT NOT NULL,
    previous BYTEA  NOT NULL,
    hash     BYTEA  NOT NULL,
    text     TEXT   NOT NULL
);
CREATE UNIQUE INDEX journal_chain ON journal (chain, seq);

-- The heads of the chains that are not a device's (a device's row holds its own).
CREATE TABLE chain (
    subject TEXT   NOT NULL PRIMARY KEY,
    seq     BIGINT NOT NULL,
    head    BYTEA  NOT NULL
);

-- One row: the last position given out. Who updates it holds the order until COMMIT.
CREATE TABLE journal_tail (
    id       BIGINT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
);
INSERT INTO journal_tail (id, position) VALUES (1, 0);

CREATE TABLE checkpoint (
    position BIGINT NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    document TEXT   NOT NULL
);
