-- Wi-Fi Easy Connect: networks, bootstrapping keys, devices that showed themselves, and what devices
-- hold. Written as 0001 is.

CREATE TABLE network (
    name     TEXT   NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    segment  TEXT,
    document TEXT   NOT NULL
);
CREATE INDEX network_segment ON network (segment, name) WHERE segment IS NOT NULL;

-- Named by the SHA-256 of the key. Devices announce themselves by the other hash. `record` is the name
-- of a device that is named after this key; an order system keeps calling the device so.
CREATE TABLE bootstrapping_key (
    id          BYTEA  NOT NULL PRIMARY KEY,
    chirp_hash  BYTEA  NOT NULL,
    device      TEXT   NOT NULL,
    conflict_at BIGINT,
    version     BIGINT NOT NULL,
    record      TEXT   NOT NULL,
    document    TEXT   NOT NULL
);
CREATE INDEX        bootstrapping_key_record   ON bootstrapping_key (record);
CREATE UNIQUE INDEX bootstrapping_key_chirp    ON bootstrapping_key (chirp_hash);
CREATE INDEX        bootstrapping_key_device   ON bootstrapping_key (device, id);
CREATE INDEX        bootstrapping_key_conflict ON bootstrapping_key (conflict_at, id);

-- `device` is empty while nobody knows whose key it is.
CREATE TABLE announcement (
    hash       BYTEA  NOT NULL PRIMARY KEY,
    device     TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    document   TEXT   NOT NULL
);
CREATE INDEX announcement_end ON announcement (device, expires_at, hash);
CREATE INDEX announcement_any_end ON announcement (expires_at);

-- Connectors and passphrases. Passphrases are sealed by the key store.
CREATE TABLE access_credential (
    id             TEXT   NOT NULL PRIMARY KEY,
    device         TEXT   NOT NULL,
    network        TEXT   NOT NULL,
    kind           TEXT   NOT NULL,
    key_sha256     BYTEA,
    label          TEXT   NOT NULL,
    sealed         BYTEA,
    expires_at     BIGINT,
    status         TEXT   NOT NULL,
    revoked_reason TEXT,
    revoked_at     BIGINT,
    issued_at      BIGINT NOT NULL,
    confirmed_at   BIGINT
);
CREATE INDEX access_credential_device  ON access_credential (device, status, issued_at, id);
CREATE INDEX access_credential_key     ON access_credential (key_sha256, issued_at);
CREATE INDEX access_credential_network ON access_credential (network, status, kind, id);

CREATE TABLE wifi_standing (
    device   TEXT NOT NULL PRIMARY KEY,
    wanted   TEXT,
    given    TEXT,
    document TEXT NOT NULL
);
CREATE INDEX wifi_standing_wanted ON wifi_standing (wanted);
CREATE INDEX wifi_standing_given  ON wifi_standing (given);
