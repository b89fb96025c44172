-- The data of smsstatus, and its dictionary. Applied by the service at start and by
-- `flask --app wsgi init-db`; applying it again changes nothing. On a file of an earlier version it
-- creates what is missing.
--
-- Times are UTC text of fixed width, 2026-11-01T00:00:03.250000Z, so that text compares as time.

-- One row for each message: what is known of it now.
CREATE TABLE IF NOT EXISTS messages (
    id               INTEGER PRIMARY KEY,      -- order in which messages were first written
    message_uuid     TEXT    NOT NULL UNIQUE,  -- Plivo's MessageUUID
    sender_number    TEXT,                     -- From: as Plivo or the sender wrote it, with or without +
    recipient_number TEXT,                     -- To
    message_body     TEXT,                     -- the text, only for messages sent through this service
    initial_status   TEXT    NOT NULL,         -- status of the earliest update
    current_status   TEXT    NOT NULL,         -- status of the update that stands
    status_timestamp TEXT    NOT NULL,         -- when that happened, by Plivo's clock; '' = not reported
    error_code       TEXT,                     -- Plivo's ErrorCode of the update that stands; NULL = none
    created_at       TEXT    NOT NULL,         -- when it was first seen, by our clock; when Plivo queued it, if it told so when asked
    updated_at       TEXT    NOT NULL,         -- when the standing update was received, by our clock
    queued_at        TEXT,                     -- when Plivo queued it, by Plivo's clock
    checked_at       TEXT,                     -- when `reconcile` last asked Plivo about it
    -- The order key of the update that stands is (phase, status_timestamp, sequence, rank, digest).
    -- An update replaces it only if its own key is greater, so any order of arrival ends in the
    -- same row. The phase follows from the rank: our own send 0, unknown and queued 1, sent 2,
    -- failures and delivered 3, read 4.
    is_final         INTEGER NOT NULL,         -- 1: delivered, undelivered, failed, rejected, read
    sequence         INTEGER NOT NULL,         -- Plivo's Sequence, 0 if absent
    rank             INTEGER NOT NULL,         -- our own send -1, unknown 0, queued 1, sent 2, failures 3, delivered 4, read 5
    digest           BLOB    NOT NULL          -- of the update; settles what is equal otherwise
) STRICT;

-- GET /messages pages through one of these, newest first. A number is found with or without +,
-- a recipient also by its last four digits or more.
CREATE INDEX IF NOT EXISTS messages_by_time ON messages (created_at);
-- In a file made by version 1 to 5 two of them end with a number as well: what their names say.
CREATE INDEX IF NOT EXISTS messages_by_status_and_sender ON messages (current_status, created_at);
CREATE INDEX IF NOT EXISTS messages_by_recipient
    ON messages (substr(recipient_number, -4), created_at);
CREATE INDEX IF NOT EXISTS messages_by_sender ON messages (ltrim(sender_number, '+'), created_at);
CREATE INDEX IF NOT EXISTS messages_by_error ON messages (error_code, created_at)
    WHERE error_code IS NOT NULL;

-- One row for each distinct update of a message; a repeated callback adds none. Rows are only ever
-- appended, so callbacks that share a commit share pages too. A file made by version 1 to 3 keeps
-- two things as they were, or all events would have to be written again: parameters are TEXT, as
-- received, and UNIQUE (message_id, digest) is what finds a message's events.
CREATE TABLE IF NOT EXISTS status_events (
    id               INTEGER PRIMARY KEY,      -- order of arrival
    message_id       INTEGER NOT NULL REFERENCES messages (id),
    digest           BLOB    NOT NULL,         -- of the signed text, then of its reading; 16 bytes: of version 2, of all fields
    status           TEXT    NOT NULL,
    status_timestamp TEXT    NOT NULL,
    error_code       TEXT,
    sequence         INTEGER NOT NULL,
    rank             INTEGER NOT NULL,
    is_final         INTEGER NOT NULL,
    received_at      TEXT    NOT NULL,         -- when it reached us first, by our clock
    source           TEXT    NOT NULL,         -- callback, send, reconcile or replay
    parameters       BLOB    NOT NULL,         -- as received, packed: smsstatus/store/packing.py
    repeats          INTEGER NOT NULL DEFAULT 0,  -- how often the same callback came again
    UNIQUE (message_id, id)                    -- to find a message's events; signed_texts keeps them distinct
) STRICT;

