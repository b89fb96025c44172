'use strict'

// The same job as smsstatus, written as it is usually done in Node: Fastify, Plivo's SDK for the
// signature, better-sqlite3 with prepared statements, one transaction per callback, 200 after it.
// With SHARED_COMMIT=1 the callbacks that one turn of the event loop brings share a transaction.

const { createHash } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { resolve } = require('node:path')

const Database = require('better-sqlite3')
const fastify = require('fastify')
const formbody = require('@fastify/formbody')
const { validateV3Signature } = require('plivo')

const { PORT, DATABASE_PATH, PLIVO_AUTH_TOKEN, BASE_URL, SHARED_COMMIT } = process.env
const CALLBACK_PATH = '/plivo/status'
const SIGNED_URL = BASE_URL + CALLBACK_PATH

const RANKS = {
  queued: 1, sent: 2, rejected: 3, failed: 3, undelivered: 3, delivered: 4, read: 5
}
const TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/

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
    @errorCode, @sequence, @rank, @isFinal, @receivedAt, 'callback', @parameters)
  ON CONFLICT (message_id, digest) DO UPDATE SET repeats = repeats + 1`)

const store = db.transaction((...updates) => {
  for (const update of updates) {
    upsertMessage.run(update)
    insertEvent.run(update)
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
    store(...batch.map(({ update }) => update))
    for (const { resolve } of batch) resolve()
  } catch (error) {
    for (const { reject } of batch) reject(error)
  }
}

function utc (time) {
  return time && TIME.test(time) ? time.replace(' ', 'T') + 'Z' : ''
}

function statusTimestamp (fields, rank) {
  return utc((rank > 2 && fields.DeliveryReportTime) || (rank > 1 && fields.SentTime) ||
    fields.QueuedTime || fields.MessageTime)
}

function toUpdate (fields) {
  const parameters = JSON.stringify(fields)
  const rank = RANKS[fields.Status] ?? 0
  const errorCode = fields.ErrorCode
  return {
    uuid: fields.MessageUUID,
    status: fields.Status,
    timestamp: statusTimestamp(fields, rank),
    errorCode: !errorCode || errorCode === '000' ? null : errorCode,
    isFinal: rank > 2 ? 1 : 0,
    sequence: Number(fields.Sequence) || 0,
    rank,
    digest: createHash('sha256').update(parameters).digest().subarray(0, 16),
    sender: fields.From,
    recipient: fields.To,
    queuedAt: utc(fields.QueuedTime) || null,
    receivedAt: new Date().toISOString().replace('Z', '000Z'),
    parameters
  }
}

const app = fastify({ logger: false })
app.register(formbody)

app.post(CALLBACK_PATH, (request, reply) => {
  const signature = request.headers['x-plivo-signature-v3']
  const nonce = request.headers['x-plivo-signature-v3-nonce']
  const fields = request.body
  if (!signature || !nonce || !validateV3Signature(
    'POST', SIGNED_URL, nonce, PLIVO_AUTH_TOKEN, signature, fields)) {
    return reply.code(403).send()
  }
  if (SHARED_COMMIT === '1') {
    return storeShared(toUpdate(fields)).then(() => reply.code(200).send())
  }
  store(toUpdate(fields))
  return reply.code(200).send()
})

app.listen({ host: '127.0.0.1', port: Number(PORT) })
