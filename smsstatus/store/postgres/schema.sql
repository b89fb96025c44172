-- The data of smsstatus in PostgreSQL, and its dictionary. Applied by the service at start, by its
-- writer whenever it connects to a database that lacks something, and by `init-db`; applying it
-- again changes nothing. Only ever added to: the version before this one goes on writing beside it
-- while a deploy is under way, and after a rollback. Indexes of a table that is there already are
-- built afterwards, beside the callbacks.
--
-- Text sorts by its bytes (COLLATE "C"), as in SQLite. Columns of a fixed width stand first, so
-- that none is padded. '-infinity' is a time that was not reported.

CREATE TABLE IF NOT EXISTS schema_version (
    id                smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),  -- one row
    version           integer     NOT NULL,
    oldest_reader     integer     NOT NULL     -- programs that know this version or a later one may go on
);

-- One row for each message: what is known of it now. The update that stands has the greatest order
-- key (phase, status_timestamp, sequence, rank, digest), the earliest the least: first_... is its
-- key. The phase follows from the rank: our own send 0, unknown and queued 1, sent 2, failures and
-- delivered 3, read 4.
CREATE TABLE IF NOT EXISTS messages (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- rises as they are first written
    status_timestamp  timestamptz NOT NULL,    -- when what stands happened, by Plivo's clock
    created_at        timestamptz NOT NULL,    -- when it was first seen, by our clock; when Plivo queued it, if it told so when asked
    updated_at        timestamptz NOT NULL,    -- when the standing update was received, by our clock
    first_status_timestamp timestamptz NOT NULL,
    sequence          bigint      NOT NULL,    -- Plivo's Sequence, 0 if absent
    first_sequence    bigint      NOT NULL,
    queued_at         timestamptz,             -- when Plivo queued it, by Plivo's clock
    checked_at        timestamptz,             -- when `reconcile` last asked Plivo about it
    amount            integer,                 -- TotalAmount, in millionths of a US dollar
    units             smallint,                -- parts of the message
    told_rank         smallint,                -- rank of the status that units and amount came with
    rank              smallint    NOT NULL,    -- our own send -1, unknown 0, queued 1, sent 2, failures 3, delivered 4, read 5
    first_rank        smallint    NOT NULL,
    is_final          boolean     NOT NULL,    -- delivered, undelivered, failed, rejected, read
    message_uuid      text        COLLATE "C" NOT NULL UNIQUE,  -- Plivo's MessageUUID
    digest            bytea       NOT NULL,    -- of the update; settles what is equal otherwise
    first_digest      bytea       NOT NULL,
    initial_status    text        COLLATE "C" NOT NULL,  -- status of the earliest update
    current_status    text        COLLATE "C" NOT NULL,  -- status of the update that stands
    outcome           text        COLLATE "C" GENERATED ALWAYS AS
                                  (CASE WHEN is_final THEN current_status END) STORED,
    sender_number     text        COLLATE "C",  -- From: as Plivo or the sender wrote it, with or without +
    recipient_number  text        COLLATE "C",  -- To
    error_code        text        COLLATE "C",  -- Plivo's ErrorCode of the update that stands; NULL = none
    message_body      text        COLLATE "C",  -- the text, only for messages sent through this service
    reference         text        COLLATE "C",  -- the query its sender added to the callback URL, as received
    reference_pairs   text[]      COLLATE "C",  -- its decoded parameters: order=42
    network           text        COLLATE "C",  -- MCC-MNC of the recipient's network
    country           text        COLLATE "C"   -- ISO 3166 code: of that, else of the recipient's number
);
ALTER TABLE messages
    ADD COLUMN IF NOT EXISTS amount integer,
    ADD COLUMN IF NOT EXISTS units smallint,
    ADD COLUMN IF NOT EXISTS told_rank smallint,
    ADD COLUMN IF NOT EXISTS network text COLLATE "C",
    ADD COLUMN IF NOT EXISTS country text COLLATE "C";

