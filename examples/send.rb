# Send a message through Plivo, which reports to smsstatus: ruby send.rb FROM TO TEXT
# With Plivo's library: client.messages.create(src: ..., dst: ..., text: ..., url: url)

require "json"
require "net/http"

account, token = ENV.fetch("PLIVO_AUTH_ID"), ENV.fetch("PLIVO_AUTH_TOKEN")
api = ENV.fetch("PLIVO_API_URL", "https://api.plivo.com")
url = "#{ENV.fetch("BASE_URL")}/plivo/status?order=42" # your own reference

src, dst, text = ARGV
request = Net::HTTP::Post.new(URI("#{api}/v1/Account/#{account}/Message/"))
request.basic_auth(account, token)
request.content_type = "application/json"
request.body = { src: src, dst: dst, text: text, url: url }.to_json
uri = request.uri
answer = Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", read_timeout: 20) do |http|
  http.request(request)
end
abort "Plivo answered #{answer.code}: #{answer.body}" unless answer.is_a?(Net::HTTPSuccess)
puts JSON.parse(answer.body)["message_uuid"][0]
