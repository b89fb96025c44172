'use strict'

// pg with a pool of 10 and prepared statements, one transaction per callback. The schema is there.

const { Pool } = require('pg')

const pool = new Pool({
  connectionString: process.env.DATABASE_URL,
  max: 10,
  options: '-c synchronous_commit=on -c smsstatus.facts=told' // see the schema's triggers
})

const UPSERT = `
  INSERT INTO messages AS m (
    message_uuid, sender_number, recipient_number, initial_status, current_status,
    status_timestamp, error_code, created_at, updated_at, queued_at,
    is_final, sequence, rank, digest,
    first_status_timestamp, first_sequence, first_rank, first_digest)
  VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $7, $8, $9, $10, $11, $12, $5, $10, $11, $12)
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
      > (m.is_final, m.status_timestamp, m.sequence, m.rank, m.digest)`

const INSERT_EVENT = `
  INSERT INTO status_events AS e (
    message_id, signed_text, reading, status, status_timestamp, error_code, sequence, rank,
    received_at, source, parameters, repeats)
  VALUES (
    (SELECT id FROM messages WHERE message_uuid = $1), $2, '', $3, $4, $5, $6, $7,
    $8, 'callback', $9, 0)
  ON CONFLICT (signed_text) DO UPDATE SET repeats = e.repeats + 1`

module.exports = async function store (update) {
  const { uuid, status, errorCode, sequence, rank, digest, receivedAt } = update
  const timestamp = update.timestamp || '-infinity'
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await client.query({
      name: 'upsert',
      text: UPSERT,
      values: [uuid, update.sender, update.recipient, status, timestamp, errorCode, receivedAt,
        update.queuedAt, Boolean(update.isFinal), sequence, rank, digest]
    })
    await client.query({
      name: 'event',
      text: INSERT_EVENT,
      values: [uuid, digest, status, timestamp, errorCode ?? '', sequence, rank, receivedAt,
        update.parameters]
    })
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  } finally {
    client.release()
  }
}
