'use strict'

// better-sqlite3 with prepared statements, one transaction per callback.
// With SHARED_COMMIT=1 the callbacks that one turn of the event loop brings share a transaction.

const { readFileSync } = require('node:fs')
const { resolve } = require('node:path')

const Database = require('better-sqlite3')

const { DATABASE_PATH, SHARED_COMMIT } = process.env

const db = new Database(DATABASE_PATH)
db.pragma('journal_mode = WAL')
db.pragma('synchronous = FULL')
db.pragma('cache_size = -8192')
db.pragma('wal_autocheckpoint = 4000')
db.exec(readFileSync(resolve(__dirname, '../../../schema.sql'), 'utf8'))

const upsertMessage = db.prepare(`
  INSERT INTO messages (
    message_uuid, sender_number, recipient_number, initial_status, current_status,
    status_timestamp, error_code, created_at, updated_at, queued_at,
    is_final, sequence, rank, digest)
  VALUES (
    @uuid, @sender, @recipient, @status, @status,
    @timestamp, @errorCode, @receivedAt, @receivedAt, @queuedAt,
    @isFinal, @sequence, @rank, @digest)
  ON CONFLICT (message_uuid) DO UPDATE SET
    current_status = excluded.current_status,
    status_timestamp = excluded.status_timestamp,
    error_code = excluded.error_code,
    updated_at = excluded.updated_at,
    is_final = excluded.is_final,
    sequence = excluded.sequence,
    rank = excluded.rank,
    digest = excluded.digest
  WHERE (excluded.is_final, excluded.status_timestamp, excluded.sequence,
         excluded.rank, excluded.digest)
      > (messages.is_final, messages.status_timestamp, messages.sequence,
         messages.rank, messages.digest)`)

const insertEvent = db.prepare(`
  INSERT INTO status_events (
    message_id, digest, status, status_timestamp, error_code, sequence, rank, is_final,
    received_at, source, parameters)
  VALUES (
    (SELECT id FROM messages WHERE message_uuid = @uuid), @digest, @status, @timestamp,
    @errorCode, @sequence, @rank, @isFinal, @receivedAt, 'callback', @parameters)`)

const claimText = db.prepare(
  'INSERT INTO signed_texts (digest) VALUES (@digest) ON CONFLICT DO NOTHING')

const countRepeat = db.prepare(`
  UPDATE status_events SET repeats = repeats + 1
  WHERE message_id = (SELECT id FROM messages WHERE message_uuid = @uuid) AND digest = @digest`)

const storeAll = db.transaction((...updates) => {
  for (const update of updates) {
    upsertMessage.run(update)
    if (claimText.run(update).changes) insertEvent.run(update)
    else countRepeat.run(update)
  }
}).immediate

let waiting = []

function storeShared (update) {
  return new Promise((resolve, reject) => {
    if (waiting.push({ update, resolve, reject }) === 1) setImmediate(storeWaiting)
  })
}

function storeWaiting () {
  const batch = waiting
  waiting = []
  try {
    storeAll(...batch.map(({ update }) => update))
    for (const { resolve } of batch) resolve()
  } catch (error) {
    for (const { reject } of batch) reject(error)
  }
}

module.exports = SHARED_COMMIT === '1' ? storeShared : storeAll