-- GET /messages pages through one of these, newest first. A change of status that leaves every
-- indexed column as it is writes none of them (PostgreSQL calls that HOT): so none is on
-- current_status, but one on `outcome`, which changes once in the life of a message. Three know only
-- the two minutes, or the week, of created_at: an entry then has many messages, at 6 bytes for each,
-- and a page sorts those of the last entry it reads.
CREATE INDEX IF NOT EXISTS messages_by_time ON messages (created_at);
CREATE INDEX IF NOT EXISTS messages_by_outcome_2 ON messages (
    outcome, ((date_part('epoch', created_at AT TIME ZONE 'UTC') / 120)::integer));
CREATE INDEX IF NOT EXISTS messages_by_sender_2 ON messages (
    ltrim(sender_number, '+'), ((date_part('epoch', created_at AT TIME ZONE 'UTC') / 120)::integer));
CREATE INDEX IF NOT EXISTS messages_by_recipient_2 ON messages (
    "right"(recipient_number, 4), ((date_part('epoch', created_at AT TIME ZONE 'UTC') / 604800)::integer));
CREATE INDEX IF NOT EXISTS messages_by_error ON messages (error_code, created_at)
    WHERE error_code IS NOT NULL;

-- These three by two minutes of created_at, so that an entry has many messages: see batch.bucket.
CREATE INDEX IF NOT EXISTS messages_by_country ON messages (
    country, ((date_part('epoch', created_at AT TIME ZONE 'UTC') / 120)::integer))
    WHERE country IS NOT NULL;
CREATE INDEX IF NOT EXISTS messages_without_country ON messages (
    ((date_part('epoch', created_at AT TIME ZONE 'UTC') / 120)::integer))
    WHERE country IS NULL;
CREATE INDEX IF NOT EXISTS messages_by_network ON messages (
    network, ((date_part('epoch', created_at AT TIME ZONE 'UTC') / 120)::integer))
    WHERE network IS NOT NULL;

-- One row for each distinct update of a message; a repeated callback adds none. A V3 signature joins
-- names and values with nothing between them, so a captured callback can be cut into other fields:
-- the first reading owns the text that Plivo signed.
CREATE TABLE IF NOT EXISTS status_events (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- rises with each of a message
    message_id        bigint      NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    status_timestamp  timestamptz NOT NULL,
    received_at       timestamptz NOT NULL,    -- when it reached us first, by our clock
    sequence          bigint      NOT NULL,
    repeats           integer     NOT NULL,    -- how often the same callback came again
    rank              smallint    NOT NULL,
    signed_text       bytea       NOT NULL UNIQUE,  -- what its digest begins with: of the text Plivo signed
    reading           bytea       NOT NULL,    -- the rest of its digest
    status            text        COLLATE "C" NOT NULL,
    error_code        text        COLLATE "C" NOT NULL,  -- '' = none: one NULL makes a row 8 bytes longer
    source            text        COLLATE "C" NOT NULL,  -- callback, send, reconcile or replay
    parameters        bytea       NOT NULL     -- as received, packed: smsstatus/store/packing.py
);
CREATE INDEX IF NOT EXISTS status_events_by_message ON status_events (message_id);

-- GET /messages?reference=order%3D42 pages through this, newest first. What an update that came
-- later has made wrong stays: a pair counts only where the message's row says the same.
CREATE TABLE IF NOT EXISTS reference_pairs (
    created_at        timestamptz NOT NULL,    -- the message's
    message_id        bigint      NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    pair              text        COLLATE "C" NOT NULL,  -- one decoded parameter of the reference
    PRIMARY KEY (pair, created_at, message_id)
);
CREATE INDEX IF NOT EXISTS reference_pairs_by_message ON reference_pairs (message_id);

-- A V2 signature does not cover the body, so the first body seen with its nonce owns the nonce. One
-- that came beside a V3 signature is owned by what that covers, so without V3 it brings nothing.
-- Rows are kept for good: a forgotten nonce could be used again with another body.
CREATE TABLE IF NOT EXISTS v2_nonces (
    nonce             text        COLLATE "C" PRIMARY KEY,
    digest            bytea       NOT NULL     -- of the update that came with it
);

