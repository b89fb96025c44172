// Send a message through Plivo, which reports to smsstatus: node send.mjs FROM TO TEXT
// With Plivo's library: client.messages.create({src, dst, text, url})

const { PLIVO_AUTH_ID: account, PLIVO_AUTH_TOKEN: token, BASE_URL } = process.env;
const api = process.env.PLIVO_API_URL ?? "https://api.plivo.com";
const url = `${BASE_URL}/plivo/status?order=42`; // your own reference

const [src, dst, text] = process.argv.slice(2);
const answer = await fetch(`${api}/v1/Account/${account}/Message/`, {
  method: "POST",
  headers: {
    "Content-Type": "application/json",
    Authorization: `Basic ${Buffer.from(`${account}:${token}`).toString("base64")}`,
  },
  body: JSON.stringify({ src, dst, text, url }),
  signal: AbortSignal.timeout(20_000),
});
if (!answer.ok) throw new Error(`Plivo answered ${answer.status}: ${await answer.text()}`);
console.log((await answer.json()).message_uuid[0]);
