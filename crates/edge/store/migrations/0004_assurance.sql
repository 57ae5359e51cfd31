-- What is known of devices in service, and how those come in that prove nothing. Written as 0001 is.

-- What gates saw of each device, in all its sessions. `place` is JSON: where it was heard of last.
CREATE TABLE presence (
    device      TEXT   NOT NULL PRIMARY KEY,
    first_seen  BIGINT NOT NULL,
    last_seen   BIGINT NOT NULL,
    octets_from BIGINT NOT NULL,
    octets_to   BIGINT NOT NULL,
    place       TEXT   NOT NULL
);
ALTER TABLE session ADD COLUMN octets_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN octets_to   BIGINT NOT NULL DEFAULT 0;

-- MAC addresses by which devices may come in.
CREATE TABLE address (
    mac      TEXT   NOT NULL PRIMARY KEY,
    device   TEXT   NOT NULL,
    version  BIGINT NOT NULL,
    segment  TEXT,
    document TEXT   NOT NULL
);
CREATE INDEX address_device  ON address (device, mac);
CREATE INDEX address_segment ON address (segment, mac) WHERE segment IS NOT NULL;