-- Who sends with an Idempotency-Key, or from the page, sends once: a request that comes again with
-- the key gets the first one's answer. Rows older than 24 hours go when a new one is written.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    claimed_at        timestamptz NOT NULL,    -- when the fields came, by our clock
    key               text        COLLATE "C" PRIMARY KEY,  -- as the sender chose it
    digest            bytea       NOT NULL,    -- of the fields that first came with it
    answer            text        COLLATE "C"  -- JSON: the message, or why nobody knows; NULL = under way
);
CREATE INDEX IF NOT EXISTS idempotency_keys_by_time ON idempotency_keys (claimed_at);

-- A captured callback of a pruned message must not bring it back: what happened before this time to
-- a message that has no row is not written.
CREATE TABLE IF NOT EXISTS prunings (
    id                smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),  -- one row at most
    created_before    timestamptz NOT NULL     -- messages first seen before that were removed
);

-- Changes of status that are to be handed on, and what became of each: FORWARD_URL. A row is written
-- with its event. While a message's row waits, it and those behind it are due no earlier than it.
-- Whoever hands on claims a row for a while, for others can at the same time.
CREATE TABLE IF NOT EXISTS forwards (
    event_id          bigint      PRIMARY KEY REFERENCES status_events (id) ON DELETE CASCADE,
    message_id        bigint      NOT NULL,    -- the event's
    due_at            timestamptz,             -- when it may be tried; NULL = it waits no longer
    failing_since     timestamptz,             -- when it failed first; NULL = it has not
    settled_at        timestamptz,             -- when it left 'waiting'
    claimed_until     timestamptz,             -- then somebody else may have it, by the server's clock
    claim             uuid,                    -- whose it is; NULL = nobody's
    attempts          integer     NOT NULL DEFAULT 0,  -- how often it was tried
    state             text        COLLATE "C" NOT NULL DEFAULT 'waiting',  -- or taken, dead, skipped, superseded
    answer            text        COLLATE "C" NOT NULL DEFAULT ''  -- of the last attempt: the receiver's code, or a word
);
CREATE INDEX IF NOT EXISTS forwards_by_time ON forwards (due_at, event_id) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS forwards_by_message ON forwards (message_id, event_id)
    WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS forwards_dead ON forwards (event_id) WHERE state = 'dead';

-- How it goes with the receiver, for people: those that hand on write it every few seconds.
CREATE TABLE IF NOT EXISTS forwarder (
    id                smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),  -- one row at most
    paused_at         timestamptz,             -- NULL = not paused
    failing_since     timestamptz,             -- NULL = it took the last one
    last_taken_at     timestamptz,             -- when it took one last
    last_failure      text        COLLATE "C" NOT NULL DEFAULT ''  -- what the last attempt that failed came to
);

-- When the service was last known to be up: each minute, by any of its processes.
CREATE TABLE IF NOT EXISTS heartbeat (
    id                smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),  -- one row at most
    up_at             timestamptz NOT NULL
);

-- Times in which nobody took callbacks, for longer than Plivo's retries make up for. What it lists of
-- them is written, whether a callback has come or not. Where it counts more than it lists, the part
-- from listed_until to until is a row of its own while that is waited for: since when is after until.
CREATE TABLE IF NOT EXISTS outages (
    since             timestamptz PRIMARY KEY,  -- when the service was last known to be up
    until             timestamptz NOT NULL,    -- when it was up again
    listed_until      timestamptz,             -- Plivo's messages up to there are known; NULL = none yet
    missed            bigint      NOT NULL DEFAULT 0  -- of how many of them no callback had come
);

-- The last run of each thing that the service does by itself.
CREATE TABLE IF NOT EXISTS upkeep (
    task              text        COLLATE "C" PRIMARY KEY,  -- reconcile, prune, backup
    began_at          timestamptz NOT NULL,
    ended_at          timestamptz,             -- NULL = under way, or broken off
    next_at           timestamptz NOT NULL,    -- when the next one is due
    is_ok             boolean     NOT NULL,    -- it did all that there was to do; until it ends: of the one before
    found             text        COLLATE "C" NOT NULL  -- what it came to, for people
);

