-- Network admission: segments, gates, what they report. Written as 0001 is.

CREATE TABLE segment (
    name     TEXT   NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    document TEXT   NOT NULL
);

CREATE TABLE gate (
    name     TEXT   NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL,
    document TEXT   NOT NULL
);

CREATE TABLE gate_credential (
    id         TEXT   NOT NULL PRIMARY KEY,
    gate       TEXT   NOT NULL,
    revoked_at BIGINT,
    document   TEXT   NOT NULL
);
CREATE INDEX gate_credential_gate    ON gate_credential (gate, id);
CREATE INDEX gate_credential_revoked ON gate_credential (revoked_at, id) WHERE revoked_at IS NOT NULL;

-- The newest report of each gate.
CREATE TABLE gate_standing (
    gate     TEXT   NOT NULL PRIMARY KEY,
    number   BIGINT NOT NULL,
    document TEXT   NOT NULL
);

-- Named by gate and the gate's own name. `ended_at` is 0 while it has not ended.
CREATE TABLE session (
    id       TEXT   NOT NULL PRIMARY KEY,
    gate     TEXT   NOT NULL,
    device   TEXT   NOT NULL,
    segment  TEXT   NOT NULL,
    ended_at BIGINT NOT NULL,
    since    BIGINT NOT NULL,
    document TEXT   NOT NULL
);
CREATE INDEX session_device  ON session (device, since, id);
CREATE INDEX session_gate    ON session (gate, id);
CREATE INDEX session_segment ON session (segment, id);
CREATE INDEX session_ended   ON session (ended_at, id);

-- Who is in a segment, or shall be.
CREATE INDEX device_segment ON device (segment, serial, id) WHERE segment IS NOT NULL;
CREATE INDEX voucher_segment ON voucher (segment, id) WHERE segment IS NOT NULL;
