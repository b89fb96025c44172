-- The schema of version 1 in PostgreSQL, as it was, for tests of what became of it.

CREATE TABLE IF NOT EXISTS schema_version (
    id                smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    version           integer     NOT NULL,
    oldest_reader     integer     NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    status_timestamp  timestamptz NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    first_status_timestamp timestamptz NOT NULL,
    sequence          bigint      NOT NULL,
    first_sequence    bigint      NOT NULL,
    queued_at         timestamptz,
    checked_at        timestamptz,
    rank              smallint    NOT NULL,
    first_rank        smallint    NOT NULL,
    is_final          boolean     NOT NULL,
    message_uuid      text        COLLATE "C" NOT NULL UNIQUE,
    digest            bytea       NOT NULL,
    first_digest      bytea       NOT NULL,
    initial_status    text        COLLATE "C" NOT NULL,
    current_status    text        COLLATE "C" NOT NULL,
    outcome           text        COLLATE "C" GENERATED ALWAYS AS
                                  (CASE WHEN is_final THEN current_status END) STORED,
    sender_number     text        COLLATE "C",
    recipient_number  text        COLLATE "C",
    error_code        text        COLLATE "C",
    message_body      text        COLLATE "C",
    reference         text        COLLATE "C",
    reference_pairs   text[]      COLLATE "C"
);
CREATE INDEX IF NOT EXISTS messages_by_time ON messages (created_at);
CREATE INDEX IF NOT EXISTS messages_by_outcome ON messages (outcome, created_at);
CREATE INDEX IF NOT EXISTS messages_by_recipient ON messages ("right"(recipient_number, 4), created_at);
CREATE INDEX IF NOT EXISTS messages_by_sender ON messages (ltrim(sender_number, '+'), created_at);
CREATE INDEX IF NOT EXISTS messages_by_error ON messages (error_code, created_at)
    WHERE error_code IS NOT NULL;
CREATE TABLE IF NOT EXISTS status_events (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id        bigint      NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    status_timestamp  timestamptz NOT NULL,
    received_at       timestamptz NOT NULL,
    sequence          bigint      NOT NULL,
    repeats           integer     NOT NULL,
    rank              smallint    NOT NULL,
    signed_text       bytea       NOT NULL UNIQUE,
    reading           bytea       NOT NULL,
    status            text        COLLATE "C" NOT NULL,
    error_code        text        COLLATE "C" NOT NULL,
    source            text        COLLATE "C" NOT NULL,
    parameters        bytea       NOT NULL
);
CREATE INDEX IF NOT EXISTS status_events_by_message ON status_events (message_id);
CREATE TABLE IF NOT EXISTS reference_pairs (
    created_at        timestamptz NOT NULL,
    message_id        bigint      NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    pair              text        COLLATE "C" NOT NULL,
    PRIMARY KEY (pair, created_at, message_id)
);
CREATE INDEX IF NOT EXISTS reference_pairs_by_message ON reference_pairs (message_id);
CREATE TABLE IF NOT EXISTS v2_nonces (
    nonce             text        COLLATE "C" PRIMARY KEY,
    digest            bytea       NOT NULL
);
CREATE TABLE IF NOT EXISTS idempotency_keys (
    claimed_at        timestamptz NOT NULL,
    key               text        COLLATE "C" PRIMARY KEY,
    digest            bytea       NOT NULL,
    answer            text        COLLATE "C"
);
CREATE INDEX IF NOT EXISTS idempotency_keys_by_time ON idempotency_keys (claimed_at);
CREATE TABLE IF NOT EXISTS prunings (
    id                smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    created_before    timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS forwards (
    event_id          bigint      PRIMARY KEY REFERENCES status_events (id) ON DELETE CASCADE,
    message_id        bigint      NOT NULL,
    due_at            timestamptz,
    failing_since     timestamptz,
    settled_at        timestamptz,
    claimed_until     timestamptz,
    claim             uuid,
    attempts          integer     NOT NULL DEFAULT 0,
    state             text        COLLATE "C" NOT NULL DEFAULT 'waiting',
    answer            text        COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS forwards_by_time ON forwards (due_at, event_id) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS forwards_by_message ON forwards (message_id, event_id)
    WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS forwards_dead ON forwards (event_id) WHERE state = 'dead';
CREATE TABLE IF NOT EXISTS forwarder (
    id                smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    paused_at         timestamptz,
    failing_since     timestamptz,
    last_taken_at     timestamptz,
    last_failure      text        COLLATE "C" NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS heartbeat (
    id                smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    up_at             timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS outages (
    since             timestamptz PRIMARY KEY,
    until             timestamptz NOT NULL,
    listed_until      timestamptz,
    missed            bigint      NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS upkeep (
    task              text        COLLATE "C" PRIMARY KEY,
    began_at          timestamptz NOT NULL,
    ended_at          timestamptz,
    next_at           timestamptz NOT NULL,
    is_ok             boolean     NOT NULL,
    found             text        COLLATE "C" NOT NULL
);

INSERT INTO schema_version (version, oldest_reader) VALUES (1, 1);