-- How many messages of each kind were first seen in an hour, summed up once the hour is over: so that
-- figures of weeks need not read each message. These hours were summed up.
CREATE TABLE IF NOT EXISTS summed_hours (
    hour              timestamptz PRIMARY KEY,
    pays              boolean     NOT NULL     -- false: the sums would be nearly as many, and are not kept
);

-- The sums, one row for each kind of message.
CREATE TABLE IF NOT EXISTS tallies (
    hour              timestamptz NOT NULL,
    messages          bigint      NOT NULL,    -- how many
    units             bigint      NOT NULL,    -- their sum
    amount            bigint      NOT NULL,    -- their sum, in millionths of a US dollar
    country           text        COLLATE "C",
    network           text        COLLATE "C",
    sender            text        COLLATE "C",  -- without +
    status            text        COLLATE "C" NOT NULL,
    error_code        text        COLLATE "C"
);
CREATE INDEX IF NOT EXISTS tallies_by_hour ON tallies (hour);

-- The same of whole days, so that weeks are few sums. A day, and its ten, goes when one of its hours
-- is summed up again, or its sums are removed.
CREATE TABLE IF NOT EXISTS summed_days (
    day               timestamptz PRIMARY KEY,
    pays              boolean     NOT NULL
);
CREATE TABLE IF NOT EXISTS day_tallies (
    day               timestamptz NOT NULL,
    messages          bigint      NOT NULL,
    units             bigint      NOT NULL,
    amount            bigint      NOT NULL,
    country           text        COLLATE "C",
    network           text        COLLATE "C",
    sender            text        COLLATE "C",
    status            text        COLLATE "C" NOT NULL,
    error_code        text        COLLATE "C"
);
CREATE INDEX IF NOT EXISTS day_tallies_by_day ON day_tallies (day);

-- The same of ten days, counted from 1970 on, so that months are fewer sums still.
CREATE TABLE IF NOT EXISTS summed_tens (
    ten               timestamptz PRIMARY KEY,
    pays              boolean     NOT NULL
);
CREATE TABLE IF NOT EXISTS ten_tallies (
    ten               timestamptz NOT NULL,
    messages          bigint      NOT NULL,
    units             bigint      NOT NULL,
    amount            bigint      NOT NULL,
    country           text        COLLATE "C",
    network           text        COLLATE "C",
    sender            text        COLLATE "C",
    status            text        COLLATE "C" NOT NULL,
    error_code        text        COLLATE "C"
);
CREATE INDEX IF NOT EXISTS ten_tallies_by_ten ON ten_tallies (ten);