-- One row for each text that Plivo signed. A V3 signature joins names and values with nothing between
-- them, so a captured callback can be cut into other fields: the first reading owns its text.
CREATE TABLE IF NOT EXISTS signed_texts (
    digest           BLOB    NOT NULL PRIMARY KEY  -- what its event's digest begins with
) STRICT, WITHOUT ROWID;

-- What the sender added to the callback URL given to Plivo, such as ?order=42. In tables of their
-- own, because adding a column makes newer SQLite read all messages, and most have none.
CREATE TABLE IF NOT EXISTS message_references (
    message_id       INTEGER PRIMARY KEY REFERENCES messages (id),
    query            TEXT    NOT NULL,         -- the query of the URL, as received
    filed_at         TEXT    NOT NULL          -- the message's created_at, under which its pairs are
) STRICT;

-- GET /messages?reference=order%3D42 pages through this, newest first.
CREATE TABLE IF NOT EXISTS reference_pairs (
    pair             TEXT    NOT NULL,         -- one decoded parameter of the query: order=42
    filed_at         TEXT    NOT NULL,         -- the message's created_at
    message_id       INTEGER NOT NULL REFERENCES messages (id),
    PRIMARY KEY (pair, filed_at, message_id)
) STRICT, WITHOUT ROWID;

-- Where each message went, and what it cost. In a table of its own, because adding columns makes newer
-- SQLite read all messages.
CREATE TABLE IF NOT EXISTS message_facts (
    message_id       INTEGER PRIMARY KEY REFERENCES messages (id),
    filed_at         INTEGER NOT NULL,         -- the second of the message's created_at, since 1970
    country          TEXT,                     -- ISO 3166 code: of the network, else of the recipient's number
    network          TEXT,                     -- MCC-MNC of the recipient's network
    units            INTEGER,                  -- parts of the message
    amount           INTEGER,                  -- TotalAmount, in millionths of a US dollar
    told_rank        INTEGER                   -- rank of the status that units and amount came with
) STRICT;

-- GET /messages?country=US pages through this, newest first, and puts those of one second in order
-- itself. A network's messages are among its country's.
CREATE INDEX IF NOT EXISTS message_facts_by_country
    ON message_facts (country, filed_at) WHERE country IS NOT NULL;
-- GET /messages?country=none the same.
CREATE INDEX IF NOT EXISTS message_facts_without_country
    ON message_facts (filed_at) WHERE country IS NULL;

