# Send a message through Plivo, which reports to smsstatus: sh send.sh FROM TO TEXT
# The text must have no quotation mark and no backslash: it is put into JSON as it is.
set -eu

api=${PLIVO_API_URL:-https://api.plivo.com}
url="$BASE_URL/plivo/status?order=42" # your own reference

curl --silent --show-error --fail --max-time 20 \
    --user "$PLIVO_AUTH_ID:$PLIVO_AUTH_TOKEN" \
    --header "Content-Type: application/json" \
    --data "{\"src\": \"$1\", \"dst\": \"$2\", \"text\": \"$3\", \"url\": \"$url\"}" \
    "$api/v1/Account/$PLIVO_AUTH_ID/Message/" |
    sed -n 's/.*"message_uuid": *\["\([^"]*\)".*/\1/p'
