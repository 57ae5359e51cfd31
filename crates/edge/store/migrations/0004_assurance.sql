-- What is known of devices in service, and how those come in that prove nothing. Written as 0001 is.

-- MAC addresses by which devices may come in.
CREATE TABLE address (
    mac      TEXT   NOT NULL PRIMARY KEY,
    device   TEXT   NOT NULL,
    version  BIGINT NOT NULL,
    document TEXT   NOT NULL
);
CREATE INDEX address_device  ON address (device, mac);
CREATE INDEX address_segment ON address (segment, mac) WHERE segment IS NOT NULL;
    segment  TEXT,