-- Hours of which a message has changed since: their sums do not count, nor do those of their days
-- and tens.
-- Added to by whoever changes one, so that none waits for another; an hour can be there more than once.
CREATE TABLE IF NOT EXISTS changed_hours (
    hour              timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS changed_hours_by_hour ON changed_hours (hour);

-- Messages that a program of an earlier version has written, which knows nothing of where they went: that is
-- read from their events in the background. A message can be there more than once.
CREATE TABLE IF NOT EXISTS unread_facts (
    message_id        bigint      NOT NULL
);

-- The same of all messages that were there when this version came.
CREATE TABLE IF NOT EXISTS upgrades (
    version           integer     PRIMARY KEY,  -- the version that the database was brought up to
    last_message      bigint      NOT NULL,    -- id of the newest message at that time
    looked_at         bigint      NOT NULL     -- up to this id they are done
);
INSERT INTO upgrades (version, last_message, looked_at)
    SELECT 3, max(id), 0 FROM messages HAVING max(id) IS NOT NULL ON CONFLICT DO NOTHING;

-- Notes the hour of a message that has changed, and the message where its program did not say where
-- it went. A note that somebody is removing is not relied on; one that stands is kept until the end
-- of this transaction. Who may only delete can only remove the sums.
CREATE OR REPLACE FUNCTION note_changed_message() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    hours timestamptz[];
    changed timestamptz;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        hours := hours || date_trunc('hour', OLD.created_at, 'UTC');
    END IF;
    IF TG_OP <> 'DELETE' THEN
        hours := hours || date_trunc('hour', NEW.created_at, 'UTC');
        IF current_setting('smsstatus.facts', true) IS DISTINCT FROM 'told' THEN
            INSERT INTO unread_facts (message_id) VALUES (NEW.id);
        END IF;
    ELSIF NOT has_table_privilege('changed_hours', 'INSERT') THEN
        DELETE FROM summed_hours WHERE hour = ANY (hours);
        RETURN NULL;
    END IF;
    FOREACH changed IN ARRAY hours LOOP
        PERFORM FROM changed_hours WHERE hour = changed LIMIT 1 FOR KEY SHARE SKIP LOCKED;
        IF NOT FOUND THEN
            INSERT INTO changed_hours (hour) VALUES (changed);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION forget_day() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed timestamptz := date_trunc('day', coalesce(NEW.hour, OLD.hour), 'UTC');
BEGIN
    DELETE FROM summed_days WHERE day = changed;
    DELETE FROM day_tallies WHERE day = changed;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS forget_day ON summed_hours;
CREATE TRIGGER forget_day AFTER INSERT OR DELETE ON summed_hours FOR EACH ROW
    EXECUTE FUNCTION forget_day();

-- A program of an earlier version puts back its own forget_day, which knows of no tens.
CREATE OR REPLACE FUNCTION forget_ten() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    hour timestamptz := coalesce(NEW.hour, OLD.hour);
    changed timestamptz := to_timestamp(floor(date_part('epoch', hour) / 864000) * 864000);
BEGIN
    DELETE FROM summed_tens WHERE ten = changed;
    DELETE FROM ten_tallies WHERE ten = changed;
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS forget_ten ON summed_hours;
CREATE TRIGGER forget_ten AFTER INSERT OR DELETE ON summed_hours FOR EACH ROW
    EXECUTE FUNCTION forget_ten();

-- No hour is summed up before it has been over for longer than these wait.
DROP TRIGGER IF EXISTS note_inserted ON messages;
CREATE TRIGGER note_inserted AFTER INSERT ON messages FOR EACH ROW WHEN (
    NEW.created_at < clock_timestamp() - interval '1 hour'
    OR current_setting('smsstatus.facts', true) IS DISTINCT FROM 'told')
    EXECUTE FUNCTION note_changed_message();
DROP TRIGGER IF EXISTS note_updated ON messages;
CREATE TRIGGER note_updated AFTER UPDATE OF created_at, network ON messages FOR EACH ROW WHEN (
    NEW.created_at < clock_timestamp() - interval '1 hour' OR NEW.created_at <> OLD.created_at
    OR current_setting('smsstatus.facts', true) IS DISTINCT FROM 'told')
    EXECUTE FUNCTION note_changed_message();
DROP TRIGGER IF EXISTS note_deleted ON messages;
CREATE TRIGGER note_deleted AFTER DELETE ON messages FOR EACH ROW
    EXECUTE FUNCTION note_changed_message();

-- Where somebody has dropped `messages`, their events are still there: no new message takes an id that
-- they name, and no new event one that `forwards` names. Last, since changing the triggers above has
-- waited for all who write messages.
SELECT setval(pg_get_serial_sequence('messages', 'id'), max(message_id)) FROM status_events
    HAVING max(message_id) > (SELECT coalesce(max(id), 0) FROM messages);
SELECT setval(pg_get_serial_sequence('status_events', 'id'), max(event_id)) FROM forwards
    HAVING max(event_id) > (SELECT coalesce(max(id), 0) FROM status_events);

-- Where somebody has dropped a table with CASCADE, the keys that named it went with it: without them
-- events stay when their message is pruned. What is there is not checked, since it can name nothing.
DO $$
DECLARE
    child text;
    parent text;
    key text;
BEGIN
    FOR child, key, parent IN VALUES
        ('status_events', 'message_id', 'messages'),
        ('reference_pairs', 'message_id', 'messages'),
        ('forwards', 'event_id', 'status_events')
    LOOP
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = child::regclass AND contype = 'f')
        THEN
            EXECUTE format('ALTER TABLE %I ADD FOREIGN KEY (%I) REFERENCES %I (id)
                ON DELETE CASCADE NOT VALID', child, key, parent);
        END IF;
    END LOOP;
END $$;
