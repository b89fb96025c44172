'use strict'

// The same job as smsstatus, written as it is usually done in Node: Fastify, Plivo's SDK for the
// signature, one transaction per callback, 200 after it. The store gives a promise, or has stored.

const { createHash } = require('node:crypto')

const fastify = require('fastify')
const formbody = require('@fastify/formbody')
const { validateV3Signature } = require('plivo')

const { PORT, DATABASE_URL, PLIVO_AUTH_TOKEN, BASE_URL } = process.env
const store = require(DATABASE_URL.startsWith('postgres') ? './postgres' : './sqlite')
const CALLBACK_PATH = '/plivo/status'
const SIGNED_URL = BASE_URL + CALLBACK_PATH

const RANKS = {
  queued: 1, sent: 2, rejected: 3, failed: 3, undelivered: 3, delivered: 4, read: 5
}
const TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/

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
    parameters: Buffer.from(parameters)
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
  const stored = store(toUpdate(fields))
  return stored ? stored.then(() => reply.code(200).send()) : reply.code(200).send()
})

app.listen({ host: '127.0.0.1', port: Number(PORT) })
