<?php
// Send a message through Plivo, which reports to smsstatus: php send.php FROM TO TEXT
// With Plivo's library: $client->messages->create(["src" => ..., "dst" => ..., "text" => ..., "url" => $url])

$account = getenv("PLIVO_AUTH_ID");
$token = getenv("PLIVO_AUTH_TOKEN");
$api = getenv("PLIVO_API_URL") ?: "https://api.plivo.com";
$url = getenv("BASE_URL") . "/plivo/status?order=42"; // your own reference

[, $src, $dst, $text] = $argv;
$answer = file_get_contents("$api/v1/Account/$account/Message/", false, stream_context_create(["http" => [
    "method" => "POST",
    "header" => ["Content-Type: application/json", "Authorization: Basic " . base64_encode("$account:$token")],
    "content" => json_encode(compact("src", "dst", "text", "url")),
    "timeout" => 20,
]]));
if ($answer === false) {
    exit(1);
}
echo json_decode($answer, true)["message_uuid"][0], "\n";