-- The kinds of messages that are counted together.
CREATE TABLE IF NOT EXISTS kinds (
    id               INTEGER PRIMARY KEY,      -- below 0 where the status is sent
    country          TEXT,                     -- as in message_facts
    network          TEXT,                     -- as in message_facts
    sender           TEXT,                     -- without +
    status           TEXT    NOT NULL,
    error_code       TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS kinds_by_all ON kinds (sender, network, status, error_code, country);

-- How many messages of each kind were first seen in an hour, a day or some ten days, summed up once that
-- is over: so that figures of weeks need not read each message.
CREATE TABLE IF NOT EXISTS summed_spans (
    span             TEXT    NOT NULL PRIMARY KEY,  -- 2026-11-01T12, 2026-11-01, or 2026-11-0: nine days
    reader           TEXT    NOT NULL          -- who has summed it up, or with ~ before its name does so now
) STRICT, WITHOUT ROWID;

-- The sums of those, one row for each kind of message.
CREATE TABLE IF NOT EXISTS sums (
    span             TEXT    NOT NULL,         -- counts only where it is among the summed_spans
    kind             INTEGER NOT NULL REFERENCES kinds (id),  -- which messages
    messages         INTEGER NOT NULL,         -- how many
    units            INTEGER NOT NULL,         -- their sum
    amount           INTEGER NOT NULL,         -- their sum, in millionths of a US dollar
    PRIMARY KEY (span, kind)
) STRICT, WITHOUT ROWID;

-- Ends of spans: nearly all messages that change are newer than every span that is summed up, so the
-- triggers below have nothing more to look for.
CREATE INDEX IF NOT EXISTS summed_spans_by_end ON summed_spans (span || '~');

-- Whatever changes a message, its spans must be summed up again.
CREATE TRIGGER IF NOT EXISTS sums_of_new_message AFTER INSERT ON messages
WHEN EXISTS (SELECT 1 FROM summed_spans WHERE span || '~' > new.created_at) BEGIN
    DELETE FROM summed_spans WHERE span IN (
        substr(new.created_at, 1, 13), substr(new.created_at, 1, 10), substr(new.created_at, 1, 9));
END;
CREATE TRIGGER IF NOT EXISTS sums_of_changed_message
AFTER UPDATE OF sender_number, current_status, error_code, created_at ON messages
WHEN EXISTS (SELECT 1 FROM summed_spans WHERE span || '~' > old.created_at) BEGIN
    DELETE FROM summed_spans WHERE span IN (
        substr(old.created_at, 1, 13), substr(old.created_at, 1, 10), substr(old.created_at, 1, 9));
END;
CREATE TRIGGER IF NOT EXISTS sums_of_message_set_back AFTER UPDATE OF created_at ON messages
WHEN new.created_at <> old.created_at BEGIN
    DELETE FROM summed_spans WHERE span IN (
        substr(new.created_at, 1, 13), substr(new.created_at, 1, 10), substr(new.created_at, 1, 9));
END;
CREATE TRIGGER IF NOT EXISTS sums_of_removed_message AFTER DELETE ON messages BEGIN
    DELETE FROM summed_spans WHERE span IN (
        substr(old.created_at, 1, 13), substr(old.created_at, 1, 10), substr(old.created_at, 1, 9));
END;

-- A V2 signature does not cover the body, so the first body seen with its nonce owns the nonce. One
-- that came beside a V3 signature is owned by what that covers, so without V3 it brings nothing.
-- Rows are kept for good: a forgotten nonce could be used again with another body.
CREATE TABLE IF NOT EXISTS v2_nonces (
    nonce            TEXT    NOT NULL PRIMARY KEY,
    digest           BLOB    NOT NULL          -- of the update that came with it
) STRICT, WITHOUT ROWID;

-- Who sends with an Idempotency-Key, or from the page, sends once: a request that comes again with
-- the key gets the first one's answer. Rows older than 24 hours go when a new one is written.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    key              TEXT    NOT NULL PRIMARY KEY,  -- as the sender chose it
    digest           BLOB    NOT NULL,         -- of the fields that first came with it
    claimed_at       TEXT    NOT NULL,         -- when they came, by our clock
    answer           TEXT                      -- JSON: the message, or why nobody knows; NULL = under way
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_keys_by_time ON idempotency_keys (claimed_at);

-- A captured callback of a pruned message must not bring it back: what happened before this time to
-- a message that has no row is not written.
CREATE TABLE IF NOT EXISTS prunings (
    id               INTEGER PRIMARY KEY CHECK (id = 1),  -- one row at most
    created_before   TEXT    NOT NULL          -- messages first seen before that were removed
) STRICT;

-- How often messages were removed: a page that shows them is made again then.
CREATE TABLE IF NOT EXISTS removals (
    id               INTEGER PRIMARY KEY CHECK (id = 1),  -- one row at most
    batches          INTEGER NOT NULL          -- some messages at a time
) STRICT;

-- While FORWARD_URL is set: one row for each change of status that is handed on, written in the
-- transaction of its event. All of a message that wait are due no earlier than its first one.
CREATE TABLE IF NOT EXISTS forwards (
    event_id         INTEGER PRIMARY KEY REFERENCES status_events (id),  -- the change is this event's
    message_id       INTEGER NOT NULL REFERENCES messages (id),
    state            TEXT    NOT NULL DEFAULT 'waiting',  -- or taken, dead, skipped, superseded
    due_at           TEXT,                     -- when it may be tried; NULL = it waits no longer
    attempts         INTEGER NOT NULL DEFAULT 0,  -- how often it was tried
    failing_since    TEXT,                     -- when it failed first; NULL = it has not
    answer           TEXT    NOT NULL DEFAULT '',  -- of the last attempt: the receiver's code, or a word
    settled_at       TEXT                      -- when it left 'waiting'
) STRICT;
CREATE INDEX IF NOT EXISTS forwards_by_time ON forwards (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS forwards_by_message ON forwards (message_id)
    WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS forwards_dead ON forwards (state) WHERE state = 'dead';

-- How it goes with the receiver, for people: the one that hands on writes it every few seconds.
CREATE TABLE IF NOT EXISTS forwarder (
    id               INTEGER PRIMARY KEY CHECK (id = 1),  -- one row at most
    paused_at        TEXT,                     -- NULL = not paused
    failing_since    TEXT,                     -- NULL = it took the last one
    last_failure     TEXT    NOT NULL DEFAULT '',  -- what the last attempt that failed came to
    last_taken_at    TEXT                      -- when it took one last
) STRICT;

-- When the service was last known to be up: each minute.
CREATE TABLE IF NOT EXISTS heartbeat (
    id               INTEGER PRIMARY KEY CHECK (id = 1),  -- one row at most
    up_at            TEXT    NOT NULL          -- by our clock
) STRICT;

-- Times in which nobody took callbacks, for longer than Plivo's retries make up for. What it lists of
-- them is written, whether a callback has come or not. Where it counts more than it lists, the part
-- from listed_until to until is a row of its own while that is waited for: since when is after until.
CREATE TABLE IF NOT EXISTS outages (
    since            TEXT    NOT NULL PRIMARY KEY,  -- when the service was last known to be up
    until            TEXT    NOT NULL,         -- when it was up again
    listed_until     TEXT    NOT NULL DEFAULT '',  -- Plivo's messages up to there are known; '' = none yet
    missed           INTEGER NOT NULL DEFAULT 0  -- of how many of them no callback had come
) STRICT, WITHOUT ROWID;

-- The last run of each thing that the service does by itself.
CREATE TABLE IF NOT EXISTS upkeep (
    task             TEXT    NOT NULL PRIMARY KEY,  -- reconcile, prune, backup
    began_at         TEXT    NOT NULL,         -- when it began, by our clock
    ended_at         TEXT,                     -- NULL = under way, or broken off
    next_at          TEXT    NOT NULL,         -- when the next one is due
    is_ok            INTEGER NOT NULL,         -- 1: it did all that there was to do; until it ends: of the one before
    found            TEXT    NOT NULL          -- what it came to, for people
) STRICT, WITHOUT ROWID;

-- What a file of an earlier version was when it was brought up to a later one: no row in a new file.
CREATE TABLE IF NOT EXISTS upgrades (
    version          INTEGER PRIMARY KEY,      -- the version it was brought up to
    last_message     INTEGER NOT NULL,         -- id of the newest message at that time
    looked_at        INTEGER NOT NULL          -- up to this id: 3: messages stand by the present order key; 6: have their facts
) STRICT;

-- A program of an earlier version that had the file open when it was brought up to version 6 went on
-- for a while, and wrote no facts: what came meanwhile is read once it has ended.
CREATE TABLE IF NOT EXISTS events_beside (
    id               INTEGER PRIMARY KEY CHECK (id = 1),  -- one row at most; none once that is done
    until            TEXT    NOT NULL,         -- when it has ended, by our clock
    looked_at        INTEGER NOT NULL          -- events up to this id were there before, or have been read
) STRICT;

PRAGMA user_version = 6;
